//! `pyw cache`: the store's folder, its size, and getting rid of what is in it.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use crate::pyw::{Pyw, finish};

/// A program that runs until it is killed, and has begun.
struct Running(Child);

impl Running {
    fn new(pyw: &Pyw) -> Self {
        let code = "import time; print('up', flush=True); time.sleep(300)";
        let args = ["--runtime", "wasmtime", "-c", code];
        let mut child = pyw.command_for(&args).spawn().unwrap();
        let mut begun = [0; 2];
        let stdout = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(stdout, &mut begun).unwrap();
        Running(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file or folder that was last touched so long ago.
fn set_old(path: &Path, days: u32) {
    let old = SystemTime::now() - days * Duration::from_secs(24 * 3600);
    let times = FileTimes::new().set_modified(old).set_accessed(old);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// An entry that nobody used for so long.
fn put(store: &Path, entry: &str, days: u32) {
    let folder = store.join(entry);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "12345").unwrap();
    set_old(&folder, days);
}

fn entries(pyw: &Pyw, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(pyw.store().join(folder))
        .map(|listing| {
            let names = listing.flatten().map(|e| e.file_name());
            names.map(|name| name.into_string().unwrap()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn the_folder_and_its_size() {
    let pyw = Pyw::with_empty_store()
        .args(["cache", "dir"])
        .stdout("{store}\n")
        .run()
        .args(["cache", "size", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|told| assert_eq!(told["bytes"], 0));
    assert!(!pyw.store().exists(), "looking made it");
    put(pyw.store(), "wheels/a-1", 0);
    put(pyw.store(), "wheels/b-1", 0);
    put(pyw.store(), "cache/pages", 0);
    pyw.args(["cache", "size"])
        .stdout(
            "what          count  size\n\
             interpreters  0      0 B\n\
             runtimes      0      0 B\n\
             modules       0      0 B\n\
             snapshots     0      0 B\n\
             compiled      0      0 B\n\
             roots         0      0 B\n\
             wheels        2      10 B\n\
             bytecode      0      0 B\n\
             environments  0      0 B\n\
             cache         1      5 B\n\
             downloads     0      0 B\n\
             staging       0      0 B\n\
             total                15 B\n",
        )
        .run()
        .args(["cache", "size", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|told| {
            assert_eq!(told["bytes"], 15);
            assert_eq!(told["parts"][6]["name"], "wheels");
            assert_eq!(told["parts"][6]["count"], 2);
            assert_eq!(told["parts"][6]["bytes"], 10);
        });
}

#[test]
fn pruning_removes_what_is_old_and_what_is_of_no_use() {
    let pyw = Pyw::with_empty_store();
    let store = pyw.store();
    put(store, "roots/old", 31);
    put(store, "roots/lately", 29);
    put(store, "wheels/a-1", 1);
    // Of another release of pyw.
    put(store, "wheels/b-0", 1);
    put(store, "interpreters/cpython-0", 1);
    put(store, "cache/pages", 0);
    set_old(&store.join("cache/pages/file"), 31);
    put(store, "cache/metadata", 0);
    std::fs::create_dir(store.join("downloads")).unwrap();
    for (name, days) in [("old.part", 31), ("new.part", 1)] {
        std::fs::write(store.join("downloads").join(name), "12345").unwrap();
        set_old(&store.join("downloads").join(name), days);
    }
    put(store, "staging/slot-dead/tree", 0);
    let what = "1 interpreter, 1 root, 1 wheel, 1 file of unfinished downloads, 1 cached file \
                (pages), 1 file of unfinished work";
    let before = entries(&pyw, "roots");
    let pyw = pyw
        .args(["cache", "prune", "--dry-run"])
        .stdout(&format!("would remove {what}, and free 30 B\n"))
        .run();
    assert_eq!(entries(&pyw, "roots"), before);
    let pyw = pyw
        .args(["cache", "prune"])
        .stdout(&format!("removed {what}, and freed 30 B\n"))
        .run()
        .args(["cache", "prune"])
        .stdout("nothing to remove\n")
        .run();
    assert_eq!(entries(&pyw, "roots"), ["lately"]);
    assert_eq!(entries(&pyw, "wheels"), ["a-1"]);
    assert_eq!(entries(&pyw, "interpreters"), [""; 0]);
    assert_eq!(entries(&pyw, "cache/pages"), [""; 0]);
    assert_eq!(entries(&pyw, "cache/metadata"), ["file"]);
    assert_eq!(entries(&pyw, "downloads"), ["new.part"]);
    assert_eq!(entries(&pyw, "staging"), [""; 0]);
    let pyw = pyw
        .args(["cache", "prune", "--unused", "1d", "-v"])
        .stdout("removed 1 root, 1 wheel, 1 file of unfinished downloads, and freed 15 B\n")
        .stderr("pyw: removed wheel a-1\npyw: removed root lately\n")
        .run();
    assert_eq!(entries(&pyw, "roots"), [""; 0]);
    pyw.args(["cache", "prune", "--unused", "soon"])
        .stderr(
            "pyw: --unused: `soon` is not a duration: it must begin with a digit; write for \
             example `90`, `500ms`, `1.5s` or `2m`\nhint: `pyw help cache` tells more\n",
        )
        .code(2)
        .run();
}

#[test]
fn what_a_running_program_uses_stays() {
    let pyw = Pyw::with_own_store().leaves_scratch();
    let shared = entries(&pyw, "interpreters");
    put(pyw.store(), "roots/unused", 31);
    let mut running = Running::new(&pyw);
    let used = entries(&pyw, "modules");
    for command in [
        &["cache", "prune", "--unused", "0"][..],
        &["cache", "clear"],
    ] {
        let output = pyw.output_of(command);
        assert_eq!((output.stderr.as_str(), output.code), ("", 0));
        let kept = format!("kept, as a running pyw uses it: interpreter {}", shared[0]);
        assert!(output.stdout.contains(&kept), "{}", output.stdout);
        assert_eq!(entries(&pyw, "interpreters"), shared);
        assert!(
            entries(&pyw, "modules")
                .iter()
                .all(|name| used.contains(name))
        );
        // Its own.
        let roots = entries(&pyw, "roots");
        assert!(roots.len() == 1 && roots[0] != "unused", "{roots:?}");
        assert!(running.0.try_wait().unwrap().is_none(), "it runs on");
    }
    drop(running);
    // The lock ends with the runtime, which may outlive pyw by a moment.
    let patience = Instant::now() + Duration::from_secs(30);
    let last = loop {
        let output = pyw.output_of(&["cache", "clear"]);
        if !output.stdout.contains("kept") || Instant::now() > patience {
            break output;
        }
    };
    assert!(last.stdout.starts_with("removed "), "{}", last.stdout);
    for folder in ["interpreters", "modules", "runtimes", "downloads"] {
        assert_eq!(entries(&pyw, folder), [""; 0]);
    }
    pyw.args(["cache", "clear"])
        .stdout("nothing to remove\n")
        .run();
}

#[test]
fn programs_that_start_while_everything_is_removed() {
    let pyw = Pyw::with_own_store();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let running = Running::new(&pyw);
    std::thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let output = pyw.output_of(&["cache", "clear"]);
                assert_eq!((output.stderr.as_str(), output.code), ("", 0));
            }
        });
        for _ in 0..5 {
            let args = ["--runtime", "wasmtime", "-c", "print('up')"];
            let output = finish(pyw.command_for(&args).spawn().unwrap(), Vec::new());
            assert_eq!(
                (output.stdout.as_str(), output.code),
                ("up\n", 0),
                "{}",
                output.stderr
            );
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        cleaner.join().unwrap();
    });
    drop(running);
}
