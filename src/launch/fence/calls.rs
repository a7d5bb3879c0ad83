//! The system-call filter (seccomp): what a runtime's process must not ask the kernel for.
//!
//! Files are Landlock's. This is about the rest by which a process reaches beyond itself: the
//! network, other processes, its terminal, the kernel's own settings. Such calls fail with
//! "operation not permitted", which a program can meet as an error of its own; all others are left
//! alone, since a JavaScript engine needs more than can be listed. No process is started: a
//! runtime needs threads only, and what it becomes by `exec` stays in the same fence.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// The network and every other kind of socket. A pair of connected ones, which wasmtime and wasmer
/// hear of signals by, reaches nobody: see [`conditional`].
const SOCKETS: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
];

/// What fails.
const REFUSED: &[libc::c_long] = &[
    // What could be done by a ring instead of calls.
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
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_fanotify_init,
    libc::SYS_personality,
    // Limits that pyw has set.
    libc::SYS_setrlimit,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    // Other processes, by the calls that are older than `clone`.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// What is said not to exist, so that libraries fall back on `clone`, whose flags a filter sees.
const UNKNOWN: &[libc::c_long] = &[libc::SYS_clone3];

/// What fails unless its first argument is the process itself, which ends itself by signals.
const REFUSED_TO_OTHERS: &[libc::c_long] = &[libc::SYS_kill, libc::SYS_tgkill];

/// Stands in the filter for the process's number until that is known. No process has it: numbers
/// end at 2^22.
const ITSELF: u32 = 0x5157_7e1f;

/// Calls of the x32 convention, which the kernel tells apart by this bit alone. No runtime uses it.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// A filter that is ready to be put on.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Makes the filter; with `network`, sockets are left to the process.
    ///
    /// # Errors
    /// pyw does not know this machine's system calls.
    pub fn new(network: bool) -> Result<Self, String> {
        let arch = architecture()?;
        let mut rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        if !network {
            rules.extend(SOCKETS.iter().map(|call| (*call, Vec::new())));
        }
        rules.extend(conditional(network).map_err(|e| e.to_string())?);
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
        let program = filter.and_then(BpfProgram::try_from);
        let mut program = program.map_err(|e| e.to_string())?;
        program.splice(0..0, first());
        Ok(Self(program))
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

/// What fails or not by its arguments.
fn conditional(network: bool) -> Result<Vec<(i64, Vec<SeccompRule>)>, BackendError> {
    let when = |argument, operator, value: u32| {
        let width = SeccompCmpArgLen::Dword;
        let one = SeccompCondition::new(argument, width, operator, value.into())?;
        SeccompRule::new(vec![one])
    };
    let not = |argument, value: i32| when(argument, SeccompCmpOp::Ne, value.unsigned_abs());
    let is = |argument, value| when(argument, SeccompCmpOp::Eq, value);
    let mut rules = vec![
        // Wasmtime makes one of its own threads nicer.
        (
            libc::SYS_setpriority,
            vec![not(0, libc::PRIO_PROCESS as i32)?, not(1, 0)?],
        ),
        // Typing into the terminal, and what else a console does for its owner.
        (
            libc::SYS_ioctl,
            vec![
                is(1, libc::TIOCSTI as u32)?,
                is(1, libc::TIOCLINUX as u32)?,
                is(1, libc::TIOCCONS as u32)?,
                is(1, libc::TIOCSCTTY as u32)?,
            ],
        ),
        // Threads are made, processes are not.
        (
            libc::SYS_clone,
            vec![when(
                0,
                SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64),
                0,
            )?],
        ),
    ];
    // The other way to set a limit; a null pointer asks only.
    let width = SeccompCmpArgLen::Qword;
    let sets = SeccompCondition::new(2, width, SeccompCmpOp::Ne, 0)?;
    rules.push((libc::SYS_prlimit64, vec![SeccompRule::new(vec![sets])?]));
    for call in REFUSED_TO_OTHERS {
        rules.push((*call, vec![when(0, SeccompCmpOp::Ne, ITSELF)?]));
    }
    if !network {
        rules.push((libc::SYS_socketpair, vec![not(0, libc::AF_UNIX)?]));
    }
    Ok(rules)
}

/// What the filter does before anything else, which is what seccompiler has no rules for: a second
/// way to fail, and a convention in place of a call. One filter takes less time than two.
fn first() -> Vec<seccompiler::sock_filter> {
    let step = |code: u32, jt, jf, k: i64| seccompiler::sock_filter {
        code: code as u16,
        jt,
        jf,
        k: k as u32,
    };
    let fail = |errno: i32| {
        let action = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        step(libc::BPF_RET | libc::BPF_K, 0, 0, action.into())
    };
    let skip_unless = |test, value| step(libc::BPF_JMP | test | libc::BPF_K, 0, 1, value);
    // The number of the call is the first word of what a filter looks at.
    let mut steps = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    steps.extend([skip_unless(libc::BPF_JGE, X32), fail(libc::EPERM)]);
    for call in UNKNOWN {
        steps.extend([skip_unless(libc::BPF_JEQ, *call), fail(libc::ENOSYS)]);
    }
    steps
}

fn architecture() -> Result<TargetArch, String> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())
}

/// Whether this kernel has filters.
///
/// # Errors
/// Why not.
pub fn ready() -> Result<(), String> {
    architecture()?;
    // Asks for the mode of the calling thread, which a kernel without filters does not know.
    // SAFETY: a plain call with numbers.
    match unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) } {
        -1 => Err("this kernel has no seccomp".into()),
        _ => Ok(()),
    }
}
