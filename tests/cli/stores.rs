//! The store under stress: empty, asked for by many at once, killed in the middle, read-only, full.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pyw::{Pyw, finish};
use crate::store;
use crate::support::left_out;

/// An interpreter outside any store, to be imported without a download: a copy of the default one.
fn interpreter(pyw: &Pyw) -> PathBuf {
    let folder = pyw.dir().join("../interpreter");
    for part in ["bin", "lib"] {
        store::link_tree(&store::shared().interpreter.join(part), &folder.join(part));
    }
    folder.canonicalize().unwrap()
}

/// An empty store but for what the runtime compiled, which takes the longest by far.
fn cold() -> (Pyw, String) {
    let pyw = Pyw::with_empty_store();
    store::link_tree(
        &store::shared().root.join("cache"),
        &pyw.store().join("cache"),
    );
    let python = interpreter(&pyw).to_str().unwrap().to_owned();
    (pyw, python)
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn many_that_start_at_once_import_once() {
    for count in [2, 8] {
        let (pyw, python) = cold();
        let pyw = pyw.args(["--python", &python, "-c", "print('up')"]);
        let started: Vec<_> = (0..count).map(|_| pyw.spawn()).collect();
        for child in started {
            let output = finish(child, Vec::new());
            assert_eq!(
                (output.stdout.as_str(), output.code),
                ("up\n", 0),
                "{}",
                output.stderr
            );
            for line in output.stderr.lines() {
                let expected = [
                    "importing",
                    "waiting for another pyw",
                    "wasmtime",
                    "byte-compiling",
                ];
                assert!(expected.iter().any(|e| line.contains(e)), "{line}");
            }
        }
        assert_eq!(entries(&pyw.store().join("interpreters")).len(), 1);
        assert_eq!(entries(&pyw.store().join("staging")), [""; 0]);
        assert_eq!(entries(&pyw.dir().join("../tmp")), [""; 0]);
    }
}

/// The same with real downloads.
#[test]
fn two_that_start_at_once_download_once() {
    let pyw = Pyw::with_empty_store().env_remove("PYW_RUNTIME_WASMTIME");
    let cache = pyw.store().join("cache");
    store::link_tree(&store::shared().root.join("cache"), &cache);
    let pyw = pyw.args(["--verbose", "-c", "print('up')"]);
    let outputs: Vec<_> = [pyw.spawn(), pyw.spawn()]
        .map(|child| finish(child, Vec::new()))
        .into();
    let mut downloads = 0;
    for output in &outputs {
        assert_eq!(
            (output.stdout.as_str(), output.code),
            ("up\n", 0),
            "{}",
            output.stderr
        );
        downloads += output.stderr.matches("pyw: downloading").count();
    }
    // The runtime and the interpreter, once each.
    assert_eq!(downloads, 2, "{outputs:?}");
    assert_eq!(entries(&pyw.store().join("downloads")), [""; 0]);
}

#[test]
fn an_import_that_is_killed_leaves_nothing_to_repair() {
    let (mut pyw, python) = cold();
    let args = ["--python", &python, "-c", "print('up')"];
    let mut killed = 0;
    for moment in [20, 150, 400, 900, 1600] {
        let mut child = pyw.command_for(&args).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += u32::from(status.signal() == Some(9));
    }
    assert!(killed > 0);
    // Nothing is left half done in the place of finished things, and no lock is held.
    pyw = pyw
        .leaves_scratch()
        .args(args)
        .stdout("up\n")
        .any_stderr()
        .run();
    assert!(
        !pyw.output.stderr.contains("waiting"),
        "{}",
        pyw.output.stderr
    );
    assert_eq!(entries(&pyw.store().join("interpreters")).len(), 1);
    assert_eq!(entries(&pyw.store().join("staging")), [""; 0]);
    // What the killed ones left in TMPDIR is swept by the next run.
    pyw.args(args).stdout("up\n").run();
}

/// A file system of its own, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, and plainly so, where the tests may not mount.
    fn new(at: &Path, args: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount = store::on_path("mount")?;
        let output = std::process::Command::new(mount)
            .args(args)
            .arg(at)
            .output()
            .unwrap();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            left_out(&format!("a file system cannot be mounted: {}", why.trim()));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_store_on_a_read_only_disk() {
    let pyw = Pyw::with_own_store()
        .args(["-c", "print('warm')"])
        .stdout("warm\n")
        .run();
    let store = pyw.store().to_str().unwrap().to_owned();
    let Some(_mounted) = Mounted::new(pyw.store(), &["--bind", &store]) else {
        return;
    };
    let Some(_read_only) = Mounted::new(pyw.store(), &["-o", "remount,ro,bind"]) else {
        return;
    };
    let python = interpreter(&pyw).to_str().unwrap().to_owned();
    pyw.args(["-c", "print('still warm')"])
        .stdout("still warm\n")
        .run()
        .args(["--python", &python, "-c", "1"])
        .stderr(
            "pyw: [..]{store}/locks[..] is not permitted: Read-only file system (os error 30)\n\
             hint: make {store}/locks[..] accessible to you, or set PYW_STORE to a folder that you \
             may write to\n",
        )
        .code(115)
        .run();
}

#[test]
fn a_store_on_a_full_disk() {
    let pyw = Pyw::with_empty_store();
    let python = interpreter(&pyw).to_str().unwrap().to_owned();
    let Some(_mounted) = Mounted::new(pyw.store(), &["-t", "tmpfs", "-o", "size=4m", "none"])
    else {
        return;
    };
    pyw.args(["--quiet", "--python", &python, "-c", "1"])
        .stderr(
            "pyw: cannot write `{store}/staging/[..]`: No space left on device (os error 28)\n\
             hint: free some space on the disk of {store}/staging/[..], or set PYW_STORE to a \
             folder on another disk\n",
        )
        .code(115)
        .run();
}

#[test]
fn a_store_that_cannot_be_a_folder() {
    Pyw::new()
        .env("PYW_STORE", "{dir}/file/store")
        .write("file", "")
        .args(["-c", "1"])
        .stderr("pyw: creating the folder {dir}/file/store/locks failed: Not a directory (os error 20)\n")
        .code(115)
        .run();
}

/// Only somebody whom the users' database does not know has no home when `HOME` is unset.
#[test]
fn nobody_knows_where_the_store_is() {
    use std::os::unix::process::CommandExt as _;
    let pyw = Pyw::new()
        .env_remove("HOME")
        .env_remove("PYW_STORE")
        .cwd("/");
    let mut command = pyw.command_for(&["-c", "1"]);
    let Ok(child) = command.uid(54321).gid(54321).spawn() else {
        left_out(&"only root can run pyw as somebody unknown");
        return;
    };
    let output = finish(child, Vec::new());
    assert_eq!(
        output.stderr,
        "pyw: no folder for the store: the home folder of this user is not known\n\
         hint: set PYW_STORE to a folder that pyw may use, or set HOME\n"
    );
    assert_eq!(output.code, 115);
}
