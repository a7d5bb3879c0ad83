//! Starting a process on Unix systems other than Linux.

use std::io;
use std::os::unix::process::CommandExt as _;
pub use std::process::Child;

use super::{Stream, command};
use crate::plan::Plan;

/// Starts a plan's program. `prepare` is called in the child, right before it becomes the program.
///
/// # Errors
/// There is no such program, or the system lets pyw start none; what `prepare` failed with.
pub fn start(
    plan: &Plan,
    streams: [Stream; 3],
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Child> {
    let [stdin, stdout, stderr] = streams;
    let mut command = command(plan);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    // SAFETY: what pyw prepares makes system calls only, on values that were made before.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}
