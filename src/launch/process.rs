//! The runtime's process: started inside the fence, watched, ended.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix::spawn;
#[cfg(unix)]
pub use unix::{Events, close_on_exec, die_by, exec, terminal_size, watch};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other::spawn;
#[cfg(not(unix))]
pub use other::{Events, close_on_exec, die_by, exec, terminal_size, watch};

use std::io::Read as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{LaunchError, Outcome, left};
use crate::plan::Plan;
use crate::sandbox::limits::format_duration;

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
    caught(plan, Stdio::piped(), progress)
}

/// Runs a plan with its stdout in a file.
///
/// # Errors
/// What it wrote to stderr, or how it ended; that it did not within the plan's time.
pub fn capture_into(plan: &Plan, output: std::fs::File) -> Result<(), String> {
    caught(plan, output.into(), &|| {})
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

fn caught(plan: &Plan, output: Stdio, progress: &(dyn Fn() + Sync)) -> Result<(), String> {
    let mut command = command(plan);
    command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped());
    let mut child = spawn(command, plan).map_err(|e| e.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (said, ended) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || {
            let mut said = Vec::new();
            if let Some(pipe) = stderr {
                let _ = pipe.take(64 * 1024).read_to_end(&mut said);
            }
            String::from_utf8_lossy(&said).into_owned()
        });
        scope.spawn(move || {
            let Some(mut pipe) = stdout else { return };
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
    use super::*;

    #[test]
    fn what_does_not_end_in_time_is_killed() {
        let mut child = std::process::Command::new("sleep")
            .arg("300")
            .spawn()
            .unwrap();
        let start = Instant::now();
        let ended = end(&mut child, Some(Duration::from_millis(50))).unwrap();
        assert_eq!(ended, None);
        assert!(start.elapsed() < Duration::from_secs(100));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = end(&mut child, Some(Duration::from_secs(100))).unwrap();
        assert!(ended.unwrap().success());
    }
}
