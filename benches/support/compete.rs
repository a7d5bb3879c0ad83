//! Processes measured side by side, and tables of what came out.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::peers::Result;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// From its start to its end, in seconds.
    pub wall: f64,
    /// Of all processes that it waited for, in seconds.
    pub cpu: f64,
}

/// Runs a command to its end; it has to succeed. Its output is left unread.
pub fn run(command: &mut Command) -> Result<Took> {
    let shown = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (before, start) = (children(), Instant::now());
    let child = command
        .spawn()
        .map_err(|error| format!("{shown}: {error}"))?;
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{shown}: {error}"))?;
    let wall = start.elapsed().as_secs_f64();
    let cpu = (children() - before).as_secs_f64();
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told: String = told.chars().take(2000).collect();
        return Err(format!("{shown} ended with {}: {told}", output.status));
    }
    Ok(Took { wall, cpu })
}

/// Processor time of all children that have ended.
fn children() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let of = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// One of those that take turns.
pub struct Contestant<'a> {
    pub name: String,
    /// One run, number so-and-so.
    pub run: Box<dyn FnMut(usize) -> Result<Took> + 'a>,
}

impl<'a> Contestant<'a> {
    pub fn new(name: impl Into<String>, mut make: impl FnMut() -> Command + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(move |_| run(&mut make())),
        }
    }
}

/// Lets all take turns, and answers with a row for each: median and range of the wall time, the
/// median of processor time, and the median over the rounds of both, divided by those of the first.
/// One round before is not counted.
pub fn compete(contestants: &mut [Contestant<'_>], rounds: usize) -> Result<Vec<Vec<String>>> {
    let mut took: Vec<Vec<Took>> = vec![Vec::new(); contestants.len()];
    for round in 0..=rounds {
        for (contestant, took) in contestants.iter_mut().zip(&mut took) {
            let one = (contestant.run)(round).map_err(|e| format!("{}: {e}", contestant.name))?;
            if round > 0 {
                took.push(one);
            }
        }
    }
    let first = took.first().cloned().unwrap_or_default();
    let rows = contestants.iter().zip(&took).map(|(contestant, took)| {
        let wall = sorted(took.iter().map(|one| one.wall));
        let ratio = |of: fn(&Took) -> f64| {
            let pairs = took.iter().zip(&first);
            median(&sorted(pairs.map(|(one, first)| of(one) / of(first))))
        };
        let ends = |at: Option<&f64>| at.map_or(0.0, |seconds| seconds * 1000.0);
        vec![
            contestant.name.clone(),
            format!(
                "{:.1} ({:.1}–{:.1})",
                median(&wall) * 1000.0,
                ends(wall.first()),
                ends(wall.last())
            ),
            format!(
                "{:.1}",
                median(&sorted(took.iter().map(|one| one.cpu))) * 1000.0
            ),
            format!("{:.2}", ratio(|one| one.wall)),
            format!("{:.2}", ratio(|one| one.cpu)),
        ]
    });
    Ok(rows.collect())
}

/// The heads of the rows of [`compete`].
pub const HEADS: [&str; 5] = [
    "",
    "wall ms (range)",
    "cpu ms",
    "wall ÷ first",
    "cpu ÷ first",
];

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of values in order of size.
pub fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    match sorted.len() % 2 {
        0 => (at(half.saturating_sub(1)) + at(half)) / 2.0,
        _ => at(half),
    }
}

/// A table in Markdown.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        heads.join(" | "),
        " --- |".repeat(heads.len())
    );
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}
