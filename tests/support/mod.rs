//! What the test programs share: folders that go away, processes of their own, disks, zips,
//! wheels, an index, a server, interpreters that are only described.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod archive;
pub mod process;
pub mod python;
pub mod repo;
pub mod server;
pub mod zip;

use camino::{Utf8Path, Utf8PathBuf};
use pyw::store::Store;

/// A folder that is gone after the test, and a store that is to be in it.
pub struct Scratch {
    _folder: tempfile::TempDir,
    pub path: Utf8PathBuf,
    pub store: Store,
}

impl Scratch {
    pub fn new() -> Self {
        // What is told is tested in a process of its own.
        pyw::ui::progress::init(pyw::ui::progress::Verbosity::Quiet);
        // Not in `/tmp`, which guests have one of their own of.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap()).unwrap();
        Scratch {
            store: Store::at(path.join("store")),
            path,
            _folder: folder,
        }
    }

    /// The names in a folder of the store.
    pub fn names(&self, folder: &str) -> Vec<String> {
        names(&self.store.root().join(folder))
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// The names in a folder; none if it is not there.
pub fn names(folder: &Utf8Path) -> Vec<String> {
    let Ok(listing) = folder.read_dir_utf8() else {
        return Vec::new();
    };
    let mut names: Vec<_> = listing
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    names.sort();
    names
}

/// All files below a folder, by their relative path; none if it is not there.
pub fn files(root: &Utf8Path) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&folder) {
            let path = folder.join(name);
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_string());
            }
        }
    }
    files.sort();
    files
}

/// Says that the running test could not be run, or not all of it. Not by `eprintln!`, which the test
/// harness keeps from everybody as long as a test passes.
pub fn left_out(why: &dyn std::fmt::Display) {
    use std::io::Write as _;
    let current = std::thread::current();
    let test = current.name().unwrap_or("?");
    let line = format!("LEFT OUT: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
