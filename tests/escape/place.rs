//! The files that attacks are tried on, and what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folders of one run. Gone when dropped.
pub struct Place {
    root: TempDir,
    /// A folder in the host's `/tmp`.
    pub tmp: TempDir,
    /// A file in the host's shared memory.
    pub shm: tempfile::NamedTempFile,
    /// What no attack may get to know.
    pub secret: String,
}

impl Place {
    /// Makes the folders, with files for each of the attacks.
    pub fn new(attacks: &[String]) -> Result<Self, String> {
        Self::make(attacks).map_err(|e| format!("the files of a run: {e}"))
    }

    fn make(attacks: &[String]) -> std::io::Result<Self> {
        let base = fs::canonicalize(env!("CARGO_TARGET_TMPDIR"))?;
        let root = tempfile::Builder::new()
            .prefix("escape-")
            .tempdir_in(base)?;
        let tmp = tempfile::Builder::new()
            .prefix("pyw-escape-")
            .tempdir_in("/tmp")?;
        let shm = tempfile::Builder::new()
            .prefix("pyw-escape-")
            .tempfile_in("/dev/shm")?;
        // Unlikely to stand in anything by chance, and not derived from what the guest sees.
        let seed = format!("{:?} {:?}", std::time::SystemTime::now(), root.path());
        let secret = format!(
            "secret-{}",
            &pyw::store::hash::Sha256::of(seed.as_bytes()).to_string()[..24]
        );
        fs::write(shm.path(), &secret)?;
        fs::write(tmp.path().join("secret.txt"), &secret)?;
        fs::write(tmp.path().join(&secret), "")?;
        let place = Self {
            root,
            tmp,
            shm,
            secret,
        };
        for folder in ["ro", "rw", "outside"] {
            fs::create_dir_all(place.base().join(folder))?;
        }
        for folder in [place.home().join(".ssh"), place.scratch(), place.program()] {
            fs::create_dir_all(folder)?;
        }
        fs::write(place.home().join(".ssh/id_ed25519"), &place.secret)?;
        fs::write(place.base().join(&place.secret), "")?;
        let attacks_of = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/attacks");
        for entry in fs::read_dir(attacks_of)?.flatten() {
            if entry.path().extension().is_some_and(|e| e == "py") {
                fs::copy(entry.path(), place.program().join(entry.file_name()))?;
            }
        }
        for attack in attacks {
            place.files_for(&slug(attack))?;
        }
        Ok(place)
    }

    fn files_for(&self, slug: &str) -> std::io::Result<()> {
        let outside = self.base().join("outside").join(slug);
        fs::create_dir_all(outside.join("dir/store"))?;
        fs::create_dir_all(outside.join("dir/cache"))?;
        fs::create_dir_all(outside.join("dir/staging"))?;
        fs::write(outside.join("dir/store/module.wasm"), "a module")?;
        fs::write(outside.join("dir/this.py"), "a module")?;
        fs::write(outside.join("dir/run.py"), "a module")?;
        fs::write(outside.join("secret.txt"), &self.secret)?;
        fs::write(outside.join(&self.secret), "")?;
        fs::write(
            outside.join("secret_module.py"),
            format!("SECRET = '{}'\n", self.secret),
        )?;
        for mount in ["ro", "rw"] {
            let folder = self.base().join(mount).join(slug);
            fs::create_dir_all(folder.join("dir"))?;
            fs::create_dir_all(folder.join("empty"))?;
            fs::write(folder.join("file.txt"), "canary")?;
            fs::write(folder.join("module.py"), "x = 1\n")?;
            fs::write(folder.join("dir/inner.txt"), "canary")?;
            let away = format!("../../outside/{slug}");
            symlink(format!("{away}/secret.txt"), folder.join("link"))?;
            symlink(&away, folder.join("dirlink"))?;
            symlink(outside.join("secret.txt"), folder.join("abslink"))?;
            symlink(&outside, folder.join("absdir"))?;
            symlink(format!("../../ro/{slug}"), folder.join("to-ro"))?;
        }
        Ok(())
    }

    /// The folder that holds what is granted (`ro`, `rw`) and what is not (`outside`).
    pub fn base(&self) -> PathBuf {
        self.root.path().join("base")
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// TMPDIR of the run.
    pub fn scratch(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    pub fn program(&self) -> PathBuf {
        self.root.path().join("program")
    }

    /// The file that tells the attacks what there is, written for each start.
    pub fn told(&self) -> PathBuf {
        self.program().join("place.json")
    }

    /// What attacks must leave as it is, under the name of the one whose it is, or of none.
    pub fn snapshot(&self, store: &Path) -> Snapshot {
        let base = self.base();
        let mut all = Snapshot::new();
        for part in ["ro", "outside"] {
            let root = base.join(part);
            for entry in walkdir::WalkDir::new(&root)
                .min_depth(1)
                .into_iter()
                .flatten()
            {
                let inside = entry.path().strip_prefix(&root).unwrap_or(entry.path());
                let owner = inside
                    .iter()
                    .next()
                    .and_then(|s| s.to_str())
                    .unwrap_or_default();
                all.entry(owner.to_owned())
                    .or_default()
                    .insert(entry.path().to_owned(), seen(entry.path(), true));
            }
        }
        let shared = all.entry(String::new()).or_default();
        let names = |folder: &Path| {
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path())
                .collect::<Vec<_>>()
        };
        for path in names(&base).into_iter().chain(names(store)) {
            shared.insert(path, "there".to_owned());
        }
        for folder in [self.program(), self.home(), self.tmp.path().to_owned()] {
            for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
                // Its folder changes with each writing of it as well, in its times alone.
                if entry.path() != self.told() && entry.path() != self.program() {
                    shared.insert(entry.path().to_owned(), seen(entry.path(), true));
                }
            }
        }
        // Big, so by size and times.
        for folder in ["modules", "interpreters", "runtimes", "roots"] {
            // Not the folder itself, in which other tests may make entries of their own meanwhile.
            for entry in walkdir::WalkDir::new(store.join(folder))
                .min_depth(1)
                .into_iter()
                .flatten()
            {
                shared.insert(entry.path().to_owned(), seen(entry.path(), false));
            }
        }
        for path in names(&store.join("cache"))
            .into_iter()
            .chain(names(&store.join("staging")))
        {
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains("evil"))
            {
                shared.insert(path, "there".to_owned());
            }
        }
        all
    }
}

/// Leaves out of the later snapshot whole entries of the store that are new: no attack on what is
/// there, unless they bear the name that attacks use.
pub fn without_new_entries(before: &Snapshot, after: &mut Snapshot, store: &Path) {
    let (Some(before), Some(after)) = (before.get(""), after.get_mut("")) else {
        return;
    };
    after.retain(|path, _| {
        let Ok(inside) = path.strip_prefix(store) else {
            return true;
        };
        let entry: PathBuf = store.join(inside.iter().take(2).collect::<PathBuf>());
        before.contains_key(&entry) || path.to_string_lossy().contains("evil")
    });
}

/// The name of an attack's folders.
pub fn slug(attack: &str) -> String {
    attack.replace('/', "-")
}

/// By the attack whose files they are, or under the empty name: what is at each path.
pub type Snapshot = BTreeMap<String, BTreeMap<PathBuf, String>>;

/// What of an owner's differs between two snapshots.
pub fn changes(before: &Snapshot, after: &Snapshot, owner: &str) -> Vec<String> {
    let empty = BTreeMap::new();
    let (before, after) = (
        before.get(owner).unwrap_or(&empty),
        after.get(owner).unwrap_or(&empty),
    );
    let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| {
            format!(
                "{}: {:?} became {:?}",
                path.display(),
                before.get(path),
                after.get(path)
            )
        })
        .collect()
}

fn seen(path: &Path, bytes: bool) -> String {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return "unreadable".to_owned();
    };
    let what = if metadata.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap_or_default().display())
    } else if metadata.is_file() && bytes && metadata.len() < 1 << 20 {
        pyw::store::hash::Sha256::of(&fs::read(path).unwrap_or_default()).to_string()
    } else {
        String::new()
    };
    // A folder's size is the file system's own affair.
    let size = if metadata.is_file() {
        metadata.len()
    } else {
        0
    };
    format!(
        "{:o} {size} {}.{} {what}",
        metadata.mode(),
        metadata.mtime(),
        metadata.mtime_nsec()
    )
}
