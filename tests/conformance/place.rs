//! The fresh directories of a trial: making them, and seeing what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::case::{After, AfterSpecial, Entry, Special, Where};
use crate::content::Content;

/// The directories that one trial has to itself. Gone when dropped.
pub struct Place {
    _root: TempDir,
    pub names: Names,
    /// An empty home directory.
    pub home: PathBuf,
    /// The caller's TMPDIR, in which nothing may be left.
    pub tmp: PathBuf,
    /// Files of the trial itself.
    pub aside: PathBuf,
}

/// What the placeholders of a case stand for.
#[derive(Clone, Debug)]
pub struct Names {
    /// `{work}`: where the program is started.
    pub work: PathBuf,
    /// `{outside}`: a directory that the program sees only when it is granted.
    pub outside: PathBuf,
}

impl Names {
    /// Fills in the placeholders. Other braces are Python's.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{work}", self.work.to_str().expect("a UTF-8 path"))
            .replace("{outside}", self.outside.to_str().expect("a UTF-8 path"))
    }

    /// A path of a case: `{outside}/…`, or relative to `{work}`.
    fn path(&self, path: &str) -> PathBuf {
        self.work.join(self.fill(path))
    }
}

impl Place {
    /// Makes the directories and the case's files.
    pub fn new(place: Where, files: &BTreeMap<String, Entry>) -> Result<Self, String> {
        let base = match place {
            Where::Target => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            Where::Tmp => PathBuf::from("/tmp"),
        };
        // Python resolves symlinks in some paths and not in others; a case means the same either way.
        let base = fs::canonicalize(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        let root = tempfile::Builder::new()
            .prefix("conformance-")
            .tempdir_in(base)
            .map_err(|e| format!("a fresh directory: {e}"))?;
        let dir = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir(&path)
                .map_err(|e| format!("{}: {e}", path.display()))
                .map(|()| path)
        };
        let place = Self {
            names: Names {
                work: dir("work")?,
                outside: dir("outside")?,
            },
            home: dir("home")?,
            tmp: dir("tmp")?,
            aside: dir("aside")?,
            _root: root,
        };
        for (path, entry) in files {
            let full = place.names.path(path);
            create(&full, entry, &place.names).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(place)
    }

    /// Everything under the two directories that a program may be shown.
    pub fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::new();
        for root in [&self.names.work, &self.names.outside] {
            for entry in walkdir::WalkDir::new(root)
                .min_depth(1)
                .into_iter()
                .flatten()
            {
                let kind = entry.file_type();
                let seen = if kind.is_symlink() {
                    Seen::Symlink(fs::read_link(entry.path()).unwrap_or_default())
                } else if kind.is_dir() {
                    Seen::Dir
                } else {
                    Seen::File(fs::read(entry.path()).unwrap_or_default())
                };
                all.insert(entry.path().to_owned(), seen);
            }
        }
        all
    }

    /// What must be there after the trial: what was there before, but for what the case names.
    pub fn expected(
        &self,
        before: Snapshot,
        after: &BTreeMap<String, After>,
    ) -> Result<Snapshot, String> {
        let mut all = before;
        for (path, after) in after {
            let full = self.names.path(path);
            match after {
                After::Special(AfterSpecial::Gone(_)) => {
                    all.remove(&full);
                }
                After::Special(AfterSpecial::Dir(_)) => {
                    all.insert(full, Seen::Dir);
                }
                After::File(content) => {
                    all.insert(full, Seen::File(content.bytes(&self.names)?));
                }
            }
        }
        Ok(all)
    }

    /// What is left in the caller's TMPDIR.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(&self.tmp)
            .min_depth(1)
            .into_iter()
            .flatten()
            .map(walkdir::DirEntry::into_path)
            .collect()
    }
}

/// What lies under the directories of a trial.
pub type Snapshot = BTreeMap<PathBuf, Seen>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    File(Vec<u8>),
    Dir,
    Symlink(PathBuf),
}

/// The paths at which two snapshots differ, with both sides.
pub fn changes(expected: &Snapshot, got: &Snapshot) -> Vec<String> {
    let show = |seen: Option<&Seen>| match seen {
        None => "nothing".to_owned(),
        Some(Seen::Dir) => "a directory".to_owned(),
        Some(Seen::Symlink(to)) => format!("a symlink to {}", to.display()),
        Some(Seen::File(bytes)) => crate::content::excerpt(bytes, 0),
    };
    let mut paths: Vec<_> = expected.keys().chain(got.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| expected.get(*path) != got.get(*path))
        .map(|path| {
            format!(
                "on the host, {}\n    expected: {}\n    got:      {}",
                path.display(),
                show(expected.get(path)),
                show(got.get(path))
            )
        })
        .collect()
}

/// Creates one entry and the directories above it.
fn create(path: &Path, entry: &Entry, names: &Names) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    fs::create_dir_all(path.parent().expect("a path in the place")).map_err(io)?;
    match entry {
        Entry::File(content) => fs::write(path, content.bytes(names)?).map_err(io),
        Entry::Special(Special::Dir(_)) => fs::create_dir_all(path).map_err(io),
        Entry::Special(Special::Symlink(to)) => {
            std::os::unix::fs::symlink(names.fill(to), path).map_err(io)
        }
        Entry::Special(Special::Zip(members)) => {
            fs::write(path, archive(members, names)?).map_err(io)
        }
        Entry::Special(Special::File { content, mode }) => {
            fs::write(path, content.bytes(names)?).map_err(io)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).map_err(io)
        }
    }
}

/// A zip with these members, uncompressed and in this order.
fn archive(members: &BTreeMap<String, Content>, names: &Names) -> Result<Vec<u8>, String> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .map_err(|e| e.to_string())?;
        zip.write_all(&content.bytes(names)?)
            .map_err(|e| e.to_string())?;
    }
    let done = zip.finish().map_err(|e| e.to_string())?;
    Ok(done.into_inner())
}
