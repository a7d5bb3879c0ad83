//! The store that tests share, made ready once: wasmtime and the default interpreter, both
//! compiled. Tests that need an empty store make their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::left_out;

/// A store in which everything is ready.
pub struct Shared {
    pub root: PathBuf,
    pub wasmtime: PathBuf,
    /// Of wasmtime, as it answers.
    pub version: String,
    /// The folder of the default interpreter.
    pub interpreter: PathBuf,
}

/// The shared store: the one that `PYW_STORE` names, or `target/test-store`.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let root = match std::env::var_os("PYW_STORE").filter(|path| !path.is_empty()) {
            Some(path) => std::path::absolute(path).unwrap(),
            None => target().join("test-store"),
        };
        std::fs::create_dir_all(&root).unwrap();
        let root = root.canonicalize().unwrap();
        // Two test programs that warm it at once would both compile, which takes the longest.
        let lock = std::fs::File::create(root.join("test.lock")).unwrap();
        lock.lock().unwrap();
        let wasmtime = match std::env::var_os("PYW_RUNTIME_WASMTIME").filter(|p| !p.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => {
                pyw(&root, None, &["runtime", "install", "wasmtime"]);
                pyw(&root, None, &["runtime", "which", "wasmtime"]).into()
            }
        };
        pyw(
            &root,
            Some(&wasmtime),
            &["--runtime", "wasmtime", "-c", "pass"],
        );
        let listed = pyw(&root, None, &["python", "list", "--format", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let mut rows = listed.as_array().unwrap().iter();
        let default = rows.find(|row| row["default"] == true).unwrap();
        let answer = Command::new(&wasmtime).arg("--version").output().unwrap();
        let answer = String::from_utf8(answer.stdout).unwrap();
        Shared {
            root,
            wasmtime,
            interpreter: default["path"].as_str().unwrap().into(),
            version: answer.split_whitespace().nth(1).unwrap().to_owned(),
        }
    })
}

/// The `target` folder.
fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap().to_owned()
}

fn pyw(root: &Path, wasmtime: Option<&Path>, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyw"));
    command
        .args(args)
        .current_dir(root)
        .env_clear()
        .envs(passed_on())
        .env("PYW_STORE", root)
        .env("PYW_CONFIG", "")
        // The plain interpreter is what has to be compiled.
        .env("PYW_SNAPSHOTS", "0")
        .env("PATH", "")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(wasmtime) = wasmtime {
        command.env("PYW_RUNTIME_WASMTIME", wasmtime);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "the tests' store at {} cannot be made ready: pyw {args:?} ended with {}",
        root.display(),
        output.status
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The variables of this process that pyw may need to download something, and nothing else.
pub fn passed_on() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].contains(&name.as_str())
            || ["ssl_cert_", "pip_", "npm_config_"]
                .iter()
                .any(|begin| name.starts_with(begin))
    })
}

/// Where a program is on the tests' own `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Fills a store with what every test finds in the shared one. Entries never change, so links will
/// do, but that each link changes a time of the file for all. The runtime stays where it is.
pub fn copy_shared(to: &Path) {
    let shared = shared();
    for folder in ["modules", "compiled", "cache"] {
        if shared.root.join(folder).is_dir() {
            link_tree(&shared.root.join(folder), &to.join(folder));
        }
    }
    // No other interpreter: a test may have left one in the shared store.
    let inside = shared.interpreter.strip_prefix(&shared.root).unwrap();
    link_tree(&shared.interpreter, &to.join(inside));
}

/// Makes a file that was linked one of its own.
pub fn unlink(file: &Path) {
    let copy = file.with_extension("copy");
    std::fs::copy(file, &copy).unwrap();
    std::fs::rename(copy, file).unwrap();
}

/// Copies a folder by hard links, as far as the file systems let it.
pub fn link_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_tree(&entry.path(), &target);
        } else if std::fs::hard_link(entry.path(), &target).is_err() {
            // A cache may drop a file at any time.
            let _ = std::fs::copy(entry.path(), &target);
        }
    }
}

/// The runtimes that tests can use besides wasmtime: named by `PYW_RUNTIME_<NAME>` or on `PATH`.
/// What `PYW_TEST_RUNTIMES` names has to be there; what else is missing is said.
pub fn other_runtime(name: &str) -> Option<PathBuf> {
    let variable = format!("PYW_RUNTIME_{}", name.to_uppercase());
    let named = std::env::var_os(variable).filter(|path| !path.is_empty());
    let found = named.map(PathBuf::from).or_else(|| on_path(name));
    if found.is_none() {
        let needed = std::env::var("PYW_TEST_RUNTIMES").unwrap_or_default();
        assert!(
            !needed.split(',').any(|needed| needed == name),
            "PYW_TEST_RUNTIMES names {name}, which is not there"
        );
        left_out(&format!("{name} is not there"));
    }
    found
}
