//! The runtime's process: started inside the fence, watched, ended.

#[cfg(all(unix, not(target_os = "linux")))]
mod fork;
#[cfg(unix)]
mod unix;
#[cfg(target_os = "linux")]
mod vfork;
#[cfg(unix)]
use unix::{Child, spawn};
#[cfg(unix)]
pub use unix::{Events, close_on_exec, die_by, exec, terminal_size, watch};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other::{Child, spawn};
#[cfg(not(unix))]
pub use other::{Events, close_on_exec, die_by, exec, terminal_size, watch};

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{LaunchError, Outcome, left};
use crate::plan::Plan;
use crate::sandbox::limits::format_duration;

/// What one of the standard streams of a process is.
enum Stream {
    /// The one that pyw has.
    Inherited,
    /// Empty, and swallows what is written.
    Null,
    File(File),
    /// What pyw reads from.
    Pipe(PipeWriter),
}

impl From<Stream> for Stdio {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Inherited => Self::inherit(),
            Stream::Null => Self::null(),
            Stream::File(file) => file.into(),
            Stream::Pipe(pipe) => pipe.into(),
        }
    }
}

/// The command of a plan, with nothing inherited but the three standard streams.
fn command(plan: &Plan) -> std::process::Command {
    let mut command = std::process::Command::new(&plan.program);
    command.args(&plan.args).env_clear().envs(&plan.env);
    command
}

/// The exit code that the guest left because its runtime can't carry it.
fn left_code(plan: &Plan) -> Option<u8> {
    let bytes = left::read(plan.watch.exit_code.as_ref()?, 4)?;
    let code: [u8; 4] = bytes.try_into().ok()?;
    // Native exit codes wrap at a byte as well.
    Some(code[0])
}

/// What a code of the runtime's own means for the program.
fn outcome(plan: &Plan, code: i32) -> Result<Outcome, LaunchError> {
    if let Some((file, limit)) = &plan.watch.memory
        && code == 1
        && file.exists()
    {
        return Err(LaunchError::Memory { limit: *limit });
    }
    if let Some(code) = left_code(plan) {
        return Ok(Outcome::Code(code));
    }
    // With the channel, no code above 125 comes from the program: the runtime itself failed.
    if plan.watch.exit_code.is_some() && code > 125 {
        return Err(LaunchError::Crashed {
            runtime: plan.runtime.clone(),
            status: format!("exit code {code}"),
        });
    }
    Ok(Outcome::Code(u8::try_from(code & 0xff).unwrap_or(1)))
}

/// Runs a plan with its output caught.
///
/// # Errors
/// What it wrote to stderr, or how it ended; that it did not within the plan's time.
pub fn capture(plan: &Plan, progress: &(dyn Fn() + Sync)) -> Result<(), String> {
    let (dots, writer) = std::io::pipe().map_err(|e| e.to_string())?;
    caught(plan, Stream::Pipe(writer), Some(dots), progress)
}

/// Runs a plan with its stdout in a file.
///
/// # Errors
/// What it wrote to stderr, or how it ended; that it did not within the plan's time.
pub fn capture_into(plan: &Plan, output: File) -> Result<(), String> {
    caught(plan, Stream::File(output), None, &|| {})
}

/// Waits for the end of a process, and kills it after a while; then there is no status.
fn end(child: &mut Child, limit: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
    const PAUSE: Duration = Duration::from_millis(10);
    let Some(limit) = limit else {
        return child.wait().map(Some);
    };
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PAUSE);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn caught(
    plan: &Plan,
    output: Stream,
    dots: Option<PipeReader>,
    progress: &(dyn Fn() + Sync),
) -> Result<(), String> {
    let (errors, writer) = std::io::pipe().map_err(|e| e.to_string())?;
    let streams = [Stream::Null, output, Stream::Pipe(writer)];
    let mut child = spawn(plan, streams).map_err(|e| e.to_string())?;
    let (said, ended) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || {
            let mut said = Vec::new();
            let _ = errors.take(64 * 1024).read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        scope.spawn(move || {
            let Some(mut pipe) = dots else { return };
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                buffer[..count]
                    .iter()
                    .filter(|byte| **byte == b'.')
                    .for_each(|_| progress());
            }
        });
        let ended = end(&mut child, plan.watch.timeout);
        (errors.join().unwrap_or_default(), ended)
    });
    let Some(status) = ended.map_err(|e| e.to_string())? else {
        let limit = plan.watch.timeout.map(format_duration);
        let limit = limit.unwrap_or_default();
        return Err(format!("it did not end within {limit}"));
    };
    if status.success() {
        return Ok(());
    }
    // The end of a traceback is what tells.
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    Err(if last.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {last}")
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::Watch;
    use crate::sandbox::IsolationLevel;

    /// Of a program that is started as it is.
    pub fn plan(program: &str, args: &[&str]) -> Plan {
        Plan {
            runtime: program.into(),
            version: None,
            isolation: IsolationLevel::None,
            program: program.into(),
            args: args.iter().map(|arg| (*arg).into()).collect(),
            env: BTreeMap::new(),
            process_stack: None,
            data: None,
            open_files: None,
            fence: None,
            scratch: None,
            watch: Watch::default(),
            grants: Vec::new(),
        }
    }

    #[test]
    fn what_does_not_end_in_time_is_killed() {
        let started = |seconds| {
            let streams = [Stream::Inherited, Stream::Inherited, Stream::Inherited];
            spawn(&plan("/bin/sleep", &[seconds]), streams).unwrap()
        };
        let mut child = started("300");
        let start = Instant::now();
        let ended = end(&mut child, Some(Duration::from_millis(50))).unwrap();
        assert_eq!(ended, None);
        assert!(start.elapsed() < Duration::from_secs(100));
        let ended = end(&mut started("0"), Some(Duration::from_secs(100))).unwrap();
        assert!(ended.unwrap().success());
    }
}
