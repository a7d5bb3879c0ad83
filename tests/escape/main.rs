//! The escape suite: attacks on the sandbox, in Python, that must fail on every runtime.
//!
//! The attacks are in `attacks/`. All of them run in one start of the guest, each on files of its
//! own; the host then looks at what was read and what was changed. An attack counts only with its
//! positive control: the same code where the act is granted, or on native Python where no program
//! for WASI can do it. The runtimes also run without pyw's fence, which shows that the suite sees
//! what leaks.

#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod runs;
#[cfg(target_os = "linux")]
mod suite;
#[cfg(target_os = "linux")]
mod world;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    suite::main()
}

/// There is no fence elsewhere, whose absence is tested with the planner.
#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the escape suite runs on Linux only");
}
