//! `pyw runtime list|which|install|remove`; `check` is in [`super::check`].

use std::process::ExitCode;

use serde::Serialize;

use super::context::Context;
use super::options::{Common, Format, RuntimeCommand};
use crate::config::Partial;
use crate::error::Error;
use crate::interpreter::Platform;
use crate::plan::Abilities;
use crate::runtime::descriptor::{Isolation, KnownDifference};
use crate::runtime::{Descriptor, install};
use crate::ui::table;

/// Carries the command out.
///
/// # Errors
/// As the parts say.
pub fn execute(command: RuntimeCommand, common: &Common) -> Result<ExitCode, Error> {
    if let RuntimeCommand::Check { names, output } = &command {
        return super::check::execute(names, output.format, common);
    }
    let offline = common.offline.then_some(true);
    let context = Context::load(Partial {
        offline,
        ..Partial::default()
    })?;
    match command {
        RuntimeCommand::Check { .. } => {}
        RuntimeCommand::List { output } => list(&context, output.format)?,
        RuntimeCommand::Which { name, output } => which(&context, &name, output.format)?,
        RuntimeCommand::Install { name } => {
            let runtime = context.install(&name)?;
            anstream::println!("{} is at {}", runtime.label(), runtime.executable);
        }
        RuntimeCommand::Remove { name } => {
            install::remove(&context.installed_as(&name)?, &context.store)?;
            anstream::println!("removed {name} from pyw's store");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One runtime, as tools see it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    name: String,
    summary: String,
    /// The user's file that describes it; none for a built-in descriptor.
    descriptor: Option<String>,
    path: Option<String>,
    found: Option<String>,
    version: Option<String>,
    /// What its interpreters are built for.
    platform: Platform,
    /// What a program meets that breaks out of its module.
    isolation: Isolation,
    /// Why it can't be used.
    problem: Option<String>,
    installable: bool,
    read_only: String,
    memory: bool,
    stack: bool,
    network: bool,
    known_differences: Vec<KnownDifference>,
}

fn list(context: &Context, format: Format) -> Result<(), Error> {
    let mut rows = Vec::new();
    for entry in context.catalog.entries() {
        let mut descriptor = context.descriptor(&entry.name)?;
        let located = context.executable(&entry.name);
        let probed = context.find(&entry.name);
        let problem = probed.as_ref().err().map(ToString::to_string);
        let runtime = probed.ok().flatten();
        if let Some(runtime) = &runtime {
            descriptor = runtime.descriptor.clone();
        }
        let place = located.ok().flatten();
        rows.push(Listed {
            name: entry.name.clone(),
            summary: descriptor.summary.clone(),
            descriptor: entry.file.clone(),
            path: place.as_ref().map(|(path, _)| path.to_string()),
            found: place.as_ref().map(|(_, found)| found.to_string()),
            version: runtime.and_then(|r| r.version.map(|v| v.to_string())),
            platform: descriptor.platform,
            isolation: descriptor.isolation,
            problem,
            installable: install::installable(&context.installed_as(&entry.name)?),
            read_only: read_only(&descriptor, context).to_owned(),
            memory: descriptor.limits_memory(),
            stack: descriptor.limits.stack.is_some(),
            network: descriptor.network.host.is_some(),
            known_differences: descriptor.known_differences,
        });
    }
    if format == Format::Json {
        return super::print_json(&rows);
    }
    let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
    let cells = rows
        .iter()
        .map(|row| {
            let state = match (&row.problem, &row.path) {
                (Some(problem), _) => problem.clone(),
                (None, Some(path)) => path.clone(),
                (None, None) if row.installable => {
                    format!("not found; pyw runtime install {}", row.name)
                }
                (None, None) => "not found".to_owned(),
            };
            vec![
                row.name.clone(),
                row.version.clone().unwrap_or_else(|| "-".to_owned()),
                row.platform.to_string(),
                row.read_only.clone(),
                yes(row.memory),
                yes(row.stack),
                row.found.clone().unwrap_or_else(|| "-".to_owned()),
                state,
            ]
        })
        .collect();
    let head = [
        "runtime",
        "version",
        "runs",
        "read-only",
        "--memory",
        "--stack",
        "found by",
        "where",
    ];
    table::print(&head, cells);
    Ok(())
}

/// Who keeps read-only mounts read-only.
fn read_only(descriptor: &Descriptor, context: &Context) -> &'static str {
    let own = descriptor.holds_read_only();
    let fence = matches!(context.fence.paths, Abilities::Available(_));
    match (own, fence) {
        (true, true) => "both",
        (true, false) => "runtime",
        (false, true) => "fence",
        (false, false) => "nobody",
    }
}

fn which(context: &Context, name: &str, format: Format) -> Result<(), Error> {
    let Some(runtime) = context.find(name)? else {
        return Err(context.not_found(name).into());
    };
    if format == Format::Json {
        return super::print_json(&serde_json::json!({
            "name": name,
            "path": runtime.executable,
            "found": runtime.found.to_string(),
            "version": runtime.version.map(|v| v.to_string()),
        }));
    }
    anstream::println!("{}", runtime.executable);
    Ok(())
}
