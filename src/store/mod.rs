//! Content-addressed files on disk: interpreters, runtimes, modules, snapshots, guest roots.
//!
//! The store is a folder of finished entries. An entry appears whole, by one rename, or not at
//! all, so a reader needs no lock and a warm start costs one `stat`:
//!
//! ```text
//! interpreters/KEY  runtimes/KEY  modules/KEY  roots/KEY   finished entries, never changed
//! snapshots/KEY  compiled/KEY                               likewise
//! wheels/KEY  bytecode/KEY  environments/KEY                likewise
//! staging/SLOT/tree                                         entries that are being built
//! staging/SLOT/lock                                         held by the builder while it lives
//! locks/NAME                                                who may build or download NAME
//! uses/NAME                                                 who uses the entry NAME, and when last
//! downloads/NAME.part                                       downloads to be resumed
//! cache/NAME                                                caches: of runtimes, index pages,
//!                                                           metadata of wheels
//! ```
//!
//! All locks are the operating system's and end with their owner, so a process killed at any
//! point leaves nothing to repair: only folders in `staging` that the next builder sweeps away.

mod cache;
mod cause;
mod dns;
mod error;
pub mod fetch;
pub mod hash;
mod http;
pub mod indexes;
mod locks;
pub mod notes;
mod part;
pub mod prune;
pub mod record;
pub mod source;
mod staging;
pub mod stamp;
mod tree;
pub mod unpack;
pub mod usage;

use std::fmt;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

pub use error::{Failure, StoreError};
pub use fetch::{Expected, Fetcher};
pub use hash::Sha256;
pub use source::Source;

use locks::Lock;
use staging::Slot;

/// What an entry of the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An unpacked pybi.
    Interpreter,
    /// An unpacked runtime.
    Runtime,
    /// A module with adaptations.
    Module,
    /// A module that begins with Python already started.
    Snapshot,
    /// A module compiled for one runtime.
    Compiled,
    /// The skeleton of a guest's `/`.
    Root,
    /// An unpacked wheel.
    Wheel,
    /// The byte-compiled modules of one wheel for one interpreter.
    Bytecode,
    /// The packages of one program, as one tree.
    Environment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Interpreter,
        Kind::Runtime,
        Kind::Module,
        Kind::Snapshot,
        Kind::Compiled,
        Kind::Root,
        Kind::Wheel,
        Kind::Bytecode,
        Kind::Environment,
    ];

    /// The folder of the store that holds such entries.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Interpreter => "interpreters",
            Kind::Runtime => "runtimes",
            Kind::Module => "modules",
            Kind::Snapshot => "snapshots",
            Kind::Compiled => "compiled",
            Kind::Root => "roots",
            Kind::Wheel => "wheels",
            Kind::Bytecode => "bytecode",
            Kind::Environment => "environments",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Interpreter => "interpreter",
            Kind::Runtime => "runtime",
            Kind::Module => "module",
            Kind::Snapshot => "snapshot",
            Kind::Compiled => "compiled module",
            Kind::Root => "root",
            Kind::Wheel => "wheel",
            Kind::Bytecode => "bytecode",
            Kind::Environment => "environment",
        })
    }
}

/// One finished entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name under which it was made.
    pub key: String,
    /// Its folder.
    pub path: Utf8PathBuf,
}

/// What became of entries that were built together.
#[derive(Debug)]
pub struct Built<E> {
    /// The keys of the entries that are whole, which counts only if `result` is an error.
    pub finished: Vec<String>,
    /// Whether all are.
    pub result: Result<(), E>,
}

/// The folder in which pyw keeps what it fetched and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// Where the store is when nobody says otherwise: `PYW_STORE`, else the user's data folder.
    pub fn default_root() -> Result<Utf8PathBuf, StoreError> {
        let given = std::env::var_os("PYW_STORE").filter(|value| !value.is_empty());
        let path = match given {
            Some(path) => path.into(),
            None => directories::ProjectDirs::from("", "", "pyw")
                .ok_or(StoreError::NoHome)?
                .data_local_dir()
                .join("store"),
        };
        // A guest is started in other folders than ours, so a relative path must not survive.
        let path = std::path::absolute(&path).unwrap_or(path);
        Utf8PathBuf::from_path_buf(path).map_err(|path| StoreError::NotUtf8 { path })
    }

    /// The store in this folder, which need not exist: nothing is touched before it is needed.
    pub fn at(root: impl Into<Utf8PathBuf>) -> Self {
        Store { root: root.into() }
    }

    /// The store's folder.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The entry's folder, if it is there.
    pub fn get(&self, kind: Kind, key: &str) -> Option<Utf8PathBuf> {
        let path = self.entry(kind, key).ok()?;
        path.is_dir().then_some(path)
    }

    /// The entry's folder; if it is not there, `build` fills an empty folder that becomes it.
    ///
    /// Of all processes that ask at the same time one builds, while the others wait and get the
    /// same entry. If `build` fails nothing is kept, and the next one to ask builds again.
    /// A key is made of lower-case letters, digits and `._+-`, so that two keys are two files on
    /// every file system.
    pub fn get_or_create<E: From<StoreError>>(
        &self,
        kind: Kind,
        key: &str,
        build: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<Utf8PathBuf, E> {
        let path = self.entry(kind, key)?;
        if path.is_dir() {
            return Ok(path);
        }
        let _lock = self.lock(&format!("{}-{key}", kind.folder()), || {
            format!("prepare {kind} {key}")
        })?;
        self.create(kind, path, build)
    }

    /// As [`Self::get_or_create`], but `None` at once where another process is building the entry.
    pub fn create_unless_busy<E: From<StoreError>>(
        &self,
        kind: Kind,
        key: &str,
        build: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<Option<Utf8PathBuf>, E> {
        let path = self.entry(kind, key)?;
        let lock = self
            .folder("locks")?
            .join(format!("{}-{key}", kind.folder()));
        let Some(_lock) = Lock::try_take(&lock)? else {
            return Ok(None);
        };
        self.create(kind, path, build).map(Some)
    }

    /// Builds an entry under its lock.
    fn create<E: From<StoreError>>(
        &self,
        kind: Kind,
        path: Utf8PathBuf,
        build: impl FnOnce(&Utf8Path) -> Result<(), E>,
    ) -> Result<Utf8PathBuf, E> {
        // Whoever held the lock before may have made it.
        if path.is_dir() {
            return Ok(path);
        }
        let slot = Slot::new(self)?;
        build(slot.tree())?;
        self.folder(kind.folder())?;
        slot.publish(&path)?;
        Ok(path)
    }

    /// The folders of many entries; for those that are not there, `build` fills a folder each.
    ///
    /// Like [`Self::get_or_create`] for each key, but the missing ones are built together, made
    /// durable at once, and then published. `build` is given a folder and the missing keys, and
    /// makes a folder named like the key for each of them. Where it fails, those that it says are
    /// finished are published all the same, so that a second try begins where the first one ended.
    pub fn get_or_create_all<E: From<StoreError>>(
        &self,
        kind: Kind,
        keys: &[String],
        build: impl FnOnce(&Utf8Path, &[String]) -> Built<E>,
    ) -> Result<Vec<Utf8PathBuf>, E> {
        let mut paths = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for key in keys {
            let path = self.entry(kind, key)?;
            if !path.is_dir() {
                missing.push(key.clone());
            }
            paths.push(path);
        }
        // In one order everywhere, so that two processes never wait for each other.
        missing.sort();
        missing.dedup();
        if missing.is_empty() {
            return Ok(paths);
        }
        let mut locks = Vec::with_capacity(missing.len());
        for key in &missing {
            locks.push(self.lock(&format!("{}-{key}", kind.folder()), || {
                format!("prepare {kind} {key}")
            })?);
        }
        // Whoever held a lock before may have made it.
        missing.retain(|key| !self.place(kind, key).is_dir());
        if missing.is_empty() {
            return Ok(paths);
        }
        let slot = Slot::new(self)?;
        let built = build(slot.tree(), &missing);
        let finished: Vec<&String> = match &built.result {
            Ok(()) => missing.iter().collect(),
            Err(_) => missing
                .iter()
                .filter(|key| built.finished.contains(key))
                .collect(),
        };
        if !finished.is_empty() {
            self.folder(kind.folder())?;
            let moves = finished
                .iter()
                .map(|key| (slot.tree().join(key), self.place(kind, key)))
                .collect::<Vec<_>>();
            let published = slot.publish_all(&moves);
            // What went wrong first is the better news.
            if built.result.is_ok() {
                published?;
            }
        }
        built.result.map(|()| paths)
    }

    /// All entries of a kind, by key.
    pub fn list(&self, kind: Kind) -> Result<Vec<Entry>, StoreError> {
        let folder = self.root.join(kind.folder());
        let failed = |cause| StoreError::io("listing", &folder, cause);
        let listing = match folder.read_dir_utf8() {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(failed)?;
            let key = entry.file_name();
            // What is no entry was put there by somebody else (as `.DS_Store`) and is not ours.
            if check_name(key).is_ok() && entry.path().is_dir() {
                entries.push(Entry {
                    key: key.to_owned(),
                    path: entry.path().to_owned(),
                });
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// Removes an entry and tells whether there was one.
    pub fn remove(&self, kind: Kind, key: &str) -> Result<bool, StoreError> {
        let path = self.entry(kind, key)?;
        if !path.is_dir() {
            return Ok(false);
        }
        let _lock = self.lock(&format!("{}-{key}", kind.folder()), || {
            format!("prepare {kind} {key}")
        })?;
        if !path.is_dir() {
            return Ok(false);
        }
        // Moved away first, so that nobody ever finds half an entry.
        Slot::new(self)?.take(&path)?;
        Ok(true)
    }

    /// A folder of things that can be had again at any time, as a runtime's own cache; created if
    /// need be.
    pub fn cache_dir(&self, name: &str) -> Result<Utf8PathBuf, StoreError> {
        check_name(name)?;
        self.folder("cache")?;
        self.folder(&format!("cache/{name}"))
    }

    /// The folder of unfinished downloads, created if need be.
    fn downloads(&self) -> Result<Utf8PathBuf, StoreError> {
        self.folder("downloads")
    }

    /// Where the entry of that name is, or would be. The name has to be one that
    /// [`Self::get_or_create`] accepts.
    pub fn place(&self, kind: Kind, key: &str) -> Utf8PathBuf {
        self.root.join(kind.folder()).join(key)
    }

    fn entry(&self, kind: Kind, key: &str) -> Result<Utf8PathBuf, StoreError> {
        check_name(key)?;
        Ok(self.place(kind, key))
    }

    /// Takes the lock of that name; `what` says what another owner is busy with.
    fn lock(&self, name: &str, what: impl FnOnce() -> String) -> Result<Lock, StoreError> {
        Lock::wait(&self.folder("locks")?.join(name), what)
    }

    /// A folder of the store, created if need be.
    fn folder(&self, name: &str) -> Result<Utf8PathBuf, StoreError> {
        let path = self.root.join(name);
        create_private_dir(&path)?;
        Ok(path)
    }
}

/// Creates a folder, and those above it, for this user alone: what is in the store gets executed.
fn create_private_dir(path: &Utf8Path) -> Result<(), StoreError> {
    // On a read-only file system even creating what is there fails.
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|cause| StoreError::io("creating the folder", path, cause))
}

/// Refuses names that are not one plain file name, and the same one, on every system.
fn check_name(name: &str) -> Result<(), StoreError> {
    let problem = if name.is_empty() || name.len() > 200 {
        "its length must be 1 to 200"
    } else if name.starts_with('.') || name.ends_with('.') {
        "it must not begin or end with a dot"
    } else if !name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'-'))
    {
        "it may hold only lower-case letters, digits and `._+-`"
    } else {
        return Ok(());
    };
    Err(StoreError::BadKey {
        key: name.to_owned(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().join("store")).unwrap();
        (folder, Store::at(root))
    }

    fn put(store: &Store, key: &str) -> Result<Utf8PathBuf, StoreError> {
        store.get_or_create(Kind::Module, key, |staging| {
            std::fs::write(staging.join("key"), key)
                .map_err(|cause| StoreError::io("writing", staging, cause))
        })
    }

    #[test]
    fn looking_creates_nothing() {
        let (_folder, store) = store();
        assert_eq!(store.get(Kind::Module, "a"), None);
        assert_eq!(store.list(Kind::Module).unwrap(), []);
        assert!(!store.remove(Kind::Module, "a").unwrap());
        assert!(!store.root().exists());
    }

    #[test]
    fn entries_are_made_once_listed_and_removed() {
        let (_folder, store) = store();
        let b = put(&store, "b").unwrap();
        let a = put(&store, "a-1.0+x").unwrap();
        let again = store.get_or_create(Kind::Module, "b", |_| -> Result<(), StoreError> {
            panic!("built twice")
        });
        assert_eq!(again.unwrap(), b);
        assert_eq!(store.get(Kind::Module, "b"), Some(b.clone()));
        assert_eq!(store.get(Kind::Runtime, "b"), None);
        std::fs::write(store.root().join("modules/.DS_Store"), "").unwrap();
        let listed: Vec<_> = store.list(Kind::Module).unwrap();
        assert_eq!(listed.iter().map(|e| &e.path).collect::<Vec<_>>(), [&a, &b]);
        assert!(store.remove(Kind::Module, "b").unwrap());
        assert!(!b.exists());
        assert_eq!(store.get(Kind::Module, "b"), None);
        let staging = store.root().join("staging").read_dir_utf8().unwrap();
        assert_eq!(staging.count(), 0);
    }

    #[test]
    fn a_failed_build_leaves_nothing() {
        let (_folder, store) = store();
        let failed = store.get_or_create(Kind::Root, "r", |staging| {
            std::fs::write(staging.join("half"), "x").unwrap();
            Err(StoreError::NoHome)
        });
        assert!(matches!(failed, Err(StoreError::NoHome)));
        assert_eq!(store.get(Kind::Root, "r"), None);
        let staging = store.root().join("staging").read_dir_utf8().unwrap();
        assert_eq!(staging.count(), 0);
    }

    #[test]
    fn names_that_are_no_file_names_are_refused() {
        let (_folder, store) = store();
        let long = "x".repeat(201);
        for key in [
            "", ".", "..", ".x", "x.", "a/b", "a\\b", "A", "ä", "a:b", &long,
        ] {
            assert!(matches!(put(&store, key), Err(StoreError::BadKey { .. })));
            assert!(store.get(Kind::Module, key).is_none());
            assert!(store.cache_dir(key).is_err());
        }
        assert!(!store.root().exists());
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store();
        let entry = put(&store, "a").unwrap();
        let cache = store.cache_dir("wasmtime").unwrap();
        for path in [
            store.root(),
            &entry,
            &cache,
            &store.root().join("modules"),
            &store.root().join("staging"),
            &store.root().join("locks"),
            &store.root().join("cache"),
        ] {
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{path}");
        }
    }
}
