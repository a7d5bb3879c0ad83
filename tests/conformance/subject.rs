//! What is tested: native Python, and pyw on each runtime. Finding them and what is known of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::process::output;

/// One way to run a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Native,
    Runtime(String, Start),
}

/// Where Python begins in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its own start-up.
    Plain,
    /// Where it was captured, unless a case asks for what needs the start-up.
    Snapshot,
}

impl Start {
    /// The option that asks for it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["--no-snapshot"],
            Self::Snapshot => &[],
        }
    }
}

impl Subject {
    pub fn name(&self) -> String {
        match self {
            Self::Native => "native".to_owned(),
            Self::Runtime(name, Start::Plain) => name.clone(),
            Self::Runtime(name, Start::Snapshot) => format!("{name}+snapshot"),
        }
    }
}

/// The Python that says what is right.
#[derive(Clone, Debug)]
pub struct Native {
    pub executable: PathBuf,
    /// The minor version of Python 3.
    pub minor: u32,
}

/// Finds native Python: `PYW_TEST_PYTHON`, or `python3` on PATH.
pub fn native() -> Result<Native, String> {
    let asked = std::env::var_os("PYW_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    // What is on PATH may be a slow script that starts the real one.
    let answer = output(Command::new(&asked).args([
        "-c",
        "import sys; print(sys.version_info.minor); print(sys.executable)",
    ]))
    .map_err(|e| format!("native Python, {}: {e}", asked.display()))?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let mut lines = answer.lines();
    let minor = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    if minor < 11 {
        return Err(format!(
            "native Python, {}: 3.11 or later is needed, this is 3.{minor}; set PYW_TEST_PYTHON",
            asked.display()
        ));
    }
    Ok(Native {
        executable: lines.next().unwrap_or_default().into(),
        minor,
    })
}

/// The pyw under test and the environment that every call of it gets.
#[derive(Clone, Debug)]
pub struct Pyw {
    pub binary: PathBuf,
    store: PathBuf,
}

impl Pyw {
    pub fn new() -> Self {
        let store = std::env::var_os("PYW_STORE").map_or_else(
            // Cargo's directory for the files of tests is `target/tmp`.
            || {
                Path::new(env!("CARGO_TARGET_TMPDIR"))
                    .parent()
                    .unwrap()
                    .join("test-store")
            },
            PathBuf::from,
        );
        Self {
            binary: std::env::var_os("PYW_TEST_BIN")
                .map_or_else(|| env!("CARGO_BIN_EXE_pyw").into(), PathBuf::from),
            store,
        }
    }

    /// A call in a clean environment: what pyw needs to find runtimes and to download, and nothing else.
    pub fn command(&self, home: &Path, tmp: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear();
        for (name, value) in std::env::vars_os() {
            let keep = name.to_str().is_some_and(|name| {
                let upper = name.to_ascii_uppercase();
                name == "PATH"
                    || upper.ends_with("_PROXY")
                    || ["PYW_RUNTIME_", "SSL_CERT_", "PIP_", "NPM_"]
                        .iter()
                        .any(|prefix| upper.starts_with(prefix))
            });
            if keep {
                command.env(name, value);
            }
        }
        command
            .env("PYW_STORE", &self.store)
            .env("HOME", home)
            .env("TMPDIR", tmp);
        command
    }

    /// A call of the suite itself.
    fn call(&self, args: &[&str]) -> Result<Vec<u8>, String> {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        output(self.command(home.path(), home.path()).args(args))
    }

    /// The runtimes to test, and a line about each that is left out.
    ///
    /// Those in `PYW_TEST_RUNTIMES` must be there. Without it they are those that pyw finds, and wasmtime, which
    /// pyw installs.
    pub fn runtimes(&self) -> Result<(Vec<String>, Vec<String>), String> {
        if let Ok(list) = std::env::var("PYW_TEST_RUNTIMES") {
            let names: Vec<String> = list
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect();
            for name in &names {
                self.call(&["runtime", "which", name])
                    .map_err(|e| format!("PYW_TEST_RUNTIMES asks for {name}: {e}"))?;
            }
            return Ok((names, Vec::new()));
        }
        let mut there = vec!["wasmtime".to_owned()];
        let mut left_out = Vec::new();
        for name in ["wasmedge", "wasmer", "node", "deno"] {
            match self.call(&["runtime", "which", name]) {
                Ok(_) => there.push(name.to_owned()),
                Err(why) => left_out.push(format!("{name} is left out ({why})")),
            }
        }
        Ok((there, left_out))
    }

    /// Whether runs begin from the compiled interpreter where a snapshot would be interpreted, so that
    /// there is nothing to see of snapshots.
    pub fn prefers_compiled(&self, runtime: &str) -> Result<bool, String> {
        let shown = self.call(&["--runtime", runtime, "--dry-run", "-c", "pass"])?;
        let shown = String::from_utf8_lossy(&shown);
        Ok(shown.contains("starts the compiled interpreter sooner"))
    }

    fn snapshot(&self, runtime: &str) -> Result<Vec<u8>, String> {
        let args = ["--runtime", runtime, "--dry-run", "-c", "pass"];
        let shows =
            |shown: &[u8]| String::from_utf8_lossy(shown).contains("# start: from a snapshot");
        // The first run takes note, the second one makes it.
        for _ in 0..2 {
            self.call(&["--runtime", runtime, "-c", "pass"])?;
        }
        let shown = self.call(&args)?;
        match shows(&shown) {
            true => Ok(shown),
            false => Err(format!(
                "no run begins from a snapshot: {}",
                String::from_utf8_lossy(&shown)
            )),
        }
    }

    /// What descriptors tell of all runtimes.
    pub fn described(&self) -> Result<Described, String> {
        #[derive(serde::Deserialize)]
        struct Runtime {
            name: String,
            platform: String,
            #[serde(rename = "known-differences", default)]
            differences: Vec<Difference>,
        }
        #[derive(serde::Deserialize)]
        struct Difference {
            case: String,
            reason: String,
        }
        let answer = self.call(&["runtime", "list", "--format", "json"])?;
        let runtimes: Vec<Runtime> = serde_json::from_slice(&answer)
            .map_err(|e| format!("pyw runtime list --format json: {e}"))?;
        let mut described = Described::default();
        for Runtime {
            name,
            platform,
            differences,
        } in runtimes
        {
            for Difference { case, reason } in differences {
                described.differences.insert((name.clone(), case), reason);
            }
            if platform == "wasi" {
                described.with_snapshots.insert(name);
            }
        }
        Ok(described)
    }

    /// Lets pyw import its interpreter and the runtime compile it, so that no trial pays for it.
    /// What is to begin from a snapshot must then do so.
    pub fn warm_up(&self, runtime: &str, begin: Start) -> Result<(), String> {
        let start = Instant::now();
        eprint!("warming up {runtime} … ");
        let done = match begin {
            Start::Plain => self.call(&["--runtime", runtime, "--no-snapshot", "-c", "pass"]),
            Start::Snapshot => self.snapshot(runtime),
        };
        match &done {
            Ok(_) => eprintln!("{:.1} s", start.elapsed().as_secs_f32()),
            Err(why) => eprintln!("failed: {why}"),
        }
        done.map(drop)
    }
}

/// What descriptors tell.
#[derive(Default)]
pub struct Described {
    /// Those whose interpreters can begin from a snapshot: others run on JavaScript, and start in
    /// another way.
    pub with_snapshots: BTreeSet<String>,
    /// The differences that are known: reasons, by runtime and case.
    pub differences: BTreeMap<(String, String), String>,
}
