//! Running all attacks at once: in the sandbox, where more is granted, without the fence, natively.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, changes, slug, without_new_entries};
use crate::world::World;

/// More than a run takes on a busy machine, with a runtime that interprets.
const PATIENCE: Duration = Duration::from_secs(300);

/// An attack, as `run.py --list` tells it.
#[derive(Clone, Debug)]
pub struct Attack {
    pub name: String,
    pub control: String,
    only: Option<String>,
    not_granted_on: Vec<String>,
}

impl Attack {
    /// Whether it is tried on this runtime.
    pub fn is_for(&self, runtime: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| names(only, runtime))
    }

    /// Whether the runtime can't do the act, also where it is granted.
    pub fn is_beyond(&self, runtime: &str) -> bool {
        let mut beyond = self.not_granted_on.iter();
        beyond.any(|name| names(name, runtime))
    }

    /// What the whole process of a runtime does on its behalf, which only the fence holds.
    pub fn is_power(&self) -> bool {
        self.name.starts_with("powers/")
    }
}

/// Whether an attack's word for runtimes, a name or `javascript`, means this one.
fn names(word: &str, runtime: &str) -> bool {
    word == runtime || (word == "javascript" && on_javascript(runtime))
}

/// Whether a runtime runs interpreters for Emscripten, and can give programs JavaScript.
fn on_javascript(runtime: &str) -> bool {
    matches!(runtime, "node" | "deno")
}

/// Under which circumstances the attacks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// As a user would have it.
    Fenced,
    /// All files of the place may be written, and JavaScript be used where there is one.
    Granted,
    /// JavaScript may be used, and nothing else is granted.
    Script,
    /// As the first (with JavaScript, as the third), but without pyw's fence.
    Unfenced,
    Native,
}

/// How an attack ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It failed, with these words.
    Failed(String),
    /// It got through: what shows it.
    Won(String),
}

/// What came of a run.
pub type Outcomes = BTreeMap<String, Ended>;

/// pyw under test, and native Python.
#[derive(Clone, Debug)]
pub struct Tools {
    pub python: PathBuf,
    pub store: PathBuf,
    pub attacks: Vec<Attack>,
}

impl Tools {
    pub fn find() -> Result<Self, String> {
        let asked = std::env::var_os("PYW_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let python = output(Command::new(asked).args(["-c", "import sys; print(sys.executable)"]))?;
        let python = PathBuf::from(python.trim());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/attacks/run.py");
        let listed = output(Command::new(&python).arg("-B").arg(program).arg("--list"))?;
        let listed: Vec<(String, String, Option<String>, Vec<String>)> =
            serde_json::from_str(&listed).map_err(|e| format!("the list of attacks: {e}"))?;
        let store = std::env::var_os("PYW_STORE").map_or_else(
            || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-store"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&store).map_err(|e| e.to_string())?;
        Ok(Self {
            python,
            store: store.canonicalize().map_err(|e| e.to_string())?,
            attacks: listed
                .into_iter()
                .map(|(name, control, only, not_granted_on)| Attack {
                    name,
                    control,
                    only,
                    not_granted_on,
                })
                .collect(),
        })
    }

    /// The runtimes to test: those in `PYW_TEST_RUNTIMES`, which must be there, or those that are.
    pub fn runtimes(&self) -> Result<Vec<String>, String> {
        let which = |name: &str| {
            output(
                self.pyw(Path::new("/nonexistent"))
                    .args(["runtime", "which", name]),
            )
        };
        if let Ok(list) = std::env::var("PYW_TEST_RUNTIMES") {
            let names: Vec<String> = list
                .split(',')
                .map(str::trim)
                .filter(|n| !n.is_empty())
                .map(str::to_owned)
                .collect();
            for name in &names {
                which(name).map_err(|e| format!("PYW_TEST_RUNTIMES asks for {name}: {e}"))?;
            }
            return Ok(names);
        }
        let mut names = vec!["wasmtime".to_owned()];
        for name in ["wasmedge", "wasmer", "node", "deno", "node-wasi"] {
            match which(name) {
                Ok(_) => names.push(name.to_owned()),
                Err(why) => eprintln!("LEFT OUT: {name}: {why}"),
            }
        }
        Ok(names)
    }

    /// pyw in a clean environment.
    pub fn pyw(&self, home: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyw"));
        command
            .env_clear()
            .env("PYW_STORE", &self.store)
            .env("HOME", home);
        for (name, value) in std::env::vars_os() {
            let upper = name.to_string_lossy().to_ascii_uppercase();
            let wanted = ["PYW_RUNTIME_", "SSL_CERT_", "PIP_", "NPM_"];
            if upper == "PATH"
                || upper.ends_with("_PROXY")
                || wanted.iter().any(|w| upper.starts_with(w))
            {
                command.env(name, value);
            }
        }
        command
    }

    /// The attacks that are tried on a subject under these circumstances.
    fn attacks_for(&self, subject: &str, kind: Kind) -> Vec<String> {
        self.attacks
            .iter()
            .filter(|a| match kind {
                // On native Python there is no JavaScript.
                Kind::Native => a.only.is_none(),
                Kind::Script => a.is_power(),
                Kind::Unfenced if on_javascript(subject) => a.is_power(),
                // What these would break is used by all tests.
                Kind::Unfenced => a.only.is_none() && !a.name.starts_with("store/"),
                Kind::Fenced | Kind::Granted => !a.is_power() && a.is_for(subject),
            })
            .map(|a| a.name.clone())
            .collect()
    }

    /// Runs the attacks and tells what came of each.
    pub fn run(&self, subject: &str, kind: Kind) -> Result<Outcomes, String> {
        let start = Instant::now();
        let attacks = self.attacks_for(subject, kind);
        let place = Place::new(&attacks)?;
        let mut world = World::new(&place)?;
        if kind != Kind::Native {
            // What the first start makes in the store is not the attacks' doing.
            let args = ["--runtime", subject, "-c", "pass"];
            output(
                self.pyw(&place.home())
                    .args(args)
                    .current_dir(place.program()),
            )?;
        }
        let before = place.snapshot(&self.store);
        let mut said: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut left = attacks.clone();
        // An attack that crashes the runtime has not got through; the others go on without it.
        while !left.is_empty() {
            let told = self.told(subject, kind, &place, &world, &left)?;
            std::fs::write(place.told(), told).map_err(|e| e.to_string())?;
            let mut command = self.command(subject, kind, &place)?;
            command.env("PYW_ESCAPE_SECRET", &place.secret);
            let (stdout, stderr) = finish(&mut command, &place.scratch())?;
            let earlier = left.len();
            for line in stdout.lines() {
                if let Ok((name, words)) = serde_json::from_str(line) {
                    said.insert(name, words);
                }
            }
            left.retain(|name| !said.contains_key(name));
            if left.len() == earlier {
                return Err(format!(
                    "{subject} ({kind:?}) ran nothing: {stdout}\n{stderr}"
                ));
            }
        }
        let mut after = place.snapshot(&self.store);
        without_new_entries(&before, &mut after, &self.store);
        let hurt = world.hurt();
        let shared = match kind {
            Kind::Native => Vec::new(),
            _ => changes(&before, &after, ""),
        };
        let mut outcomes = Outcomes::new();
        for name in &attacks {
            let words = said.get(name).cloned().flatten();
            let words = words.unwrap_or_else(|| "it ended the run".to_owned());
            let mut changed = changes(&before, &after, &slug(name));
            let victim = name
                .strip_prefix("processes/")
                .map(str::to_owned)
                .unwrap_or_else(|| slug(name));
            if hurt.contains(&victim.as_str()) {
                changed.push("the victim was hurt".to_owned());
            }
            // Whose fault it was is not known; who failed is innocent.
            if words == "None" && (name.starts_with("store/") || name.starts_with("powers/")) {
                changed.extend(shared.iter().cloned());
            }
            let proof = if words.contains(&place.secret) {
                Some("it knows the secret".to_owned())
            } else if words.contains("the attack itself says") {
                Some(words.clone())
            } else {
                (!changed.is_empty()).then(|| changed.join("; "))
            };
            outcomes.insert(name.clone(), proof.map_or(Ended::Failed(words), Ended::Won));
        }
        let rest = match shared.is_empty() {
            true => Ended::Failed("nothing was changed".to_owned()),
            false => Ended::Won(shared.join("; ")),
        };
        outcomes.insert("store/untouched".to_owned(), rest);
        if std::env::var_os("PYW_TEST_ESCAPE_SHOW").is_some() {
            for (name, ended) in &outcomes {
                eprintln!("{subject} {kind:?} {name}: {ended:?}");
            }
        }
        eprintln!(
            "{subject} {kind:?}: {} attacks, {:.1} s",
            attacks.len(),
            start.elapsed().as_secs_f32()
        );
        Ok(outcomes)
    }

    /// What the attacks are told of their place; no secret.
    fn told(
        &self,
        subject: &str,
        kind: Kind,
        place: &Place,
        world: &World,
        attacks: &[String],
    ) -> Result<String, String> {
        let (module, library) = match kind {
            Kind::Native => (String::new(), String::new()),
            _ => {
                let plan = self.plan(&["--runtime", subject, "-c", "pass"], &place.home())?;
                let interpreter = plan["interpreter"]["name"].as_str().unwrap_or_default();
                (
                    plan["plan"]["fence"]["read"][0]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    self.store
                        .join("interpreters")
                        .join(interpreter)
                        .join("lib")
                        .display()
                        .to_string(),
                )
            }
        };
        let victims = world.victims();
        let alias = match kind {
            Kind::Native => place.base().join("ro"),
            _ => PathBuf::from("/alias"),
        };
        Ok(serde_json::json!({
            "base": place.base(),
            "native": kind == Kind::Native,
            "store": self.store,
            "module": module,
            "library_on_host": library,
            "program": place.program(),
            "home": place.home(),
            "tmp": place.tmp.path(),
            "shm": place.shm.path().file_name().and_then(|n| n.to_str()),
            "victim": victims["read"],
            "victims": victims,
            "tcp": world.tcp,
            "http": world.http,
            "udp": world.udp,
            "listen": world.listen,
            "unix": place.base().join("server.sock"),
            "unix_in_mount": place.base().join("rw/server.sock"),
            "abstract": world.abstract_name,
            "alias": alias,
            "attacks": attacks,
        })
        .to_string())
    }

    fn plan(&self, args: &[&str], home: &Path) -> Result<serde_json::Value, String> {
        let text = output(
            self.pyw(home)
                .args(["--dry-run", "--format", "json"])
                .args(args),
        )?;
        serde_json::from_str(&text).map_err(|e| format!("the plan: {e}"))
    }

    fn command(&self, subject: &str, kind: Kind, place: &Place) -> Result<Command, String> {
        let program = place.program().join("run.py");
        let told = place.told();
        if kind == Kind::Native {
            let mut command = Command::new(&self.python);
            command
                .arg("-B")
                .arg(program)
                .arg(told)
                .current_dir(place.program());
            return Ok(command);
        }
        let base = place.base();
        let base = base.display();
        let mut args = vec!["--runtime".to_owned(), subject.to_owned()];
        let mounts = match kind {
            Kind::Granted => vec![format!("{base}:rw"), format!("{base}/ro:/alias:rw")],
            _ => vec![
                format!("{base}/ro"),
                format!("{base}/ro:/alias"),
                format!("{base}/rw:rw"),
            ],
        };
        args.extend(
            mounts
                .into_iter()
                .flat_map(|mount| ["--mount".to_owned(), mount]),
        );
        if on_javascript(subject) && kind != Kind::Fenced {
            args.push("--js".to_owned());
        }
        args.extend([
            "-B".to_owned(),
            program.display().to_string(),
            told.display().to_string(),
        ]);
        let mut command = if kind == Kind::Unfenced {
            let mut with = vec![
                "--dry-run".to_owned(),
                "--format".to_owned(),
                "json".to_owned(),
            ];
            with.extend(args);
            let text = output(
                self.pyw(&place.home())
                    .current_dir(place.program())
                    .args(&with),
            )?;
            let plan: serde_json::Value =
                serde_json::from_str(&text).map_err(|e| format!("the plan: {e}"))?;
            let lines: Vec<&str> = plan["shell"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|l| l.as_str())
                .collect();
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(lines.join("\n"));
            command
        } else {
            let mut command = self.pyw(&place.home());
            command.args(&args);
            command
        };
        command
            .env("TMPDIR", place.scratch())
            .current_dir(place.program());
        Ok(command)
    }
}

/// Waits for the end with the output in files, which nobody has to read meanwhile.
fn finish(command: &mut Command, scratch: &Path) -> Result<(String, String), String> {
    let aside = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (out, err) = (aside.path().join("out"), aside.path().join("err"));
    let make = |path: &Path| std::fs::File::create(path).map_err(|e| e.to_string());
    command
        .stdin(Stdio::null())
        .stdout(make(&out)?)
        .stderr(make(&err)?);
    let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
    let start = Instant::now();
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            return Err(format!(
                "a run hung; the last that it said: {:?}",
                text.lines().last()
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = |path: &Path| std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let left: Vec<_> = std::fs::read_dir(scratch)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    if !left.is_empty() {
        return Err(format!("left in TMPDIR: {left:?}"));
    }
    Ok((
        text(&out).map_err(|e| e.to_string())?,
        text(&err).map_err(|e| e.to_string())?,
    ))
}

/// Runs a tool of the suite itself and gives its standard output.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ))
    }
}
