//! Programs as their users start them: by their first line, and from a Makefile.

use std::path::Path;

use crate::pyw::Pyw;
use crate::store;
use crate::support::left_out;

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A `PATH` with the tools of the tests and pyw.
fn with_pyw_on_path(pyw: Pyw) -> Pyw {
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pyw"), pyw.dir().join("../bin/pyw")).unwrap();
    pyw
}

#[test]
fn the_example_is_started_by_its_first_line() {
    let pyw = with_pyw_on_path(Pyw::new()).write("own.txt", "");
    let hello = examples().join("hello.py");
    pyw.program(hello.to_str().unwrap())
        .args(["one", "two words"])
        .env("TERM", "dumb")
        .env("SECRET", "x")
        .stdout(
            "Hello from CPython 3.12.0\n\
             platform:  wasi wasm32\n\
             arguments: ['one', 'two words']\n\
             directory: {dir}\n\
             variables: TERM\n\
             home:      cannot be read: [..]\n",
        )
        .run();
}

#[test]
fn a_script_names_its_runtime_in_its_first_line() {
    let Some(wasmedge) = store::other_runtime("wasmedge") else {
        return;
    };
    let script = examples().join("wasmedge.py");
    with_pyw_on_path(Pyw::new())
        .env("PYW_RUNTIME_WASMEDGE", wasmedge)
        .program(script.to_str().unwrap())
        .args(["12"])
        .stdout("2 3 5 7 11\n")
        .run();
}

#[test]
fn a_makefile_target_runs_its_tests_in_the_sandbox() {
    let examples = examples();
    let pyw = Pyw::new();
    if !pyw.dir().join("../bin/make").exists() {
        left_out(&"make is not there");
        return;
    }
    let pyw = pyw
        .program("{root}/bin/make")
        .args([
            "-s",
            "-C",
            examples.to_str().unwrap(),
            "test",
            concat!("PYW=", env!("CARGO_BIN_EXE_pyw")),
        ])
        .any_stdout()
        .any_stderr()
        .run();
    let said = &pyw.output.stderr;
    assert!(said.contains("\nOK\n"), "{said}");
    assert!(said.contains("test_wordcount"), "{said}");
}
