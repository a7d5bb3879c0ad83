//! Running one process to its end: feeding it, listening to it, signalling it, cleaning up after it.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::case::{Code, StdinIs, StdoutIs, Stream};
use crate::terminal::{Modes, Terminal};

const NO_CORE: Rlimit = Rlimit {
    current: Some(0),
    maximum: Some(0),
};

/// How a process is fed and treated while it runs.
pub struct Script {
    pub stdin: Vec<u8>,
    pub stdin_is: StdinIs,
    pub stdout_is: StdoutIs,
    /// Where the files lie that standard streams may be.
    pub aside: PathBuf,
    pub terminal: Vec<Stream>,
    pub dialog: Vec<Action>,
    pub limit: Duration,
}

/// A step of a dialog, its bytes made.
pub enum Action {
    See(Vec<u8>),
    Say(Vec<u8>),
    Signal(i32),
    Close(Stream),
    Pause(Duration),
}

/// What became of a process.
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// `None` when it had to be killed.
    pub status: Option<ExitStatus>,
    /// What went wrong besides, in words.
    pub troubles: Vec<String>,
}

impl Ran {
    pub fn ended_with(&self, code: Code) -> bool {
        match (code, self.status) {
            (Code::Exit(code), Some(status)) => status.code() == Some(code),
            (Code::Signal(signal), Some(status)) => status.signal() == Some(signal.number()),
            (_, None) => false,
        }
    }
}

/// Bytes that a thread collects while another waits for some of them.
#[derive(Clone, Default)]
struct Capture(Arc<(Mutex<Captured>, Condvar)>);

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    /// How much of it the dialog has seen.
    seen: usize,
    /// The writers are gone.
    ended: bool,
    /// We don't want to read any more.
    closed: bool,
}

impl Capture {
    /// Collects from `from` until its end, or until [`Self::close`].
    fn listen(&self, from: OwnedFd) {
        let this = self.clone();
        std::thread::spawn(move || {
            let mut from = std::fs::File::from(from);
            let mut buffer = vec![0; 1 << 16];
            let quantum = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            loop {
                if this.0.0.lock().unwrap().closed {
                    break;
                }
                let ready = {
                    let mut fds = [PollFd::new(&from, PollFlags::IN)];
                    rustix::event::poll(&mut fds, Some(&quantum))
                };
                match ready {
                    Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(_) => break,
                }
                // A terminal without programs reports an error where a pipe reports its end.
                match from.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => {
                        this.0
                            .0
                            .lock()
                            .unwrap()
                            .bytes
                            .extend_from_slice(&buffer[..n]);
                        this.0.1.notify_all();
                    }
                }
            }
            drop(from);
            this.0.0.lock().unwrap().ended = true;
            this.0.1.notify_all();
        });
    }

    fn close(&self) {
        self.0.0.lock().unwrap().closed = true;
        self.wait(Instant::now() + Duration::from_secs(5), |c| {
            c.ended.then_some(())
        });
    }

    /// Waits until `found` finds something or the deadline has passed.
    fn wait<T>(
        &self,
        deadline: Instant,
        mut found: impl FnMut(&mut Captured) -> Option<T>,
    ) -> Option<T> {
        let mut captured = self.0.0.lock().unwrap();
        loop {
            if let Some(value) = found(&mut captured) {
                return Some(value);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            captured = self.0.1.wait_timeout(captured, left).unwrap().0;
        }
    }

    /// Waits until `wanted` shows up after what was seen before.
    fn see(&self, wanted: &[u8], deadline: Instant) -> bool {
        self.wait(deadline, |c| {
            let rest = &c.bytes[c.seen..];
            if let Some(at) = rest.windows(wanted.len()).position(|w| w == wanted) {
                c.seen += at + wanted.len();
                return Some(true);
            }
            c.ended.then_some(false)
        })
        .unwrap_or(false)
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.0.lock().unwrap().bytes)
    }
}

/// Runs `command` in a session of its own. `mark` is text by which its descendants can be known.
pub fn run(mut command: Command, script: Script, mark: &str) -> Result<Ran, String> {
    let deadline = Instant::now() + script.limit;
    let terminal = if script.terminal.is_empty() {
        None
    } else {
        Some(Terminal::open().map_err(|e| format!("a pseudo-terminal: {e}"))?)
    };
    let on_terminal = |stream| script.terminal.contains(&stream);
    let stdio = |stream| -> Result<Stdio, String> {
        match &terminal {
            Some(terminal) if on_terminal(stream) => {
                terminal.program_side().map_err(|e| e.to_string())
            }
            _ => Ok(Stdio::piped()),
        }
    };
    let (in_file, out_file) = (script.aside.join("stdin"), script.aside.join("stdout"));
    let stdin = match script.stdin_is {
        StdinIs::Pipe => stdio(Stream::Stdin)?,
        StdinIs::File => std::fs::write(&in_file, &script.stdin)
            .and_then(|()| std::fs::File::open(&in_file))
            .map_err(|e| e.to_string())?
            .into(),
        StdinIs::Null | StdinIs::Closed => Stdio::null(),
    };
    let out = match script.stdout_is {
        StdoutIs::Pipe => stdio(Stream::Stdout)?,
        StdoutIs::File => std::fs::File::create(&out_file)
            .map_err(|e| e.to_string())?
            .into(),
        StdoutIs::Append => std::fs::write(&out_file, "before\n")
            .and_then(|()| std::fs::File::options().append(true).open(&out_file))
            .map_err(|e| e.to_string())?
            .into(),
    };
    command
        .stdin(stdin)
        .stdout(out)
        .stderr(stdio(Stream::Stderr)?);
    let close_stdin = script.stdin_is == StdinIs::Closed;
    let controlling = terminal
        .as_ref()
        .map(|t| t.program.try_clone().map_err(|e| e.to_string()))
        .transpose()?;
    // SAFETY: the closure makes system calls only, as is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            // A core file would be a file left behind.
            rustix::process::setrlimit(Resource::Core, NO_CORE)?;
            if let Some(terminal) = &controlling {
                rustix::process::ioctl_tiocsctty(terminal)?;
            }
            if close_stdin {
                libc::close(0);
            }
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(|e| format!("starting it: {e}"))?;
    let pid = Pid::from_child(&child);
    // The closure above holds the program's side of the terminal open.
    drop(command);

    let (stdout, stderr) = (Capture::default(), Capture::default());
    let mut ours: Option<OwnedFd> = child.stdin.take().map(Into::into);
    let mut modes = None;
    if let Some(terminal) = terminal {
        modes = Some(Modes::of(&terminal).map_err(|e| e.to_string())?);
        drop(terminal.program);
        if on_terminal(Stream::Stdin) {
            ours = Some(terminal.ours.try_clone().map_err(|e| e.to_string())?);
        }
        if on_terminal(Stream::Stdout) {
            stdout.listen(terminal.ours);
        } else if on_terminal(Stream::Stderr) {
            stderr.listen(terminal.ours);
        } else {
            Capture::default().listen(terminal.ours);
        }
    }
    let nothing_there = |capture: &Capture| capture.0.0.lock().unwrap().ended = true;
    match child.stdout.take() {
        Some(pipe) => stdout.listen(pipe.into()),
        None if on_terminal(Stream::Stdout) => {}
        None => nothing_there(&stdout),
    }
    match child.stderr.take() {
        Some(pipe) => stderr.listen(pipe.into()),
        None if on_terminal(Stream::Stdout) => nothing_there(&stderr),
        None => {}
    }

    let mut troubles = Vec::new();
    let mut feeder = Feeder::start(ours);
    feeder.say(script.stdin);
    for action in script.dialog {
        match action {
            Action::See(wanted) => {
                if !stdout.see(&wanted, deadline) {
                    troubles.push(format!(
                        "never saw {} on standard output while it ran",
                        crate::content::excerpt(&wanted, 0)
                    ));
                    break;
                }
            }
            Action::Say(bytes) => feeder.say(bytes),
            Action::Signal(number) => {
                if let Some(signal) = Signal::from_named_raw(number) {
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
            Action::Close(Stream::Stdin) => feeder = Feeder::start(None),
            Action::Close(Stream::Stdout) => stdout.close(),
            Action::Close(Stream::Stderr) => stderr.close(),
            Action::Pause(time) => std::thread::sleep(time),
        }
    }
    drop(feeder);

    let status = wait(&mut child, deadline)?;
    if status.is_none() {
        let running: Vec<_> = related(pid, mark)
            .into_iter()
            .map(|process| process.1)
            .collect();
        troubles.push(format!(
            "still running after {} s; killed: {}",
            script.limit.as_secs(),
            running.join("; ")
        ));
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        let _ = child.wait();
    } else {
        let left = survivors(pid, mark);
        if !left.is_empty() {
            troubles.push(format!("left processes behind: {}", left.join("; ")));
        }
    }
    if modes.is_some_and(|modes| modes.changed()) {
        troubles.push("the terminal was left in another mode".to_owned());
    }
    for (name, capture) in [("stdout", &stdout), ("stderr", &stderr)] {
        let soon = Instant::now() + Duration::from_secs(5);
        if capture.wait(soon, |c| c.ended.then_some(())).is_none() {
            troubles.push(format!("{name} was still open after the end"));
        }
    }
    Ok(Ran {
        stdout: match script.stdout_is {
            StdoutIs::Pipe => stdout.take(),
            StdoutIs::File | StdoutIs::Append => {
                std::fs::read(out_file).map_err(|e| e.to_string())?
            }
        },
        stderr: stderr.take(),
        status,
        troubles,
    })
}

/// Writes to standard input from a thread, because a program may not read what it is given. Dropping it is
/// the end of the input.
struct Feeder(mpsc::Sender<Vec<u8>>);

impl Feeder {
    fn start(to: Option<OwnedFd>) -> Self {
        let (sender, receiver) = mpsc::channel::<Vec<u8>>();
        if let Some(to) = to {
            std::thread::spawn(move || {
                let mut to = std::fs::File::from(to);
                for bytes in receiver {
                    // A program that has ended, or has closed its input, need not be told more.
                    if to.write_all(&bytes).is_err() {
                        break;
                    }
                }
            });
        }
        Self(sender)
    }

    fn say(&self, bytes: Vec<u8>) {
        let _ = self.0.send(bytes);
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>, String> {
    let mut nap = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    }
}

/// Processes that outlived the one we started, after a moment in which they may still end. They are killed.
fn survivors(session: Pid, mark: &str) -> Vec<String> {
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        let found = related(session, mark);
        if found.is_empty() {
            return Vec::new();
        }
        if Instant::now() > patience {
            return found
                .into_iter()
                .map(|(pid, shown)| {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                    shown
                })
                .collect();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Live processes, with what `ps` would say of them, in this session or with the mark in their command line or environment. Only where there
/// is a `/proc`.
fn related(session: Pid, mark: &str) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        // After the command's name, which may hold anything: state, parent, group, session.
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        if fields.first().is_none_or(|state| *state == "Z") {
            continue;
        }
        let in_session =
            fields.get(3).and_then(|s| s.parse().ok()) == Some(session.as_raw_nonzero().get());
        let marked = ["cmdline", "environ"].iter().any(|name| {
            read(name)
                .windows(mark.len())
                .any(|window| window == mark.as_bytes())
        });
        if in_session || marked {
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let state = fields.first().unwrap_or(&"?");
            found.push((pid, format!("{pid} ({state}) {}", command.trim_end())));
        }
    }
    found
}

/// Runs a tool of the suite itself and gives its standard output, or what went wrong.
pub fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ))
    }
}
