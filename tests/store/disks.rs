//! Disks that are full or read-only: real ones, mounted in a namespace of the child's own, so
//! that nothing stays mounted whatever happens.

use std::process::Command;

use camino::Utf8Path;
use pyw::error::Code;
use pyw::store::{Kind, Store, StoreError};

use crate::downloads::{bytes, expected, source};
use crate::server::Server;
use crate::{CHILD, Scratch, left_out, put, set_up_child};

/// Runs a task of the child after a mount, or says that this cannot be done here.
fn with_mount(test: &str, mount: &str, task: &str, folder: &Utf8Path, url: &str) {
    let script = format!("{mount} || exit 99; exec \"$0\" \"$@\"");
    // As root a namespace is enough; others need to be root inside a user namespace first.
    for flags in ["-m", "-rm"] {
        let mut command = Command::new("unshare");
        set_up_child(&mut command, task, folder);
        command.args([flags, "sh", "-c", &script]);
        command.arg(std::env::current_exe().unwrap()).args(CHILD);
        let Ok(output) = command.env("PYW_TEST_URL", url).output() else {
            return left_out(test, "there is no unshare");
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mounted = output.status.code() != Some(99) && !stderr.starts_with("unshare:");
        if mounted {
            assert!(output.status.success(), "{stderr}");
            assert!(folder.join("done").exists());
            return;
        }
    }
    left_out(test, "mounting is not permitted here");
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.store.root()).unwrap();
    let server = Server::of(&bytes(3_000_000));
    with_mount(
        "a_full_disk",
        "mount -t tmpfs -o size=1m tmpfs \"$PYW_TEST_FOLDER/store\"",
        "full-disk",
        &scratch.path,
        &server.url("/x"),
    );
}

/// Child: the store is on a disk of 1 MiB.
pub fn on_full_disk(folder: &Utf8Path) {
    let store = Store::at(folder.join("store"));
    let error = store
        .get_or_create(Kind::Module, "big", |staging| {
            let path = staging.join("big");
            std::fs::write(&path, vec![1; 3_000_000])
                .map_err(|cause| StoreError::io("writing", &path, cause))
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(error.code(), Code::Storage);
    assert!(error.to_string().contains(store.root().as_str()), "{error}");
    assert!(error.hint().unwrap().contains("PYW_STORE"));

    let body = bytes(3_000_000);
    let url = std::env::var("PYW_TEST_URL").unwrap();
    let sources = [source(&url), source(&url)];
    let error = pyw::store::Fetcher::new(false)
        .with_store(&store)
        .fetch_first("x", &sources, expected(&body), &folder.join("dest"))
        .unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");

    // Nothing was kept, so that what is smaller fits.
    for name in ["staging", "modules", "downloads"] {
        assert_eq!(crate::names(&store.root().join(name)), Vec::<String>::new());
    }
    put(&store, "small").unwrap();
}

#[test]
fn a_read_only_store() {
    let scratch = Scratch::new();
    put(&scratch.store, "there").unwrap();
    scratch.store.cache_dir("wasmtime").unwrap();
    with_mount(
        "a_read_only_store",
        "cd \"$PYW_TEST_FOLDER\" && mount --bind store store && mount -o remount,bind,ro store",
        "read-only",
        &scratch.path,
        "",
    );
}

/// Child: the store can only be read.
pub fn on_read_only(folder: &Utf8Path) {
    let store = Store::at(folder.join("store"));
    let there = store.get(Kind::Module, "there").unwrap();
    assert_eq!(put(&store, "there").unwrap(), there);
    assert_eq!(store.list(Kind::Module).unwrap().len(), 1);
    assert!(store.cache_dir("wasmtime").is_ok());
    for error in [
        put(&store, "missing").unwrap_err(),
        store.remove(Kind::Module, "there").unwrap_err(),
        store.cache_dir("wasmer").unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::NotPermitted { .. }),
            "{error:?}"
        );
        assert_eq!(error.code(), Code::Storage);
        assert!(error.to_string().contains(store.root().as_str()), "{error}");
        assert!(error.hint().unwrap().contains("PYW_STORE"));
    }
}
