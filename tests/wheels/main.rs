//! Wheels, from the archive to the tree that a guest imports from.
#![cfg(unix)]

mod attacks;
mod environments;
mod guest;
mod processes;
mod real;

#[path = "../support/mod.rs"]
mod support;

use pyw::store::prune::Pruned;
use pyw::store::{Fetcher, Kind, Store};

/// A fetcher that must not be needed.
fn offline() -> Fetcher {
    Fetcher::new(true)
}

/// Removes everything of these kinds that is not in use.
fn remove_unused(store: &Store, kinds: &[Kind]) -> Pruned {
    let mut pruning = store.pruning(false);
    for kind in kinds {
        pruning.entries(*kind, |_, _| true).unwrap();
    }
    pruning.finish()
}

/// Not a test: what the children of the tests do.
#[test]
fn child() {
    pyw::ui::progress::init(pyw::ui::progress::Verbosity::Quiet);
    support::process::child(|task, folder| match task {
        "build" => processes::build(folder),
        "hold" => processes::hold(folder),
        "run" => real::run(folder),
        "full-disk" => processes::on_full_disk(folder),
        "read-only" => processes::on_read_only(folder),
        other => panic!("unknown task {other}"),
    });
}
