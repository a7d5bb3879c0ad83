//! The command line: parsing, dispatch, exit code. What commands do is in the layers below; here
//! they are put together, one file a command.

pub mod cache;
pub mod check;
mod compile;
pub mod config;
pub mod context;
pub mod doctor;
pub mod export;
pub mod help;
pub mod learn;
pub mod lock;
pub mod options;
pub mod packages;
pub mod python;
pub mod record;
pub mod run;
pub mod runtime;
pub mod split;
pub mod start;
pub mod tree;
pub mod trust;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::error::Error;
use crate::ui::report;
use options::{Command, Manage, RunOptions};
use split::{Program, Split};

/// Runs pyw with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(error) => return fail(&error),
    };
    match dispatch(args) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn fail(error: &Error) -> ExitCode {
    report::print(error);
    ExitCode::from(error.code() as u8)
}

fn arguments() -> Result<Vec<String>, Error> {
    std::env::args_os()
        .skip(1)
        .map(|arg| {
            arg.into_string().map_err(|arg| {
                let what = arg.to_string_lossy().into_owned();
                Error::Request(crate::request::RequestError::NotUtf8 { what })
            })
        })
        .collect()
}

fn dispatch(args: Vec<String>) -> Result<ExitCode, Error> {
    if is_management(&args) {
        return manage(args);
    }
    let split = split::split(args)?;
    let key = record::Key::of(&split);
    if let Some(found) = key.as_ref().and_then(record::Key::find)
        && let Some(code) = run::again(found)?
    {
        return Ok(code);
    }
    let options = options_of_run(&split)?;
    if options.help || split.help {
        help::print(None)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.version {
        anstream::println!("pyw {}", env!("CARGO_PKG_VERSION"));
        return Ok(ExitCode::SUCCESS);
    }
    run::run(split, options, key)
}

fn options_of_run(split: &Split) -> Result<RunOptions, Error> {
    RunOptions::try_parse_from(&split.own).map_err(|error| Error::usage(clap_message(&error)))
}

/// The management commands, as clap knows them: see [`split`] for why they are here once more.
const COMMANDS: [&str; 11] = [
    "runtime", "python", "config", "lock", "export", "tree", "cache", "doctor", "trust", "warm",
    "help",
];

/// Whether the first word is a management command. Options of a run may stand before a program
/// but not before a command, so looking at the first argument is enough.
fn is_management(args: &[String]) -> bool {
    let Some(first) = args.first() else {
        return false;
    };
    COMMANDS.contains(&first.as_str())
}

fn manage(args: Vec<String>) -> Result<ExitCode, Error> {
    // There is a first one, else this would be no management command.
    let name = args[0].clone();
    let manage = match Manage::try_parse_from(std::iter::once("pyw".to_owned()).chain(args)) {
        Ok(manage) => manage,
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            let message = match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => incomplete(&name),
                _ => clap_message(&error),
            };
            return Err(Error::Usage {
                message,
                see: format!("pyw help {name}"),
            });
        }
    };
    crate::ui::progress::init(context::verbosity(
        manage.common.verbose,
        manage.common.quiet,
    ));
    match manage.command {
        Command::Runtime(command) => runtime::execute(command, &manage.common),
        Command::Python(command) => python::execute(command, &manage.common),
        Command::Config(command) => config::execute(command),
        Command::Lock {
            subject,
            output,
            check,
        } => lock::execute(&subject, output.as_deref(), check, &manage.common),
        Command::Export { subject, output } => {
            export::execute(&subject, output.as_deref(), &manage.common)
        }
        Command::Tree { subject, output } => tree::execute(&subject, output.format, &manage.common),
        Command::Cache(command) => cache::execute(command),
        Command::Doctor { output } => doctor::execute(output.format, &manage.common),
        Command::Trust {
            target,
            list,
            forget,
        } => trust::execute(target.as_deref(), list, forget, &manage.common),
        Command::Warm { args } => {
            let split = split::split(args)?;
            let mut options = options_of_run(&split)?;
            options.offline |= manage.common.offline;
            options.verbose |= manage.common.verbose;
            options.quiet |= manage.common.quiet;
            if options.help || split.help {
                return help::print(Some(&name)).map(|()| ExitCode::SUCCESS);
            }
            run::warm(split, options)
        }
        Command::Help { topic } => help::print(topic.as_deref()).map(|()| ExitCode::SUCCESS),
    }
}

/// What is missing behind a command that has commands of its own, where clap would print its help
/// as if it were an error.
fn incomplete(name: &str) -> String {
    let manage = Manage::command();
    let names: Vec<&str> = manage
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_subcommands)
        .map(clap::Command::get_name)
        .collect();
    format!("`pyw {name}` needs a command: {}", names.join(", "))
}

/// clap's message without its own prefix and without the usage, which `--help` shows better.
fn clap_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = text
        .find("\n\nUsage:")
        .or_else(|| text.find("\n\nFor more information"));
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

impl From<Program> for crate::request::Program {
    fn from(program: Program) -> Self {
        match program {
            Program::Script(path) => Self::Script(path),
            Program::Code(code) => Self::Code(code),
            Program::Module(name) => Self::Module(name),
            Program::Stdin => Self::Stdin,
            Program::Prompt => Self::Prompt,
        }
    }
}

impl Split {
    /// Whether progress and choices are to be told.
    fn verbosity(&self, options: &RunOptions) -> crate::ui::progress::Verbosity {
        context::verbosity(self.verbose || options.verbose, self.quiet || options.quiet)
    }
}

/// Prints a value as JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal {
        message: e.to_string(),
    })?;
    anstream::println!("{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_those_of_clap() {
        let manage = Manage::command();
        let known: Vec<&str> = manage
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(known, COMMANDS);
    }
}
