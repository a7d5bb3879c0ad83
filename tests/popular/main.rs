//! Well-known packages, from the real index, used as a user would: what they print in the sandbox is
//! what they print on native Python.
//!
//! `packages.toml` is the list. All of them are asked for at once, by `--with`, so that one run of
//! each runtime does; native Python gets the very same files. `PYW_TEST_RUNTIMES` names what has to
//! be there, `PYW_TEST_PYTHON` is the native Python (`python3`), as for the conformance suite.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde::Deserialize;

/// Releases from before this day are taken, so that a new one does not fail the test.
const UPLOADED_BEFORE: &str = "2026-11-01";

#[derive(Deserialize)]
struct List {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    code: String,
}

struct Ready {
    /// Where the program is.
    folder: tempfile::TempDir,
    packages: Vec<Package>,
    /// What each package prints natively.
    native: BTreeMap<String, String>,
}

/// Runs every use, each after a line that names it. One that fails says so in a line, and the
/// others go on.
const DRIVER: &str = r#"
import json, pathlib, sys
for name, code in json.loads(pathlib.Path(__file__).with_name("uses.json").read_text()):
    print(f"=== {name}", flush=True)
    try:
        exec(compile(code, name, "exec"), {"__name__": name})
    except BaseException as error:
        print(f"FAILED: {type(error).__name__}: {error}", flush=True)
"#;

fn pyw(options: &[&str], ready: &[Package], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyw"));
    let store = std::env::var_os("PYW_STORE").filter(|path| !path.is_empty());
    let store = store.map_or_else(
        || {
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
            target.join("test-store")
        },
        |path| std::path::absolute(path).unwrap(),
    );
    command
        .current_dir(folder)
        .env("PYW_STORE", store)
        .args(options)
        .args(["--quiet", "--upload-before", UPLOADED_BEFORE]);
    for package in ready {
        command.arg("--with").arg(&package.name);
    }
    command
}

fn finished(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What each package printed.
fn parts(stdout: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(stdout).into_owned();
    text.split("=== ")
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once('\n').unwrap();
            (name.to_owned(), rest.to_owned())
        })
        .collect()
}

fn ready() -> &'static Ready {
    static READY: OnceLock<Ready> = OnceLock::new();
    READY.get_or_init(|| {
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/popular/packages.toml");
        let list: List = toml::from_str(&std::fs::read_to_string(list).unwrap()).unwrap();
        let packages = list.package;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let uses: Vec<[&str; 2]> = packages.iter().map(|p| [&*p.name, &*p.code]).collect();
        let uses = serde_json::to_string(&uses).unwrap();
        std::fs::write(folder.path().join("uses.json"), uses).unwrap();
        std::fs::write(folder.path().join("driver.py"), DRIVER).unwrap();
        // The first run installs them, the second one compiles them: the runtimes that are tested
        // all start from the same.
        for _ in 0..2 {
            let mut command = pyw(&[], &packages, folder.path());
            command.args(["-c", "pass"]);
            finished(command);
        }
        let mut plan = pyw(&["--dry-run", "--format", "json"], &packages, folder.path());
        plan.args(["-c", "pass"]);
        let plan = String::from_utf8(finished(plan).stdout).unwrap();
        let site = plan
            .split(['"', ' ', '\'', ':'])
            .find(|word| word.contains("/environments/") && word.ends_with("/site-packages"))
            .map(PathBuf::from)
            .expect("a plan with packages mounts them");
        let python = std::env::var_os("PYW_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(python);
        command
            .env_clear()
            .env("LANG", "C.UTF-8")
            .env("PYTHONPATH", site)
            .args(["-S", "-B"])
            .arg(folder.path().join("driver.py"));
        let native = parts(&finished(command).stdout);
        Ready {
            folder,
            packages,
            native,
        }
    })
}

#[test]
fn the_list_is_long_enough_and_works_natively() {
    let ready = ready();
    assert!(ready.packages.len() >= 40, "{}", ready.packages.len());
    for package in &ready.packages {
        let printed = &ready.native[&package.name];
        assert!(
            !printed.trim().is_empty() && !printed.contains("FAILED:"),
            "{}: {printed}",
            package.name
        );
    }
}

fn same_as_native(runtime: &str) {
    use std::io::Write as _;
    let needed = std::env::var("PYW_TEST_RUNTIMES").unwrap_or_default();
    let mut which = Command::new(env!("CARGO_BIN_EXE_pyw"));
    which.args(["runtime", "which", runtime]);
    if runtime != "wasmtime" && !which.output().unwrap().status.success() {
        let needed = needed.split(',').any(|name| name == runtime);
        assert!(
            !needed,
            "PYW_TEST_RUNTIMES names {runtime}, which is not there"
        );
        // Past the capturing of the test harness.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: there is no {runtime}");
        return;
    }
    let ready = ready();
    let mut command = pyw(
        &["--runtime", runtime],
        &ready.packages,
        ready.folder.path(),
    );
    command.env("LANG", "C.UTF-8").arg("driver.py");
    let printed = parts(&finished(command).stdout);
    let different: Vec<String> = ready
        .packages
        .iter()
        .filter(|package| printed.get(&package.name) != ready.native.get(&package.name))
        .map(|Package { name, .. }| {
            let nothing = String::from("(nothing)");
            let printed = printed.get(name).unwrap_or(&nothing);
            format!(
                "{name}\n  natively: {:?}\n  here:     {printed:?}",
                ready.native[name]
            )
        })
        .collect();
    assert!(
        different.is_empty(),
        "on {runtime}:\n{}",
        different.join("\n")
    );
}

#[test]
fn wasmtime() {
    same_as_native("wasmtime");
}

#[test]
fn wasmedge() {
    same_as_native("wasmedge");
}

#[test]
fn wasmer() {
    same_as_native("wasmer");
}
