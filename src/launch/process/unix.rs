//! Starting and watching a process on Unix.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{LaunchError, Outcome, command, outcome};
use crate::launch::fence;
use crate::plan::Plan;

/// How long a runtime may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// Signals that end a program and are passed on to it.
const PASSED_ON: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Signals that arrive, as one byte each.
pub struct Events(UnixStream);

impl Events {
    /// Begins to listen. From here on no signal ends pyw before it has tidied up.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn listen() -> std::io::Result<Self> {
        let (events, sender) = UnixStream::pair()?;
        listen(&sender)?;
        Ok(Self(events))
    }
}

/// Becomes the runtime. Returns only if that fails.
pub fn exec(plan: &Plan) -> LaunchError {
    if let Some(confinement) = &plan.fence {
        match fence::Prepared::new(confinement).and_then(|fence| fence.enforce()) {
            Ok(()) => {}
            Err(reason) => {
                return LaunchError::Fence {
                    program: plan.program.clone(),
                    reason,
                };
            }
        }
    }
    let mut command = command(plan);
    let stack = plan.process_stack;
    // SAFETY: only system calls between here and exec.
    unsafe {
        command.pre_exec(move || {
            ignore_sigpipe();
            set_stack(stack)
        });
    }
    let source = command.exec();
    LaunchError::Start {
        program: plan.program.clone(),
        source,
    }
}

/// Starts the runtime and waits for its end, passing signals on.
///
/// # Errors
/// It cannot be started or confined; time ran out; it crashed.
pub fn watch(plan: &Plan, mut events: Events) -> Result<Outcome, LaunchError> {
    let wait = |source| LaunchError::Wait {
        program: plan.program.clone(),
        source,
    };
    let start = Instant::now();
    let mut child = spawn(command(plan), plan)?;
    let mut asked: Option<(i32, Instant)> = None;
    let mut timed_out = false;
    loop {
        if let Some(status) = child.try_wait().map_err(wait)? {
            if timed_out {
                let limit = plan.watch.timeout.unwrap_or_default();
                return Err(LaunchError::TimedOut { limit });
            }
            // Killed by pyw after a signal that the runtime did not heed: that signal is what
            // ended it.
            return match (asked, status.signal()) {
                (Some((signal, _)), Some(_)) => Ok(Outcome::Signal(signal)),
                // wasmer answers SIGINT with a code of its own instead of dying by it.
                (Some((signal, _)), None) if signal == libc::SIGINT => Ok(Outcome::Signal(signal)),
                (_, Some(libc::SIGKILL)) => Ok(Outcome::Signal(libc::SIGKILL)),
                (_, Some(signal)) if crash(signal) => Err(LaunchError::Crashed {
                    runtime: plan.runtime.clone(),
                    status: format!("signal {signal}"),
                }),
                (_, Some(signal)) => Ok(Outcome::Signal(signal)),
                (_, None) => outcome(plan, status.code().unwrap_or(1)),
            };
        }
        let now = Instant::now();
        if !timed_out && plan.watch.timeout.is_some_and(|limit| now - start >= limit) {
            timed_out = true;
            asked = Some((libc::SIGTERM, now));
            send(&child, libc::SIGTERM);
        }
        if asked.is_some_and(|(_, when)| now - when >= GRACE) {
            send(&child, libc::SIGKILL);
        }
        let next = match (asked, plan.watch.timeout) {
            (Some((_, when)), _) => Some((when + GRACE).saturating_duration_since(now)),
            (None, Some(limit)) => Some((start + limit).saturating_duration_since(now)),
            (None, None) => None,
        };
        // Zero would mean "for ever".
        let patience = next.map(|d| d.max(Duration::from_millis(1)));
        events.0.set_read_timeout(patience).map_err(wait)?;
        let mut signal = [0];
        if let Ok(1) = events.0.read(&mut signal) {
            let signal = i32::from(signal[0]);
            if signal != libc::SIGCHLD && asked.is_none() {
                asked = Some((signal, Instant::now()));
                send(&child, signal);
            }
        }
    }
}

/// Faults of the runtime's own; other signals came from somewhere else.
fn crash(signal: i32) -> bool {
    [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGSYS,
    ]
    .contains(&signal)
}

/// Starts a command inside the plan's fence.
///
/// # Errors
/// It cannot be started or confined.
pub fn spawn(mut command: Command, plan: &Plan) -> Result<Child, LaunchError> {
    let fenced = plan.fence.as_ref().map(fence::Prepared::new).transpose();
    let fenced = fenced.map_err(|reason| LaunchError::Fence {
        program: plan.program.clone(),
        reason,
    })?;
    let mut fenced = fenced;
    close_on_exec().map_err(|source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    })?;
    let stack = plan.process_stack;
    // SAFETY: between fork and exec only system calls are made, on values prepared before; pyw
    // has no other thread at this point whose lock the child could miss.
    unsafe {
        command.pre_exec(move || {
            die_with_parent()?;
            ignore_sigpipe();
            set_stack(stack)?;
            match fenced.take() {
                Some(fence) => fence.enforce().map_err(std::io::Error::other),
                None => Ok(()),
            }
        });
    }
    command.spawn().map_err(|source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    })
}

/// Keeps what pyw inherited besides the three standard streams, and opened itself, from every
/// program that it starts or becomes. What a program is to have is passed on afterwards.
pub fn close_on_exec() -> std::io::Result<()> {
    const FIRST: libc::c_uint = 3;
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a plain call with numbers; nothing is closed before an exec.
        let done = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                FIRST,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if done == 0 {
            return Ok(());
        }
    }
    // Linux before 5.11, and other systems.
    for entry in std::fs::read_dir("/dev/fd")?.flatten() {
        let number = entry.file_name().to_string_lossy().parse::<libc::c_int>();
        if let Ok(number) = number
            && number.unsigned_abs() >= FIRST
        {
            // SAFETY: a plain call with numbers; one that is not open any more is an error that
            // changes nothing.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Makes room for the stack that the runtime was told to use. The kernel lays a program out by the
/// limit that holds when it starts.
fn set_stack(bytes: Option<u64>) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(bytes) = bytes else { return Ok(()) };
    let now = getrlimit(Resource::Stack);
    if now.current.is_none_or(|current| current >= bytes) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(bytes),
        maximum: now.maximum,
    };
    Ok(setrlimit(Resource::Stack, raised)?)
}

/// As CPython does at its start: a program whose output nobody reads gets an error that it can
/// handle, and its runtime isn't killed.
fn ignore_sigpipe() {
    // SAFETY: a plain call on this process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// A pyw that is killed takes the runtime along: nobody would be left to hold the limits.
#[cfg(target_os = "linux")]
fn die_with_parent() -> std::io::Result<()> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have died between fork and the line above.
    if rustix::process::getppid() != parent || parent.is_none() {
        return Err(std::io::Error::other("pyw ended"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> std::io::Result<()> {
    Ok(())
}

/// Has every signal that matters write its number to `sender`. A signal that pyw was started
/// with as ignored (`nohup`, a shell's background job) stays ignored, in the runtime as well.
fn listen(sender: &UnixStream) -> std::io::Result<()> {
    for signal in PASSED_ON.into_iter().chain([libc::SIGCHLD]) {
        if signal != libc::SIGCHLD && ignored(signal) {
            continue;
        }
        let sender = sender.try_clone()?;
        let number = [u8::try_from(signal).unwrap_or_default()];
        // SAFETY: the handler makes one `write`, which is async-signal-safe. A full pipe cannot
        // block it for long: the other end reads until the child is gone.
        unsafe {
            signal_hook::low_level::register(signal, move || {
                let _ = (&sender).write(&number);
            })?;
        }
    }
    Ok(())
}

fn ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value to be filled in.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks for the present one.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

fn send(child: &Child, signal: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(pid, signal) };
    }
}

/// The rows and columns of the terminal that one of the standard streams is.
pub fn terminal_size() -> Option<(u16, u16)> {
    use rustix::termios::tcgetwinsize;
    let found = tcgetwinsize(std::io::stdout())
        .or_else(|_| tcgetwinsize(std::io::stderr()))
        .or_else(|_| tcgetwinsize(std::io::stdin()));
    found.ok().map(|size| (size.ws_row, size.ws_col))
}

/// Dies by a signal, as the program did.
pub fn die_by(signal: i32) {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    // SIGKILL cannot be emulated by a handler.
    // SAFETY: plain calls on this process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
