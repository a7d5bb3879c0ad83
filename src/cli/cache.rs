//! `pyw cache dir|size|prune|clear`.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::context::Context;
use super::options::{CacheCommand, Format};
use crate::config::Partial;
use crate::error::Error;
use crate::package::environment::Environment;
use crate::package::prune;
use crate::sandbox::limits::parse_duration;
use crate::store::prune::Pruned;
use crate::store::{Kind, Store};
use crate::ui::progress;
use crate::ui::table;

/// Carries the command out.
///
/// # Errors
/// The configuration is wrong, or the store cannot be listed or written.
pub fn execute(command: CacheCommand) -> Result<ExitCode, Error> {
    let store = Context::load(Partial::default())?.store;
    match command {
        CacheCommand::Dir => anstream::println!("{}", store.root()),
        CacheCommand::Size { output } => size(&store, output.format)?,
        CacheCommand::Prune { unused, dry_run } => {
            let pruned = prune::prune(&store, unused_for(&unused)?, dry_run)?;
            tell(&store, &pruned, dry_run);
        }
        CacheCommand::Clear => tell(&store, &prune::clear(&store)?, false),
    }
    Ok(ExitCode::SUCCESS)
}

/// The age that `--unused` names; zero is one as well.
fn unused_for(text: &str) -> Result<Duration, Error> {
    if matches!(text.trim(), "0" | "0s" | "0d") {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).map_err(|message| Error::Usage {
        message: format!("--unused: {message}"),
        see: "pyw help cache".into(),
    })
}

/// One line of `size`.
#[derive(Serialize)]
struct Row {
    name: String,
    /// Entries, or files where there are no entries.
    count: u64,
    bytes: u64,
}

fn size(store: &Store, format: Format) -> Result<(), Error> {
    let kinds = store.sizes()?.into_iter().map(|(kind, size)| Row {
        name: kind.folder().to_owned(),
        count: size.entries,
        bytes: size.bytes,
    });
    let others = store.other_sizes().into_iter().map(|(name, size)| Row {
        name: name.to_owned(),
        count: size.files,
        bytes: size.bytes,
    });
    let rows: Vec<Row> = kinds.chain(others).collect();
    let total: u64 = rows.iter().map(|row| row.bytes).sum();
    if format == Format::Json {
        return super::print_json(&serde_json::json!({
            "dir": store.root(),
            "parts": rows,
            "bytes": total,
        }));
    }
    let mut cells: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| vec![row.name, row.count.to_string(), progress::size(row.bytes)])
        .collect();
    cells.push(vec!["total".into(), String::new(), progress::size(total)]);
    table::print(&["what", "count", "size"], cells);
    Ok(())
}

/// Says what became of the store, or would.
fn tell(store: &Store, pruned: &Pruned, dry: bool) {
    for (kind, key) in &pruned.removed {
        progress::verbose(&format!("{} {kind} {key}", removed_word(dry)));
    }
    let mut words = Vec::new();
    for kind in Kind::ALL {
        let count = pruned.removed.iter().filter(|(k, _)| *k == kind).count();
        match count {
            0 => {}
            1 => words.push(format!("1 {kind}")),
            // `bytecode` has no plural.
            many if kind == Kind::Bytecode => words.push(format!("{many} {kind}")),
            many => words.push(format!("{many} {kind}s")),
        }
    }
    for (name, count) in &pruned.files {
        let files = if *count == 1 { "file" } else { "files" };
        words.push(match name.as_str() {
            "downloads" => format!("{count} {files} of unfinished downloads"),
            "staging" => format!("{count} {files} of unfinished work"),
            cache => format!("{count} cached {files} ({cache})"),
        });
    }
    let freed = progress::size(pruned.freed);
    if words.is_empty() {
        anstream::println!("nothing to remove");
    } else if dry {
        anstream::println!("would remove {}, and free {freed}", words.join(", "));
    } else {
        anstream::println!("removed {}, and freed {freed}", words.join(", "));
    }
    for (kind, key) in &pruned.in_use {
        let shown = match kind {
            Kind::Environment => packages(store, key),
            _ => String::new(),
        };
        anstream::println!("kept, as a running pyw uses it: {kind} {key}{shown}");
    }
    for name in &pruned.caches_in_use {
        anstream::println!("kept, as a running pyw uses it: cache {name}");
    }
}

fn removed_word(dry: bool) -> &'static str {
    match dry {
        true => "would remove",
        false => "removed",
    }
}

/// The packages of an environment, whose name says nothing to people.
fn packages(store: &Store, key: &str) -> String {
    let Ok(environment) = Environment::open(&store.place(Kind::Environment, key)) else {
        return String::new();
    };
    let names = environment.info.packages.iter();
    let names: Vec<String> = names.map(|package| package.name.to_string()).collect();
    format!(" ({})", names.join(", "))
}
