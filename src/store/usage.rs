//! Which entries are in use and since when they are not, and how big the store is.
//!
//! Whoever runs something out of the store holds a shared lock on `uses/KIND-KEY` for as long as
//! it runs. The lock is passed on to the runtime, and through `exec`, so that an entry is in use
//! until the runtime that was given it has ended, whatever becomes of pyw itself. Pruning takes
//! the lock for itself alone, or leaves the entry.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::{Kind, Store};

/// An entry that is in use until this is dropped, and until all processes that it was passed on to
/// have ended.
#[derive(Debug)]
pub struct Use {
    /// The entry's folder.
    pub folder: Utf8PathBuf,
    // Held, not read. `None` in a store that cannot be written, where nobody can prune either.
    #[cfg_attr(not(unix), expect(dead_code, reason = "holds the lock"))]
    lock: Option<File>,
}

/// What the entries of one kind take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many entries there are.
    pub entries: u64,
    /// How many files they hold.
    pub files: u64,
    /// Their size in bytes. A file with several names, as those that environments share with
    /// wheels, is counted where it is met first.
    pub bytes: u64,
}

impl Use {
    /// Lets the lock live on in the processes that are started from here, and in what this
    /// process becomes by `exec`. To be called right before that, so that nothing else gets it.
    pub fn pass_on(&self) {
        #[cfg(unix)]
        if let Some(file) = &self.lock {
            // Should it fail, the lock ends with pyw itself, which is the most to be had then.
            let _ = rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty());
        }
    }
}

impl Store {
    /// Takes an entry into use. `None`: it is not there (any more) and has to be made again.
    ///
    /// What was found before this call may have been pruned in between; what this answers stays.
    ///
    /// # Errors
    /// The lock cannot be made, for another reason than that the store is read-only.
    pub fn hold(&self, kind: Kind, key: &str) -> Result<Option<Use>, StoreError> {
        if !self.entry(kind, key)?.is_dir() {
            return Ok(None);
        }
        let held = self.reserve(kind, key)?;
        Ok(held.folder.is_dir().then_some(held))
    }

    /// Takes an entry into use that may not be there yet, so that it stays from the moment at
    /// which it is found or made.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn reserve(&self, kind: Kind, key: &str) -> Result<Use, StoreError> {
        let folder = self.entry(kind, key)?;
        self.share(&use_name(kind, key), folder)
    }

    /// Takes the files of a cache into use, so that none of them disappears before this is
    /// dropped.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_cache(&self, name: &str) -> Result<Use, StoreError> {
        let folder = self.cache_dir(name)?;
        self.share(&format!("cache-{name}"), folder)
    }

    fn share(&self, name: &str, folder: Utf8PathBuf) -> Result<Use, StoreError> {
        let lock = match self.open_use(name) {
            Ok(file) => {
                let path = self.use_file(name);
                file.lock_shared()
                    .map_err(|cause| StoreError::io("locking", &path, cause))?;
                touch(&file);
                Some(file)
            }
            Err(StoreError::NotPermitted { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Use { folder, lock })
    }

    /// Takes all entries into use that hold one of these paths. Paths elsewhere need nothing.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_all<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p Utf8Path>,
    ) -> Result<Vec<Use>, StoreError> {
        let entries: BTreeSet<(Kind, &str)> = paths
            .into_iter()
            .filter_map(|path| {
                let mut parts = path.strip_prefix(&self.root).ok()?.components();
                let folder = parts.next()?.as_str();
                let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
                Some((kind, parts.next()?.as_str()))
            })
            .collect();
        let mut held = Vec::with_capacity(entries.len());
        for (kind, key) in entries {
            held.extend(self.hold(kind, key)?);
        }
        Ok(held)
    }

    /// When an entry was used last, or made if it never was.
    pub fn last_used(&self, kind: Kind, key: &str) -> Option<SystemTime> {
        let modified = |path: Utf8PathBuf| path.metadata().and_then(|m| m.modified()).ok();
        // The later one: an entry that was made anew is not as old as its last use.
        modified(self.use_file(&use_name(kind, key))).max(modified(self.place(kind, key)))
    }

    /// What the store takes, by kind.
    ///
    /// # Errors
    /// The store cannot be listed. What disappears meanwhile is not counted.
    pub fn sizes(&self) -> Result<Vec<(Kind, Size)>, StoreError> {
        let mut seen = HashSet::new();
        let mut sizes = Vec::new();
        // Wheels go before the environments that share their files.
        for kind in Kind::ALL {
            let mut size = Size::default();
            for entry in self.list(kind)? {
                size.entries += 1;
                measure(&entry.path, &mut size, &mut seen);
            }
            sizes.push((kind, size));
        }
        Ok(sizes)
    }

    /// What the runtimes' caches and the unfinished downloads take, each with the name of its
    /// folder.
    pub fn other_sizes(&self) -> Vec<(&'static str, Size)> {
        ["cache", "downloads", "staging"]
            .into_iter()
            .map(|name| {
                let mut size = Size::default();
                measure(&self.root.join(name), &mut size, &mut HashSet::new());
                (name, size)
            })
            .collect()
    }

    pub(super) fn use_file(&self, name: &str) -> Utf8PathBuf {
        self.root.join("uses").join(name)
    }

    pub(super) fn open_use(&self, name: &str) -> Result<File, StoreError> {
        let path = self.use_file(name);
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folder("uses")?;
                open()
            }
            other => other,
        }
        .map_err(|cause| StoreError::io("opening the lock", &path, cause))
    }
}

/// Has a file's time tell when it was used last, to the hour: a start is quicker without a write.
pub fn touch(file: &File) {
    const OFTEN_ENOUGH: Duration = Duration::from_secs(3600);
    let modified = file.metadata().and_then(|seen| seen.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    if age.is_none_or(|age| age >= OFTEN_ENOUGH) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// The name of the lock of an entry.
pub(super) fn use_name(kind: Kind, key: &str) -> String {
    format!("{}-{key}", kind.folder())
}

fn measure(path: &Utf8Path, size: &mut Size, seen: &mut HashSet<(u64, u64)>) {
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            continue;
        }
        size.files += 1;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
        }
        #[cfg(not(unix))]
        let _ = &seen;
        size.bytes += metadata.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().join("store")).unwrap();
        (folder, Store::at(root))
    }

    fn put(store: &Store, kind: Kind, key: &str) -> Utf8PathBuf {
        store
            .get_or_create::<StoreError>(kind, key, |staging| {
                std::fs::write(staging.join("file"), "12345")
                    .map_err(|cause| StoreError::io("writing", staging, cause))
            })
            .unwrap()
    }

    #[test]
    fn entries_are_held_by_paths_in_them() {
        let (_folder, store) = store();
        let module = put(&store, Kind::Module, "m");
        let wheel = put(&store, Kind::Wheel, "w");
        let paths = [
            module.join("file"),
            wheel.clone(),
            wheel.join("a/b"),
            store.root().join("cache/x"),
            store.root().join("wheels"),
            "/elsewhere/modules/m".into(),
        ];
        let held = store.hold_all(paths.iter().map(|p| p.as_path())).unwrap();
        let folders: Vec<_> = held.iter().map(|held| &held.folder).collect();
        assert_eq!(folders, [&module, &wheel]);
    }

    #[test]
    fn sizes_count_shared_files_once() {
        let (_folder, store) = store();
        let wheel = put(&store, Kind::Wheel, "a");
        store
            .get_or_create::<StoreError>(Kind::Environment, "e", |staging| {
                std::fs::hard_link(wheel.join("file"), staging.join("same")).unwrap();
                std::fs::write(staging.join("own"), "123").unwrap();
                Ok(())
            })
            .unwrap();
        let sizes = store.sizes().unwrap();
        let of = |kind| sizes.iter().find(|(k, _)| *k == kind).unwrap().1;
        let size = |files, bytes| Size {
            entries: 1,
            files,
            bytes,
        };
        assert_eq!(of(Kind::Wheel), size(1, 5));
        #[cfg(unix)]
        assert_eq!(of(Kind::Environment), size(2, 3));
        assert_eq!(of(Kind::Root), Size::default());
    }

    #[test]
    fn many_are_built_together_and_the_finished_ones_stay() {
        let (_folder, store) = store();
        let keys = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let make = |tree: &Utf8Path, key: &str| {
            std::fs::create_dir(tree.join(key)).unwrap();
            std::fs::write(tree.join(key).join("file"), key).unwrap();
        };
        let failed = store.get_or_create_all(Kind::Wheel, &keys(&["b", "a", "b"]), |tree, want| {
            assert_eq!(want, ["a", "b"]);
            make(tree, "a");
            std::fs::create_dir(tree.join("b")).unwrap();
            super::super::Built {
                finished: keys(&["a"]),
                result: Err(StoreError::NoHome),
            }
        });
        assert!(matches!(failed, Err(StoreError::NoHome)));
        assert!(store.get(Kind::Wheel, "a").is_some());
        assert!(store.get(Kind::Wheel, "b").is_none());
        let paths = store
            .get_or_create_all::<StoreError>(Kind::Wheel, &keys(&["b", "a"]), |tree, want| {
                assert_eq!(want, ["b"]);
                make(tree, "b");
                super::super::Built {
                    finished: Vec::new(),
                    result: Ok(()),
                }
            })
            .unwrap();
        let expected = ["b", "a"].map(|key| store.place(Kind::Wheel, key));
        assert_eq!(paths, expected);
        let staging = store.root().join("staging").read_dir_utf8().unwrap();
        assert_eq!(staging.count(), 0);
    }
}
