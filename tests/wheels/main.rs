//! Wheels, from the archive to the tree that a guest imports from.
#![cfg(unix)]

mod archive;
mod attacks;
mod environments;
mod guest;
mod processes;
mod real;

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use pyw::store::{Fetcher, Store};

/// A folder that is gone after the test, and a store that is to be in it.
struct Scratch {
    _folder: tempfile::TempDir,
    pub path: Utf8PathBuf,
    pub store: Store,
}

impl Scratch {
    fn new() -> Self {
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
}

/// A fetcher that must not be needed.
fn offline() -> Fetcher {
    Fetcher::new(true)
}

/// All files below a folder, by their relative path.
fn files(root: &Utf8Path) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(listing) = folder.read_dir_utf8() else {
            continue;
        };
        for entry in listing {
            let path = entry.unwrap().into_path();
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
    pyw::ui::progress::init(pyw::ui::progress::Verbosity::Quiet);
    let folder = Utf8PathBuf::from(std::env::var("PYW_TEST_FOLDER").unwrap());
    match &*task {
        "build" => processes::build(&folder),
        "hold" => processes::hold(&folder),
        "run" => real::run(&folder),
        "read-only" => processes::on_read_only(&folder),
        "full-disk" => processes::on_full_disk(&folder),
        other => panic!("unknown task {other}"),
    }
    // So that the parent knows that this was not merely an empty test that passed.
    std::fs::write(folder.join(format!("done-{}", std::process::id())), "").unwrap();
}
