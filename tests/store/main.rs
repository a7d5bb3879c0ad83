//! The store as a whole: real processes, real sockets, real disks.
#![cfg(unix)]

mod archives;
mod disks;
mod downloads;
mod indexes;
mod processes;
mod progress;
mod server;

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use pyw::store::{Kind, Store, StoreError};

/// A folder that is gone after the test, and a store that is to be in it.
struct Scratch {
    _folder: tempfile::TempDir,
    path: Utf8PathBuf,
    store: Store,
}

impl Scratch {
    fn new() -> Self {
        // What is told is tested in a process of its own.
        pyw::ui::progress::init(pyw::ui::progress::Verbosity::Quiet);
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        Scratch {
            store: Store::at(path.join("store")),
            path,
            _folder: folder,
        }
    }

    /// The names in a folder of the store.
    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.store.root().join(folder))
    }
}

fn names(folder: &Utf8Path) -> Vec<String> {
    let Ok(listing) = folder.read_dir_utf8() else {
        return Vec::new();
    };
    let mut names: Vec<_> = listing
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    names.sort();
    names
}

/// An entry with one small file.
fn put(store: &Store, key: &str) -> Result<Utf8PathBuf, StoreError> {
    store.get_or_create(Kind::Module, key, |staging| {
        let path = staging.join("file");
        std::fs::write(&path, key).map_err(|cause| StoreError::io("writing", &path, cause))
    })
}

/// Says that a test could not be run, past the capturing of the test harness.
fn left_out(test: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}");
}

/// This test binary again, to do one of the tasks of [`child`] in a process of its own.
fn child_command(task: &str, folder: &Utf8Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    set_up_child(&mut command, task, folder);
    command.args(CHILD);
    command
}

const CHILD: [&str; 3] = ["--exact", "child", "--nocapture"];

fn set_up_child(command: &mut Command, task: &str, folder: &Utf8Path) {
    command
        .env("PYW_TEST_CHILD", task)
        .env("PYW_TEST_FOLDER", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
}

/// Not a test: what the children of the tests do.
#[test]
fn child() {
    let Ok(task) = std::env::var("PYW_TEST_CHILD") else {
        return;
    };
    let folder = Utf8PathBuf::from(std::env::var("PYW_TEST_FOLDER").unwrap());
    match &*task {
        "root" => processes::root(&folder),
        "build" => processes::build(&folder),
        "hang" => processes::hang(&folder),
        "download" => processes::download(&folder),
        "full-disk" => disks::on_full_disk(&folder),
        "read-only" => disks::on_read_only(&folder),
        "progress" => progress::show(),
        other => panic!("unknown task {other}"),
    }
    // So that the parent knows that this was not merely an empty test that passed.
    std::fs::write(folder.join("done"), "").unwrap();
}
