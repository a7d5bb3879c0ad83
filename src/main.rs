//! The `pyw` binary: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pyw::cli::main()
}
