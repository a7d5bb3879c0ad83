//! Carrying a plan out: the scratch folder, the fence, the runtime's process, and its end.
//!
//! Where nothing has to be done afterwards, pyw becomes the runtime (`exec`), so that signals,
//! terminal and exit status are the system's own. Otherwise it stays as the parent and passes on
//! what happens: signals to the runtime, its death by a signal or its exit code to the caller.

pub mod error;
pub mod fence;
pub mod left;
pub mod process;
pub mod scratch;

pub use error::LaunchError;

use crate::plan::Plan;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program's exit code.
    Code(u8),
    /// The runtime died by this signal.
    Signal(i32),
}

/// The rows and columns of the terminal that one of the standard streams is.
#[must_use]
pub fn terminal_size() -> Option<(u16, u16)> {
    process::terminal_size()
}

/// Runs a plan to its end. On success the caller passes the outcome on with [`finish`]. `look` is
/// called before the scratch folder is removed, however the run ended.
///
/// # Errors
/// The scratch folder, the fence or the runtime's process cannot be made; time ran out; the
/// runtime crashed.
pub fn run(plan: &Plan, look: impl FnOnce()) -> Result<Outcome, LaunchError> {
    if plan.can_exec() {
        return Err(process::exec(plan));
    }
    let events = process::Events::listen().map_err(|source| LaunchError::Wait {
        program: plan.program.clone(),
        source,
    })?;
    let scratch = plan.scratch.as_ref().map(scratch::Made::make).transpose()?;
    let outcome = process::watch(plan, events);
    look();
    drop(scratch);
    outcome
}

/// Runs a plan with its output caught: `progress` is called for every dot on stdout.
///
/// # Errors
/// What it wrote to stderr, or how it ended, when that wasn't with 0.
pub fn capture(plan: &Plan, progress: &(dyn Fn() + Sync)) -> Result<(), String> {
    let made = plan.scratch.as_ref().map(scratch::Made::make).transpose();
    let scratch = made.map_err(|e| e.to_string())?;
    let outcome = process::capture(plan, progress);
    drop(scratch);
    outcome
}

/// Runs a plan with its stdout in a new file.
///
/// # Errors
/// As [`capture`]; the file cannot be made.
pub fn capture_into(plan: &Plan, output: &camino::Utf8Path) -> Result<(), String> {
    let file = std::fs::File::create(output).map_err(|e| format!("cannot make {output}: {e}"))?;
    let made = plan.scratch.as_ref().map(scratch::Made::make).transpose();
    let scratch = made.map_err(|e| e.to_string())?;
    let outcome = process::capture_into(plan, file);
    drop(scratch);
    outcome
}

/// Ends pyw as the program ended: with its code, or by the same signal, so that a shell sees what
/// it would have seen of a native program.
pub fn finish(outcome: Outcome) -> std::process::ExitCode {
    match outcome {
        Outcome::Code(code) => code.into(),
        Outcome::Signal(signal) => {
            process::die_by(signal);
            // Reached only where a signal cannot be raised; the shell's number for it.
            u8::try_from(128 + signal).unwrap_or(255).into()
        }
    }
}
