//! `pyw python list|install|remove|inspect`.

use std::process::ExitCode;

use camino::Utf8Path;
use serde::Serialize;

use super::context::Context;
use super::options::{Common, Format, PythonCommand};
use crate::config::Partial;
use crate::error::Error;
use crate::interpreter::choose::Wanted;
use crate::interpreter::{self, Interpreter, InterpreterError, wasm};
use crate::store::Kind;
use crate::ui::table;

/// Carries the command out.
///
/// # Errors
/// As the parts say.
pub fn execute(command: PythonCommand, common: &Common) -> Result<ExitCode, Error> {
    let offline = common.offline.then_some(true);
    let context = Context::load(Partial {
        offline,
        ..Partial::default()
    })?;
    match command {
        PythonCommand::List { output } => list(&context, output.format)?,
        PythonCommand::Install { which } => {
            let found = context.interpreter(&Wanted::parse(&which)?)?;
            anstream::println!(
                "CPython {} is installed as {}",
                found.info.version,
                found.key
            );
        }
        PythonCommand::Remove { name } => remove(&context, &name)?,
        PythonCommand::Inspect { which, output } => inspect(&context, &which, output.format)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    version: String,
    platform: String,
    installed: bool,
    default: bool,
    source: String,
    path: Option<String>,
}

fn list(context: &Context, format: Format) -> Result<(), Error> {
    let catalog = interpreter::catalog::entries()?;
    let installed = Interpreter::installed(&context.store);
    let mut rows: Vec<Listed> = Vec::new();
    for entry in &catalog {
        let here = installed.iter().find(|i| i.key == entry.key());
        rows.push(Listed {
            name: entry.name.clone(),
            version: entry.version.to_string(),
            platform: entry.platform.clone(),
            installed: here.is_some(),
            default: entry.default,
            source: entry
                .sources
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", or "),
            path: here.map(|i| i.folder.to_string()),
        });
    }
    for found in &installed {
        if !catalog.iter().any(|entry| entry.key() == found.key) {
            rows.push(Listed {
                name: found.key.clone(),
                version: found.info.version.clone(),
                platform: found.info.platform.clone(),
                installed: true,
                default: false,
                source: found.info.source.clone(),
                path: Some(found.folder.to_string()),
            });
        }
    }
    if format == Format::Json {
        return super::print_json(&rows);
    }
    let cells = rows
        .into_iter()
        .map(|row| {
            let state = match (row.installed, row.default) {
                (true, true) => "installed, default",
                (true, false) => "installed",
                (false, true) => "default",
                (false, false) => "-",
            };
            vec![
                row.name,
                row.version,
                row.platform,
                state.to_owned(),
                row.source,
            ]
        })
        .collect();
    table::print(
        &["interpreter", "version", "platform", "state", "from"],
        cells,
    );
    Ok(())
}

fn remove(context: &Context, name: &str) -> Result<(), Error> {
    let installed = Interpreter::installed(&context.store);
    let catalog = interpreter::catalog::entries()?;
    let key = catalog
        .iter()
        .find(|e| e.name == name)
        .map(interpreter::catalog::Entry::key);
    let key = key.unwrap_or_else(|| name.to_owned());
    if !installed.iter().any(|i| i.key == key) {
        return Err(Error::Interpreter(InterpreterError::NotInstalled {
            name: name.to_owned(),
            installed: installed.into_iter().map(|i| i.key).collect(),
        }));
    }
    context.store.remove(Kind::Interpreter, &key)?;
    anstream::println!("removed {name}");
    Ok(())
}

fn inspect(context: &Context, which: &str, format: Format) -> Result<(), Error> {
    // A lone module is looked at without running or importing it.
    let path = Utf8Path::new(which);
    if path.extension() == Some("wasm") && context.cwd.join(path).is_file() {
        let module = wasm::inspect_file(context.cwd.join(path))?;
        if format == Format::Json {
            return super::print_json(&module);
        }
        print_module(&module);
        return Ok(());
    }
    let wanted = Wanted::parse(which).or_else(|error| {
        // What `pyw python list` shows is accepted as well.
        let installed = Interpreter::installed(&context.store);
        match installed.iter().any(|i| i.key == which) {
            true => Ok(Wanted::Name(which.to_owned())),
            false => Err(error),
        }
    })?;
    let found = context.interpreter(&wanted)?;
    if format == Format::Json {
        return super::print_json(&found.info);
    }
    let info = &found.info;
    print_pairs(&[
        ("name", found.key.clone()),
        ("version", info.version.clone()),
        ("build", info.banner.replace('\n', " ")),
        ("platform", info.platform.clone()),
        ("imported from", info.source.clone()),
        ("folder", found.folder.to_string()),
        (
            "standard library",
            format!("{} in the sandbox", info.stdlib),
        ),
        (
            "memory at start",
            crate::sandbox::limits::format_size(info.module_memory),
        ),
        ("sha256 of the module", info.module_sha256.clone()),
        ("built-in modules", info.builtin_modules.join(" ")),
    ]);
    Ok(())
}

fn print_module(module: &wasm::ModuleInfo) {
    let features: Vec<String> = module
        .features
        .iter()
        .map(|f| format!("{f:?}").to_lowercase())
        .collect();
    let imports: Vec<String> = module
        .imports
        .iter()
        .map(|(from, names)| format!("{from} ({})", names.len()))
        .collect();
    let memory = match module.memory {
        None => "none".to_owned(),
        Some(memory) => crate::sandbox::limits::format_size(memory.minimum * 65536),
    };
    let usable = match module.require_interpreter(interpreter::Platform::Wasi) {
        Ok(()) => "yes".to_owned(),
        Err(error) => format!("no: {error}"),
    };
    print_pairs(&[
        ("kind", format!("{:?}", module.kind).to_lowercase()),
        ("imports", imports.join(", ")),
        ("memory at start", memory),
        ("features", features.join(" ")),
        ("can be run", usable),
    ]);
}

fn print_pairs(pairs: &[(&str, String)]) {
    for (name, value) in pairs {
        let value = if value.is_empty() { "-" } else { value };
        anstream::println!("{name:<22}{value}");
    }
}
