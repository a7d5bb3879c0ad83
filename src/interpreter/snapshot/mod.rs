//! Snapshots: modules that begin with Python already started.
//!
//! Half of a short program's time goes into initialising the interpreter, and all of it comes out
//! the same every time. So it is done once, in the sandbox, and the state is captured:
//!
//! 1. `instrument` lets a module write out its memory and globals from the inside.
//! 2. `guest/scout.py` finds out which of the wanted modules can be imported in advance: those whose
//!    import comes out the same every time, and changes nothing but themselves.
//! 3. The instrumented module runs `guest/boot.py`, which imports them and is captured within its
//!    last call.
//! 4. `build` makes a module of the same code whose memory and globals begin with that. Its
//!    `_start` takes in this run's arguments, environment and preopens and has `guest/resume.py`
//!    run the program.
//!
//! No name of a function and no compiler is needed, and every runtime runs the result unchanged.
//! Two layouts of objects are assumed, those of CPython 3.12 and 3.13; what can be checked of them
//! is checked.
//!
//! What was imported in advance a program meets only once it imports it: until then it is in no
//! `sys.modules`, and an import finds what it would find without, also in the program's own folder.
//!
//! A snapshot is made of the interpreter's module as it was imported: pyw's adaptations keep state
//! in globals, so they are made to the snapshot like to any other module. What is captured comes
//! from immutable trees alone, the library and installed packages; no file and no variable of the
//! user's is there while it is made.

mod build;
mod error;
mod image;
mod instrument;
pub mod preload;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::adapt::{self, Adaptation};
use super::{Interpreter, InterpreterError, Module, Platform};
use crate::sandbox::{Access, Mount, Purpose};
use crate::store::hash::Sha256;
use crate::store::{Kind, Store};

pub use error::SnapshotError;

/// How many preopens a run of a snapshot may have.
pub const SLOTS: usize = 64;
/// The names of the preopens that are invented while the image is captured, before two digits.
const SLOT_NAME: &str = "pywslot";
/// The exit code that has the image captured; boot.py ends with it.
const CAPTURE: i32 = 0x5059_5753;
/// Changes whenever snapshots come out differently by pyw's Rust code.
const FORMAT: u32 = 2;
/// The versions of CPython whose objects the recipe knows.
const VERSIONS: [&str; 2] = ["3.12", "3.13"];
/// How often imports are tried, each time without those at which the guest came to an end.
const SCOUTS: usize = 3;
/// Where the guest sees the scripts while the image is captured.
const IN: &str = "/.pyw/in";
/// The snapshot inside an entry of the store.
const FILE: &str = "python.wasm";
/// The [`Record`] inside an entry of the store.
const RECORD: &str = "snapshot.json";

/// Something that can run a module in a sandbox and keep what it writes. Implemented where plans are
/// made and launched, which this module knows nothing of.
pub trait Capture {
    /// Runs `module` with these mounts and arguments, with its stdout in a new file.
    ///
    /// # Errors
    /// What the guest wrote to stderr, when it ended otherwise than with 0.
    fn capture(
        &self,
        module: &Utf8Path,
        again: Again,
        mounts: Vec<Mount>,
        args: Vec<String>,
        output: &Utf8Path,
    ) -> Result<(), String>;
}

/// Whether a module is run more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// As programs are run with it: adapted to the runtime, and compiled.
    Yes,
    /// As it is.
    No,
}

/// A snapshot in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The module.
    pub path: Utf8PathBuf,
    /// sha256 of the module.
    pub sha256: String,
    /// The linear memory that it starts with, in bytes.
    pub memory: u64,
    /// The modules that were imported in advance.
    pub modules: Vec<String>,
    /// Those that were wanted as well, or come with them, and why they were not.
    pub left_out: BTreeMap<String, String>,
}

impl Snapshot {
    /// The snapshot with a runtime's adaptations; there once [`Self::adapted`] made it.
    #[must_use]
    pub fn adapted_module(
        &self,
        interpreter: &Interpreter,
        adaptations: &BTreeSet<Adaptation>,
        store: &Store,
    ) -> Module {
        let (path, identity) = super::adapted_place(&self.path, &self.sha256, adaptations, store);
        Module {
            path,
            identity,
            compiled: None,
            memory: self.memory,
            imports: interpreter.info.imports.clone(),
        }
    }

    /// Whether its file is as it was made.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        Sha256::of_file(&self.path).is_ok_and(|sha256| sha256.to_string() == self.sha256)
    }

    /// Makes the snapshot with a runtime's adaptations, unless it is there.
    ///
    /// # Errors
    /// As [`super::adapted`].
    pub fn adapted(
        &self,
        adaptations: &BTreeSet<Adaptation>,
        store: &Store,
    ) -> Result<(), InterpreterError> {
        super::adapted(&self.path, &self.sha256, adaptations, store).map(drop)
    }
}

/// What stands beside a snapshot, or in place of one that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record {
    /// It is there.
    Made {
        sha256: String,
        memory: u64,
        modules: Vec<String>,
        left_out: BTreeMap<String, String>,
    },
    /// It could not be made.
    Failed {
        /// In words.
        reason: String,
    },
}

/// What a store knows of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It can be used.
    Ready(Snapshot),
    /// It cannot be made, for this reason.
    SetAside(String),
    /// Nobody has made it yet.
    Missing,
}

/// What a snapshot is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its module and library.
    pub interpreter: &'a Interpreter,
    /// The name in the store, and the mounts, of the packages that are to be there.
    pub packages: Option<(&'a str, &'a [Mount])>,
    /// The modules that are wanted in advance. They need not exist.
    pub names: &'a [String],
}

/// What the scout found.
#[derive(Debug, Default, Deserialize)]
struct Scouted {
    /// Modules in the order of their import, each with its globals that are the working directory.
    modules: Vec<(String, Vec<String>)>,
    left_out: BTreeMap<String, String>,
}

impl Wanted<'_> {
    /// Its name in the store.
    #[must_use]
    pub fn key(&self) -> String {
        let packages = self.packages.map_or("", |(key, _)| key);
        let text = format!("{} {packages} {:?}", self.interpreter.key, self.names);
        let hash = Sha256::of(text.as_bytes()).to_string();
        let module = &self.interpreter.info.module_sha256;
        let module = module.get(..16).unwrap_or(module);
        format!("{module}-{}-{}", &hash[..16], format_tag())
    }

    /// Looks it up.
    #[must_use]
    pub fn find(&self, store: &Store) -> Found {
        let folder = store.place(Kind::Snapshot, &self.key());
        let Ok(text) = std::fs::read_to_string(folder.join(RECORD)) else {
            return Found::Missing;
        };
        match serde_json::from_str(&text) {
            Ok(Record::Made {
                sha256,
                memory,
                modules,
                left_out,
            }) => Found::Ready(Snapshot {
                path: folder.join(FILE),
                sha256,
                memory,
                modules,
                left_out,
            }),
            Ok(Record::Failed { reason }) => Found::SetAside(reason),
            Err(error) => Found::SetAside(format!("its record cannot be read: {error}")),
        }
    }

    /// Makes it, unless it is there. Where that fails for good, the reason is kept, so that nobody
    /// tries again.
    ///
    /// # Errors
    /// The store cannot be read or written. That a snapshot cannot be made is no error.
    pub fn make(&self, store: &Store, guest: &dyn Capture) -> Result<Found, SnapshotError> {
        store.get_or_create::<SnapshotError>(Kind::Snapshot, &self.key(), |staging| {
            let record = match self.build(staging, guest) {
                Ok(record) => record,
                Err(error) if error.lasts() => Record::Failed {
                    reason: error.to_string(),
                },
                Err(error) => return Err(error),
            };
            write_record(staging, &record)
        })?;
        Ok(self.find(store))
    }

    /// Removes it, so that it is made anew.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget(&self, store: &Store) -> Result<(), SnapshotError> {
        store.remove(Kind::Snapshot, &self.key())?;
        Ok(())
    }

    fn build(&self, staging: &Utf8Path, guest: &dyn Capture) -> Result<Record, SnapshotError> {
        let version = &self.interpreter.info.version;
        let markers = &self.interpreter.info.markers;
        let minor = markers.get("python_version").map_or("", String::as_str);
        if self.interpreter.info.system() != Platform::Wasi || !VERSIONS.contains(&minor) {
            return Err(SnapshotError::Version(version.clone()));
        }
        let source = self.interpreter.module();
        let module = std::fs::read(&source).map_err(io("read", &source))?;
        let scripts = staging.join(".in");
        let cwd = scripts.join("cwd");
        std::fs::create_dir_all(&cwd).map_err(io("make", &cwd))?;
        for (name, text) in [
            ("boot.py", crate::guest::BOOT),
            ("resume.py", crate::guest::RESUME),
            ("scout.py", crate::guest::SCOUT),
        ] {
            let path = scripts.join(name);
            std::fs::write(&path, text).map_err(io("write", &path))?;
        }
        let instrumented = staging.join(".instrumented.wasm");
        // Of the quirks of runtimes, only those that could keep a module from being imported. No
        // other adaptation may be there: a snapshot is adapted later, as any module is.
        let quirks = BTreeSet::from([Adaptation::PollZero, Adaptation::RelativeClock]);
        let text = adapt::adapt(&instrument::instrument(&module)?, &quirks)?;
        std::fs::write(&instrumented, text).map_err(io("write", &instrumented))?;
        let mut mounts = vec![
            self.interpreter.library_mount(),
            Mount {
                host: scripts.clone(),
                guest: IN.to_owned(),
                access: Access::Read,
                purpose: Purpose::Private,
            },
        ];
        if let Some((_, packages)) = self.packages {
            mounts.extend(packages.iter().cloned());
        }
        let dump = staging.join(".image");
        let scouted = self.scout(&source, &mounts, &dump, guest);
        let mut args = vec![format!("{IN}/boot.py"), format!("{IN}/resume.py")];
        for (name, globals) in &scouted.modules {
            args.push(match globals.as_slice() {
                [] => name.clone(),
                some => format!("{name}={}", some.join(",")),
            });
        }
        guest
            .capture(&instrumented, Again::No, mounts, args, &dump)
            .map_err(SnapshotError::Boot)?;
        let written = std::fs::read(&dump).map_err(io("read", &dump))?;
        let mut image = image::Image::parse(written, &shape::Shape::read(&module)?)?;
        let snapshot = build::build(&module, &mut image)?;
        for path in [&instrumented, &dump] {
            std::fs::remove_file(path).map_err(io("remove", path))?;
        }
        std::fs::remove_dir_all(&scripts).map_err(io("remove", &scripts))?;
        let path = staging.join(FILE);
        std::fs::write(&path, &snapshot).map_err(io("write", &path))?;
        Ok(Record::Made {
            sha256: Sha256::of(&snapshot).to_string(),
            memory: image.memory.len() as u64,
            modules: scouted.modules.into_iter().map(|(name, _)| name).collect(),
            left_out: scouted.left_out,
        })
    }

    /// Finds out which modules can be imported in advance. None, where that cannot be found out.
    fn scout(
        &self,
        module: &Utf8Path,
        mounts: &[Mount],
        output: &Utf8Path,
        guest: &dyn Capture,
    ) -> Scouted {
        let mut names = self.names.to_vec();
        let mut left_out = BTreeMap::new();
        for _ in 0..SCOUTS {
            if names.is_empty() {
                break;
            }
            let mut args = vec![format!("{IN}/scout.py")];
            args.extend(names.iter().cloned());
            let run = guest.capture(module, Again::Yes, mounts.to_vec(), args, output);
            let printed = std::fs::read(output).unwrap_or_default();
            let read = run.and_then(|()| Scouted::parse(&printed));
            let reason = match read {
                Ok(mut scouted) => {
                    scouted.left_out.append(&mut left_out);
                    return scouted;
                }
                Err(reason) => reason,
            };
            // The import that it ended at, and its neighbours, which would lead there as well.
            let culprit = last_import(&printed);
            let package = |name: &str| name.split('.').next().map(str::to_owned);
            let (out, left) = names.into_iter().partition::<Vec<_>, _>(|name| {
                culprit
                    .as_deref()
                    .is_none_or(|at| package(at) == package(name))
            });
            left_out.extend(out.into_iter().map(|name| (name, reason.clone())));
            names = left;
        }
        let reason = "imports of others ended the interpreter";
        left_out.extend(names.into_iter().map(|name| (name, reason.to_owned())));
        Scouted {
            modules: Vec::new(),
            left_out,
        }
    }
}

impl Scouted {
    /// The end of what scout.py printed; before it stands what modules print at import.
    fn parse(printed: &[u8]) -> Result<Self, String> {
        let start = printed
            .windows(11)
            .rposition(|window| window == br#"{"modules":"#)
            .unwrap_or_default();
        serde_json::from_slice(&printed[start..]).map_err(|error| error.to_string())
    }
}

/// The module that scout.py was about to import last.
fn last_import(printed: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        importing: String,
    }
    let lines = printed.rsplit(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    Some(lines.next()?.importing)
}

fn write_record(staging: &Utf8Path, record: &Record) -> Result<(), SnapshotError> {
    let path = staging.join(RECORD);
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| SnapshotError::Image(error.to_string()))?;
    std::fs::write(&path, text).map_err(io("write", &path))
}

fn io<'a>(
    action: &'static str,
    path: &'a Utf8Path,
) -> impl FnOnce(std::io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The end of a snapshot's name in the store: another pyw, which makes them otherwise, does not
/// use it.
fn format_tag() -> String {
    let text = [
        crate::guest::SCOUT,
        crate::guest::BOOT,
        crate::guest::RESUME,
        crate::guest::TRIAL,
    ]
    .concat();
    let hash = Sha256::of(text.as_bytes()).to_string();
    format!("{FORMAT}.{}", &hash[..8])
}

/// Whether this pyw can use a snapshot of that name in the store.
#[must_use]
pub fn is_current(key: &str) -> bool {
    key.ends_with(&format_tag())
}
