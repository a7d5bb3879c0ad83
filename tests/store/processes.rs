//! Several processes in one store, and processes that are killed there.

use std::time::Duration;

use camino::Utf8Path;
use pyw::store::{Kind, Store, StoreError};

use crate::downloads::{bytes, expected, fetcher, source};
use crate::put;
use crate::support::process::{Killed, child_command, wait_for};
use crate::support::server::{File, Reply, Server};
use crate::support::{Scratch, names};

/// Child: waits for the file `go`, then wants the entry and leaves a trace if it builds it.
pub fn build(folder: &Utf8Path) {
    wait_for("go", || folder.join("go").exists());
    get_slowly(&Store::at(folder.join("store")), folder);
}

fn get_slowly(store: &Store, traces: &Utf8Path) {
    let entry = store
        .get_or_create(Kind::Interpreter, "cpython", |staging| {
            assert_eq!(names(staging), Vec::<String>::new());
            tempfile::Builder::new()
                .prefix("built-")
                .tempfile_in(traces)
                .unwrap()
                .keep()
                .unwrap();
            std::fs::write(staging.join("one"), "1").unwrap();
            std::thread::sleep(Duration::from_millis(200));
            std::fs::write(staging.join("two"), "2").unwrap();
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(names(&entry), ["one", "two"]);
}

fn traces(folder: &Utf8Path) -> usize {
    let names = names(folder);
    names.iter().filter(|n| n.starts_with("built-")).count()
}

#[test]
fn of_twenty_processes_one_builds() {
    let scratch = Scratch::new();
    let children: Vec<_> = (0..20)
        .map(|_| Killed(child_command("build", &scratch.path).spawn().unwrap()))
        .collect();
    std::fs::write(scratch.path.join("go"), "").unwrap();
    for mut child in children {
        assert!(child.0.wait().unwrap().success());
    }
    assert_eq!(traces(&scratch.path), 1);
    assert_eq!(scratch.names("interpreters"), ["cpython"]);
    assert_eq!(scratch.names("staging"), Vec::<String>::new());
}

#[test]
fn of_twenty_threads_one_builds() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| get_slowly(&scratch.store, &scratch.path));
        }
    });
    assert_eq!(traces(&scratch.path), 1);
    assert_eq!(scratch.names("staging"), Vec::<String>::new());
}

/// Child: begins to build and never ends.
pub fn hang(folder: &Utf8Path) {
    let store = Store::at(folder.join("store"));
    let result = store.get_or_create(Kind::Module, "half", |staging| {
        std::fs::write(staging.join("half"), "half").unwrap();
        std::fs::write(folder.join("building"), "").unwrap();
        std::thread::sleep(Duration::from_secs(60));
        Ok::<_, StoreError>(())
    });
    panic!("not killed: {result:?}");
}

fn start_hanging(scratch: &Scratch) -> Killed {
    let child = Killed(child_command("hang", &scratch.path).spawn().unwrap());
    wait_for("building", || scratch.path.join("building").exists());
    child
}

#[test]
fn a_killed_build_is_swept_and_done_again() {
    let scratch = Scratch::new();
    let mut child = start_hanging(&scratch);
    child.kill();
    assert_eq!(scratch.names("staging").len(), 1);
    assert_eq!(scratch.store.get(Kind::Module, "half"), None);
    let entry = put(&scratch.store, "half").unwrap();
    assert_eq!(names(&entry), ["file"]);
    assert_eq!(scratch.names("staging"), Vec::<String>::new());
}

#[test]
fn a_build_that_lives_is_not_swept_and_holds_up_only_its_own_key() {
    let scratch = Scratch::new();
    let mut child = start_hanging(&scratch);
    let slot = scratch.names("staging");
    put(&scratch.store, "other").unwrap();
    assert!(scratch.store.remove(Kind::Module, "other").unwrap());
    assert_eq!(scratch.names("staging"), slot);
    let half = format!("staging/{}/tree", slot[0]);
    assert_eq!(scratch.names(&half), ["half"]);
    // Whoever waits for the same key goes on when its owner is killed.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&scratch.store, "half"));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        child.kill();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(scratch.names("modules"), ["half"]);
    assert_eq!(scratch.names("staging"), Vec::<String>::new());
}

#[test]
fn many_keys_are_built_and_removed_at_once() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = &scratch.store;
            scope.spawn(move || {
                for round in 0..20 {
                    let key = format!("k{}", (number + round) % 5);
                    put(store, &key).unwrap();
                    store.remove(Kind::Module, &key).unwrap();
                }
            });
        }
    });
    // A sweeper and an owner may meet at the same folder; the next one leaves nothing.
    put(&scratch.store, "last").unwrap();
    assert_eq!(scratch.names("staging"), Vec::<String>::new());
    assert_eq!(scratch.names("modules"), ["last"]);
}

/// Child: downloads.
pub fn download(folder: &Utf8Path) {
    let url = std::env::var("PYW_TEST_URL").unwrap();
    let body = bytes(300_000);
    let sources = [source(&url)];
    let result = pyw::store::Fetcher::new(false)
        .with_store(&Store::at(folder.join("store")))
        .fetch_first("x", &sources, expected(&body), &folder.join("dest"));
    panic!("not killed: {result:?}");
}

#[test]
fn a_killed_download_is_resumed_by_the_next_process() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File::new(&body);
    let server = Server::start(move |request| {
        Reply::File(File {
            stall: (request.nth == 0).then_some(100_000),
            ..file.clone()
        })
    });
    let child = child_command("download", &scratch.path)
        .env("PYW_TEST_URL", server.url("/x"))
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let downloads = scratch.store.root().join("downloads");
    wait_for("part", || {
        names(&downloads)
            .first()
            .and_then(|name| downloads.join(name).metadata().ok())
            .is_some_and(|metadata| metadata.len() == 100_000)
    });
    child.kill();
    let dest = scratch.path.join("dest");
    let sources = [source(&server.url("/x"))];
    fetcher(&scratch)
        .fetch_first("x", &sources, expected(&body), &dest)
        .unwrap();
    assert!(std::fs::read(dest).unwrap() == body);
    assert_eq!(server.starts(), [None, Some(100_000)]);
}

/// Child: says where the store is.
pub fn root(folder: &Utf8Path) {
    let text = match Store::default_root() {
        Ok(path) => path.to_string(),
        Err(error) => error.to_string(),
    };
    std::fs::write(folder.join("root"), text).unwrap();
}

#[test]
fn where_the_store_is() {
    let scratch = Scratch::new();
    let root = |variables: &[(&str, &str)]| {
        let mut command = child_command("root", &scratch.path);
        command.env_remove("HOME").current_dir("/");
        command.env_remove("PYW_STORE").env_remove("XDG_DATA_HOME");
        let status = command.envs(variables.iter().copied()).status().unwrap();
        assert!(status.success());
        std::fs::read_to_string(scratch.path.join("root")).unwrap()
    };
    assert_eq!(root(&[("PYW_STORE", "/some/where")]), "/some/where");
    // Not relative to where a guest will be.
    assert_eq!(root(&[("PYW_STORE", "some/where")]), "/some/where");
    if cfg!(target_os = "linux") {
        let home = ("HOME", "/home/me");
        assert_eq!(root(&[home]), "/home/me/.local/share/pyw/store");
        assert_eq!(
            root(&[home, ("PYW_STORE", ""), ("XDG_DATA_HOME", "/data")]),
            "/data/pyw/store"
        );
    }
}
