//! `pyw doctor`: every runtime and interpreter, what the kernel can do, how well each combination
//! isolates, and what to do about each weakness.

use std::process::ExitCode;

use serde::Serialize;

use super::context::Context;
use super::options::{Common, Format};
use crate::config::{Partial, runtime_path_variable};
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::plan::{Abilities, Fence, reached};
use crate::runtime::advisories::{self, Advisory, Machine};
use crate::runtime::install;
use crate::sandbox::IsolationLevel;
use crate::ui::table;

/// All that is told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    pyw: &'static str,
    system: String,
    store: String,
    layers: Vec<Layer>,
    runtimes: Vec<RuntimeRow>,
    interpreters: Vec<InterpreterRow>,
    /// What could be better, each with what to do.
    advice: Vec<Advice>,
}

/// A part of the fence.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Layer {
    holds: &'static str,
    by: Option<String>,
    /// Why nothing does.
    missing: Option<String>,
    #[serde(skip)]
    what_to_do: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RuntimeRow {
    name: String,
    platform: String,
    version: Option<String>,
    path: Option<String>,
    #[serde(skip)]
    by_name_only: bool,
    /// Why it cannot be used, where it is found.
    problem: Option<String>,
    /// How well a program on it is isolated here.
    isolation: IsolationLevel,
    advisories: Vec<&'static Advisory>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct InterpreterRow {
    name: String,
    version: String,
    platform: String,
    /// The usable runtimes for it, in the order in which they are tried.
    runtimes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Advice {
    about: String,
    weakness: String,
    what_to_do: String,
}

/// Carries the command out.
///
/// # Errors
/// The configuration or a descriptor is wrong.
pub fn execute(format: Format, common: &Common) -> Result<ExitCode, Error> {
    let mut context = Context::load(Partial {
        offline: common.offline.then_some(true),
        ..Partial::default()
    })?;
    context.fence.mounts = crate::launch::fence::own_mounts();
    let report = report(&context)?;
    match format {
        Format::Json => super::print_json(&report)?,
        Format::Text => print(&report),
    }
    Ok(ExitCode::SUCCESS)
}

fn report(context: &Context) -> Result<Report, Error> {
    let machine = Machine::here();
    let mut advice = Vec::new();
    let layers = layers(&context.fence);
    for layer in &layers {
        if let Some(missing) = &layer.missing {
            advice.push(Advice {
                about: "fence".into(),
                weakness: format!(
                    "nothing outside the runtime holds {}: {missing}",
                    layer.holds
                ),
                what_to_do: layer.what_to_do.into(),
            });
        }
    }
    let mut runtimes = Vec::new();
    for entry in context.catalog.entries() {
        let known = context.descriptor(&entry.name)?;
        let located = context.executable(&entry.name);
        let probed = context.find(&entry.name);
        let mut problem = probed.as_ref().err().map(ToString::to_string);
        let hint = probed
            .as_ref()
            .err()
            .and_then(crate::runtime::RuntimeError::hint);
        let found = probed.ok().flatten();
        let descriptor = found.as_ref().map_or(&known, |found| &found.descriptor);
        let version = found.as_ref().and_then(|found| found.version.as_ref());
        let advisories = advisories::of(descriptor.executable_name(), version, &machine);
        if let Some(problem) = &problem {
            advice.push(Advice {
                about: entry.name.clone(),
                weakness: problem.clone(),
                what_to_do: hint.unwrap_or_else(|| "choose another runtime".into()),
            });
        }
        for one in &advisories {
            if one.refuse {
                problem.get_or_insert_with(|| "has known security holes".into());
            }
            advice.push(Advice {
                about: entry.name.clone(),
                weakness: format!("{} ({})", one.what, one.id),
                what_to_do: match &one.because {
                    None => format!("update it: fixed in {}", one.fixed),
                    Some(because) => format!("nothing: {because}"),
                },
            });
        }
        let path = located.ok().flatten().map(|(path, _)| path.to_string());
        if path.is_none() && problem.is_none() && install::installable(&known) {
            advice.push(Advice {
                about: entry.name.clone(),
                weakness: "it was not found".into(),
                what_to_do: format!(
                    "if you want it: pyw runtime install {}, or {}=PATH",
                    entry.name,
                    runtime_path_variable(&entry.name)
                ),
            });
        }
        runtimes.push(RuntimeRow {
            name: entry.name.clone(),
            platform: descriptor.platform.to_string(),
            version: version.map(ToString::to_string),
            isolation: reached(descriptor, &context.fence),
            by_name_only: descriptor.by_name_only,
            path,
            problem,
            advisories,
        });
    }
    let interpreters = Interpreter::installed(&context.store)
        .into_iter()
        .map(|found| {
            let platform = found.info.system().to_string();
            let usable = runtimes.iter().filter(|row| {
                row.path.is_some()
                    && row.problem.is_none()
                    && row.platform == platform
                    && !row.by_name_only
            });
            InterpreterRow {
                runtimes: usable.map(|row| row.name.clone()).collect(),
                name: found.key,
                version: found.info.version,
                platform,
            }
        })
        .collect();
    Ok(Report {
        pyw: env!("CARGO_PKG_VERSION"),
        system: system(&machine),
        store: context.store.root().to_string(),
        layers,
        runtimes,
        interpreters,
        advice,
    })
}

fn system(machine: &Machine) -> String {
    match machine.linux {
        Some((major, minor)) => format!("Linux {major}.{minor} on {}", machine.arch),
        None => format!("{} on {}", machine.os, machine.arch),
    }
}

fn layers(fence: &Fence) -> Vec<Layer> {
    let whole = "use Linux 6.2 or newer with Landlock and seccomp switched on";
    let sized = "where --tmp-size is wanted: Linux, with user namespaces allowed";
    [
        ("files", &fence.paths, whole),
        ("system calls", &fence.calls, whole),
        ("the size of /tmp", &fence.mounts, sized),
    ]
    .map(|(holds, abilities, what_to_do)| {
        let (by, missing) = match abilities {
            Abilities::Available(by) => (Some(by.clone()), None),
            Abilities::Missing(why) => (None, Some(why.clone())),
        };
        Layer {
            holds,
            by,
            missing,
            what_to_do,
        }
    })
    .into()
}

fn print(report: &Report) {
    let dash = || "-".to_owned();
    anstream::println!("pyw {} on {}", report.pyw, report.system);
    anstream::println!("store: {}", report.store);
    for layer in &report.layers {
        match (&layer.by, &layer.missing) {
            (Some(by), _) => anstream::println!("{}: {by}", layer.holds),
            (None, why) => anstream::println!(
                "{}: nothing ({})",
                layer.holds,
                why.as_deref().unwrap_or_default()
            ),
        }
    }
    anstream::println!();
    let rows = report.runtimes.iter().map(|row| {
        vec![
            row.name.clone(),
            row.version.clone().unwrap_or_else(dash),
            row.platform.clone(),
            match row.path.is_some() && row.problem.is_none() {
                true => row.isolation.to_string(),
                false => dash(),
            },
            match (&row.problem, &row.path) {
                (Some(_), _) => "not usable, see below".to_owned(),
                (None, Some(path)) => path.clone(),
                (None, None) => "not found".to_owned(),
            },
        ]
    });
    table::print(
        &["runtime", "version", "runs", "isolation", "where"],
        rows.collect(),
    );
    anstream::println!();
    if report.interpreters.is_empty() {
        anstream::println!("no interpreter is installed yet; the first run installs one");
    } else {
        let rows = report.interpreters.iter().map(|row| {
            vec![
                row.version.clone(),
                row.platform.clone(),
                match row.runtimes.is_empty() {
                    true => "no runtime for it".to_owned(),
                    false => row.runtimes.join(", "),
                },
                row.name.clone(),
            ]
        });
        table::print(&["CPython", "for", "runs on", "name"], rows.collect());
    }
    if !report.advice.is_empty() {
        anstream::println!();
    }
    for advice in &report.advice {
        anstream::println!("{}: {}", advice.about, advice.weakness);
        anstream::println!("  {}", advice.what_to_do);
    }
}
