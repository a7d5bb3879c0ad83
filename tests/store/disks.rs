//! Disks that are full or read-only: real ones.

use camino::Utf8Path;
use pyw::error::Code;
use pyw::store::{Kind, Store, StoreError};

use crate::downloads::{bytes, expected, source};
use crate::put;
use crate::support::process::{READ_ONLY, SMALL_DISK, with_mount};
use crate::support::server::Server;
use crate::support::{Scratch, names};

#[test]
fn a_full_disk() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.store.root()).unwrap();
    let server = Server::of(&bytes(3_000_000));
    let url = server.url("/x");
    let variables = [("PYW_TEST_URL", url.as_str())];
    with_mount(SMALL_DISK, "full-disk", &scratch.path, &variables);
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
        assert_eq!(names(&store.root().join(name)), Vec::<String>::new());
    }
    put(&store, "small").unwrap();
}

#[test]
fn a_read_only_store() {
    let scratch = Scratch::new();
    put(&scratch.store, "there").unwrap();
    scratch.store.cache_dir("wasmtime").unwrap();
    with_mount(READ_ONLY, "read-only", &scratch.path, &[]);
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
