//! The conformance suite: the same program gives the same result, byte for byte, on native Python and in the
//! sandbox on every runtime. The cases are data, see `README.md`; this file makes trials of them.

#[cfg(unix)]
mod case;
#[cfg(unix)]
mod content;
#[cfg(unix)]
mod place;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod subject;
#[cfg(unix)]
mod suite;
#[cfg(unix)]
mod table;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod trial;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    suite::main()
}

/// Signals, terminals and exit statuses are said in the words of Unix here.
#[cfg(not(unix))]
fn main() {
    println!("the conformance suite runs on Unix only");
}
