//! `pyw runtime check`: probes on the real runtime, held against what its descriptor claims.
//!
//! Programs are run by pyw itself, as a user would run them. What a descriptor claims of the
//! runtime alone is tried without the fence, which would hide a claim that is false.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, ExitCode, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::options::{Common, Format};
use crate::config::Partial;
use crate::error::Error;
use crate::guest::OBSERVE;
use crate::runtime::check::{Finding, Verdict};
use crate::runtime::descriptor::Isolation;
use crate::runtime::{Descriptor, RuntimeError};
use crate::ui::{progress, table};

/// Exit codes that are tried: an ordinary one, the first that some runtimes don't pass on, the last.
const CODES: [i32; 3] = [3, 126, 255];

/// What one runtime was found to be.
#[derive(Serialize)]
struct Checked {
    name: String,
    version: Option<String>,
    path: String,
    findings: Vec<Finding>,
}

/// What the probe in the sandbox tells.
#[derive(Deserialize)]
struct Told {
    argv: Vec<String>,
    env: BTreeMap<String, Option<String>>,
    names: Vec<String>,
    stdin: String,
    tty: [bool; 3],
    wrote: bool,
    seen: BTreeMap<String, String>,
    network: bool,
}

/// Checks the named runtimes, or all that are found.
///
/// # Errors
/// A runtime is missing or does not start; a claim is refuted.
pub fn execute(names: &[String], format: Format, common: &Common) -> Result<ExitCode, Error> {
    let context = Context::load(Partial {
        offline: common.offline.then_some(true),
        ..Partial::default()
    })?;
    let all: Vec<String> = context
        .catalog
        .entries()
        .iter()
        .map(|e| e.name.clone())
        .collect();
    let mut checked = Vec::new();
    for name in if names.is_empty() { &all } else { names } {
        let Some(runtime) = context.find(name)? else {
            if names.is_empty() {
                progress::verbose(&format!("{name} is not here"));
                continue;
            }
            return Err(context.not_found(name).into());
        };
        let spinner = progress::Progress::spinner(&format!("checking {}", runtime.label()));
        let prober = Prober {
            descriptor: &runtime.descriptor,
            offline: common.offline,
        };
        let findings = prober.findings().map_err(|reason| {
            Error::Runtime(RuntimeError::Unchecked {
                name: runtime.label(),
                reason,
            })
        })?;
        drop(spinner);
        checked.push(Checked {
            name: name.clone(),
            version: runtime.version.as_ref().map(ToString::to_string),
            path: runtime.executable.to_string(),
            findings,
        });
    }
    match format {
        Format::Json => super::print_json(&checked)?,
        Format::Text => checked.iter().for_each(print),
    }
    let refuted: Vec<String> = checked
        .iter()
        .flat_map(|one| {
            let wrong = one
                .findings
                .iter()
                .filter(|f| f.verdict == Verdict::Refuted);
            wrong.map(move |f| format!("{}: {} ({})", one.name, f.what, f.observed))
        })
        .collect();
    match refuted.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Error::Runtime(RuntimeError::Refuted { claims: refuted })),
    }
}

fn print(one: &Checked) {
    let version = one.version.as_deref().unwrap_or("of unknown version");
    anstream::println!("{} {version} ({})", one.name, one.path);
    let rows = one
        .findings
        .iter()
        .map(|f| {
            vec![
                f.what.clone(),
                f.claim.clone(),
                f.observed.clone(),
                f.verdict.to_string(),
            ]
        })
        .collect();
    table::print(&["what", "claimed", "observed", ""], rows);
}

/// The folders that a probe is tried on. Gone when dropped.
struct Place {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
    secret: String,
}

/// Files in the read-only folder, each for one way of changing it.
const FILES: [&str; 7] = [
    "overwritten",
    "truncated",
    "read-and-truncated",
    "unlinked",
    "renamed",
    "hard",
    "by-handle",
];

impl Place {
    fn new() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("pyw-check-").tempdir()?;
        let real = folder.path().canonicalize()?;
        let root = Utf8PathBuf::from_path_buf(real)
            .map_err(|path| std::io::Error::other(format!("`{}` is not UTF-8", path.display())))?;
        let secret = crate::store::hash::Sha256::of(root.as_str().as_bytes()).to_string();
        for folder in ["ro", "rw", "outside", "work"] {
            std::fs::create_dir(root.join(folder))?;
        }
        for name in FILES.iter().chain(&["times"]) {
            std::fs::write(root.join("ro").join(name), "as it was")?;
        }
        std::fs::write(root.join("outside/secret"), &secret)?;
        std::fs::write(root.join("outside").join(&secret), "")?;
        link("../outside/secret", &root.join("rw/link"))?;
        link("../outside", &root.join("rw/folder"))?;
        link(
            root.join("outside/secret").as_str(),
            &root.join("rw/absolute"),
        )?;
        Ok(Self {
            _folder: folder,
            root,
            secret,
        })
    }

    /// What was changed that may only be read: names and contents, not times.
    fn changed(&self) -> Vec<String> {
        let mut changed = Vec::new();
        let ro = self.root.join("ro");
        for name in FILES {
            if std::fs::read_to_string(ro.join(name)).ok().as_deref() != Some("as it was") {
                changed.push(format!("`{name}` was changed"));
            }
        }
        for entry in ro.read_dir_utf8().into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !FILES.contains(&name) && name != "times" {
                changed.push(format!("`{name}` was made"));
            }
        }
        changed
    }

    fn times_changed(&self) -> bool {
        let metadata = std::fs::metadata(self.root.join("ro/times"));
        let age = metadata
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| t.elapsed().ok());
        age.is_some_and(|age| age.as_secs() > 86_400)
    }

    /// The ways out of the mounts that were found.
    fn escapes(&self, told: &Told) -> Vec<String> {
        let mut ways: Vec<String> = told
            .seen
            .iter()
            .filter(|(_, text)| text.contains(&self.secret))
            .map(|(way, _)| way.clone())
            .collect();
        let known = ["secret", self.secret.as_str()];
        for entry in self
            .root
            .join("outside")
            .read_dir_utf8()
            .into_iter()
            .flatten()
            .flatten()
        {
            if !known.contains(&entry.file_name()) {
                ways.push(format!("`{}` was made outside", entry.file_name()));
            }
        }
        ways
    }
}

#[cfg(unix)]
fn link(target: &str, at: &Utf8Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// Where making links takes a privilege, they are not tried.
#[cfg(not(unix))]
fn link(_: &str, _: &Utf8Path) -> std::io::Result<()> {
    Ok(())
}

struct Prober<'a> {
    descriptor: &'a Descriptor,
    offline: bool,
}

impl Prober<'_> {
    fn findings(&self) -> Result<Vec<Finding>, String> {
        let d = self.descriptor;
        let mut findings = Vec::new();
        self.sandboxed(&mut findings)?;
        self.alone(&mut findings)?;
        self.exit_codes(&mut findings)?;
        self.limits(&mut findings)?;
        if d.network.host.is_some() {
            let (told, _) = self.observe(&["--network", "host"], false)?;
            let observed = if told.network {
                "a server of the host answers"
            } else {
                "no server can be reached"
            };
            findings.push(Finding::of(
                "the host's network",
                "granted on request",
                observed,
                told.network,
            ));
        }
        Ok(findings)
    }

    /// What pyw promises with this runtime, fence and all.
    fn sandboxed(&self, findings: &mut Vec<Finding>) -> Result<(), String> {
        let (told, place) = self.observe(&[], false)?;
        let mut changed = place.changed();
        if place.times_changed() {
            changed.push("times".to_owned());
        }
        findings.push(Finding::confines(
            "read-only mounts",
            "with pyw, none is written",
            &changed,
        ));
        findings.push(Finding::confines(
            "confinement",
            "with pyw, nothing outside is reached",
            &place.escapes(&told),
        ));
        let wrote = told.wrote && place.root.join("rw/created").exists();
        findings.push(Finding::of(
            "writable mounts",
            "what is written arrives",
            yes_no(wrote),
            wrote,
        ));
        let same = told.argv == ARGUMENTS;
        findings.push(Finding::of(
            "arguments",
            "arrive as they are",
            format!("{:?}", told.argv),
            same,
        ));
        let same = VARIABLES
            .iter()
            .all(|(name, value)| told.env.get(*name).and_then(Option::as_deref) == Some(*value));
        findings.push(Finding::of(
            "variables",
            "arrive as they are, also empty or with space",
            format!("{:?}", told.env),
            same,
        ));
        let leaked: Vec<String> = told
            .names
            .iter()
            .filter(|name| *name == NOT_GRANTED)
            .map(|name| format!("${name}"))
            .collect();
        findings.push(Finding::confines(
            "caller's environment",
            "not passed on",
            &leaked,
        ));
        findings.push(Finding::of(
            "standard input",
            "arrives",
            format!("{:?}", told.stdin),
            told.stdin == INPUT,
        ));
        let none = told.tty == [false; 3];
        findings.push(Finding::of(
            "isatty",
            "no on pipes",
            yes_no(!none).replace("yes", "yes on some"),
            none,
        ));
        let reached: Vec<String> = told
            .network
            .then(|| "a server of the host".to_owned())
            .into_iter()
            .collect();
        findings.push(Finding::confines(
            "no network",
            "no server can be reached",
            &reached,
        ));
        Ok(())
    }

    /// What the descriptor claims of the runtime without pyw's fence.
    fn alone(&self, findings: &mut Vec<Finding>) -> Result<(), String> {
        let d = self.descriptor;
        if d.isolation == Isolation::Process || d.mount.escapes || cfg!(not(unix)) {
            findings.push(Finding::unclaimed(
                "confinement by the runtime alone",
                "not tried",
            ));
            return Ok(());
        }
        let (told, place) = self.observe(&[], true)?;
        findings.push(Finding::confines(
            "confinement by the runtime alone",
            "`mount.escapes` is not set",
            &place.escapes(&told),
        ));
        let changed = place.changed();
        let what = "read-only mounts by the runtime alone";
        findings.push(if d.holds_read_only() {
            Finding::confines(what, "`mount.read` without `read-leaks`", &changed)
        } else if changed.is_empty() {
            Finding::unclaimed(what, "nothing got through")
        } else {
            Finding::unclaimed(what, format!("{} ways get through", changed.len()))
        });
        Ok(())
    }

    fn exit_codes(&self, findings: &mut Vec<Finding>) -> Result<(), String> {
        let mut wrong = Vec::new();
        for code in CODES {
            let output = self.run(&[], &format!("raise SystemExit({code})"))?;
            if output.status.code() != Some(code) {
                wrong.push(format!("{code} became {:?}", output.status.code()));
            }
        }
        let observed = if wrong.is_empty() {
            "they are".to_owned()
        } else {
            wrong.join(", ")
        };
        findings.push(Finding::of(
            "exit codes",
            "passed on",
            observed,
            wrong.is_empty(),
        ));
        Ok(())
    }

    fn limits(&self, findings: &mut Vec<Finding>) -> Result<(), String> {
        let d = self.descriptor;
        if d.limits_memory() {
            let output = self.run(&["--memory", "128M"], "bytearray(256 << 20)")?;
            let limited = text(&output.stderr).contains("MemoryError");
            let observed = if limited {
                "256M of 128M: MemoryError".to_owned()
            } else {
                ended(&output)
            };
            findings.push(Finding::of(
                "--memory",
                "a limit that Python notices",
                observed,
                limited,
            ));
        } else {
            findings.push(Finding::unclaimed("--memory", "refused"));
        }
        if d.limits.stack.is_some() {
            let output = self.run(&["--stack", "16M"], DEEP)?;
            let deep = output.status.success();
            let observed = if deep {
                "deep recursion is an error of Python's".to_owned()
            } else {
                ended(&output)
            };
            findings.push(Finding::of("--stack", "can be set", observed, deep));
        } else {
            findings.push(Finding::unclaimed("--stack", "refused"));
        }
        let output = self.run(&["--timeout", "5s"], "while True: pass")?;
        let stopped = output.status.code() == Some(crate::error::Code::TimedOut as i32);
        findings.push(Finding::of(
            "--timeout",
            "pyw ends it",
            ended(&output),
            stopped,
        ));
        let output = self.run(&[], "import time; a = time.monotonic(); time.sleep(0.2); print(time.monotonic() - a >= 0.19)")?;
        let slept = text(&output.stdout).trim() == "True";
        let observed = if slept {
            "it does".to_owned()
        } else {
            ended(&output)
        };
        findings.push(Finding::of("sleeping", "takes its time", observed, slept));
        Ok(())
    }

    /// Runs the probe; `alone` means without pyw's fence.
    fn observe(&self, options: &[&str], alone: bool) -> Result<(Told, Place), String> {
        let place = Place::new().map_err(|e| format!("the probe's folders: {e}"))?;
        let server = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = server
            .local_addr()
            .map_err(|e| e.to_string())?
            .port()
            .to_string();
        // Ends with the process, as it waits in `accept`.
        std::thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                let _ = stream.write_all(b"pyw");
            }
        });
        let mut args: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        for mount in [
            format!("{}:/probe/ro", place.root.join("ro")),
            format!("{}:/probe/rw:rw", place.root.join("rw")),
        ] {
            args.extend(["--mount".to_owned(), mount]);
        }
        for (name, value) in VARIABLES {
            args.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        if alone {
            args.extend(["--dry-run", "--format", "json"].map(str::to_owned));
        }
        args.extend(["-c".to_owned(), OBSERVE.to_owned(), port]);
        args.extend(ARGUMENTS.map(str::to_owned));
        let work = place.root.join("work");
        let mut output = self.start(&args, &work)?;
        if alone {
            output = pasted(&output, &work)?;
        }
        let said = text(&output.stdout);
        // Some runtimes say something of their own before.
        let told = said
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok());
        told.map(|told| (told, place))
            .ok_or_else(|| format!("the probe did not run: {}", ended(&output)))
    }

    fn run(&self, options: &[&str], program: &str) -> Result<Output, String> {
        let place = Place::new().map_err(|e| format!("the probe's folders: {e}"))?;
        let mut args: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        args.extend(["-c".to_owned(), program.to_owned()]);
        self.start(&args, &place.root.join("work"))
    }

    fn start(&self, args: &[String], folder: &Utf8Path) -> Result<Output, String> {
        let pyw = std::env::current_exe().map_err(|e| format!("pyw's own path: {e}"))?;
        let mut command = Command::new(pyw);
        command.args([
            "--runtime",
            &self.descriptor.name,
            "--no-project",
            "--quiet",
            "--allow-vulnerable-runtime",
        ]);
        if self.offline {
            command.arg("--offline");
        }
        command
            .args(args)
            .env(NOT_GRANTED, "1")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command)
    }
}

/// Runs what a dry run printed, which is the plan without pyw's fence.
fn pasted(printed: &Output, folder: &Utf8Path) -> Result<Output, String> {
    #[derive(Deserialize)]
    struct Printed {
        shell: Vec<String>,
    }
    let printed: Printed = serde_json::from_slice(&printed.stdout)
        .map_err(|_| format!("there is no plan: {}", ended(printed)))?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(printed.shell.join("\n"));
    command
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command)
}

fn finish(mut command: Command) -> Result<Output, String> {
    let mut child = command
        .spawn()
        .map_err(|e| format!("cannot start a run: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program need not read it.
        let _ = stdin.write_all(INPUT.as_bytes());
    }
    child
        .wait_with_output()
        .map_err(|e| format!("cannot wait for a run: {e}"))
}

const ARGUMENTS: [&str; 5] = ["", "two words", "--dir", "--", "-h"];
const VARIABLES: [(&str, &str); 3] = [
    ("PROBE", "a=b"),
    ("PROBE_EMPTY", ""),
    ("PROBE_SPACE", " x "),
];
const NOT_GRANTED: &str = "PYW_CHECK_NOT_GRANTED";
const INPUT: &str = "read me\n";
const DEEP: &str = "
class A:
    def __repr__(self): return repr(self.x)
a = A(); a.x = a
try: repr(a)
except RecursionError: pass";

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How a run ended, in one line.
fn ended(output: &Output) -> String {
    let err = text(&output.stderr);
    let last = err
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    match output.status.code() {
        Some(code) if last.is_empty() => format!("ended with {code}"),
        Some(code) => format!("ended with {code}: {last}"),
        None => format!("killed: {last}"),
    }
}
