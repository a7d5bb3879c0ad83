//! What is told on stderr when it is no terminal.

use std::time::Duration;

use pyw::ui::progress::{self, Progress, Verbosity};

use crate::support::Scratch;
use crate::support::process::child_command;

/// Child: some operations, long and short.
pub fn show() {
    progress::init(match std::env::var("PYW_TEST_VERBOSITY").as_deref() {
        Ok("quiet") => Verbosity::Quiet,
        Ok("verbose") => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    drop(Progress::spinner("being quick"));
    let known = Progress::bytes("downloading wasmtime 49.0.4", Some(17_400_000));
    known.set_total(17_400_000);
    known.inc(1);
    let unknown = Progress::bytes("downloading wasmer", None);
    unknown.set_total(999);
    let slow = Progress::spinner("compiling");
    let steps = Progress::steps("unpacking", 3);
    std::thread::sleep(Duration::from_millis(1300));
    steps.inc(3);
    drop((known, unknown, slow, steps));
    progress::note("done");
}

fn told(verbosity: &str) -> Vec<String> {
    let scratch = Scratch::new();
    let output = child_command("progress", &scratch.path)
        .env("PYW_TEST_VERBOSITY", verbosity)
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn plain_lines_without_a_terminal_if_asked_for() {
    let mut lines = told("verbose");
    // These two are printed by threads of their own.
    lines[2..4].sort();
    assert_eq!(
        lines,
        [
            "pyw: downloading wasmtime 49.0.4 (17.4 MB)",
            "pyw: downloading wasmer (999 B)",
            "pyw: compiling",
            "pyw: unpacking",
            "pyw: done",
        ]
    );
    assert_eq!(told("normal"), ["pyw: done"]);
    assert_eq!(told("quiet"), Vec::<String>::new());
}
