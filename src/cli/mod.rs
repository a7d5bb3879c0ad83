//! The command line.
use std::process::ExitCode;

/// Runs pyw.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
