//! What the fence adds to a start.
//!
//! ```text
//! cargo bench --bench fence                        every runtime that is here
//! cargo bench --bench fence -- wasmtime            what is named so
//! cargo bench --bench fence -- --rounds 200        more rounds
//! ```
//!
//! The same command is started with and without its fence, by turns within each round, and measured
//! from before pyw prepares the fence until the process has ended: wall time, and the time of
//! processors that pyw and the process took together, which other work on the machine does not
//! change. What counts is the median of the differences, one a round. `nothing` starts a program that
//! ends at once, `mounts` gives it a hundred mounts as well, and the runtimes run Python's `pass`.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use pyw::launch;
use pyw::plan::{Confinement, Plan, Watch};
use pyw::sandbox::IsolationLevel;
use serde_json::Value;

const ROUNDS: usize = 60;
const RUNTIMES: [&str; 4] = ["wasmtime", "wasmer", "wasmedge", "node"];

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match measure_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fence: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all() -> Result<()> {
    let (mut words, mut rounds) = (Vec::new(), ROUNDS);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // cargo's own.
            "--bench" => {}
            "--rounds" => {
                let count = args.next().and_then(|text| text.parse().ok());
                rounds = count.filter(|n| *n > 0).ok_or("--rounds needs a number")?;
            }
            word if !word.starts_with('-') => words.push(arg),
            other => return Err(format!("unknown option {other}")),
        }
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    println!(
        "Milliseconds, medians of {rounds} rounds.\n\n\
         | start of | without | with | the fence adds | of processor time |\n\
         | --- | ---: | ---: | ---: | ---: |"
    );
    for (name, mounts) in [("nothing", 0), ("mounts", 100)] {
        if wanted(name) {
            row(name, &nothing(mounts)?, rounds)?;
        }
    }
    for name in RUNTIMES.into_iter().filter(|name| wanted(name)) {
        match of_runtime(name) {
            // An interpreting one would take long for the same answer.
            Ok((plan, _scratch)) if name == "wasmedge" => row(name, &plan, rounds.div_ceil(10))?,
            Ok((plan, _scratch)) => row(name, &plan, rounds)?,
            Err(why) => eprintln!("LEFT OUT: {name}: {why}"),
        }
    }
    Ok(())
}

/// Measures a plan by turns with and without its fence.
fn row(name: &str, plan: &Plan, rounds: usize) -> Result<()> {
    let bare = Plan {
        fence: None,
        ..plan.clone()
    };
    let (mut without, mut with, mut wall, mut busy) = (vec![], vec![], vec![], vec![]);
    // The first round fills caches.
    for round in 0..=rounds {
        let (fenced, free) = match round % 2 {
            0 => {
                let fenced = start(plan)?;
                (fenced, start(&bare)?)
            }
            _ => {
                let free = start(&bare)?;
                (start(plan)?, free)
            }
        };
        if round > 0 {
            without.push(free.0);
            with.push(fenced.0);
            wall.push(fenced.0 - free.0);
            busy.push(fenced.1 - free.1);
        }
    }
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {:.2} |",
        median(without),
        median(with),
        median(wall),
        median(busy)
    );
    Ok(())
}

/// Starts it and waits for its end: wall time and processor time, in milliseconds.
fn start(plan: &Plan) -> Result<(f64, f64)> {
    let (busy, wall) = (processor_time(), Instant::now());
    launch::capture(plan, &|| {})?;
    let (wall, busy) = (wall.elapsed(), processor_time() - busy);
    Ok((wall.as_secs_f64() * 1000.0, busy.as_secs_f64() * 1000.0))
}

/// Of this process and all of its children that have ended.
fn processor_time() -> Duration {
    let of = |who| {
        // SAFETY: an all-zero value is a valid one, to be filled in by the call.
        let used = unsafe {
            let mut used: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut used);
            used
        };
        [used.ru_utime, used.ru_stime].map(|time| {
            let micros = time.tv_sec * 1_000_000 + time.tv_usec;
            Duration::from_micros(micros.unsigned_abs())
        })
    };
    let all = [of(libc::RUSAGE_SELF), of(libc::RUSAGE_CHILDREN)];
    all.into_iter().flatten().sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        0 => (values[half - 1] + values[half]) / 2.0,
        _ => values[half],
    }
}

fn plan(program: Utf8PathBuf, fence: Confinement) -> Plan {
    Plan {
        runtime: "bench".into(),
        version: None,
        isolation: IsolationLevel::None,
        program,
        args: Vec::new(),
        env: BTreeMap::new(),
        process_stack: None,
        data: None,
        open_files: None,
        fence: Some(fence),
        scratch: None,
        watch: Watch::default(),
        grants: Vec::new(),
    }
}

/// A program that ends at once, with so many mounts.
fn nothing(mounts: usize) -> Result<Plan> {
    let program = Utf8PathBuf::from("/bin/true")
        .canonicalize_utf8()
        .map_err(|error| format!("/bin/true: {error}"))?;
    let mut execute = launch::fence::abilities().system;
    execute.push(program.clone());
    let fence = Confinement {
        execute,
        read: vec!["/usr/share".into(); mounts],
        calls: true,
        ..Confinement::default()
    };
    Ok(plan(program, fence))
}

/// What pyw would execute for `pass` on a runtime, and the folder that has to be there meanwhile.
fn of_runtime(name: &str) -> Result<(Plan, Removed)> {
    let pyw = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyw"));
        let output = command
            .args(["--runtime", name])
            .args(args)
            .args(["-c", "pass"])
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    };
    // So that everything is there that a first run makes.
    pyw(&[])?;
    let told = pyw(&["--dry-run", "--format", "json"])?;
    let told: Value = serde_json::from_slice(&told).map_err(|error| error.to_string())?;
    let told = &told["plan"];
    let paths = |value: &Value| -> Vec<Utf8PathBuf> { texts(value).map(Into::into).collect() };
    let fence = Confinement {
        execute: paths(&told["fence"]["execute"]),
        read: paths(&told["fence"]["read"]),
        write: paths(&told["fence"]["write"]),
        calls: true,
        ..Confinement::default()
    };
    let program = told["program"].as_str().ok_or("a plan without a program")?;
    let mut plan = plan(program.into(), fence);
    plan.args = texts(&told["args"]).map(str::to_owned).collect();
    plan.process_stack = told["process_stack"].as_u64();
    for (name, value) in told["env"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        plan.env.insert(name.clone(), value.to_owned());
    }
    let scratch = &told["scratch"];
    let root = scratch["root"].as_str().ok_or("a plan without a folder")?;
    let made = Removed(root.into());
    let failed = |error: std::io::Error| format!("{root}: {error}");
    for folder in texts(&scratch["folders"]) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    for file in texts(&scratch["files"]) {
        std::fs::write(file, "").map_err(failed)?;
    }
    for pair in scratch["texts"].as_array().into_iter().flatten() {
        let text = pair[1].as_str().unwrap_or_default();
        std::fs::write(pair[0].as_str().unwrap_or_default(), text).map_err(failed)?;
    }
    Ok((plan, made))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// A folder that goes when it is no longer needed.
struct Removed(Utf8PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
