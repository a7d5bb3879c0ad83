//! From cases and subjects to trials, and from their outcomes to a table.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::case::{self, Named, NativeSwitch};
use crate::subject::{self, Native, Pyw, Start, Subject};
use crate::table::{Outcome, Table};
use crate::trial;

pub fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match prepare(&arguments) {
        Ok((trials, table, subjects)) => {
            let listing = arguments.list;
            let conclusion = libtest_mimic::run(&arguments, trials);
            if !listing && !table.is_empty() {
                let names: Vec<_> = subjects.iter().map(Subject::name).collect();
                table.publish(&names.iter().map(String::as_str).collect::<Vec<_>>());
            }
            conclusion.exit_code()
        }
        Err(why) => {
            eprintln!("conformance: {why}");
            ExitCode::FAILURE
        }
    }
}

type Prepared = (Vec<Trial>, Arc<Table>, Vec<Subject>);

fn prepare(arguments: &Arguments) -> Result<Prepared, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let cases = case::load(&dir)?;
    let native = subject::native()?;
    let pyw = Pyw::new();
    let table = Arc::new(Table::default());
    let mut subjects = vec![Subject::Native];
    let mut trials: Vec<Trial> = cases
        .iter()
        .filter(|named| !matches!(named.case.native, NativeSwitch::Run(false)))
        .map(|named| native_trial(named, &native, &table))
        .collect();

    // Whoever asks for native Python alone needs no pyw that works.
    if !selects_runtimes(arguments) {
        return Ok((trials, table, subjects));
    }
    let (runtimes, left_out) = pyw.runtimes()?;
    for line in left_out {
        eprintln!("{line}");
    }
    let listing = arguments.list;
    let described = pyw.described()?;
    for (runtime, case) in described.differences.keys() {
        if !cases.iter().any(|named| named.id() == *case) {
            return Err(format!(
                "{runtime}'s descriptor lists a difference in {case}, which is no case"
            ));
        }
    }
    let starts = [Start::Plain, Start::Snapshot];
    let all = runtimes
        .into_iter()
        .flat_map(|runtime| starts.map(|start| (runtime.clone(), start)));
    for (runtime, start) in all {
        if start == Start::Snapshot && !described.with_snapshots.contains(&runtime) {
            continue;
        }
        if start == Start::Snapshot && pyw.prefers_compiled(&runtime)? {
            eprintln!("{runtime} is left out from snapshots: it has the interpreter compiled");
            continue;
        }
        let subject = Subject::Runtime(runtime.clone(), start);
        let wanted = cases
            .iter()
            .any(|named| selected(arguments, &trial_name(named, &subject.name())));
        let ready = if wanted && !listing {
            pyw.warm_up(&runtime, start)
        } else {
            Ok(())
        };
        for named in &cases {
            let reason = described.differences.get(&(runtime.clone(), named.id()));
            let reason = reason.map(String::as_str);
            trials.push(runtime_trial(named, &pyw, &subject, reason, &ready, &table));
        }
        subjects.push(subject);
    }
    Ok((trials, table, subjects))
}

fn trial_name(named: &Named, subject: &str) -> String {
    format!("{}::{}::{subject}", named.group, named.name)
}

/// What libtest would do with a trial of this name.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let fits = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

/// Whether the filter can select a trial that is not native. The runtimes are not known yet.
fn selects_runtimes(arguments: &Arguments) -> bool {
    !arguments
        .filter
        .as_ref()
        .is_some_and(|filter| filter == "native" || filter.ends_with("::native"))
}

fn native_trial(named: &Named, native: &Native, table: &Arc<Table>) -> Trial {
    let (old, new) = match &named.case.native {
        NativeSwitch::Different(different) => (
            different.min.is_some_and(|min| native.minor < min),
            different.below.is_some_and(|below| native.minor >= below),
        ),
        NativeSwitch::Run(_) => (false, false),
    };
    let (case, id, native, table) = (
        named.case.clone(),
        named.id(),
        native.clone(),
        Arc::clone(table),
    );
    Trial::test(trial_name(named, "native"), move || {
        let result = trial::on_native(&case, &native);
        let outcome = if result.is_ok() {
            Outcome::Same
        } else {
            Outcome::Wrong
        };
        table.record(&id, "native", outcome);
        result.map_err(Into::into)
    })
    .with_ignored_flag(old || new)
}

fn runtime_trial(
    named: &Named,
    pyw: &Pyw,
    subject: &Subject,
    known: Option<&str>,
    ready: &Result<(), String>,
    table: &Arc<Table>,
) -> Trial {
    let (case, id, pyw, table) = (
        named.case.clone(),
        named.id(),
        pyw.clone(),
        Arc::clone(table),
    );
    let from_snapshot = matches!(subject, Subject::Runtime(_, Start::Snapshot));
    let of_case = case.snapshot.clone().filter(|_| from_snapshot);
    let (known, ready) = (known.map(str::to_owned).or(of_case), ready.clone());
    let (name, subject) = (subject.name(), subject.clone());
    Trial::test(trial_name(named, &name), move || {
        // A runtime that doesn't start at all is never a known difference.
        let known = known.filter(|_| ready.is_ok());
        let result = ready.and_then(|()| match &subject {
            Subject::Runtime(runtime, start) => trial::on_runtime(&case, &pyw, runtime, *start),
            Subject::Native => Ok(()),
        });
        let (outcome, result) = match (result, known) {
            (Ok(()), None) => (Outcome::Same, Ok(())),
            (Err(why), None) => (Outcome::Wrong, Err(why)),
            (Err(_), Some(_)) => (Outcome::Known, Ok(())),
            (Ok(()), Some(reason)) => (
                Outcome::Wrong,
                Err(format!(
                    "the difference that is listed for {name} is no longer there: {reason}"
                )),
            ),
        };
        table.record(&id, &name, outcome);
        result.map_err(Into::into)
    })
}
