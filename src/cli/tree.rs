//! `pyw tree`: the packages of a script or project, and who asks for each.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use super::options::{Common, Format, Subject};
use super::{lock, packages};
use crate::error::Error;
use crate::package::blueprint::{self, versions_of};
use crate::package::resolution::{Resolution, Resolved, Source, Why};

/// Carries the command out.
///
/// # Errors
/// The packages cannot be had together.
pub fn execute(subject: &Subject, format: Format, common: &Common) -> Result<ExitCode, Error> {
    let (context, brief) = lock::load(subject, common)?;
    if brief.is_empty() && brief.lock.is_none() {
        return Err(lock::nothing(&context));
    }
    if let Some(path) = &brief.named_lock {
        return Err(Error::Usage {
            message: format!("{path} is a lock, which does not say who asks for a package"),
            see: "pyw help tree".into(),
        });
    }
    let interpreter = context.interpreter_for(&brief, subject.platform()?)?;
    let index = packages::index(&context, &brief, &interpreter)?;
    let preferences = blueprint::own_lock(&brief)?.map(|(_, lock)| versions_of(&lock));
    let (resolution, _) =
        blueprint::resolution(&brief, &interpreter, &index, &context.store, preferences)?;
    match format {
        Format::Text => anstream::print!("{}", render(&resolution)),
        Format::Json => super::print_json(&serde_json::json!({
            "interpreter": { "name": interpreter.key, "version": interpreter.info.version },
            "packages": resolution.packages,
            "notes": resolution.notes,
        }))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The tree as text: those who ask, below each what it asks for, and so on. What was shown once is
/// not opened again.
fn render(resolution: &Resolution) -> String {
    let mut tops: BTreeMap<&str, Vec<(&Resolved, &str)>> = BTreeMap::new();
    for package in &resolution.packages {
        for why in &package.why {
            if let Why::Asked {
                requirement,
                origin,
            } = why
            {
                let asked = tops.entry(origin).or_default();
                asked.push((package, requirement));
            }
        }
    }
    let mut drawing = Drawing {
        resolution,
        seen: BTreeSet::new(),
        closed: false,
        out: String::new(),
    };
    for (origin, asked) in tops {
        drawing.out.push_str(origin);
        drawing.out.push('\n');
        drawing.branches(&asked, "");
    }
    if drawing.closed {
        drawing.out.push_str("(… means: shown in full above)\n");
    }
    if drawing.out.is_empty() {
        drawing.out.push_str("no packages\n");
    }
    drawing.out
}

struct Drawing<'r> {
    resolution: &'r Resolution,
    seen: BTreeSet<&'r str>,
    /// Whether something was not opened again.
    closed: bool,
    out: String,
}

impl<'r> Drawing<'r> {
    fn branches(&mut self, members: &[(&'r Resolved, &'r str)], indent: &str) {
        for (at, (package, requirement)) in members.iter().enumerate() {
            let (branch, below) = match at + 1 == members.len() {
                true => ("└── ", "    "),
                false => ("├── ", "│   "),
            };
            let again = !self.seen.insert(package.name.as_str());
            let closed = again && !package.dependencies.is_empty();
            self.closed |= closed;
            let from = match &package.source {
                Source::Wheel(_) => "",
                Source::Folder(_) => ", a folder",
                Source::Interpreter => ", the interpreter's own",
            };
            self.out.push_str(&format!(
                "{indent}{branch}{} {}  ({requirement}{from}){}\n",
                package.name,
                package.version,
                if closed { " …" } else { "" },
            ));
            if !again {
                let needed = self.needed_by(package);
                self.branches(&needed, &format!("{indent}{below}"));
            }
        }
    }

    /// What a package needs, with the requirement by which it does.
    fn needed_by(&self, of: &Resolved) -> Vec<(&'r Resolved, &'r str)> {
        let needs = |package: &'r Resolved| {
            package.why.iter().find_map(move |why| match why {
                Why::Needed { by, requirement } if *by == of.name => {
                    Some((package, requirement.as_str()))
                }
                _ => None,
            })
        };
        self.resolution.packages.iter().filter_map(needs).collect()
    }
}
