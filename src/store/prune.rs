//! Getting rid of what nobody needs, and telling what that frees.
//!
//! An entry goes only while its lock in `uses` can be had alone, so nothing that a running pyw or
//! its runtime uses disappears. Which entries are worth keeping is for the callers to say: the
//! store knows no more of them than their names and ages.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata, TryLockError};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::locks::Lock;
use super::staging;
use super::usage::use_name;
use super::{Entry, Kind, Store};

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The entries that are gone, each with its kind.
    pub removed: Vec<(Kind, String)>,
    /// The entries that would be gone as well, were they not in use.
    pub in_use: Vec<(Kind, String)>,
    /// How many files are gone from each folder of `cache`, and from `downloads` and `staging`.
    pub files: BTreeMap<String, u64>,
    /// The folders of `cache` that were left alone because somebody uses them.
    pub caches_in_use: Vec<String>,
    /// How many bytes are free again. A file with several names counts with its last one.
    pub freed: u64,
}

/// A pruning that is under way.
#[derive(Debug)]
pub struct Pruning<'s> {
    store: &'s Store,
    dry: bool,
    now: SystemTime,
    /// Files with several names: how many names there were, and how many of them are gone.
    #[cfg_attr(not(unix), expect(dead_code))]
    links: HashMap<(u64, u64), (u64, u64)>,
    done: Pruned,
}

impl Store {
    /// Begins to prune; with `dry` nothing is removed, only told.
    #[must_use]
    pub fn pruning(&self, dry: bool) -> Pruning<'_> {
        Pruning {
            store: self,
            dry,
            now: SystemTime::now(),
            links: HashMap::new(),
            done: Pruned::default(),
        }
    }
}

impl Pruning<'_> {
    /// What was removed so far.
    #[must_use]
    pub fn done(&self) -> &Pruned {
        &self.done
    }

    /// What was removed.
    #[must_use]
    pub fn finish(self) -> Pruned {
        self.done
    }

    /// Removes the entries of this kind that are unwanted and not in use. `unwanted` is given the
    /// key and for how long nobody used the entry.
    ///
    /// # Errors
    /// The store cannot be listed or written.
    pub fn entries(
        &mut self,
        kind: Kind,
        unwanted: impl Fn(&str, Duration) -> bool,
    ) -> Result<(), StoreError> {
        for Entry { key, path } in self.store.list(kind)? {
            let age = self.age(self.store.last_used(kind, &key));
            if !unwanted(&key, age) {
                continue;
            }
            // While the lock is held nobody can begin to use the entry.
            let Taken::Ours(_lock) = self.take(&use_name(kind, &key))? else {
                self.done.in_use.push((kind, key));
                continue;
            };
            let freed = self.weigh(&path);
            if self.dry || self.store.remove(kind, &key)? {
                self.done.removed.push((kind, key));
                self.done.freed += freed;
            }
        }
        Ok(())
    }

    /// Removes the files that nobody used for so long from all caches but those that `spare`
    /// names.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn caches(
        &mut self,
        unused: Duration,
        spare: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let folder = self.store.root.join("cache");
        let Ok(listing) = folder.read_dir_utf8() else {
            return Ok(());
        };
        for entry in listing.flatten() {
            let name = entry.file_name();
            match self.take(&format!("cache-{name}"))? {
                Taken::Ours(_lock) if !spare(name) => {
                    self.files(entry.path(), name, |_, age| (age >= unused).then_some(()))?;
                }
                _ => self.done.caches_in_use.push(name.to_owned()),
            }
        }
        Ok(())
    }

    /// Removes unfinished downloads that are so old and that nobody is at.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn downloads(&mut self, unused: Duration) -> Result<(), StoreError> {
        let (store, dry) = (self.store, self.dry);
        let folder = store.root.join("downloads");
        self.files(&folder, "downloads", |path, age| {
            if age < unused {
                return None;
            }
            let name = format!("download-{}", path.file_stem()?);
            let path = store.root.join("locks").join(&name);
            if dry && !path.exists() {
                return Some(None);
            }
            store.folder("locks").ok()?;
            Lock::try_take(&path).ok()?.map(Some)
        })
    }

    /// Removes what processes that were killed left half built.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn leftovers(&mut self) -> Result<(), StoreError> {
        for (folder, lock) in staging::dead(self.store)? {
            let mut files = 0;
            for (path, metadata) in files_below(&folder) {
                files += u64::from(path != folder.join("lock"));
                self.done.freed += self.last_name(&metadata);
            }
            *self.done.files.entry("staging".to_owned()).or_default() += files;
            if !self.dry {
                staging::discard(&folder, Some(lock));
            }
        }
        Ok(())
    }

    /// Removes files below a folder. `claim` is given a file and for how long nobody used it; what
    /// it returns is held until the file is gone, and `None` means that it stays.
    fn files<T>(
        &mut self,
        folder: &Utf8Path,
        name: &str,
        claim: impl Fn(&Utf8Path, Duration) -> Option<T>,
    ) -> Result<(), StoreError> {
        for (path, metadata) in files_below(folder) {
            // Reading counts as use, as far as the file system notes it.
            let used = metadata.modified().ok().max(metadata.accessed().ok());
            let Some(_claim) = claim(&path, self.age(used)) else {
                continue;
            };
            if !self.dry {
                match std::fs::remove_file(&path) {
                    Ok(()) => {}
                    // Somebody else was faster, or has it open where that keeps it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(_) if cfg!(windows) => continue,
                    Err(cause) => return Err(StoreError::io("removing", &path, cause)),
                }
            }
            self.done.freed += self.last_name(&metadata);
            *self.done.files.entry(name.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    /// For how long something is unused. A time in the future means since now.
    fn age(&self, used: Option<SystemTime>) -> Duration {
        used.and_then(|time| self.now.duration_since(time).ok())
            .unwrap_or_default()
    }

    /// Takes the lock of what is to be removed.
    fn take(&self, name: &str) -> Result<Taken, StoreError> {
        let path = self.store.use_file(name);
        // Its file would pass for a use, so merely looking must not make one.
        if self.dry && !path.exists() {
            return Ok(Taken::Ours(None));
        }
        let file = match self.store.open_use(name) {
            Ok(file) => file,
            Err(StoreError::NotPermitted { .. }) if self.dry => return Ok(Taken::Ours(None)),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(Taken::Ours(Some(file))),
            Err(TryLockError::WouldBlock) => Ok(Taken::InUse),
            Err(TryLockError::Error(cause)) => Err(StoreError::io("locking", &path, cause)),
        }
    }

    /// How many bytes are free without this entry.
    fn weigh(&mut self, folder: &Utf8Path) -> u64 {
        files_below(folder)
            .iter()
            .map(|(_, metadata)| self.last_name(metadata))
            .sum()
    }

    /// The size of a file that loses a name, if that is its last one.
    fn last_name(&mut self, metadata: &Metadata) -> u64 {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let known = self
                .links
                .entry((metadata.dev(), metadata.ino()))
                .or_insert((metadata.nlink(), 0));
            known.1 += 1;
            if known.1 < known.0 {
                return 0;
            }
        }
        metadata.len()
    }
}

/// Whether something may be removed.
enum Taken {
    /// Nobody uses it, nor can begin to while the lock is held; a dry run may do without one.
    Ours(Option<File>),
    InUse,
}

/// All files below a folder with what is known of them; none if it is not there.
fn files_below(folder: &Utf8Path) -> Vec<(Utf8PathBuf, Metadata)> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .flatten()
        .filter(|entry| !entry.file_type().is_dir())
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let path = Utf8PathBuf::from_path_buf(entry.into_path()).ok()?;
            Some((path, metadata))
        })
        .collect()
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

    fn prune(store: &Store, kind: Kind, unused: Duration, dry: bool) -> Pruned {
        let mut pruning = store.pruning(dry);
        pruning.entries(kind, |_, age| age >= unused).unwrap();
        pruning.finish()
    }

    fn set_old(path: &Utf8Path, age: Duration) {
        let old = SystemTime::now() - age;
        let times = std::fs::FileTimes::new()
            .set_modified(old)
            .set_accessed(old);
        File::open(path).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn what_is_held_stays() {
        let (_folder, store) = store();
        assert!(store.hold(Kind::Wheel, "a").unwrap().is_none());
        put(&store, Kind::Wheel, "a");
        put(&store, Kind::Wheel, "b");
        let held = store.hold(Kind::Wheel, "a").unwrap().unwrap();
        let again = store.hold(Kind::Wheel, "a").unwrap().unwrap();
        assert!(held.folder.is_dir());
        let pruned = prune(&store, Kind::Wheel, Duration::ZERO, false);
        assert_eq!(pruned.removed, [(Kind::Wheel, "b".to_owned())]);
        assert_eq!(pruned.in_use, [(Kind::Wheel, "a".to_owned())]);
        drop(held);
        let pruned = prune(&store, Kind::Wheel, Duration::ZERO, false);
        assert_eq!(pruned.removed, []);
        drop(again);
        let pruned = prune(&store, Kind::Wheel, Duration::ZERO, true);
        assert_eq!(pruned.removed.len(), 1);
        assert!(store.get(Kind::Wheel, "a").is_some(), "only told");
        let pruned = prune(&store, Kind::Wheel, Duration::ZERO, false);
        assert_eq!(pruned.removed.len(), 1);
        assert!(store.hold(Kind::Wheel, "a").unwrap().is_none());
    }

    #[test]
    fn what_was_used_lately_stays() {
        let (_folder, store) = store();
        put(&store, Kind::Root, "a");
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(prune(&store, Kind::Root, day, false), Pruned::default());
        set_old(&store.place(Kind::Root, "a"), 3 * day);
        // Looking at it is no use.
        assert_eq!(prune(&store, Kind::Root, day, true).removed.len(), 1);
        assert!(!store.root().join("uses").exists());
        drop(store.hold(Kind::Root, "a").unwrap());
        assert_eq!(prune(&store, Kind::Root, day, false).removed, []);
        set_old(&store.use_file("roots-a"), 3 * day);
        assert_eq!(prune(&store, Kind::Root, day, false).removed.len(), 1);
    }

    #[test]
    fn shared_files_are_freed_with_their_last_name() {
        for dry in [true, false] {
            let (_folder, store) = store();
            let wheel = put(&store, Kind::Wheel, "a");
            for key in ["d", "e"] {
                store
                    .get_or_create::<StoreError>(Kind::Environment, key, |staging| {
                        std::fs::hard_link(wheel.join("file"), staging.join("same")).unwrap();
                        std::fs::write(staging.join("own"), "123").unwrap();
                        Ok(())
                    })
                    .unwrap();
            }
            let mut pruning = store.pruning(dry);
            #[cfg(unix)]
            for (kind, freed) in [(Kind::Environment, 6), (Kind::Wheel, 6 + 5)] {
                pruning.entries(kind, |_, _| true).unwrap();
                assert_eq!(pruning.done().freed, freed);
            }
            assert_eq!(wheel.exists(), dry);
        }
    }

    #[test]
    fn files_of_caches_go_one_by_one() {
        let (_folder, store) = store();
        let hour = Duration::from_secs(3600);
        for (cache, file, age) in [
            ("pages", "old", 2 * hour),
            ("pages", "new", Duration::ZERO),
            ("wheels", "old", 2 * hour),
            ("wasmtime", "old", 2 * hour),
        ] {
            let path = store.cache_dir(cache).unwrap().join(file);
            std::fs::write(&path, "1234").unwrap();
            set_old(&path, age);
        }
        let held = store.hold_cache("wheels").unwrap();
        let prune = |dry| {
            let mut pruning = store.pruning(dry);
            pruning.caches(hour, |name| name == "wasmtime").unwrap();
            pruning.finish()
        };
        for dry in [true, false] {
            let pruned = prune(dry);
            assert_eq!(pruned.files, BTreeMap::from([("pages".to_owned(), 1)]));
            assert_eq!(pruned.freed, 4);
            let mut spared = pruned.caches_in_use;
            spared.sort();
            assert_eq!(spared, ["wasmtime", "wheels"]);
        }
        drop(held);
        assert_eq!(
            prune(false).files,
            BTreeMap::from([("wheels".to_owned(), 1)])
        );
        assert!(store.root().join("cache/pages/new").exists());
        assert!(store.root().join("cache/wasmtime/old").exists());
    }

    #[test]
    fn downloads_that_go_on_and_builds_that_live_stay() {
        let (_folder, store) = store();
        let downloads = store.downloads().unwrap();
        for name in ["a", "b"] {
            std::fs::write(downloads.join(format!("{name}.part")), "123").unwrap();
        }
        let locks = store.folder("locks").unwrap();
        let busy = Lock::try_take(&locks.join("download-a")).unwrap();
        let slot = staging::Slot::new(&store).unwrap();
        let dead = store.root().join("staging/slot-dead/tree");
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::write(dead.join("half"), "12345").unwrap();
        for dry in [true, false] {
            let mut pruning = store.pruning(dry);
            pruning.downloads(Duration::ZERO).unwrap();
            pruning.leftovers().unwrap();
            let pruned = pruning.finish();
            assert_eq!(pruned.files["downloads"], 1);
            assert!(pruned.freed >= 3 + 5);
            assert_eq!(downloads.join("b.part").exists(), dry);
            assert_eq!(dead.exists(), dry);
        }
        assert!(downloads.join("a.part").exists() && slot.tree().exists());
        drop(busy);
    }

    #[test]
    fn a_store_that_is_not_there_stays_so() {
        let (_folder, store) = store();
        let mut pruning = store.pruning(false);
        for kind in Kind::ALL {
            pruning.entries(kind, |_, _| true).unwrap();
        }
        pruning.caches(Duration::ZERO, |_| false).unwrap();
        pruning.downloads(Duration::ZERO).unwrap();
        pruning.leftovers().unwrap();
        assert_eq!(pruning.finish(), Pruned::default());
        assert!(!store.root().exists());
    }
}
