//! What a program may use up, and the syntax of sizes and durations.

use std::time::Duration;

/// Limits of a sandbox. `None` means no limit beyond the runtime's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory: Option<u64>,
    /// The wasm stack, in bytes.
    pub stack: Option<u64>,
    /// Wall time from the start of the runtime's process.
    pub timeout: Option<Duration>,
}
