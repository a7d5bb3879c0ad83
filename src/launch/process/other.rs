//! Starting and watching a process where there are no Unix signals.

pub use std::process::Child;
use std::time::{Duration, Instant};

use super::{LaunchError, Outcome, Stream, command, outcome};
use crate::plan::Plan;

/// There are no signals to listen to.
pub struct Events;

impl Events {
    /// # Errors
    /// Never.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }
}

/// There is no `exec` here: pyw stays as the parent in every case.
pub fn exec(plan: &Plan) -> LaunchError {
    match watch(plan, Events) {
        Ok(Outcome::Code(code)) => std::process::exit(code.into()),
        Ok(Outcome::Signal(_)) => std::process::exit(1),
        Err(error) => error,
    }
}

/// Starts the runtime and waits for its end.
///
/// # Errors
/// It cannot be started; time ran out; it crashed.
pub fn watch(plan: &Plan, _: Events) -> Result<Outcome, LaunchError> {
    let wait = |source| LaunchError::Wait {
        program: plan.program.clone(),
        source,
    };
    let start = Instant::now();
    let inherited = [Stream::Inherited, Stream::Inherited, Stream::Inherited];
    let mut child = spawn(plan, inherited)?;
    let status = match plan.watch.timeout {
        None => child.wait().map_err(wait)?,
        Some(limit) => loop {
            if let Some(status) = child.try_wait().map_err(wait)? {
                break status;
            }
            if start.elapsed() >= limit {
                let _ = child.kill();
                let _ = child.wait();
                return Err(LaunchError::TimedOut { limit });
            }
            std::thread::sleep(Duration::from_millis(2));
        },
    };
    outcome(plan, status.code().unwrap_or(1))
}

/// Starts a plan's program.
///
/// # Errors
/// It cannot be started, or the plan wants a fence, which is not there.
pub fn spawn(plan: &Plan, [stdin, stdout, stderr]: [Stream; 3]) -> Result<Child, LaunchError> {
    if plan.fence.is_some() {
        let reason = "this system has no fence".to_owned();
        return Err(LaunchError::Fence {
            program: plan.program.clone(),
            reason,
        });
    }
    let mut command = command(plan);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    command.spawn().map_err(|source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    })
}

/// Handles are not inherited here unless they are marked so, and pyw marks none.
pub fn close_on_exec() -> std::io::Result<()> {
    Ok(())
}

/// Nothing to do: the caller falls back on a code.
pub fn die_by(_signal: i32) {}

/// Nobody is asked here yet.
pub fn terminal_size() -> Option<(u16, u16)> {
    None
}
