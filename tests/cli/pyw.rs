//! The builder of a test: files, arguments and environment of one run of pyw, and what has to come
//! of it.
//!
//! ```ignore
//! Pyw::new()
//!     .write("app.py", "print('hello')")
//!     .args(["app.py"])
//!     .stdout("hello\n")
//!     .run();
//! ```
//!
//! Standard output, standard error and the exit code are compared exactly; what a test does not
//! mention has to be empty, or 0. In arguments, variables, files and expectations these stand for
//! themselves: `{dir}` (where pyw is started), `{home}`, `{tmp}` (its TMPDIR), `{store}`,
//! `{wasmtime}` and `{wasmtime-version}`. In expectations `{scratch}` is the folder of a run, whose
//! name nobody can know, and `[..]` is anything up to the end of the line.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::store;

/// More than any run takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(400);

/// What tests start besides pyw. `PATH` holds links to these alone, so that no runtime of the
/// machine is ever found on it.
const TOOLS: [&str; 14] = [
    "cat", "cp", "echo", "env", "false", "ln", "make", "mkdir", "rm", "sh", "sleep", "test",
    "true", "umount",
];

/// One test: its own folders, and the next run in them.
pub struct Pyw {
    root: TempDir,
    program: PathBuf,
    args: Vec<OsString>,
    cwd: PathBuf,
    env: BTreeMap<OsString, OsString>,
    store: PathBuf,
    stdin: Vec<u8>,
    stdout: Option<String>,
    stderr: Option<String>,
    code: Option<i32>,
    leaves_scratch: bool,
    /// Of the last run.
    pub output: Output,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// As a shell counts: 128 and the signal for a death by one.
    pub code: i32,
    pub took: Duration,
}

impl Pyw {
    /// A test with the shared store, in which a runtime and an interpreter stand ready.
    pub fn new() -> Self {
        Self::with_store(store::shared().root.clone())
    }

    /// A test with an empty store of its own, and a runtime that is named to it.
    pub fn with_empty_store() -> Self {
        let mut pyw = Self::with_store(PathBuf::new());
        pyw.store = pyw.root.path().join("store");
        pyw.env("PYW_STORE", "{store}")
    }

    /// A test with a store of its own that holds all that the shared one has.
    pub fn with_own_store() -> Self {
        let pyw = Self::with_empty_store();
        store::copy_shared(&pyw.store);
        pyw
    }

    fn with_store(store: PathBuf) -> Self {
        let base = std::fs::canonicalize(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = tempfile::Builder::new()
            .prefix("cli-")
            .tempdir_in(base)
            .unwrap();
        for folder in ["dir", "home", "tmp", "bin"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let bin = root.path().join("bin");
        for tool in TOOLS {
            if let Some(found) = store::on_path(tool) {
                std::os::unix::fs::symlink(found, bin.join(tool)).unwrap();
            }
        }
        let mut env: BTreeMap<OsString, OsString> = store::passed_on().collect();
        for (name, value) in [
            ("PATH", bin.as_path()),
            ("HOME", &root.path().join("home")),
            ("TMPDIR", &root.path().join("tmp")),
            ("PYW_STORE", &store),
            ("PYW_RUNTIME_WASMTIME", &store::shared().wasmtime),
        ] {
            env.insert(name.into(), value.into());
        }
        // A second run would take a snapshot, which is no test's business but of those that ask.
        env.insert("PYW_SNAPSHOTS".into(), "0".into());
        Self {
            program: env!("CARGO_BIN_EXE_pyw").into(),
            cwd: root.path().join("dir"),
            root,
            args: Vec::new(),
            env,
            store,
            stdin: Vec::new(),
            stdout: Some(String::new()),
            stderr: Some(String::new()),
            code: Some(0),
            leaves_scratch: false,
            output: Output::default(),
        }
    }

    /// The folder in which pyw is started.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("dir")
    }

    /// The folder of the store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// What the placeholders in a text stand for.
    pub fn fill(&self, text: &str) -> String {
        let shared = store::shared();
        let root = self.root.path();
        let mut text = text.to_owned();
        for (name, path) in [
            ("{dir}", root.join("dir")),
            ("{home}", root.join("home")),
            ("{tmp}", root.join("tmp")),
            ("{root}", root.to_owned()),
            ("{store}", self.store.clone()),
            ("{wasmtime}", shared.wasmtime.clone()),
        ] {
            text = text.replace(name, path.to_str().unwrap());
        }
        text.replace("{wasmtime-version}", &shared.version)
    }

    /// The arguments of the next run.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args = args
            .into_iter()
            .map(|arg| match arg.as_ref().to_str() {
                Some(text) => self.fill(text).into(),
                None => arg.as_ref().to_owned(),
            })
            .collect();
        self
    }

    /// Starts this instead of pyw, which the variable `PYW` names.
    pub fn program(mut self, program: &str) -> Self {
        self.program = self.fill(program).into();
        self
    }

    /// Starts in this folder, relative to `{dir}`.
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = self.dir().join(folder);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = match value.as_ref().to_str() {
            Some(text) => self.fill(text).into(),
            None => value.as_ref().to_owned(),
        };
        self.env.insert(name.into(), value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    /// A file, relative to `{dir}`, with the folders that lead to it.
    pub fn write(self, path: impl AsRef<Path>, text: &str) -> Self {
        let text = self.fill(text);
        self.write_bytes(path, text.as_bytes())
    }

    pub fn write_bytes(self, path: impl AsRef<Path>, bytes: &[u8]) -> Self {
        let path = self.dir().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    /// A file that may be executed.
    pub fn executable(self, path: impl AsRef<Path>, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let full = self.dir().join(&path);
        let pyw = self.write(path, text);
        std::fs::set_permissions(full, std::fs::Permissions::from_mode(0o755)).unwrap();
        pyw
    }

    pub fn mkdir(self, path: impl AsRef<Path>) -> Self {
        std::fs::create_dir_all(self.dir().join(path)).unwrap();
        self
    }

    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_owned();
        self
    }

    pub fn stdout(mut self, text: &str) -> Self {
        self.stdout = Some(text.to_owned());
        self
    }

    pub fn stderr(mut self, text: &str) -> Self {
        self.stderr = Some(text.to_owned());
        self
    }

    /// For what a test looks at itself, in [`Self::output`].
    pub fn any_stdout(mut self) -> Self {
        self.stdout = None;
        self
    }

    /// As [`Self::any_stdout`].
    pub fn any_stderr(mut self) -> Self {
        self.stderr = None;
        self
    }

    pub fn code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// As [`Self::any_stdout`].
    pub fn any_code(mut self) -> Self {
        self.code = None;
        self
    }

    /// pyw is killed, or has no TMPDIR, so that nobody can be asked to leave it empty.
    pub fn leaves_scratch(mut self) -> Self {
        self.leaves_scratch = true;
        self
    }

    fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(&self.cwd)
            .env_clear()
            .envs(&self.env)
            .env("PYW", env!("CARGO_BIN_EXE_pyw"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A run with other arguments, as a command.
    pub fn command_for(&self, args: &[&str]) -> Command {
        let args: Vec<OsString> = args.iter().map(|arg| self.fill(arg).into()).collect();
        self.command(&args)
    }

    /// What comes of other arguments, with nothing compared.
    pub fn output_of(&self, args: &[&str]) -> Output {
        finish(self.command_for(args).spawn().unwrap(), Vec::new())
    }

    /// Looks at the JSON that the last run printed.
    #[track_caller]
    pub fn check_json(self, check: impl FnOnce(&serde_json::Value)) -> Self {
        check(&serde_json::from_str(&self.output.stdout).unwrap());
        self
    }

    pub fn spawn(&self) -> Child {
        self.command(&self.args).spawn().unwrap()
    }

    /// Runs it, and compares. The folders stay for a next run, expectations don't.
    #[track_caller]
    pub fn run(mut self) -> Self {
        let output = finish(self.spawn(), std::mem::take(&mut self.stdin));
        let mut wrong = String::new();
        for (name, expected, got) in [
            ("stdout", &self.stdout, &output.stdout),
            ("stderr", &self.stderr, &output.stderr),
        ] {
            let Some(expected) = expected else { continue };
            let expected = self.fill(expected);
            let got = self.without_scratch(got);
            if !matches(&expected, &got) {
                let _ = write!(
                    wrong,
                    "--- {name}, expected\n{expected}\n--- {name}\n{got}\n"
                );
            }
        }
        if self.code.is_some_and(|code| code != output.code) {
            let _ = writeln!(
                wrong,
                "--- code {}, expected {:?}\n--- stdout\n{}\n--- stderr\n{}",
                output.code, self.code, output.stdout, output.stderr
            );
        }
        if !self.leaves_scratch {
            let tmp = self.root.path().join("tmp");
            let left: Vec<_> = std::fs::read_dir(tmp).unwrap().flatten().collect();
            if !left.is_empty() {
                let _ = writeln!(wrong, "--- left in TMPDIR\n{left:?}");
            }
        }
        assert!(wrong.is_empty(), "{:?}\n{wrong}", self.args);
        self.output = output;
        self.stdout = Some(String::new());
        self.stderr = Some(String::new());
        self.code = Some(0);
        self
    }

    /// `{tmp}/pyw-0/123-abc`, or `{tmp}/pyw-0-123-abc` of a dry run, becomes `{scratch}`.
    fn without_scratch(&self, text: &str) -> String {
        let tmp = self.fill("{tmp}/pyw-");
        let name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(&tmp) {
            out.push_str(&rest[..at]);
            out.push_str("{scratch}");
            let user = rest[at + tmp.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
            rest = user.trim_start_matches(['/', '-']).trim_start_matches(name);
        }
        out.push_str(rest);
        out
    }
}

/// Waits for the end, feeding and draining the pipes.
pub fn finish(mut child: Child, stdin: Vec<u8>) -> Output {
    use std::os::unix::process::ExitStatusExt as _;
    let start = Instant::now();
    let mut input = child.stdin.take().unwrap();
    // A program that doesn't read its input closes the pipe, which is its right.
    let feeder = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let drain = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = drain(Box::new(child.stdout.take().unwrap()));
    let stderr = drain(Box::new(child.stderr.take().unwrap()));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("pyw hung");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    let _ = feeder.join();
    Output {
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
        code: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        took,
    }
}

/// Whether the text is the expected one, `[..]` standing for anything but the end of a line.
pub fn matches(expected: &str, got: &str) -> bool {
    let (mut a, mut b) = (expected.split('\n'), got.split('\n'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(expected), Some(got)) if line_matches(expected, got) => {}
            _ => return false,
        }
    }
}

fn line_matches(expected: &str, got: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == got,
        Some((head, tail)) => got.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| line_matches(tail, &rest[at..]))
        }),
    }
}

#[test]
fn expectations_are_exact_but_for_what_is_left_open() {
    assert!(matches("a [..] c\nd\n", "a b b c\nd\n"));
    assert!(!matches("a [..] c\n", "a b\nc\n"));
    assert!(!matches("a\n", "a"));
    assert!(!matches("a", "a\n"));
    assert!(matches("[..]", ""));
}
