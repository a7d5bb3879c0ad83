//! Starting and watching a process on Unix.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[cfg(not(target_os = "linux"))]
pub use super::fork::{Child, start};
#[cfg(target_os = "linux")]
pub use super::vfork::{Child, start};
use super::{LaunchError, Outcome, Stream, command, outcome};
use crate::launch::fence;
use crate::plan::Plan;

/// How long a runtime may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// Signals that end a program and are passed on to it.
const PASSED_ON: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Signals that arrive, as one byte each, and the end that they are sent by.
pub struct Events(UnixStream, UnixStream);

/// Sent when the program has written more than it may. No signal has this number.
const TOO_MUCH: u8 = 0;

impl Events {
    /// Begins to listen. From here on no signal ends pyw before it has tidied up.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn listen() -> std::io::Result<Self> {
        let (events, sender) = UnixStream::pair()?;
        listen(&sender)?;
        Ok(Self(events, sender))
    }
}

/// Becomes the runtime. Returns only if that fails.
pub fn exec(plan: &Plan) -> LaunchError {
    let unfenced = |reason| LaunchError::Fence {
        program: plan.program.clone(),
        reason,
    };
    let failed = |source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    };
    let fenced = match plan.fence.as_ref().map(fence::Prepared::new).transpose() {
        Ok(fenced) => fenced,
        Err(reason) => return unfenced(reason),
    };
    // Inside the fence, limits cannot be changed any more.
    if let Err(source) = ProcessLimits::of(plan).set() {
        return failed(source);
    }
    if let Some(Err(reason)) = fenced.map(fence::Prepared::enforce) {
        return unfenced(reason);
    }
    let mut command = command(plan);
    // SAFETY: only system calls between here and exec.
    unsafe {
        command.pre_exec(|| {
            ignore_sigpipe();
            Ok(())
        });
    }
    failed(command.exec())
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
    let limits = &plan.watch;
    let start = Instant::now();
    let [mut stdout, mut stderr] = [Stream::Inherited, Stream::Inherited];
    let mut metered = None;
    if let Some(limit) = limits.output_size {
        let (from_stdout, to) = std::io::pipe().map_err(wait)?;
        stdout = Stream::Pipe(to);
        let (from_stderr, to) = std::io::pipe().map_err(wait)?;
        stderr = Stream::Pipe(to);
        metered = Some(([from_stdout, from_stderr], limit));
    }
    // In the fence it can start nothing.
    let can_leave_orphans = plan.fence.as_ref().is_none_or(|fence| !fence.calls);
    if can_leave_orphans {
        adopt_orphans();
    }
    let mut child = spawn(plan, [Stream::Inherited, stdout, stderr])?;
    let meters = match metered {
        Some((from, limit)) => Meter::both(from, limit, &events.1).map_err(wait)?,
        None => Vec::new(),
    };
    let mut asked: Option<(i32, Instant)> = None;
    let mut broken: Option<LaunchError> = None;
    loop {
        if let Some(status) = child.try_wait().map_err(wait)? {
            // Before its output ends, which it may hold open.
            if can_leave_orphans {
                end_orphans();
            }
            // All that it wrote arrives, unless the limit was met.
            let ended: Vec<bool> = meters.into_iter().map(Meter::end).collect();
            let within = !ended.contains(&false);
            if let (None, false, Some(limit)) = (&broken, within, limits.output_size) {
                broken = Some(LaunchError::OutputSize { limit });
            }
            if let (None, Some(limit), Some(libc::SIGXCPU | libc::SIGKILL)) =
                (&broken, limits.cpu_time, status.signal())
                && asked.is_none()
            {
                broken = Some(LaunchError::CpuTime { limit });
            }
            if let Some(broken) = broken {
                return Err(broken);
            }
            // Killed by pyw after a signal that the runtime did not heed: that signal is what
            // ended it.
            return match (asked, status.signal()) {
                (Some((signal, _)), Some(_)) => Ok(Outcome::Signal(signal)),
                // wasmer answers SIGINT with a code of its own instead of dying by it.
                (Some((signal, _)), None) if signal == libc::SIGINT => Ok(Outcome::Signal(signal)),
                // What a runtime does that gets no more memory.
                (_, Some(libc::SIGABRT)) if plan.data.is_some() => Err(LaunchError::Memory {
                    limit: plan.watch.memory.as_ref().map_or(0, |(_, limit)| *limit),
                }),
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
        let mut next = None;
        let mut soon = |left: Duration| next = Some(next.map_or(left, |n: Duration| n.min(left)));
        if broken.is_none() {
            if let Some(limit) = limits.timeout {
                match (start + limit).checked_duration_since(now) {
                    Some(left) if !left.is_zero() => soon(left),
                    _ => broken = Some(LaunchError::TimedOut { limit }),
                }
            }
            if let (Some(limit), Some(used)) = (limits.cpu_time, cpu_time(&child)) {
                match limit.checked_sub(used) {
                    // No sooner than with every processor busy.
                    Some(left) if !left.is_zero() => soon(left / processors()),
                    _ => broken = Some(LaunchError::CpuTime { limit }),
                }
            }
            if broken.is_some() {
                asked = Some((libc::SIGTERM, now));
                send(&child, libc::SIGTERM);
            }
        }
        if let Some((_, when)) = asked {
            if now - when >= GRACE {
                send(&child, libc::SIGKILL);
            }
            soon((when + GRACE).saturating_duration_since(now));
        }
        // Zero would mean "for ever".
        let patience = next.map(|d| d.max(Duration::from_millis(1)));
        events.0.set_read_timeout(patience).map_err(wait)?;
        let mut signal = [0];
        if let Ok(1) = events.0.read(&mut signal) {
            if let (TOO_MUCH, Some(limit), None) = (signal[0], limits.output_size, &broken) {
                broken = Some(LaunchError::OutputSize { limit });
                signal[0] = u8::try_from(libc::SIGTERM).unwrap_or_default();
            }
            let signal = i32::from(signal[0]);
            if signal != libc::SIGCHLD && signal != i32::from(TOO_MUCH) && asked.is_none() {
                asked = Some((signal, Instant::now()));
                send(&child, signal);
            }
        }
    }
}

/// Has what the runtime starts come to pyw when the runtime ends: what it leaves behind would
/// outlive every limit.
#[cfg(target_os = "linux")]
fn adopt_orphans() {
    // A kernel without it leaves them where they would go anyway.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

/// Kills what the runtime left behind, and what that leaves, until nothing comes any more.
#[cfg(target_os = "linux")]
fn end_orphans() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    loop {
        let mut found = false;
        for task in std::fs::read_dir("/proc/self/task").into_iter().flatten() {
            let Ok(task) = task else { continue };
            let children = std::fs::read_to_string(task.path().join("children"));
            for id in children.unwrap_or_default().split_whitespace() {
                let Some(id) = id.parse().ok().and_then(Pid::from_raw) else {
                    continue;
                };
                let _ = kill_process(id, Signal::KILL);
                found |= waitpid(Some(id), WaitOptions::empty()).is_ok();
            }
        }
        if !found {
            return;
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn end_orphans() {}

/// The processor time that all threads of a process have used; `None` where the system does not
/// tell, and the kernel's own limit has to do.
#[cfg(target_os = "linux")]
fn cpu_time(child: &Child) -> Option<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let pid = i32::try_from(child.id()).ok()?;
    // SAFETY: both calls only fill in the values that they are given.
    let told = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    told.then_some(Duration::new(seconds.ok()?, nanos.ok()?))
}

#[cfg(not(target_os = "linux"))]
fn cpu_time(_: &Child) -> Option<Duration> {
    None
}

fn processors() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Passes one of the program's streams on, until both together are more than they may be.
struct Meter(std::thread::JoinHandle<bool>);

impl Meter {
    /// Meters for both streams of a child, with one limit.
    fn both(from: [PipeReader; 2], limit: u64, events: &UnixStream) -> std::io::Result<Vec<Self>> {
        let left = Arc::new(AtomicU64::new(limit));
        let to = [
            rustix::io::dup(std::io::stdout())?,
            rustix::io::dup(std::io::stderr())?,
        ];
        let mut meters = Vec::new();
        for (from, to) in from.into_iter().zip(to) {
            let to = File::from(to);
            let (left, events) = (Arc::clone(&left), events.try_clone()?);
            meters.push(Self(std::thread::spawn(move || {
                pass_on(from, to, &left, &events)
            })));
        }
        Ok(meters)
    }

    /// Waits for the end of the stream: whether it stayed within the limit.
    fn end(self) -> bool {
        self.0.join().unwrap_or(false)
    }
}

fn pass_on(mut from: PipeReader, mut to: File, left: &AtomicU64, mut events: &UnixStream) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return true,
        };
        let wanted = u64::try_from(count).unwrap_or(u64::MAX);
        let had = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(left.saturating_sub(wanted))
            })
            .unwrap_or_default();
        let fits = usize::try_from(had).unwrap_or(usize::MAX).min(count);
        // A reader that is gone is the program's affair: it meets the end of its own pipe.
        if to.write_all(&buffer[..fits]).is_err() {
            return true;
        }
        if fits < count {
            let _ = events.write(&[TOO_MUCH]);
            return false;
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

/// Starts a plan's program inside its fence.
///
/// # Errors
/// It cannot be started or confined.
pub fn spawn(plan: &Plan, streams: [Stream; 3]) -> Result<Child, LaunchError> {
    let failed = |source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    };
    let fenced = plan.fence.as_ref().map(fence::Prepared::new).transpose();
    let mut fenced = fenced.map_err(|reason| LaunchError::Fence {
        program: plan.program.clone(),
        reason,
    })?;
    close_on_exec().map_err(failed)?;
    let limits = ProcessLimits::of(plan);
    start(plan, streams, move || {
        forget_handlers();
        fence::drop_privileges()?;
        die_with_parent()?;
        ignore_sigpipe();
        limits.set()?;
        match fenced.take() {
            Some(fence) => fence.enforce().map_err(std::io::Error::other),
            None => Ok(()),
        }
    })
    .map_err(failed)
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

/// Limits that the kernel holds for the runtime's process.
#[derive(Clone, Copy)]
struct ProcessLimits {
    /// In bytes.
    stack: Option<u64>,
    data: Option<u64>,
    open_files: Option<u64>,
    /// In seconds.
    cpu: Option<u64>,
}

impl ProcessLimits {
    fn of(plan: &Plan) -> Self {
        Self {
            stack: plan.process_stack,
            data: plan.data,
            open_files: plan.open_files,
            // A second more than what pyw watches over: this is for the case that it can't.
            cpu: plan.watch.cpu_time.map(|limit| limit.as_secs() + 1),
        }
    }

    fn set(self) -> std::io::Result<()> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        // Makes room for the stack that the runtime was told to use. The kernel lays a program out
        // by the limit that holds when it starts.
        if let Some(bytes) = self.stack {
            let now = getrlimit(Resource::Stack);
            if now.current.is_some_and(|current| current < bytes) {
                let raised = Rlimit {
                    current: Some(bytes),
                    maximum: now.maximum,
                };
                setrlimit(Resource::Stack, raised)?;
            }
        }
        for (resource, limit) in [
            (Resource::Data, self.data),
            (Resource::Nofile, self.open_files),
            (Resource::Cpu, self.cpu),
        ] {
            let Some(limit) = limit else { continue };
            let maximum = getrlimit(resource).maximum;
            let limit = maximum.map_or(limit, |maximum| maximum.min(limit));
            setrlimit(
                resource,
                Rlimit {
                    current: Some(limit),
                    maximum: Some(limit),
                },
            )?;
        }
        Ok(())
    }
}

/// In a child: pyw's handlers would tell pyw of signals that were the child's.
fn forget_handlers() {
    for signal in listened_to() {
        // SAFETY: a plain call on this process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
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
    for signal in listened_to() {
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

fn listened_to() -> impl Iterator<Item = i32> {
    let ended_by = PASSED_ON.into_iter().filter(|signal| !ignored(*signal));
    ended_by.chain([libc::SIGCHLD])
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::tests::plan;
    use super::*;

    /// What outlives its parent is this program's own child afterwards, so it runs alone.
    #[test]
    fn what_it_started_goes_along() {
        let own = std::env::current_exe().unwrap();
        let name = "launch::process::unix::tests::alone";
        let output = std::process::Command::new(own)
            .args(["--exact", name, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn alone() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        // The inner shell ends at once, so that the second sleeper has no parent left.
        let script = "sleep 300 & echo $! > $TOLD; sh -c 'sleep 300 & echo $! >> $TOLD'; wait";
        let mut plan = plan("/bin/sh", &["-c", script]);
        let told_at = told.to_str().unwrap();
        plan.env.insert("PATH".into(), "/usr/bin:/bin".into());
        plan.env.insert("TOLD".into(), told_at.into());
        plan.watch.timeout = Some(Duration::from_millis(700));
        let ended = watch(&plan, Events::listen().unwrap());
        assert!(
            matches!(ended, Err(LaunchError::TimedOut { .. })),
            "{ended:?}"
        );
        let sleepers = std::fs::read_to_string(&told).unwrap();
        let sleepers: Vec<_> = sleepers.split_whitespace().collect();
        assert_eq!(sleepers.len(), 2);
        for id in sleepers {
            assert!(!std::path::Path::new("/proc").join(id).exists(), "{id}");
        }
    }
}
