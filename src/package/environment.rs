//! Environments: the packages of one program as one tree, made of unpacked wheels.
//!
//! An environment is known by exactly what is in it: the digests of its wheels, the interpreter,
//! and the source folders that it makes importable. It is never changed, so any number of programs
//! share it, and the second run of a program finds it by one look.
//!
//! There are two of each, with different names in the store: a *plain* one, and one with the
//! bytecode of its modules. Byte-compiling a few packages takes many seconds, which a program that
//! is run once would pay for nothing: the first run gets the plain one, and the second run makes
//! the compiled one.
//!
//! ```text
//! pyw.json         what is known of it: packages and commands
//! site-packages/   hard links (else reflinks or copies) to wheels, to their bytecode in the
//!                  compiled one, and to what the interpreter brings along
//! bin/NAME         a script for each command
//! data/NAME/       what wheels bring for `share`, `etc` and the like below the prefix
//! ```
//!
//! The guest sees `site-packages` read-only at the very place where its interpreter looks for
//! packages, so that CPython's own `site` finds it, with `-I` as well, and not with `-S`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::bytecode::{self, BytecodeError};
use super::entry_points::EntryPoint;
use super::name::PackageName;
use super::wheel::{self, FileInfo, Wheel, WheelError, WheelRef};
use crate::error::Code;
use crate::interpreter::Interpreter;
use crate::interpreter::convert::Guest;
use crate::sandbox::{Access, Mount, Purpose};
use crate::store::fetch::Fetcher;
use crate::store::usage::Use;
use crate::store::{Kind, Sha256, Store, StoreError};
use crate::ui::progress;

/// The file that holds what is known of an environment.
const INFO_FILE: &str = "pyw.json";
/// Changes whenever environments come out differently.
const FORMAT: u32 = 2;
/// What the name of a compiled environment has more than that of the plain one.
const COMPILED: &str = "-compiled";
/// The file that makes source folders importable.
const ROOTS_FILE: &str = "_pyw_project.pth";

/// Folders below the prefix that a wheel's data cannot be mounted at: they are the interpreter's,
/// pyw's, or the program's own.
const TAKEN: [&str; 7] = ["lib", "lib64", "bin", "tmp", "dev", "proc", ".pyw"];

/// What an environment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The wheels.
    pub wheels: &'a [WheelRef],
    /// Guest paths of folders whose modules are importable as well: a project's sources.
    pub roots: &'a [String],
}

/// An environment in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name in the store.
    pub key: String,
    /// Its folder.
    pub folder: Utf8PathBuf,
    /// What is in it.
    pub info: Info,
}

/// What is in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its packages, by name.
    pub packages: Vec<Package>,
    /// Its commands, by name, each with the package that brings it.
    pub entry_points: BTreeMap<String, Command>,
    /// The folders of `data`.
    pub data: Vec<String>,
    /// Whether there is anything in `bin`.
    pub bin: bool,
}

/// A package of an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: String,
    /// The name of the wheel's file.
    pub filename: String,
    /// The digest of the wheel.
    pub sha256: Sha256,
}

/// A command of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The package that brings it.
    pub package: PackageName,
    /// What it runs; `None` for a script that the package brings as a file.
    pub entry_point: Option<EntryPoint>,
}

/// An environment that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Two wheels bring different files for one path.
    #[error("{first} and {second} both bring {path:?}, and not the same")]
    Conflict {
        /// One wheel's file name.
        first: String,
        /// The other one's.
        second: String,
        /// The path in site-packages, or below the prefix.
        path: String,
    },
    /// One project twice.
    #[error("{first} and {second} are both {name}")]
    Twice {
        /// The project.
        name: PackageName,
        /// One wheel's file name.
        first: String,
        /// The other one's.
        second: String,
    },
    /// A command that no package brings.
    #[error("no package here has a command `{name}`")]
    NoCommand {
        /// What was asked for.
        name: String,
        /// The commands that there are.
        known: Vec<String>,
    },
    /// A script that is not Python's.
    #[error(
        "the command `{name}` of {package} is not a Python script, and nothing else can run in the sandbox"
    )]
    NotPython {
        /// The command.
        name: String,
        /// The package that brings it.
        package: PackageName,
    },
    /// What the store wrote down is gone or unreadable.
    #[error("`{path}` is not a record that this pyw can read: {reason}")]
    Info {
        /// The record.
        path: Utf8PathBuf,
        /// Why not.
        reason: String,
    },
    /// A wheel cannot be had or is refused.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// Byte-compiling failed.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnvironmentError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } | Self::Twice { .. } => Code::Resolution,
            Self::NoCommand { .. } => Code::NotFound,
            Self::NotPython { .. } => Code::Usage,
            Self::Info { .. } => Code::Storage,
            Self::Wheel(error) => error.code(),
            Self::Bytecode(BytecodeError::Guest { .. }) => Code::Interpreter,
            Self::Bytecode(BytecodeError::Store(error)) | Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict { .. } => Some(
                "natively the one that is installed last would win, and the other be broken; \
                 leave one of them out, or take another release of it"
                    .into(),
            ),
            Self::Twice { .. } => Some("leave one of them out".into()),
            Self::NoCommand { known, .. } if known.is_empty() => {
                Some("its packages have no commands; a module is run with -m".into())
            }
            Self::NoCommand { known, .. } => Some(format!("there are: {}", known.join(", "))),
            Self::NotPython { .. } => Some("run a module of the package instead, with -m".into()),
            Self::Info { path, .. } => {
                let entry = path.parent().unwrap_or(path);
                Some(format!("delete {entry}, and it is made again"))
            }
            Self::Wheel(error) => error.hint(),
            Self::Bytecode(BytecodeError::Guest { .. }) => {
                Some("see whether the interpreter runs at all: pyw -c 'print(1)'".into())
            }
            Self::Bytecode(BytecodeError::Store(error)) | Self::Store(error) => error.hint(),
        }
    }
}

/// The name in the store of the plain environment with these contents.
fn plain_key(contents: Contents<'_>, interpreter: &Interpreter) -> String {
    let mut digests: Vec<String> = contents.wheels.iter().map(WheelRef::key).collect();
    digests.sort();
    digests.dedup();
    let mut text = format!(
        "{}\n{}\n{}\n",
        interpreter.key,
        interpreter.info.module_sha256,
        interpreter.site_guest()
    );
    for part in digests.iter().chain(contents.roots) {
        text.push_str(part);
        text.push('\n');
    }
    format!("{}-{FORMAT}", Sha256::of(text.as_bytes()))
}

/// Whether this pyw can use an environment of that name: another release may make them otherwise.
#[must_use]
pub fn is_current(key: &str) -> bool {
    let plain = key.strip_suffix(COMPILED).unwrap_or(key);
    plain.ends_with(&format!("-{FORMAT}"))
}

/// The name of the compiled environment that goes before the plain one of this name; `None` for a
/// compiled one.
#[must_use]
pub fn compiled_key(plain: &str) -> Option<String> {
    (!plain.ends_with(COMPILED)).then(|| format!("{plain}{COMPILED}"))
}

/// When packages are byte-compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytecode {
    /// When they are used for the second time: to compile many takes longer than one start without.
    SecondRun,
    /// At once.
    Now,
}

/// The best environment with these contents that can be had soon, held so that it isn't pruned
/// before it is used: the compiled one if it is there; else the plain one, for which wheels are
/// downloaded, verified and unpacked as far as they are not in the store.
///
/// With [`Bytecode::SecondRun`], where the plain one was there before this call, an earlier run has used it, and it is worth
/// compiling: that is done first, unless another process is at it already. Where it cannot be
/// done, the plain one serves as before.
///
/// # Errors
/// A wheel cannot be had or is refused; two of them contradict each other; the store cannot be
/// written.
pub fn provide(
    contents: Contents<'_>,
    interpreter: &Interpreter,
    store: &Store,
    fetcher: &Fetcher,
    guest: &dyn Guest,
    bytecode: Bytecode,
) -> Result<(Environment, Use), EnvironmentError> {
    if bytecode == Bytecode::Now {
        return provide_compiled(contents, interpreter, store, fetcher, guest);
    }
    let maker = Maker {
        contents,
        interpreter,
        store,
        fetcher,
    };
    let plain = plain_key(contents, interpreter);
    let compiled = format!("{plain}{COMPILED}");
    if let Some(held) = store.hold(Kind::Environment, &compiled)? {
        return opened(held);
    }
    let Some(held) = store.hold(Kind::Environment, &plain)? else {
        let held = store.reserve(Kind::Environment, &plain)?;
        store.get_or_create(Kind::Environment, &plain, |dest| maker.plain(dest))?;
        return opened(held);
    };
    // Wheels that were pruned are not fetched again for this.
    let unpacked = |wheel: &WheelRef| store.get(Kind::Wheel, &wheel.key()).is_some();
    if !contents.wheels.is_empty() && contents.wheels.iter().all(unpacked) {
        let better = || -> Result<Option<Use>, EnvironmentError> {
            let held = store.reserve(Kind::Environment, &compiled)?;
            let made = store.create_unless_busy(Kind::Environment, &compiled, |dest| {
                maker.compiled(dest, guest)
            })?;
            Ok(made.map(|_| held))
        };
        match better() {
            Ok(Some(held)) => return opened(held),
            Ok(None) => progress::verbose("packages are being byte-compiled by another pyw"),
            Err(error) => progress::verbose(&format!("packages stay without bytecode: {error}")),
        }
    }
    opened(held)
}

/// The compiled environment with these contents, made at once if it isn't there, and held.
///
/// # Errors
/// As [`provide`], and where the interpreter does not come to compile anything.
pub fn provide_compiled(
    contents: Contents<'_>,
    interpreter: &Interpreter,
    store: &Store,
    fetcher: &Fetcher,
    guest: &dyn Guest,
) -> Result<(Environment, Use), EnvironmentError> {
    let maker = Maker {
        contents,
        interpreter,
        store,
        fetcher,
    };
    let key = format!("{}{COMPILED}", plain_key(contents, interpreter));
    let held = store.reserve(Kind::Environment, &key)?;
    store.get_or_create(Kind::Environment, &key, |dest| maker.compiled(dest, guest))?;
    opened(held)
}

fn opened(held: Use) -> Result<(Environment, Use), EnvironmentError> {
    Ok((Environment::open(&held.folder)?, held))
}

/// Makes environments.
#[derive(Clone, Copy)]
struct Maker<'a> {
    contents: Contents<'a>,
    interpreter: &'a Interpreter,
    store: &'a Store,
    fetcher: &'a Fetcher,
}

impl Maker<'_> {
    fn plain(self, dest: &Utf8Path) -> Result<(), EnvironmentError> {
        let (wheels, _held) = self.wheels()?;
        self.write(&wheels, &[], dest)
    }

    fn compiled(self, dest: &Utf8Path, guest: &dyn Guest) -> Result<(), EnvironmentError> {
        let (wheels, mut held) = self.wheels()?;
        for wheel in &wheels {
            let key = bytecode::key(wheel, self.interpreter);
            held.push(self.store.reserve(Kind::Bytecode, &key)?);
        }
        let compiled = bytecode::provide(&wheels, self.interpreter, self.store, guest)?;
        self.write(&wheels, &compiled, dest)
    }

    /// The unpacked wheels, which are not pruned while they are held.
    fn wheels(self) -> Result<(Vec<Wheel>, Vec<Use>), EnvironmentError> {
        let mut held = Vec::new();
        for wheel in self.contents.wheels {
            held.push(self.store.reserve(Kind::Wheel, &wheel.key())?);
        }
        let mut wheels = wheel::provide(self.contents.wheels, self.store, self.fetcher)?;
        // Whatever the order in which they were named, the tree is the same.
        wheels.sort_by(|a, b| (&a.info.name, &a.key).cmp(&(&b.info.name, &b.key)));
        Ok((wheels, held))
    }

    /// Makes the tree in `dest`; `compiled` has the bytecode of each wheel, or nothing.
    fn write(
        self,
        wheels: &[Wheel],
        compiled: &[Utf8PathBuf],
        dest: &Utf8Path,
    ) -> Result<(), EnvironmentError> {
        let mut tree = Tree::default();
        for (number, wheel) in wheels.iter().enumerate() {
            tree.wheel(wheel, compiled.get(number).map(|path| path.as_path()))?;
        }
        tree.interpreter(&self.interpreter.site(), wheels);
        tree.write(dest, self.contents)
    }
}

impl Environment {
    /// Reads what is known of an environment.
    ///
    /// # Errors
    /// It isn't there, or is damaged.
    pub fn open(folder: &Utf8Path) -> Result<Environment, EnvironmentError> {
        let path = folder.join(INFO_FILE);
        let broken = |reason: String| EnvironmentError::Info {
            path: path.clone(),
            reason,
        };
        let text = std::fs::read(&path).map_err(|error| broken(error.to_string()))?;
        let info = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        Ok(Environment {
            key: folder.file_name().unwrap_or_default().to_owned(),
            folder: folder.to_owned(),
            info,
        })
    }

    /// Whether the bytecode of its modules is in it.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.key.ends_with(COMPILED)
    }

    /// The tree of all packages, on the host.
    #[must_use]
    pub fn site_packages(&self) -> Utf8PathBuf {
        self.folder.join("site-packages")
    }

    /// What the guest sees of it, all of it read-only: the packages, and what they bring for the
    /// prefix. The commands' scripts come along if `commands` says so.
    #[must_use]
    pub fn mounts(&self, interpreter: &Interpreter, commands: bool) -> Vec<Mount> {
        let mount = |host: Utf8PathBuf, guest: String| Mount {
            host,
            guest,
            access: Access::Read,
            purpose: Purpose::Packages,
        };
        let mut mounts = vec![mount(self.site_packages(), interpreter.site_guest())];
        for name in &self.info.data {
            mounts.push(mount(
                self.folder.join("data").join(name),
                interpreter.below_prefix(name),
            ));
        }
        if commands && self.info.bin {
            mounts.push(mount(
                self.folder.join("bin"),
                interpreter.below_prefix("bin"),
            ));
        }
        mounts
    }

    /// The guest path of a command's script.
    ///
    /// # Errors
    /// There is no such command, or it isn't Python's.
    pub fn command(
        &self,
        name: &str,
        interpreter: &Interpreter,
    ) -> Result<String, EnvironmentError> {
        let Some(command) = self.info.entry_points.get(name) else {
            return Err(EnvironmentError::NoCommand {
                name: name.to_owned(),
                known: self.info.entry_points.keys().cloned().collect(),
            });
        };
        if command.entry_point.is_none() && !is_python(&self.folder.join("bin").join(name)) {
            return Err(EnvironmentError::NotPython {
                name: name.to_owned(),
                package: command.package.clone(),
            });
        }
        Ok(format!("{}/{name}", interpreter.below_prefix("bin")))
    }
}

/// Whether a script of a wheel is one for Python, by its first line or its name.
fn is_python(script: &Utf8Path) -> bool {
    let Ok(bytes) = std::fs::read(script) else {
        return false;
    };
    let first = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    (first.starts_with("#!") && first.contains("python"))
        || script.extension().is_some_and(|ending| ending == "py")
}

/// Where a file of the environment comes from.
struct Piece {
    host: Utf8PathBuf,
    /// The wheel's file name.
    owner: String,
    /// What it is, where that is known without reading it.
    known: Option<FileInfo>,
}

/// The tree, before it is on disk.
#[derive(Default)]
struct Tree {
    /// All files by their path in the environment.
    files: BTreeMap<String, Piece>,
    /// The same paths without case, each with its true spelling: the tree has to be the same on
    /// every file system.
    spelled: HashMap<String, String>,
    /// What stands at a folder's place, without case.
    folders: HashMap<String, String>,
    info: Info,
}

impl Tree {
    fn wheel(
        &mut self,
        wheel: &Wheel,
        compiled: Option<&Utf8Path>,
    ) -> Result<(), EnvironmentError> {
        let info = &wheel.info;
        if let Some(other) = self.info.packages.iter().find(|p| p.name == info.name) {
            if other.filename == info.filename {
                // The same wheel, named twice.
                return Ok(());
            }
            return Err(EnvironmentError::Twice {
                name: info.name.clone(),
                first: other.filename.clone(),
                second: info.filename.clone(),
            });
        }
        let sha256 = wheel
            .key
            .split('-')
            .next()
            .and_then(|text| text.parse().ok());
        self.info.packages.push(Package {
            name: info.name.clone(),
            version: info.version.clone(),
            filename: info.filename.clone(),
            sha256: sha256.unwrap_or_else(|| Sha256::of(b"")),
        });
        let site = wheel.site();
        for (path, file) in &info.files {
            self.add(
                format!("site-packages/{path}"),
                Piece {
                    host: site.join(path),
                    owner: info.filename.clone(),
                    known: Some(*file),
                },
            )?;
        }
        let compiled = compiled.map_or_else(|| Ok(BTreeMap::new()), files_below)?;
        for (path, host) in compiled {
            // Of two same modules one wheel's bytecode does as well as the other's.
            let path = format!("site-packages/{path}");
            if !self.files.contains_key(&path) {
                let owner = info.filename.clone();
                self.add(
                    path,
                    Piece {
                        host,
                        owner,
                        known: None,
                    },
                )?;
            }
        }
        for path in &info.extra {
            let (folder, inside) = path.split_once('/').unwrap_or((path, ""));
            let place = match folder {
                "data" => match self.data_place(inside, info) {
                    Some(place) => place,
                    None => continue,
                },
                "scripts" => {
                    self.info.bin = true;
                    let command = Command {
                        package: info.name.clone(),
                        entry_point: None,
                    };
                    self.info.entry_points.insert(inside.to_owned(), command);
                    format!("bin/{inside}")
                }
                // Headers are for compilers.
                _ => continue,
            };
            self.add(
                place,
                Piece {
                    host: wheel.folder.join(path),
                    owner: info.filename.clone(),
                    known: None,
                },
            )?;
        }
        for entry in &info.entry_points {
            self.info.bin = true;
            let command = Command {
                package: info.name.clone(),
                entry_point: Some(entry.clone()),
            };
            // A command that two packages bring: the one that sorts later wins, always the same.
            self.info.entry_points.insert(entry.name.clone(), command);
        }
        Ok(())
    }

    /// The place of a file for the prefix; `None` where the guest could not be shown it.
    fn data_place(&mut self, inside: &str, info: &wheel::Info) -> Option<String> {
        let (top, _) = inside.split_once('/').unwrap_or(("", inside));
        if top.is_empty() || TAKEN.contains(&top.to_ascii_lowercase().as_str()) {
            progress::verbose(&format!(
                "{} brings {inside:?} for the prefix, which is left out",
                info.filename
            ));
            return None;
        }
        if !self.info.data.iter().any(|known| known == top) {
            self.info.data.push(top.to_owned());
        }
        Some(format!("data/{inside}"))
    }

    fn add(&mut self, path: String, from: Piece) -> Result<(), EnvironmentError> {
        let conflict = |first: &str, second: &str| EnvironmentError::Conflict {
            first: first.to_owned(),
            second: second.to_owned(),
            path: shown(&path).to_owned(),
        };
        let lower = path.to_lowercase();
        if let Some(spelling) = self.spelled.get(&lower) {
            let before = &self.files[spelling];
            if *spelling == path && same(before, &from)? {
                return Ok(());
            }
            // A README at the top, which nobody imports, is not worth a refusal.
            if *spelling == path && is_litter(&path) {
                return Ok(());
            }
            return Err(conflict(&before.owner, &from.owner));
        }
        if let Some(owner) = self.folders.get(&lower) {
            return Err(conflict(owner, &from.owner));
        }
        for (end, _) in lower.match_indices('/') {
            if let Some(spelling) = self.spelled.get(&lower[..end]) {
                return Err(conflict(&self.files[spelling].owner, &from.owner));
            }
            if !self.folders.contains_key(&lower[..end]) {
                self.folders
                    .insert(lower[..end].to_owned(), from.owner.clone());
            }
        }
        self.spelled.insert(lower, path.clone());
        self.files.insert(path, from);
        Ok(())
    }

    /// What the interpreter brings along, behind everything that was asked for: a project that is
    /// among the wheels replaces it.
    fn interpreter(&mut self, site: &Utf8Path, wheels: &[Wheel]) {
        let Ok(files) = files_below(site) else {
            return;
        };
        let mut replaced = BTreeSet::new();
        for path in files.keys() {
            let Some((top, "RECORD")) = path.split_once('/') else {
                continue;
            };
            let name = top
                .strip_suffix(".dist-info")
                .and_then(|stem| PackageName::new(stem.split('-').next()?).ok());
            if name.is_some_and(|name| wheels.iter().any(|wheel| wheel.info.name == name))
                && let Ok(text) = std::fs::read_to_string(site.join(path))
            {
                let lines = crate::store::record::parse(&text).unwrap_or_default();
                replaced.extend(lines.into_iter().map(|line| line.path));
                replaced.insert(format!("{top}/"));
            }
        }
        for (path, host) in files {
            let whole_folder = path
                .split_once('/')
                .is_some_and(|(top, _)| replaced.contains(&format!("{top}/")));
            if whole_folder || replaced.contains(&path) {
                continue;
            }
            // Whatever stands in its way was asked for, and this was not.
            let _ = self.add(
                format!("site-packages/{path}"),
                Piece {
                    host,
                    owner: "the interpreter".to_owned(),
                    known: None,
                },
            );
        }
    }

    /// Makes the tree in `dest`.
    fn write(mut self, dest: &Utf8Path, contents: Contents<'_>) -> Result<(), EnvironmentError> {
        self.info.packages.sort();
        self.info.data.sort();
        // Parents come before what is in them.
        let mut folders: BTreeSet<&str> = BTreeSet::from(["site-packages"]);
        if self.info.bin {
            folders.insert("bin");
        }
        for path in self.files.keys() {
            folders.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
        }
        for folder in folders {
            let path = dest.join(folder);
            std::fs::create_dir(&path)
                .map_err(|cause| StoreError::io("creating the folder", &path, cause))?;
        }
        let jobs: Vec<(&Utf8Path, Utf8PathBuf)> = self
            .files
            .iter()
            .map(|(path, from)| (from.host.as_path(), dest.join(path)))
            .collect();
        link_all(&jobs)?;
        let write = |path: Utf8PathBuf, bytes: &[u8]| {
            std::fs::write(&path, bytes).map_err(|cause| StoreError::io("writing", &path, cause))
        };
        for (name, command) in &self.info.entry_points {
            if let Some(entry) = &command.entry_point {
                let path = dest.join("bin").join(name);
                // A script of the same name is a link to a wheel, which must not be written to.
                let _ = std::fs::remove_file(&path);
                write(path, entry.script().as_bytes())?;
            }
        }
        if !contents.roots.is_empty() {
            let mut text = contents.roots.join("\n");
            text.push('\n');
            let path = dest.join("site-packages").join(ROOTS_FILE);
            let _ = std::fs::remove_file(&path);
            write(path, text.as_bytes())?;
        }
        let path = dest.join(INFO_FILE);
        let text = serde_json::to_vec(&self.info).map_err(|error| EnvironmentError::Info {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        write(path, &text)?;
        Ok(())
    }
}

/// A path of the tree as its package would name it.
fn shown(path: &str) -> &str {
    path.strip_prefix("site-packages/")
        .or_else(|| path.strip_prefix("data/"))
        .unwrap_or(path)
}

/// A file right in site-packages that Python never looks at, as a LICENSE that was packed wrongly.
fn is_litter(path: &str) -> bool {
    let Some(name) = path.strip_prefix("site-packages/") else {
        return false;
    };
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    !name.contains('/')
        && ![
            "py", "pyc", "pyi", "pyd", "so", "pth", "egg", "zip", "egg-link",
        ]
        .contains(&ending)
}

/// Whether two files are the same.
fn same(a: &Piece, b: &Piece) -> Result<bool, StoreError> {
    if let (Some(a), Some(b)) = (a.known, b.known) {
        return Ok(a == b);
    }
    Ok(Sha256::of_file(&a.host)? == Sha256::of_file(&b.host)?)
}

/// All files below a folder, by their relative path; none if it does not exist.
fn files_below(root: &Utf8Path) -> Result<BTreeMap<String, Utf8PathBuf>, StoreError> {
    let mut files = BTreeMap::new();
    if !root.is_dir() {
        return Ok(files);
    }
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.map_err(|error| {
            let cause = error
                .into_io_error()
                .unwrap_or_else(|| std::io::Error::other("a loop of links"));
            StoreError::io("listing", root, cause)
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = Utf8PathBuf::from_path_buf(entry.into_path())
            .map_err(|path| StoreError::NotUtf8 { path })?;
        if let Ok(inside) = path.strip_prefix(root) {
            let inside = inside.components().map(|c| c.as_str()).collect::<Vec<_>>();
            files.insert(inside.join("/"), path.clone());
        }
    }
    Ok(files)
}

/// Links files, in several threads: it is all system calls.
fn link_all(jobs: &[(&Utf8Path, Utf8PathBuf)]) -> Result<(), StoreError> {
    const WORTH_A_THREAD: usize = 500;
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8)
        .min(jobs.len() / WORTH_A_THREAD + 1);
    let each = jobs.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .chunks(each)
            .map(|chunk| scope.spawn(move || chunk.iter().try_for_each(|(f, t)| link(f, t))))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}

fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), StoreError> {
    use std::io::ErrorKind;
    let result = match std::fs::hard_link(from, to) {
        // Where links cannot be had (another file system, too many of them, none at all), the
        // system's copy makes a reflink if the file system has them.
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            std::fs::copy(from, to).map(|_| ())
        }
        result => result,
    };
    result.map_err(|cause| StoreError::io("creating", to, cause))
}
