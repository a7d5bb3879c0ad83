//! The system-call filter (seccomp): what a runtime that is no sandbox must not ask the kernel for.
//!
//! Files are Landlock's. This is about the rest by which a process reaches beyond itself: the
//! network, other processes, the kernel's own settings. Such calls fail with "operation not
//! permitted"; all others are left alone, since a JavaScript engine needs more than can be listed.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What fails.
const REFUSED: &[libc::c_long] = &[
    // The network and every other kind of socket; what could be done by a ring instead of calls.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes of the same user.
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    // Queues, shared memory and keys that others see as well.
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_shmget,
    libc::SYS_mq_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The kernel's own doors.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_personality,
];

/// What fails unless its first argument is the process itself, which ends itself by signals.
const REFUSED_TO_OTHERS: &[libc::c_long] = &[libc::SYS_kill, libc::SYS_tgkill];

/// Stands in the filter for the process's number until that is known. No process has it: numbers
/// end at 2^22.
const ITSELF: u32 = 0x5157_7e1f;

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
        let mut rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        for call in REFUSED_TO_OTHERS {
            let other = SeccompCondition::new(
                0,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Ne,
                u64::from(ITSELF),
            );
            let rule = other.and_then(|other| SeccompRule::new(vec![other]));
            rules.insert(*call, vec![rule.map_err(|e| e.to_string())?]);
        }
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
        let program = filter.and_then(BpfProgram::try_from);
        Ok(Self(program.map_err(|e| e.to_string())?))
    }

    /// Puts the filter on the calling thread, for good, and on all that it starts.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn enforce(mut self) -> Result<(), String> {
        // In place: between fork and exec nothing should be allocated.
        for instruction in self.0.iter_mut().filter(|i| i.k == ITSELF) {
            instruction.k = std::process::id();
        }
        seccompiler::apply_filter(&self.0).map_err(|e| e.to_string())
    }
}

/// Whether this kernel has filters.
///
/// # Errors
/// Why not.
pub fn ready() -> Result<(), String> {
    Filter::new()?;
    // Asks for the mode of the calling thread, which a kernel without filters does not know.
    // SAFETY: a plain call with numbers.
    match unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) } {
        -1 => Err("this kernel has no seccomp".into()),
        _ => Ok(()),
    }
}
