//! The scratch folder of one run: made before the runtime starts, removed when it has ended.
//!
//! Scratch folders of one user stand in one private parent. Each is locked for as long as its pyw
//! lives, so that what a killed pyw left behind is removed by a later one and never a folder that
//! is in use.

use std::fs::File;
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::LaunchError;
use super::fence;
use crate::sandbox::{Access, Placed, Scratch};

/// Chooses the path of a scratch folder that does not exist yet, below the system's temporary
/// folder (`TMPDIR`).
#[must_use]
pub fn choose() -> Utf8PathBuf {
    temp().join(format!("pyw-{}", owner())).join(unlikely())
}

/// Chooses a path for a scratch folder that a shell makes, outside the place in which pyw removes
/// folders that no pyw holds.
#[must_use]
pub fn choose_apart() -> Utf8PathBuf {
    temp().join(format!("pyw-{}-{}", owner(), unlikely()))
}

fn temp() -> Utf8PathBuf {
    let temp = std::env::temp_dir();
    let temp = Utf8PathBuf::from_path_buf(temp).unwrap_or_else(|_| Utf8PathBuf::from("/tmp"));
    temp.canonicalize_utf8().unwrap_or(temp)
}

/// A name that only has to be unlikely: making the folder fails when it exists.
fn unlikely() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |d| d.as_nanos() as u64);
    format!("{}-{nanos:x}", std::process::id())
}

#[cfg(unix)]
fn owner() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn owner() -> &'static str {
    "user"
}

/// A scratch folder on disk; dropping it removes it.
#[derive(Debug)]
pub struct Made {
    root: Utf8PathBuf,
    limited: Vec<fence::Limited>,
    // Held, not read: others must not take the folder for a leftover.
    _lock: File,
}

impl Made {
    /// Makes the folder with everything in it.
    ///
    /// # Errors
    /// Whatever the file system answers, with the path; a parent folder that belongs to someone
    /// else.
    pub fn make(scratch: &Scratch) -> Result<Self, LaunchError> {
        let root = &scratch.root;
        if let Some(parent) = root.parent() {
            private(parent, true)?;
            sweep(parent);
        }
        private(root, false)?;
        let lock = lockable(root).map_err(failed("open", root))?;
        lock.try_lock()
            .map_err(|e| failed("lock", root)(e.into()))?;
        let mut made = Self {
            root: root.clone(),
            limited: Vec::new(),
            _lock: lock,
        };
        for (folder, bytes) in &scratch.sizes {
            std::fs::create_dir(folder).map_err(failed("make", folder))?;
            let limited = fence::limit(folder, *bytes);
            let limited = limited.map_err(failed("limit the size of", folder))?;
            made.limited.push(limited);
        }
        for folder in &scratch.folders {
            std::fs::create_dir_all(folder).map_err(failed("make", folder))?;
        }
        for file in &scratch.files {
            File::create(file).map_err(failed("make", file))?;
        }
        for (file, text) in &scratch.texts {
            std::fs::write(file, text).map_err(failed("write", file))?;
        }
        for (link, target) in &scratch.links {
            symlink(target, link).map_err(failed("make", link))?;
        }
        for placed in &scratch.placed {
            place(placed, root)?;
        }
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.limited.clear();
        // A guest may have left thousands of files here, but never anything that can't be
        // removed by its owner; what fails nevertheless is swept by a later run.
        let _ = std::fs::remove_dir_all(&self.root);
        if let Some(parent) = self.root.parent() {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

fn failed(action: &'static str, path: &Utf8Path) -> impl FnOnce(std::io::Error) -> LaunchError {
    move |source| LaunchError::Scratch {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Makes a folder that only its owner can enter. `shared` ones may exist already, but only as
/// such: a folder that another user made first could be changed under our feet.
fn private(path: &Utf8Path, shared: bool) -> Result<(), LaunchError> {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    // Twice, as another pyw that ends may remove the parent between our two steps.
    for _ in 0..2 {
        match builder.create(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && shared => return ours(path),
            Err(e) if e.kind() == ErrorKind::NotFound && !shared => {
                if let Some(parent) = path.parent() {
                    private(parent, true)?;
                }
            }
            Err(e) => return Err(failed("make", path)(e)),
        }
    }
    builder.create(path).map_err(failed("make", path))
}

#[cfg(unix)]
fn ours(path: &Utf8Path) -> Result<(), LaunchError> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).map_err(failed("look at", path))?;
    if found.is_dir()
        && found.uid() == rustix::process::getuid().as_raw()
        && found.mode() & 0o077 == 0
    {
        return Ok(());
    }
    let source = std::io::Error::other("it belongs to someone else, or others may enter it");
    Err(failed("use", path)(source))
}

#[cfg(not(unix))]
fn ours(_: &Utf8Path) -> Result<(), LaunchError> {
    Ok(())
}

/// What a scratch folder is locked by: a file of its own would be one more to make and remove.
#[cfg(unix)]
fn lockable(root: &Utf8Path) -> std::io::Result<File> {
    File::open(root)
}

/// Folders cannot be opened as files here.
#[cfg(not(unix))]
fn lockable(root: &Utf8Path) -> std::io::Result<File> {
    let options = File::options().write(true).create(true).to_owned();
    options.open(root.join(".lock"))
}

/// Removes what killed runs left behind. A young folder may be one that is about to be locked.
fn sweep(parent: &Utf8Path) {
    let Ok(entries) = parent.read_dir_utf8() else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if old(path) && lockable(path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn old(path: &Utf8Path) -> bool {
    let modified = std::fs::metadata(path).and_then(|m| m.modified());
    modified.is_ok_and(|m| m.elapsed().is_ok_and(|age| age.as_secs() > 60))
}

#[cfg(unix)]
fn symlink(target: &Utf8Path, link: &Utf8Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Utf8Path, link: &Utf8Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// A hard link is the file itself, so writes arrive; for reading, a copy does as well.
fn place(placed: &Placed, root: &Utf8Path) -> Result<(), LaunchError> {
    if let Some(parent) = placed.to.parent() {
        std::fs::create_dir_all(parent).map_err(failed("make", parent))?;
    }
    let real = placed
        .from
        .canonicalize_utf8()
        .map_err(failed("find", &placed.from))?;
    if std::fs::hard_link(&real, &placed.to).is_ok() {
        return Ok(());
    }
    match placed.access {
        Access::Read => {
            std::fs::copy(&real, &placed.to).map_err(failed("copy", &placed.from))?;
            Ok(())
        }
        Access::Write => Err(LaunchError::PlaceWritable {
            path: placed.from.clone(),
            scratch: root.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(folder: &tempfile::TempDir) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap())
            .unwrap()
            .join("pyw-x")
    }

    #[test]
    fn it_is_gone_afterwards_and_so_are_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let parent = at(&folder);
        private(&parent, true).unwrap();
        let left = parent.join("killed");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("data"), "x").unwrap();
        let age = |path: &Utf8Path| {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
            File::open(path).unwrap().set_modified(then).unwrap();
        };
        age(&left);

        let root = parent.join("run");
        let scratch = Scratch {
            root: root.clone(),
            folders: vec![root.join("tmp"), root.join("dev")],
            files: vec![root.join("dev/null")],
            ..Scratch::default()
        };
        let made = Made::make(&scratch).unwrap();
        assert!(root.join("dev/null").is_file());
        assert!(!left.exists(), "a leftover without a lock holder is swept");

        age(&root);
        sweep(&parent);
        assert!(root.exists(), "a folder in use is not");
        drop(made);
        assert!(!parent.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_parent_that_others_may_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let parent = at(&folder);
        std::fs::create_dir(&parent).unwrap();
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o777)).unwrap();
        let scratch = Scratch {
            root: parent.join("run"),
            ..Scratch::default()
        };
        assert!(
            Made::make(&scratch)
                .unwrap_err()
                .to_string()
                .contains("others may enter")
        );
    }
}
