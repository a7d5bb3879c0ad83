//! A plan as `--dry-run` shows it: shell commands that can be pasted, and who enforces what.

use crate::interpreter::Interpreter;
use crate::package::environment::Environment;
use crate::plan::{Beginning, Plan};
use crate::runtime::Runtime;
use crate::sandbox::Access;
use crate::ui::table;

/// Prints the plan for people.
pub fn print(
    plan: &Plan,
    beginning: &Beginning,
    runtime: &Runtime,
    interpreter: &Interpreter,
    environment: Option<&Environment>,
) {
    anstream::println!(
        "# {} ({}, from {}), CPython {} ({})",
        runtime.label(),
        runtime.executable,
        runtime.found,
        interpreter.info.version,
        interpreter.key,
    );
    if let Some(environment) = environment {
        let packages = &environment.info.packages;
        let all: Vec<String> = packages
            .iter()
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        anstream::println!("# packages: {}", all.join(", "));
    }
    anstream::println!(
        "# isolation: {} ({})",
        plan.isolation,
        plan.isolation.meaning()
    );
    anstream::println!("# start: {beginning}");
    for line in script(plan) {
        anstream::println!("{line}");
    }
    anstream::println!();
    let rows = plan
        .grants
        .iter()
        .map(|row| vec![row.grant.clone(), row.enforced_by.clone()])
        .collect();
    table::print(&["grant", "enforced by"], rows);
    if plan.fence.is_some() {
        anstream::println!();
        anstream::println!("# Pasted into a shell, the command runs without pyw's fence.");
    }
}

/// The plan for tools.
#[must_use]
pub fn json(
    plan: &Plan,
    beginning: &Beginning,
    runtime: &Runtime,
    interpreter: &Interpreter,
    environment: Option<&Environment>,
) -> serde_json::Value {
    serde_json::json!({
        "plan": plan,
        "beginning": beginning,
        "found": runtime.found.to_string(),
        "interpreter": { "name": interpreter.key, "version": interpreter.info.version },
        "packages": environment.map(|environment| &environment.info.packages),
        "shell": script(plan),
    })
}

/// Shell commands that do what the plan says, but for the fence and the watching.
#[must_use]
pub fn script(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(scratch) = &plan.scratch {
        let mut make = vec!["mkdir", "-p"];
        make.extend(scratch.folders.iter().map(|folder| folder.as_str()));
        // As private as pyw makes it, without changing the mask of the shell that this is pasted to.
        lines.push(format!("(umask 077; {})", join(&make)));
        for file in &scratch.files {
            lines.push(format!(": > {}", join(&[file.as_str()])));
        }
        for (file, text) in &scratch.texts {
            lines.push(format!(
                "{} > {}",
                join(&["printf", "%s", text]),
                join(&[file.as_str()])
            ));
        }
        for (link, target) in &scratch.links {
            lines.push(join(&["ln", "-s", target.as_str(), link.as_str()]));
        }
        for placed in &scratch.placed {
            let (from, to) = (placed.from.as_str(), placed.to.as_str());
            lines.push(match placed.access {
                Access::Read => join(&["cp", from, to]),
                Access::Write => join(&["ln", from, to]),
            });
        }
    }
    let mut command = vec!["env".to_owned(), "-i".to_owned()];
    command.extend(
        plan.env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    command.push(plan.program.to_string());
    command.extend(plan.args.iter().cloned());
    let command = join(&command.iter().map(String::as_str).collect::<Vec<_>>());
    lines.push(match plan.process_stack {
        None => command,
        Some(bytes) => format!("(ulimit -S -s {}; {command})", bytes / 1024),
    });
    if let Some(scratch) = &plan.scratch {
        lines.push(join(&["rm", "-rf", scratch.root.as_str()]));
    }
    lines
}

/// The words as a shell reads them back.
fn join(words: &[&str]) -> String {
    // Arguments with NUL bytes have been refused, the one thing that cannot be quoted.
    shlex::try_join(words.iter().copied()).unwrap_or_default()
}
