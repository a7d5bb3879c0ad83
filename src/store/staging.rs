//! Slots in which entries are built before they are published, and the sweeping of dead ones.
//!
//! A slot is a folder with a lock file inside that its owner holds. Creating a slot and judging
//! one dead both happen under the lock `locks/staging`, so nobody sees a slot whose owner has not
//! locked it yet. The slow part, deleting, happens outside.

use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::Store;
use super::error::StoreError;
use super::locks::Lock;

/// A folder of our own inside the store; gone when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    folder: Utf8PathBuf,
    tree: Utf8PathBuf,
    lock: Option<Lock>,
}

impl Slot {
    /// A new slot with an empty tree; dead slots are swept on the way.
    pub(super) fn new(store: &Store) -> Result<Slot, StoreError> {
        let staging = store.folder("staging")?;
        let guard = guard(store)?;
        let dead = dead_slots(&staging);
        let folder = tempfile::Builder::new()
            .prefix("slot-")
            .tempdir_in(&staging)
            .map_err(|cause| StoreError::io("creating a folder in", &staging, cause))?
            .keep();
        let folder =
            Utf8PathBuf::from_path_buf(folder).map_err(|path| StoreError::NotUtf8 { path })?;
        let mut slot = Slot {
            tree: folder.join("tree"),
            lock: None,
            folder,
        };
        slot.lock = Lock::try_take(&slot.folder.join("lock"))?;
        drop(guard);
        super::create_private_dir(&slot.tree)?;
        for (folder, lock) in dead {
            discard(&folder, Some(lock));
        }
        Ok(slot)
    }

    /// Where to build.
    pub(super) fn tree(&self) -> &Utf8Path {
        &self.tree
    }

    /// Makes the tree the entry at `path`, at once and durably.
    pub(super) fn publish(self, path: &Utf8Path) -> Result<(), StoreError> {
        sync_tree(&self.tree).map_err(|cause| StoreError::io("writing", &self.tree, cause))?;
        rename(&self.tree, path).map_err(|cause| StoreError::io("creating", path, cause))?;
        if let Some(parent) = path.parent() {
            sync_dir(parent).map_err(|cause| StoreError::io("writing", parent, cause))?;
        }
        Ok(())
    }

    /// Makes folders of the tree entries, each at once, and all of them durably before the first.
    pub(super) fn publish_all(
        &self,
        moves: &[(Utf8PathBuf, Utf8PathBuf)],
    ) -> Result<(), StoreError> {
        sync_tree(&self.tree).map_err(|cause| StoreError::io("writing", &self.tree, cause))?;
        for (from, to) in moves {
            rename(from, to).map_err(|cause| StoreError::io("creating", to, cause))?;
        }
        if let Some(parent) = moves.first().and_then(|(_, to)| to.parent()) {
            sync_dir(parent).map_err(|cause| StoreError::io("writing", parent, cause))?;
        }
        Ok(())
    }

    /// Takes an entry out of the store and deletes it.
    pub(super) fn take(self, path: &Utf8Path) -> Result<(), StoreError> {
        rename(path, &self.folder.join("removed"))
            .map_err(|cause| StoreError::io("removing", path, cause))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        discard(&self.folder, self.lock.take());
    }
}

fn guard(store: &Store) -> Result<Lock, StoreError> {
    store.lock("staging", || "tidy up".to_owned())
}

/// What dead processes left, each with the lock that makes it ours.
pub(super) fn dead(store: &Store) -> Result<Vec<(Utf8PathBuf, Lock)>, StoreError> {
    let staging = store.root.join("staging");
    if !staging.is_dir() {
        return Ok(Vec::new());
    }
    let _guard = guard(store)?;
    Ok(dead_slots(&staging))
}

/// The slots whose owner is dead, each with its lock, so that no second process deletes it too.
///
/// Whatever goes wrong here is left to the next one: it is others' litter.
fn dead_slots(staging: &Utf8Path) -> Vec<(Utf8PathBuf, Lock)> {
    let Ok(listing) = staging.read_dir_utf8() else {
        return Vec::new();
    };
    listing
        .filter_map(|entry| {
            let folder = entry.ok()?.into_path();
            let lock = Lock::try_take(&folder.join("lock")).ok()??;
            Some((folder, lock))
        })
        .collect()
}

/// Deletes a slot as well as it goes; what stays is swept by a later process.
pub(super) fn discard(folder: &Utf8Path, lock: Option<Lock>) {
    if std::fs::remove_dir_all(folder).is_err() && folder.exists() {
        make_deletable(folder);
        let _ = std::fs::remove_dir_all(folder);
    }
    drop(lock);
}

/// Gives the owner back the right to delete: a build may have left folders without write
/// permission, and on Windows read-only files.
fn make_deletable(folder: &Utf8Path) {
    // The walk lists a folder after it has handed it out, so one pass opens the way for itself.
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let mut permissions = metadata.permissions();
        #[cfg(unix)]
        if metadata.is_dir() {
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o700);
            let _ = std::fs::set_permissions(entry.path(), permissions);
        }
        #[cfg(not(unix))]
        if permissions.readonly() {
            #[expect(clippy::permissions_set_readonly_false, reason = "not on unix")]
            permissions.set_readonly(false);
            let _ = std::fs::set_permissions(entry.path(), permissions);
        }
    }
}

/// Renames; on Windows patiently, since a virus scanner may hold a new file for a moment.
fn rename(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match std::fs::rename(from, to) {
            Err(error)
                if cfg!(windows)
                    && tries < 10
                    && error.kind() == io::ErrorKind::PermissionDenied =>
            {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(20 * tries));
            }
            other => return other,
        }
    }
}

/// Makes everything in the tree durable before it gets its name: after a power cut an entry must
/// not be there with empty files.
fn sync_tree(tree: &Utf8Path) -> io::Result<()> {
    // A few files are synced one by one. For a whole standard library that takes seconds, where
    // one sync of the file system takes a moment.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if walkdir::WalkDir::new(tree).into_iter().take(64).count() == 64 {
        return Ok(rustix::fs::syncfs(File::open(tree)?)?);
    }
    for entry in walkdir::WalkDir::new(tree).contents_first(true) {
        let entry = entry?;
        if entry.file_type().is_file() {
            // Windows flushes only through a handle that may write.
            match File::options()
                .read(true)
                .write(cfg!(windows))
                .open(entry.path())
            {
                Ok(file) => file.sync_all()?,
                // A file that not even its owner may open is as good as synced.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        } else if entry.file_type().is_dir()
            && let Some(path) = Utf8Path::from_path(entry.path())
        {
            sync_dir(path)?;
        }
    }
    Ok(())
}

/// Makes the names in a folder durable, where a system lets folders be synced at all.
fn sync_dir(path: &Utf8Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_slots_are_swept_and_live_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(Utf8PathBuf::from_path_buf(folder.path().into()).unwrap());
        let live = Slot::new(&store).unwrap();
        let dead = store.root().join("staging/slot-dead");
        let unwritable = dead.join("tree/folder");
        std::fs::create_dir_all(&unwritable).unwrap();
        std::fs::write(unwritable.join("file"), "x").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(
            &unwritable,
            std::os::unix::fs::PermissionsExt::from_mode(0o500),
        )
        .unwrap();
        let other = Slot::new(&store).unwrap();
        assert!(!dead.exists());
        assert!(live.tree().is_dir() && other.tree().is_dir());
        drop(live);
        drop(other);
        let left = store.root().join("staging").read_dir_utf8().unwrap();
        assert_eq!(left.count(), 0);
    }
}
