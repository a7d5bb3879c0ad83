//! The store as a whole: real processes, real sockets, real disks.
#![cfg(unix)]

mod archives;
mod disks;
mod downloads;
mod indexes;
mod processes;
mod progress;

#[path = "../support/mod.rs"]
mod support;

use camino::Utf8PathBuf;
use pyw::store::{Kind, Store, StoreError};

/// An entry with one small file.
fn put(store: &Store, key: &str) -> Result<Utf8PathBuf, StoreError> {
    store.get_or_create(Kind::Module, key, |staging| {
        let path = staging.join("file");
        std::fs::write(&path, key).map_err(|cause| StoreError::io("writing", &path, cause))
    })
}

/// Not a test: what the children of the tests do.
#[test]
fn child() {
    support::process::child(|task, folder| match task {
        "root" => processes::root(folder),
        "build" => processes::build(folder),
        "hang" => processes::hang(folder),
        "download" => processes::download(folder),
        "full-disk" => disks::on_full_disk(folder),
        "read-only" => disks::on_read_only(folder),
        "progress" => progress::show(),
        other => panic!("unknown task {other}"),
    });
}
