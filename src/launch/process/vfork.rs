//! Starting a process on Linux without a copy of pyw.
//!
//! `fork` copies the page tables of a process that is replaced a moment later, and then each side
//! pays a fault for every page that it writes: half a millisecond of every start.
//! [`std::process::Command`] has no other way once something is to be done between fork and exec,
//! which is where a process puts its fence on. So the child borrows pyw's memory until it becomes
//! the program, as children of `posix_spawn` do in glibc and musl: `CLONE_VM` shares the memory,
//! and `CLONE_VFORK` has the calling thread wait meanwhile.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::ptr;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::Stream;
use crate::plan::Plan;

/// Room for what is done between fork and exec, in bytes. Only what is touched becomes memory.
const STACK: usize = 256 * 1024;

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    ended: Option<ExitStatus>,
}

impl Child {
    /// The process's number.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.look(WaitOptions::NOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.look(WaitOptions::empty())? {
                return Ok(status);
            }
        }
    }

    /// Ends it by SIGKILL, if it has not ended.
    ///
    /// # Errors
    /// The kernel does not let pyw.
    pub fn kill(&mut self) -> io::Result<()> {
        if self.ended.is_none() {
            kill_process(self.pid, Signal::KILL)?;
        }
        Ok(())
    }

    fn look(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let seen = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), options))?;
            self.ended = seen.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
        }
        Ok(self.ended)
    }
}

/// What the child works with, in memory that it shares with pyw.
struct Start<'a> {
    program: &'a CStr,
    /// Pointers to strings, and a null.
    args: &'a [*const libc::c_char],
    env: &'a [*const libc::c_char],
    /// What becomes stdin, stdout and stderr, where that isn't pyw's own.
    streams: [Option<OwnedFd>; 3],
    prepare: &'a mut dyn FnMut() -> io::Result<()>,
    /// Why it could not become the program.
    failed: Option<io::Error>,
}

impl Start<'_> {
    /// Returns only if that fails.
    fn become_program(&mut self) -> io::Result<()> {
        for (number, stream) in (0..).zip(&self.streams) {
            if let Some(stream) = stream {
                // SAFETY: a plain call with numbers. pyw has all three streams open, so that
                // this one has a higher number than those that are replaced.
                ok(unsafe { libc::dup2(stream.as_raw_fd(), number) })?;
            }
        }
        (self.prepare)()?;
        let mut none = MaybeUninit::uninit();
        // SAFETY: the set is filled in before it is used; the arrays end with null, and what they
        // point to outlives the call.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            ok(libc::sigprocmask(
                libc::SIG_SETMASK,
                none.as_ptr(),
                ptr::null_mut(),
            ))?;
            libc::execve(self.program.as_ptr(), self.args.as_ptr(), self.env.as_ptr());
        }
        Err(io::Error::last_os_error())
    }
}

/// Where the child begins.
extern "C" fn child(start: *mut c_void) -> c_int {
    // SAFETY: this is what `start` passed, and it does not go on before the child is done with it.
    let start = unsafe { &mut *start.cast::<Start<'_>>() };
    start.failed = start.become_program().err();
    1
}

/// Starts a plan's program. `prepare` is called in the child, with signals blocked, right before it
/// becomes the program. It may allocate: the heap and its locks are shared with threads that run on.
///
/// # Errors
/// There is no such program, or the system lets pyw start none; what `prepare` failed with.
pub fn start(
    plan: &Plan,
    streams: [Stream; 3],
    mut prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Child> {
    let program = CString::new(plan.program.as_str())?;
    let args = plan.args.iter().map(String::as_str);
    let args = std::iter::once(plan.program.as_str()).chain(args);
    let args: Vec<_> = args.map(CString::new).collect::<Result<_, _>>()?;
    let env = plan
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let env: Vec<_> = env.map(CString::new).collect::<Result<_, _>>()?;
    let [stdin, stdout, stderr] = streams;
    let mut start = Start {
        program: &program,
        args: &pointers(&args),
        env: &pointers(&env),
        streams: [file(stdin)?, file(stdout)?, file(stderr)?],
        prepare: &mut prepare,
        failed: None,
    };
    let pid = borrow(&mut start)?;
    match start.failed {
        None => Ok(Child { pid, ended: None }),
        Some(error) => {
            let _ = waitpid(Some(pid), WaitOptions::empty());
            Err(error)
        }
    }
}

/// Makes the child and waits until it has become the program, or failed.
fn borrow(start: &mut Start<'_>) -> io::Result<Pid> {
    let mut stack = Vec::<u8>::with_capacity(STACK);
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // A signal that came in between would run pyw's handlers in the child.
    // SAFETY: the sets are filled in before they are used. The child has a stack of its own, and
    // this thread, which waits, does not touch `start` before the child is done with it.
    let (pid, error) = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        ok(libc::sigprocmask(
            libc::SIG_SETMASK,
            all.as_ptr(),
            before.as_mut_ptr(),
        ))?;
        // Stacks grow downwards on all that pyw is built for.
        let top = stack.as_mut_ptr().add(STACK);
        let pid = libc::clone(child, top.cast(), shared, ptr::from_mut(start).cast());
        let error = io::Error::last_os_error();
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        (pid, error)
    };
    match pid {
        -1 => Err(error),
        pid => Pid::from_raw(pid).ok_or(error),
    }
}

/// The strings as exec takes them.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([ptr::null()]).collect()
}

fn file(stream: Stream) -> io::Result<Option<OwnedFd>> {
    Ok(match stream {
        Stream::Inherited => None,
        Stream::Null => Some(File::open("/dev/null")?.into()),
        Stream::File(file) => Some(file.into()),
        Stream::Pipe(pipe) => Some(pipe.into()),
    })
}

fn ok(result: c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::super::tests::plan;
    use super::*;

    fn shell(script: &str) -> Plan {
        plan("/bin/sh", &["-c", script])
    }

    fn inherited() -> [Stream; 3] {
        [Stream::Inherited, Stream::Inherited, Stream::Inherited]
    }

    #[test]
    fn arguments_variables_and_streams_arrive() {
        let (mut reader, writer) = io::pipe().unwrap();
        let script = "cat; echo \"$0|$1|$NAME|$HOME|$PPID\"; exit 7";
        let mut plan = plan("/bin/sh", &["-c", script, "a b", "ä"]);
        plan.env.insert("NAME".into(), "x=y".into());
        let streams = [Stream::Null, Stream::Pipe(writer), Stream::Inherited];
        let mut child = start(&plan, streams, || Ok(())).unwrap();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("a b|ä|x=y||{}\n", std::process::id()));
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(7));
        child.kill().unwrap();
    }

    #[test]
    fn what_fails_in_between_is_told() {
        let failed = start(&shell("exit 3"), inherited(), || {
            Err(io::Error::other(format!("no {}", "fence")))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no fence");
        let failed = start(&plan("/nowhere/at all", &[]), inherited(), || Ok(()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        let failed = start(&shell("exit 3\0"), inherited(), || Ok(()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_the_child_changes_of_itself_is_not_pyws() {
        let limit = || getrlimit(Resource::Nofile);
        let before = limit();
        let (mut reader, writer) = io::pipe().unwrap();
        let streams = [Stream::Null, Stream::Pipe(writer), Stream::Inherited];
        let mut child = start(&shell("ulimit -n"), streams, || {
            let current = Some(77);
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
            Ok(())
        })
        .unwrap();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(said, "77\n");
        assert_eq!(limit(), before);
    }
}
