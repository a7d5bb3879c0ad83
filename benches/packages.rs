//! Getting packages ready, with uv beside it in the same run.
//!
//! ```text
//! cargo bench --bench packages                     everything, some minutes
//! cargo bench --bench packages -- cold 20          what is named so
//! cargo bench --bench packages -- --rounds 15      more rounds
//! ```
//!
//! Both tools use the index that this machine is configured for, take turns within each round, and
//! are measured as processes from their start to their end; of each the median counts. The lists of
//! packages are in `benches/packages`. uv comes from the package index, into `target/bench`. The
//! table is printed, and written to `target/bench/packages.md`.
//!
//! *Cold* is with nothing cached: resolve, download, unpack, link. *Warm* is with everything
//! cached: resolve again, asking the index whether its pages are still right, and link a new
//! environment. *Offline* is the same with the network forbidden. *Bytecode* is what the second run
//! of a program pays once: byte-compiling the same packages, for which pyw alone is measured.

#[path = "support/peers.rs"]
mod peers;
#[path = "../tests/support/python.rs"]
mod python;

use std::fmt::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use pyw::cli::context::Context;
use pyw::config::Partial;
use pyw::interpreter::Interpreter;
use pyw::interpreter::choose::Wanted;
use pyw::interpreter::convert::Guest;
use pyw::package::environment::{self, Bytecode, Contents, Environment};
use pyw::package::resolution::{Asked, ResolveRequest};
use pyw::package::wheel::WheelRef;
use pyw::package::{Index, Requirement, resolve};
use pyw::sandbox::{Mount, Network};
use pyw::store::indexes::{IndexArguments, IndexSettings};
use pyw::store::{Fetcher, Kind, Store};
use pyw::ui::progress::{self, Verbosity};

use peers::Result;

const SETS: [&str; 3] = ["5", "20", "60"];

/// The Python that both resolve for.
const PYTHON: &str = "3.12";
/// The platform of uv's that comes next to WASI: its wheels are pure ones, too.
const PLATFORM: &str = "wasm32-pyodide2024";

fn main() -> ExitCode {
    progress::init(Verbosity::Quiet);
    let result = match std::env::var("PYW_BENCH_INSTALL") {
        Ok(set) => install_in_child(&set),
        Err(_) => measure_all(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("packages: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for on the command line.
struct Options {
    words: Vec<String>,
    rounds: Option<usize>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Options {
            words: Vec::new(),
            rounds: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // cargo's own.
                "--bench" => {}
                "--rounds" => {
                    let count = args.next().and_then(|text| text.parse().ok());
                    options.rounds = Some(count.ok_or("--rounds needs a number")?);
                }
                word if !word.starts_with('-') => options.words.push(arg),
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(options)
    }

    /// Whether a case of that name and set is wanted.
    fn wants(&self, case: &str, set: &str) -> bool {
        let chosen = |all: &[&str], this: &str| {
            let mut named = self
                .words
                .iter()
                .filter(|word| all.contains(&word.as_str()));
            named.clone().next().is_none() || named.any(|word| word == this)
        };
        chosen(&["cold", "warm", "offline", "bytecode"], case) && chosen(&SETS, set)
    }
}

/// Folders and programs that all cases share.
struct Bench {
    /// Where everything is kept that a case needs while it runs; on one file system with all that
    /// is linked.
    scratch: Utf8PathBuf,
    uv: Utf8PathBuf,
    settings: IndexSettings,
}

fn measure_all() -> Result<()> {
    let options = Options::parse()?;
    let target = peers::target()?;
    let folder = tempfile::Builder::new()
        .prefix("packages-")
        .tempdir_in(&target)
        .map_err(|error| error.to_string())?;
    let scratch = Utf8PathBuf::from_path_buf(folder.path().to_owned())
        .map_err(|_| "the target folder is not UTF-8")?;
    let bench = Bench {
        uv: peers::peer("uv", "uv")?,
        scratch,
        settings: settings()?,
    };
    let mut report = Report::new(&bench)?;
    for set in SETS {
        if options.wants("cold", set) {
            report.add(bench.cold(set, options.rounds.unwrap_or(7))?);
        }
        for (case, network) in [("warm", Network::Host), ("offline", Network::None)] {
            if options.wants(case, set) {
                report.add(bench.filled(case, set, options.rounds.unwrap_or(15), network)?);
            }
        }
        if options.wants("bytecode", set) {
            report.add(bench.bytecode(set, options.rounds.unwrap_or(3))?);
        }
    }
    let path = target.join("packages.md");
    write(&path, &report.text())?;
    println!("\n{}\nwritten to {path}", report.text());
    Ok(())
}

/// The index of this machine, for both tools. Folders with wheels are left out: they would make
/// the result the machine's own.
fn settings() -> Result<IndexSettings> {
    let mut settings = IndexSettings::from_process(&IndexArguments::default())
        .map_err(|error| error.to_string())?;
    settings.find_links.clear();
    Ok(settings)
}

fn list(set: &str) -> Utf8PathBuf {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/packages");
    folder.join(format!("{set}.txt"))
}

/// One case that was measured.
struct Row {
    case: &'static str,
    set: &'static str,
    packages: usize,
    pyw: Times,
    uv: Option<Times>,
    remark: String,
}

/// Durations of the rounds, in order of size.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Times(times)
    }

    fn median(&self) -> f64 {
        let half = self.0.len() / 2;
        let at = |index: usize| self.0.get(index).map_or(0.0, Duration::as_secs_f64);
        match self.0.len() % 2 {
            0 => (at(half.saturating_sub(1)) + at(half)) / 2.0,
            _ => at(half),
        }
    }

    /// The median, and the range in which all are.
    fn told(&self) -> String {
        let millis = |seconds: f64| format!("{:.0}", seconds * 1000.0);
        let end = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        format!(
            "{} ({}–{})",
            millis(self.median()),
            millis(end(self.0.first())),
            millis(end(self.0.last()))
        )
    }
}

impl Bench {
    fn cold(&self, set: &'static str, rounds: usize) -> Result<Row> {
        let mut packages = 0;
        let (pyw, uv) = paired(rounds, |tool, round| {
            let home = self.scratch.join(format!("cold-{set}-{round}"));
            let took = match tool {
                Tool::Pyw => {
                    let store = home.join("store");
                    let (took, count) = self.pyw(set, &store, round, Network::Host)?;
                    packages = count;
                    took
                }
                Tool::Uv => {
                    let (cache, target) = (home.join("cache"), home.join("target"));
                    self.uv(set, &cache, &target, Network::Host)?
                }
            };
            remove(&home)?;
            Ok(took)
        })?;
        Ok(Row {
            case: "cold",
            set,
            packages,
            pyw,
            uv: Some(uv),
            remark: String::new(),
        })
    }

    /// With filled caches.
    fn filled(
        &self,
        case: &'static str,
        set: &'static str,
        rounds: usize,
        network: Network,
    ) -> Result<Row> {
        let home = self.scratch.join(format!("{case}-{set}"));
        let (store, cache) = (home.join("store"), home.join("cache"));
        let target = |round: usize| home.join(format!("target-{round}"));
        let (_, packages) = self.pyw(set, &store, rounds, Network::Host)?;
        self.uv(set, &cache, &target(rounds), Network::Host)?;
        let (pyw, uv) = paired(rounds, |tool, round| match tool {
            Tool::Pyw => self.pyw(set, &store, round, network).map(|(took, _)| took),
            Tool::Uv => self.uv(set, &cache, &target(round), network),
        })?;
        remove(&home)?;
        Ok(Row {
            case,
            set,
            packages,
            pyw,
            uv: Some(uv),
            remark: String::new(),
        })
    }

    /// pyw in a process of its own, and how many packages that came to. `round` makes the
    /// environment a new one.
    fn pyw(
        &self,
        set: &str,
        store: &Utf8Path,
        round: usize,
        network: Network,
    ) -> Result<(Duration, usize)> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .env("PYW_BENCH_INSTALL", set)
            .env("PYW_BENCH_STORE", store)
            .env("PYW_BENCH_ROUND", round.to_string());
        if network == Network::None {
            command.env("PYW_BENCH_OFFLINE", "1");
        }
        let (took, told) = run(command)?;
        let count = told.trim().parse();
        Ok((took, count.map_err(|_| format!("pyw told {told:?}"))?))
    }

    fn uv(
        &self,
        set: &str,
        cache: &Utf8Path,
        target: &Utf8Path,
        network: Network,
    ) -> Result<Duration> {
        let mut command = Command::new(&self.uv);
        command
            .args(["pip", "install", "--quiet", "--no-config", "--no-progress"])
            .args(["--target", target.as_str(), "--cache-dir", cache.as_str()])
            .args(["--python-version", PYTHON, "--python-platform", PLATFORM])
            .args(["--only-binary", ":all:", "-r", list(set).as_str()]);
        if network == Network::None {
            command.arg("--offline");
        }
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("UV_") && (name.contains("INDEX") || name.contains("LINKS")) {
                command.env_remove(&*name);
            }
        }
        // A password must not stand on a command line.
        if let Some(index) = &self.settings.index {
            command.env("UV_DEFAULT_INDEX", index.value.as_str());
        }
        let extra: Vec<&str> = self
            .settings
            .extra
            .iter()
            .map(|i| i.value.as_str())
            .collect();
        if !extra.is_empty() {
            command.env("UV_INDEX", extra.join(" "));
        }
        run(command).map(|(took, _)| took)
    }

    /// Byte-compiles, with the interpreter and the runtime that a plain `pyw` would take.
    fn bytecode(&self, set: &'static str, rounds: usize) -> Result<Row> {
        let context = Context::load(Partial::default()).map_err(|error| error.to_string())?;
        let interpreter = context
            .interpreter(&Wanted::Default)
            .map_err(|error| error.to_string())?;
        let store = Store::at(self.scratch.join(format!("bytecode-{set}")));
        let fetcher = Arc::new(Fetcher::new(false).with_store(&store));
        let wheels = pins(set, &store, &interpreter, &fetcher)?;
        let contents = Contents {
            wheels: &wheels,
            roots: &[],
        };
        let (mut times, mut modules) = (Vec::new(), 0);
        for _ in 0..=rounds {
            let mut pruning = store.pruning(false);
            for kind in [Kind::Environment, Kind::Bytecode] {
                pruning
                    .entries(kind, |_, _| true)
                    .map_err(|error| error.to_string())?;
            }
            let guest = context.guest();
            let start = Instant::now();
            let made =
                environment::provide_compiled(contents, &interpreter, &store, &fetcher, &guest);
            times.push(start.elapsed());
            modules = count_modules(&made.map_err(|error| error.to_string())?.0);
        }
        // The first one downloaded as well, and had the runtime compile the interpreter.
        times.remove(0);
        let pyw = Times::of(times);
        Ok(Row {
            case: "bytecode",
            set,
            packages: wheels.len(),
            remark: format!(
                "{modules} modules, {:.0} a second",
                modules as f64 / pyw.median()
            ),
            pyw,
            uv: None,
        })
    }
}

fn count_modules(environment: &Environment) -> usize {
    let site = environment.site_packages();
    walkdir::WalkDir::new(site)
        .into_iter()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "pyc"))
        .count()
}

#[derive(Clone, Copy)]
enum Tool {
    Pyw,
    Uv,
}

/// Measures both by turns; who is first changes with every round.
fn paired(
    rounds: usize,
    mut measure: impl FnMut(Tool, usize) -> Result<Duration>,
) -> Result<(Times, Times)> {
    let (mut pyw, mut uv) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let turns = match round % 2 {
            0 => [Tool::Pyw, Tool::Uv],
            _ => [Tool::Uv, Tool::Pyw],
        };
        for tool in turns {
            let took = measure(tool, round)?;
            match tool {
                Tool::Pyw => pyw.push(took),
                Tool::Uv => uv.push(took),
            }
        }
    }
    Ok((Times::of(pyw), Times::of(uv)))
}

/// Runs a program to its end, and tells what it printed.
fn run(mut command: Command) -> Result<(Duration, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    let start = Instant::now();
    let output = command
        .output()
        .map_err(|error| format!("{name} does not start: {error}"))?;
    let took = start.elapsed();
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{name} ended with {}: {}",
            output.status,
            told.trim()
        ));
    }
    Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Child: installs a set and prints the number of packages.
fn install_in_child(set: &str) -> Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let store = Store::at(variable("PYW_BENCH_STORE")?);
    let interpreter = python::interpreter(store.root(), "python");
    let offline = std::env::var_os("PYW_BENCH_OFFLINE").is_some();
    let start = Instant::now();
    let fetcher = Arc::new(Fetcher::new(offline).with_store(&store));
    let wheels = pins(set, &store, &interpreter, &fetcher)?;
    let resolved = start.elapsed();
    // Another folder of sources, another environment.
    let roots = [format!("/bench/{}", variable("PYW_BENCH_ROUND")?)];
    let contents = Contents {
        wheels: &wheels,
        roots: &roots,
    };
    let made = environment::provide(
        contents,
        &interpreter,
        &store,
        &fetcher,
        &Nobody,
        Bytecode::SecondRun,
    );
    let (environment, _) = made.map_err(|error| error.to_string())?;
    if environment.info.packages.len() != wheels.len() || environment.is_compiled() {
        return Err("the environment is not what was asked for".to_owned());
    }
    if std::env::var_os("PYW_BENCH_VERBOSE").is_some() {
        eprintln!(
            "resolved after {resolved:?}, installed after {:?}",
            start.elapsed()
        );
    }
    println!("{}", wheels.len());
    Ok(())
}

/// Resolves a set.
fn pins(
    set: &str,
    store: &Store,
    interpreter: &Interpreter,
    fetcher: &Arc<Fetcher>,
) -> Result<Vec<WheelRef>> {
    let index = Index::new(settings()?, Arc::clone(fetcher), store);
    let path = list(set);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut request = ResolveRequest::default();
    for line in text.lines() {
        let requirement = Requirement::parse(line, Utf8Path::new("/"))
            .map_err(|error| format!("{path}: {error}"))?;
        request.requirements.push(Asked {
            requirement,
            origin: path.to_string(),
        });
    }
    let resolution =
        resolve(&request, &interpreter.info, &index).map_err(|error| error.to_string())?;
    resolution
        .packages
        .iter()
        .map(|package| {
            let file = package
                .file()
                .and_then(|file| WheelRef::resolved(file, &index));
            file.ok_or_else(|| format!("{} has no wheel with a digest", package.name))
        })
        .collect()
}

/// Nothing is compiled for a first run.
struct Nobody;

impl Guest for Nobody {
    fn run(
        &self,
        _: &Utf8Path,
        _: Vec<Mount>,
        _: Vec<String>,
        _: &(dyn Fn() + Sync),
    ) -> Result<()> {
        Err("there is no runtime here".to_owned())
    }
}

/// The table.
struct Report {
    text: String,
}

impl Report {
    fn new(bench: &Bench) -> Result<Self> {
        let mut command = Command::new(&bench.uv);
        command.arg("--version");
        let (_, version) = run(command)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let text = format!(
            "pyw {} and {}, {processors} processors. Milliseconds, median (least–most); a ratio \
             below 1 says that pyw is faster.\n\n\
             What differs: uv resolves for {PLATFORM}, the nearest that it knows to WASI, and \
             both take wheels only; warm, uv asks the \
             index about pages and metadata, and pyw about pages alone, for it knows metadata by \
             their digest; pyw makes what it writes durable (one sync for all wheels, \
             one for the environment), checks every file by RECORD and keeps a record of the \
             environment.\n\n\
             | case | asked for | packages | pyw | uv | ratio | |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | --- |\n",
            env!("CARGO_PKG_VERSION"),
            version.trim(),
        );
        Ok(Report { text })
    }

    fn add(&mut self, row: Row) {
        let ratio = row.uv.as_ref().map(|uv| row.pyw.median() / uv.median());
        let line = format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.case,
            row.set,
            row.packages,
            row.pyw.told(),
            row.uv.as_ref().map_or_else(|| "-".to_owned(), Times::told),
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            row.remark,
        );
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

fn remove(folder: &Utf8Path) -> Result<()> {
    std::fs::remove_dir_all(folder).map_err(|error| format!("{folder}: {error}"))
}

fn write(path: &Utf8Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}
