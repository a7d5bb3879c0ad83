//! The system-call filter for what Landlock does not cover: modes, owners, times and attributes,
//! which a process can otherwise change of every file of its user, also outside the mounts.
//!
//! A WASI runtime makes such calls for its guest on files of the mounts only, and pyw holds them
//! inside the module. Where a program has the runtime's whole process in its hands, nobody stands
//! between, and a filter cannot see which file is meant: such calls all fail.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

const REFUSED: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // `setxattrat`, `removexattrat` and `file_setattr`, which are numbered alike everywhere.
    463,
    466,
    469,
];

/// A filter that is ready to be put on.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Makes the filter.
    ///
    /// # Errors
    /// pyw does not know this machine's system calls.
    pub fn new() -> Result<Self, String> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
        let rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
        let program = filter.and_then(BpfProgram::try_from);
        Ok(Self(program.map_err(|e| e.to_string())?))
    }

    /// Puts the filter on the calling thread, for good, and on all that it starts.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn enforce(&self) -> Result<(), String> {
        seccompiler::apply_filter(&self.0).map_err(|e| e.to_string())
    }
}
