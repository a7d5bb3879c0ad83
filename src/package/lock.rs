//! Lock files: `pylock.toml` (PEP 751), read and written, and exported as hashed requirements.
//!
//! What other tools write is read: wheels, archives that are wheels, and folders can be used here;
//! a package that this interpreter would have to build is an error that names it. What pyw writes
//! is the same text for the same packages, whenever and wherever it is written.
//!
//! `[tool.pyw]` tells for which inputs and which interpreter the lock was made. As the PEP demands,
//! nothing there changes what gets installed; it lets pyw see that a lock is out of date.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr as _;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerTree};
use reqwest::Url;
use serde::Deserialize;

use super::filename::WheelName;
use super::name::PackageName;
use super::resolution::{self, FilePlace, Resolution};
use super::tags::Tags;
use super::wheel::{Origin, WheelRef};
use crate::config::excerpt::Excerpt;
use crate::error::Code;
use crate::interpreter::Info;
use crate::store::Sha256;
use crate::store::source::{Place, Source, redacted};

/// No lock may be bigger.
const LONGEST: u64 = 64 << 20;

/// A lock file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// The version of the format, `1.x`.
    pub lock_version: String,
    /// The markers of the environments that it is for; all, if there are none.
    #[serde(default)]
    pub environments: Vec<String>,
    /// The Python versions that it is for.
    pub requires_python: Option<String>,
    /// The extras that it knows.
    #[serde(default)]
    pub extras: Vec<String>,
    /// The dependency groups that it knows.
    #[serde(default)]
    pub dependency_groups: Vec<String>,
    /// The groups that are installed when none is named.
    #[serde(default)]
    pub default_groups: Vec<String>,
    /// The tool that wrote it.
    pub created_by: String,
    /// The packages.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// What tools noted for themselves.
    #[serde(default)]
    pub tool: toml::Table,
}

/// A package of a lock.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// The project.
    pub name: PackageName,
    /// The release. Not there for what is built from source of its own.
    pub version: Option<String>,
    /// Where it is installed; everywhere, if there is none.
    pub marker: Option<String>,
    /// The Python versions that it runs on.
    pub requires_python: Option<String>,
    /// What it needs of the others. For people and tools that look; installing ignores it.
    #[serde(default)]
    pub dependencies: Vec<toml::Table>,
    /// A version control system's checkout.
    pub vcs: Option<toml::Table>,
    /// A folder.
    pub directory: Option<Directory>,
    /// An archive named by its address.
    pub archive: Option<File>,
    /// The index that it comes from.
    pub index: Option<String>,
    /// Its sdist.
    pub sdist: Option<File>,
    /// Its wheels.
    #[serde(default)]
    pub wheels: Vec<File>,
}

/// A file of a lock.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct File {
    /// Its name, unless that is the end of its address or path.
    pub name: Option<String>,
    /// When it was uploaded.
    pub upload_time: Option<toml::value::Datetime>,
    /// Its address.
    pub url: Option<String>,
    /// Its path, relative to the lock.
    pub path: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its digests, by algorithm.
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
    /// The folder in an archive that holds the project.
    pub subdirectory: Option<String>,
}

/// A folder of a lock.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Directory {
    /// Its path, relative to the lock.
    pub path: String,
    /// Whether it is used as it is.
    pub editable: Option<bool>,
    /// The folder in it that holds the project.
    pub subdirectory: Option<String>,
}

/// What pyw notes in a lock that it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// The digest of all that the lock was made from: [`inputs`].
    pub inputs: Option<Sha256>,
    /// The interpreter's name in the store.
    pub interpreter: Option<String>,
    /// Its version.
    pub python: Option<String>,
    /// Its platform.
    pub platform: Option<String>,
}

/// Why a lock does not match any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Another tool wrote it, so nobody knows for what.
    #[error("{created_by} wrote it, which does not say for what")]
    Foreign {
        /// The tool.
        created_by: String,
    },
    /// What is asked for has changed.
    #[error("what is asked for has changed since it was written")]
    Inputs,
    /// Another interpreter.
    #[error("it was written for CPython {locked}, and this is {here}")]
    Interpreter {
        /// Version and platform in the lock.
        locked: String,
        /// Those of the interpreter at hand.
        here: String,
    },
}

/// A lock that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read or written.
    #[error("cannot {action} the lock `{path}`: {source}")]
    Io {
        /// As "read".
        action: &'static str,
        /// The lock.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is none where one is insisted on.
    #[error("there is no lock `{path}`, and --locked allows nothing else")]
    Missing {
        /// Where it would be.
        path: Utf8PathBuf,
    },
    /// It does not match where it is insisted on.
    #[error("the lock `{path}` does not match any more: {why}")]
    Stale {
        /// The lock.
        path: Utf8PathBuf,
        /// Why not.
        why: Stale,
    },
    /// It is no TOML, or its keys have values of another kind.
    #[error("{}", shown(excerpt, message))]
    Toml {
        /// The place.
        excerpt: Box<Excerpt>,
        /// What is wrong there.
        message: String,
    },
    /// A format of the future.
    #[error("{path} is a lock of version {version:?}, and pyw knows 1.x")]
    Version {
        /// The lock.
        path: Utf8PathBuf,
        /// What it says.
        version: String,
    },
    /// Something in it contradicts the format.
    #[error("{path}: {}{problem}", of(package))]
    Invalid {
        /// The lock.
        path: Utf8PathBuf,
        /// Which package, if it is about one.
        package: Option<PackageName>,
        /// What is wrong.
        problem: String,
    },
    /// It is for other interpreters.
    #[error("{path} is not for this interpreter: {problem}")]
    Elsewhere {
        /// The lock.
        path: Utf8PathBuf,
        /// What it asks for.
        problem: String,
    },
    /// A package in it cannot be installed here.
    #[error("{path}: {package} cannot be installed here: {problem}")]
    Package {
        /// The lock.
        path: Utf8PathBuf,
        /// Which one, with its version.
        package: String,
        /// Why not.
        problem: String,
    },
    /// A resolution that cannot be locked.
    #[error("{package} cannot be locked: {problem}")]
    NotLockable {
        /// Which package.
        package: PackageName,
        /// Why not.
        problem: String,
    },
}

fn shown(excerpt: &Excerpt, message: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = excerpt.write(&mut text, message);
    text
}

fn of(package: &Option<PackageName>) -> String {
    package
        .as_ref()
        .map(|name| format!("{name}: "))
        .unwrap_or_default()
}

impl LockError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Code::NotFound
            }
            Self::Io { .. } => Code::Storage,
            Self::Missing { .. } => Code::NotFound,
            Self::Toml { .. } | Self::Version { .. } | Self::Invalid { .. } => Code::Usage,
            Self::Stale { .. }
            | Self::Elsewhere { .. }
            | Self::Package { .. }
            | Self::NotLockable { .. } => Code::Resolution,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } | Self::NotLockable { .. } => return None,
            Self::Toml { .. } | Self::Invalid { .. } => {
                "see PEP 751, or write the lock anew with `pyw lock`".into()
            }
            Self::Missing { .. } | Self::Stale { .. } => {
                "`pyw lock`, with the script if it is one, writes it; without --locked the \
                 packages are looked up"
                    .into()
            }
            Self::Version { .. } => "write the lock anew with `pyw lock`".into(),
            Self::Elsewhere { .. } | Self::Package { .. } => {
                "make a lock for this interpreter with `pyw lock`, or take another interpreter \
                 with --python"
                    .into()
            }
        })
    }
}

/// For what packages are chosen from a lock.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The markers of the interpreter.
    pub markers: &'a MarkerEnvironment,
    /// Its tags.
    pub tags: &'a Tags,
    /// The extras that are asked for.
    pub extras: &'a BTreeSet<String>,
    /// The groups that are asked for; `None` means the lock's default groups.
    pub groups: Option<&'a BTreeSet<String>>,
}

/// A package chosen from a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: Option<String>,
    /// What is installed.
    pub source: ChosenSource,
}

/// What is installed of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenSource {
    /// A wheel.
    Wheel(WheelRef),
    /// A folder, used as it is.
    Folder(Utf8PathBuf),
}

/// Where the lock of a script is: `pylock.NAME.toml` beside it.
#[must_use]
pub fn path_for_script(script: &Utf8Path) -> Utf8PathBuf {
    // The name in between has no dots, by the PEP.
    let stem = script.file_stem().unwrap_or("script").replace('.', "-");
    script.with_file_name(format!("pylock.{stem}.toml"))
}

/// Where the lock of a project is.
#[must_use]
pub fn path_for_project(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("pylock.toml")
}

/// Whether a file is a lock, by its name.
#[must_use]
pub fn is_lock(path: &Utf8Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    match name
        .strip_prefix("pylock.")
        .map(|rest| rest.strip_suffix("toml"))
    {
        Some(Some("")) => true,
        Some(Some(middle)) => middle
            .strip_suffix('.')
            .is_some_and(|middle| !middle.is_empty() && !middle.contains('.')),
        _ => false,
    }
}

/// The digest of all that a lock is made from: requirements, constraints, settings. The order
/// matters, and where one part ends.
#[must_use]
pub fn inputs<'p>(parts: impl IntoIterator<Item = &'p str>) -> Sha256 {
    let mut text = String::new();
    for part in parts {
        let _ = writeln!(text, "{}:{part}", part.len());
    }
    Sha256::of(text.as_bytes())
}

impl Lock {
    /// Reads the lock at `path`.
    ///
    /// # Errors
    /// It isn't there or is no lock that pyw knows.
    pub fn read(path: &Utf8Path) -> Result<Lock, LockError> {
        use std::io::Read as _;
        let failed = |source| LockError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
            .map_err(failed)?;
        if text.len() as u64 > LONGEST {
            return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
        }
        Lock::parse(path, &text)
    }

    /// Reads the text of a lock; `path` is for messages.
    ///
    /// # Errors
    /// It is no lock that pyw knows.
    pub fn parse(path: &Utf8Path, text: &str) -> Result<Lock, LockError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Format {
            lock_version: Option<String>,
        }
        let wrong = |error: toml::de::Error| LockError::Toml {
            excerpt: Box::new(Excerpt::new(path, text, error.span().unwrap_or(0..0))),
            message: error.message().to_owned(),
        };
        // First, since all the rest may be different in another version.
        let format: Format = toml::from_str(text).map_err(wrong)?;
        if let Some(version) = format.lock_version
            && version.split('.').next() != Some("1")
        {
            return Err(LockError::Version {
                path: path.to_owned(),
                version,
            });
        }
        toml::from_str(text).map_err(wrong)
    }

    /// What pyw noted in it.
    #[must_use]
    pub fn note(&self) -> Option<Note> {
        self.tool.get("pyw")?.clone().try_into().ok()
    }

    /// Whether the lock was made from these inputs for this interpreter.
    ///
    /// # Errors
    /// Why it doesn't match, for the user.
    pub fn still_matches(&self, inputs: Sha256, interpreter: &Info) -> Result<(), Stale> {
        let foreign = || Stale::Foreign {
            created_by: self.created_by.clone(),
        };
        let note = self.note().ok_or_else(foreign)?;
        if note.inputs.ok_or_else(foreign)? != inputs {
            return Err(Stale::Inputs);
        }
        let unknown = || "?".to_owned();
        let locked = format!(
            "{} ({})",
            note.python.unwrap_or_else(unknown),
            note.platform.unwrap_or_else(unknown)
        );
        let here = format!("{} ({})", interpreter.version, interpreter.platform);
        if locked != here {
            return Err(Stale::Interpreter { locked, here });
        }
        Ok(())
    }

    /// The packages to install, sorted by name, each with its best file.
    ///
    /// # Errors
    /// The lock is for other interpreters, contradicts the format, or has a package of which
    /// nothing can be installed here.
    pub fn choose(&self, path: &Utf8Path, target: Target<'_>) -> Result<Vec<Chosen>, LockError> {
        let chooser = Chooser {
            path,
            target,
            groups: match target.groups {
                Some(groups) => groups.clone(),
                None => self.default_groups.iter().cloned().collect(),
            },
        };
        chooser.check(self)?;
        let mut chosen: BTreeMap<PackageName, Chosen> = BTreeMap::new();
        for package in &self.packages {
            if !chooser.wants(package)? {
                continue;
            }
            let one = chooser.package(package)?;
            if let Some(other) = chosen.insert(package.name.clone(), one) {
                let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "?".to_owned());
                return Err(chooser.invalid(
                    Some(package),
                    format!(
                        "both {} and {} would be installed",
                        version(&other.version),
                        version(&package.version)
                    ),
                ));
            }
        }
        Ok(chosen.into_values().collect())
    }
}

struct Chooser<'a> {
    path: &'a Utf8Path,
    target: Target<'a>,
    groups: BTreeSet<String>,
}

impl Chooser<'_> {
    fn invalid(&self, package: Option<&Package>, problem: String) -> LockError {
        LockError::Invalid {
            path: self.path.to_owned(),
            package: package.map(|package| package.name.clone()),
            problem,
        }
    }

    fn check(&self, lock: &Lock) -> Result<(), LockError> {
        let elsewhere = |problem: String| LockError::Elsewhere {
            path: self.path.to_owned(),
            problem,
        };
        if let Some(python) = &lock.requires_python
            && !self.python_fits(python, None)?
        {
            let here = self.target.markers.python_full_version();
            return Err(elsewhere(format!(
                "it wants Python {python}, and this is {here}"
            )));
        }
        let mut fits = lock.environments.is_empty();
        for marker in &lock.environments {
            fits |= self.marker_holds(marker, None)?;
        }
        if !fits {
            return Err(elsewhere(format!(
                "it wants {}",
                lock.environments.join(" or ")
            )));
        }
        Ok(())
    }

    fn python_fits(&self, wanted: &str, package: Option<&Package>) -> Result<bool, LockError> {
        let specifiers = VersionSpecifiers::from_str(wanted).map_err(|_| {
            self.invalid(
                package,
                format!("requires-python = {wanted:?} is no version specifier"),
            )
        })?;
        let python: &Version = &self.target.markers.python_full_version().version;
        // A pre-release of 3.14 counts as 3.14, as with installers.
        Ok(specifiers.contains(&python.only_release()))
    }

    fn marker_holds(&self, marker: &str, package: Option<&Package>) -> Result<bool, LockError> {
        let wrong = |reason: String| {
            self.invalid(package, format!("the marker {marker:?} is wrong: {reason}"))
        };
        let plain = settle(marker, self.target.extras, &self.groups);
        let tree = MarkerTree::from_str(&plain).map_err(|error| wrong(error.to_string()))?;
        Ok(tree.evaluate(self.target.markers, &[]))
    }

    fn wants(&self, package: &Package) -> Result<bool, LockError> {
        match &package.marker {
            Some(marker) => self.marker_holds(marker, Some(package)),
            None => Ok(true),
        }
    }

    fn package(&self, package: &Package) -> Result<Chosen, LockError> {
        let refuse = |problem: String| LockError::Package {
            path: self.path.to_owned(),
            package: match &package.version {
                Some(version) => format!("{} {version}", package.name),
                None => package.name.to_string(),
            },
            problem,
        };
        let kinds = [
            package.vcs.is_some(),
            package.directory.is_some(),
            package.archive.is_some(),
            package.sdist.is_some() || !package.wheels.is_empty(),
        ];
        match kinds.iter().filter(|kind| **kind).count() {
            0 => return Err(self.invalid(Some(package), "it has no file".into())),
            1 => {}
            _ => {
                let problem = "vcs, directory, archive and wheels exclude each other";
                return Err(self.invalid(Some(package), problem.into()));
            }
        }
        if let Some(python) = &package.requires_python
            && !self.python_fits(python, Some(package))?
        {
            let here = self.target.markers.python_full_version();
            return Err(refuse(format!(
                "it wants Python {python}, and this is {here}"
            )));
        }
        let source = if let Some(directory) = &package.directory {
            let mut folder = self.beside(&directory.path);
            if let Some(inside) = &directory.subdirectory {
                folder.push(inside);
            }
            ChosenSource::Folder(folder)
        } else if let Some(archive) = &package.archive {
            let name = self.file_name(package, archive)?;
            if WheelName::parse(&name).is_err() {
                return Err(refuse(format!(
                    "{name} is a source archive, and pyw builds none"
                )));
            }
            self.check_rank(&name, package).map_err(refuse)?;
            ChosenSource::Wheel(self.wheel(package, archive, name)?)
        } else if package.vcs.is_some() {
            return Err(refuse(
                "it comes from version control, and pyw builds none".into(),
            ));
        } else {
            let mut best: Option<(usize, &File, String)> = None;
            let mut names = Vec::new();
            for file in &package.wheels {
                let name = self.file_name(package, file)?;
                let parsed = self.check_name(&name, package)?;
                names.push(name.clone());
                if let Some(rank) = self.target.tags.rank(&parsed.tags)
                    && best.as_ref().is_none_or(|(least, ..)| rank < *least)
                {
                    best = Some((rank, file, name));
                }
            }
            match best {
                Some((_, file, name)) => ChosenSource::Wheel(self.wheel(package, file, name)?),
                None if names.is_empty() => {
                    return Err(refuse(
                        "the lock has only its sdist, and pyw builds none".into(),
                    ));
                }
                None => {
                    return Err(refuse(format!(
                        "none of its wheels is for this interpreter: {}",
                        names.join(", ")
                    )));
                }
            }
        };
        Ok(Chosen {
            name: package.name.clone(),
            version: package.version.clone(),
            source,
        })
    }

    fn check_name(&self, name: &str, package: &Package) -> Result<WheelName, LockError> {
        let parsed =
            WheelName::parse(name).map_err(|problem| self.invalid(Some(package), problem))?;
        if parsed.name != package.name {
            return Err(self.invalid(Some(package), format!("{name} is of another project")));
        }
        Ok(parsed)
    }

    fn check_rank(&self, name: &str, package: &Package) -> Result<(), String> {
        let parsed = WheelName::parse(name)?;
        if parsed.name != package.name {
            return Err(format!("{name} is of another project"));
        }
        match self.target.tags.rank(&parsed.tags) {
            Some(_) => Ok(()),
            None => Err(format!("{name} is not for this interpreter")),
        }
    }

    fn beside(&self, path: &str) -> Utf8PathBuf {
        let folder = self.path.parent().unwrap_or(Utf8Path::new(""));
        folder.join(path)
    }

    fn file_name(&self, package: &Package, file: &File) -> Result<String, LockError> {
        file.file_name()
            .ok_or_else(|| self.invalid(Some(package), "a file has neither url nor path".into()))
    }

    fn wheel(
        &self,
        package: &Package,
        file: &File,
        filename: String,
    ) -> Result<WheelRef, LockError> {
        let invalid = |problem: String| self.invalid(Some(package), problem);
        let sha256 = file.hashes.get("sha256").ok_or_else(|| {
            invalid(format!(
                "{filename} has no sha256, by which pyw knows its files"
            ))
        })?;
        let sha256 = sha256
            .parse()
            .map_err(|error| invalid(format!("the sha256 of {filename} is wrong: {error}")))?;
        // The PEP prefers the path, and falls back to the address where nothing is there.
        let local = file.path.as_ref().map(|path| self.beside(path));
        let origin = match (local, &file.url) {
            (Some(path), None) => Origin::File(path),
            (Some(path), Some(_)) if path.is_file() => Origin::File(path),
            (_, Some(url)) => {
                let url = Url::parse(url)
                    .map_err(|error| invalid(format!("{url:?} is no address: {error}")))?;
                match url.scheme() {
                    "https" | "http" => {}
                    "file" => {
                        let path = url.to_file_path().ok();
                        let path = path.and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
                        return Ok(WheelRef {
                            filename,
                            sha256,
                            size: file.size,
                            origin: Origin::File(path.ok_or_else(|| {
                                invalid(format!("{} is no path here", redacted(&url)))
                            })?),
                        });
                    }
                    other => return Err(invalid(format!("{other}: is no way to download"))),
                }
                Origin::Remote(vec![Source {
                    place: Place::Url(url),
                    sha256: None,
                    member: None,
                }])
            }
            (None, None) => return Err(invalid(format!("{filename} has neither url nor path"))),
        };
        Ok(WheelRef {
            filename,
            sha256,
            size: file.size,
            origin,
        })
    }
}

impl File {
    /// The name, or the last part of the path or address.
    fn file_name(&self) -> Option<String> {
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        let last = |text: &str| text.rsplit(['/', '\\']).next().map(str::to_owned);
        match (&self.path, &self.url) {
            (Some(path), _) => last(path),
            (None, Some(url)) => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                // A `+` of a local version stands escaped in addresses.
                last(path).map(|name| name.replace("%2B", "+").replace("%2b", "+"))
            }
            (None, None) => None,
        }
    }
}

/// Decides the parts of a marker that PEP 751 adds, `'x' in extras` and `'x' in
/// dependency_groups`, and leaves the rest to who knows the others.
fn settle(marker: &str, extras: &BTreeSet<String>, groups: &BTreeSet<String>) -> String {
    const TRUE: &str = "python_version >= '0'";
    const FALSE: &str = "python_version < '0'";
    let mut out = String::new();
    let mut rest = marker;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else {
            break;
        };
        let text = &rest[start + 1..start + 1 + length];
        let after = &rest[start + length + 2..];
        out.push_str(&rest[..start]);
        let mut words = after.trim_start();
        let negated = match words.strip_prefix("not").map(str::trim_start) {
            Some(others) if others.starts_with("in") => {
                words = others;
                true
            }
            _ => false,
        };
        let set = words.strip_prefix("in").and_then(|words| {
            let words = words.trim_start();
            [("extras", extras), ("dependency_groups", groups)]
                .into_iter()
                .find_map(|(name, set)| Some((set, words.strip_prefix(name)?)))
        });
        match set {
            Some((set, others)) => {
                let normal = |name: &str| PackageName::new(name).ok();
                let wanted = normal(text);
                let held = set
                    .iter()
                    .any(|name| name == text || normal(name) == wanted);
                out.push_str(if held != negated { TRUE } else { FALSE });
                rest = others;
            }
            None => {
                out.push_str(&rest[start..start + length + 2]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

impl Lock {
    /// The lock of a resolution. `folder` is where the lock will be: local files are written
    /// relative to it.
    ///
    /// # Errors
    /// A file has no digest.
    pub fn of(
        resolution: &Resolution,
        interpreter: &Info,
        key: &str,
        inputs: Sha256,
        requires_python: Option<String>,
        folder: &Utf8Path,
    ) -> Result<Lock, LockError> {
        let mut packages = Vec::new();
        for resolved in &resolution.packages {
            let mut package = Package {
                name: resolved.name.clone(),
                version: Some(resolved.version.to_string()),
                marker: None,
                requires_python: None,
                dependencies: resolved
                    .dependencies
                    .iter()
                    .map(|name| {
                        let name = toml::Value::String(name.to_string());
                        toml::Table::from_iter([("name".to_owned(), name)])
                    })
                    .collect(),
                vcs: None,
                directory: None,
                archive: None,
                index: None,
                sdist: None,
                wheels: Vec::new(),
            };
            match &resolved.source {
                // It is there with the interpreter, for which this lock is.
                resolution::Source::Interpreter => continue,
                resolution::Source::Folder(path) => {
                    package.version = None;
                    package.directory = Some(Directory {
                        path: relative(path, folder),
                        editable: Some(true),
                        subdirectory: None,
                    });
                }
                resolution::Source::Wheel(file) => {
                    let locked =
                        locked_file(file, folder).map_err(|problem| LockError::NotLockable {
                            package: resolved.name.clone(),
                            problem,
                        })?;
                    package.index.clone_from(&file.index);
                    if file.index.is_some() {
                        package.wheels.push(locked);
                    } else {
                        package.archive = Some(locked);
                    }
                }
            }
            packages.push(package);
        }
        let text = |text: &str| toml::Value::String(text.to_owned());
        let note = toml::Table::from_iter([
            ("inputs".to_owned(), text(&inputs.to_string())),
            ("interpreter".to_owned(), text(key)),
            ("python".to_owned(), text(&interpreter.version)),
            ("platform".to_owned(), text(&interpreter.platform)),
        ]);
        let marker = |name: &str| interpreter.markers.get(name).map(String::as_str);
        let environment = format!(
            "python_version == '{}' and sys_platform == '{}'",
            marker("python_version").unwrap_or("3"),
            marker("sys_platform").unwrap_or("wasi")
        );
        Ok(Lock {
            lock_version: "1.0".to_owned(),
            environments: vec![environment],
            requires_python,
            extras: Vec::new(),
            dependency_groups: Vec::new(),
            default_groups: Vec::new(),
            created_by: "pyw".to_owned(),
            packages,
            tool: toml::Table::from_iter([("pyw".to_owned(), toml::Value::Table(note))]),
        })
    }

    /// The text of the lock: the keys in the order of the PEP, packages by name, files by name.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let texts = |texts: &[String]| {
            let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", all.join(", "))
        };
        let mut line = |key: &str, value: String| {
            let _ = writeln!(out, "{key} = {value}");
        };
        line("lock-version", quoted(&self.lock_version));
        if !self.environments.is_empty() {
            line("environments", texts(&self.environments));
        }
        if let Some(python) = &self.requires_python {
            line("requires-python", quoted(python));
        }
        for (key, values) in [
            ("extras", &self.extras),
            ("dependency-groups", &self.dependency_groups),
            ("default-groups", &self.default_groups),
        ] {
            if !values.is_empty() {
                line(key, texts(values));
            }
        }
        line("created-by", quoted(&self.created_by));
        let mut packages: Vec<&Package> = self.packages.iter().collect();
        packages.sort_by_key(|p| (&p.name, &p.version, &p.marker));
        for package in packages {
            out.push('\n');
            write_package(&mut out, package);
        }
        if !self.tool.is_empty() {
            let tool = toml::Table::from_iter([(
                "tool".to_owned(),
                toml::Value::Table(self.tool.clone()),
            )]);
            out.push('\n');
            out.push_str(&toml::to_string(&tool).unwrap_or_default());
        }
        out
    }

    /// The same packages as a requirements file with hashes, as pip and uv read it.
    ///
    /// # Errors
    /// A package has neither a version nor an address.
    pub fn to_requirements(&self, path: &Utf8Path) -> Result<String, LockError> {
        let mut out = String::new();
        let mut packages: Vec<&Package> = self.packages.iter().collect();
        packages.sort_by_key(|p| (&p.name, &p.version, &p.marker));
        for package in packages {
            let invalid = |problem: &str| LockError::Invalid {
                path: path.to_owned(),
                package: Some(package.name.clone()),
                problem: problem.to_owned(),
            };
            let mut line = match (&package.directory, &package.archive, &package.version) {
                (Some(directory), _, _) => format!("-e {}", directory.path),
                (None, Some(archive), _) => match (&archive.url, &archive.path) {
                    (Some(url), _) => format!("{} @ {url}", package.name),
                    (None, Some(path)) => path.clone(),
                    (None, None) => return Err(invalid("a file has neither url nor path")),
                },
                (None, None, Some(version)) => format!("{}=={version}", package.name),
                (None, None, None) => return Err(invalid("it has no version")),
            };
            if let Some(marker) = &package.marker {
                let _ = write!(line, " ; {marker}");
            }
            let files = package
                .wheels
                .iter()
                .chain(&package.sdist)
                .chain(&package.archive);
            let hashes: BTreeSet<String> = files
                .flat_map(|file| &file.hashes)
                // The ones that pip knows.
                .filter(|(name, _)| ["sha256", "sha384", "sha512"].contains(&name.as_str()))
                .map(|(name, value)| format!("--hash={name}:{value}"))
                .collect();
            for hash in hashes {
                let _ = write!(line, " \\\n    {hash}");
            }
            let _ = writeln!(out, "{line}");
        }
        Ok(out)
    }
}

fn locked_file(file: &resolution::File, folder: &Utf8Path) -> Result<File, String> {
    let Some(sha256) = file.sha256 else {
        return Err(format!("its index has no sha256 for {}", file.filename));
    };
    let mut locked = File {
        name: Some(file.filename.clone()),
        size: file.size,
        hashes: BTreeMap::from([("sha256".to_owned(), sha256.to_string())]),
        ..File::default()
    };
    match &file.place {
        FilePlace::Url(url) => locked.url = Some(url.to_string()),
        FilePlace::Path(path) => locked.path = Some(relative(path, folder)),
    }
    Ok(locked)
}

/// The path relative to the folder where one leads to the other, with `/` between its parts.
fn relative(path: &Utf8Path, folder: &Utf8Path) -> String {
    let mut up = 0;
    let mut above = Some(folder);
    while let Some(base) = above {
        if let Ok(inside) = path.strip_prefix(base)
            // Up to the root there is nothing in common.
            && (base.parent().is_some() || up == 0)
        {
            let mut parts = vec![".."; up];
            parts.extend(inside.components().map(|part| part.as_str()));
            return match parts.is_empty() {
                true => ".".to_owned(),
                false => parts.join("/"),
            };
        }
        up += 1;
        above = base.parent();
    }
    path.as_str().replace('\\', "/")
}

fn write_package(out: &mut String, package: &Package) {
    out.push_str("[[packages]]\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key} = {value}");
    };
    line("name", quoted(package.name.as_str()));
    for (key, value) in [
        ("version", &package.version),
        ("marker", &package.marker),
        ("requires-python", &package.requires_python),
    ] {
        if let Some(value) = value {
            line(key, quoted(value));
        }
    }
    if !package.dependencies.is_empty() {
        let all: Vec<String> = package
            .dependencies
            .iter()
            .map(|table| toml::Value::Table(table.clone()).to_string())
            .collect();
        line("dependencies", block(&all));
    }
    if let Some(vcs) = &package.vcs {
        line("vcs", toml::Value::Table(vcs.clone()).to_string());
    }
    if let Some(directory) = &package.directory {
        let mut parts = vec![format!("path = {}", quoted(&directory.path))];
        parts.extend(directory.editable.map(|yes| format!("editable = {yes}")));
        let inside = directory.subdirectory.as_ref();
        parts.extend(inside.map(|text| format!("subdirectory = {}", quoted(text))));
        line("directory", format!("{{ {} }}", parts.join(", ")));
    }
    if let Some(archive) = &package.archive {
        line("archive", file_table(archive));
    }
    if let Some(index) = &package.index {
        line("index", quoted(index));
    }
    if let Some(sdist) = &package.sdist {
        line("sdist", file_table(sdist));
    }
    if !package.wheels.is_empty() {
        let mut files: Vec<String> = package.wheels.iter().map(file_table).collect();
        files.sort();
        line("wheels", block(&files));
    }
}

/// An array with an item a line.
fn block(items: &[String]) -> String {
    let mut text = "[\n".to_owned();
    for item in items {
        let _ = writeln!(text, "    {item},");
    }
    text.push(']');
    text
}

fn file_table(file: &File) -> String {
    let mut parts = Vec::new();
    let mut text = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{key} = {}", quoted(value)));
        }
    };
    text("name", &file.name);
    text("url", &file.url);
    text("path", &file.path);
    text("subdirectory", &file.subdirectory);
    parts.extend(file.upload_time.map(|time| format!("upload-time = {time}")));
    parts.extend(file.size.map(|size| format!("size = {size}")));
    let hashes: Vec<String> = file
        .hashes
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted_key(name), quoted(value)))
        .collect();
    parts.push(format!("hashes = {{ {} }}", hashes.join(", ")));
    format!("{{ {} }}", parts.join(", "))
}

fn quoted_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !key.is_empty() && key.bytes().all(plain) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::marker;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// As uv 0.7 and later export it.
    const UV: &str = r#"# This file was autogenerated by uv via the following command:
#    uv export --format pylock.toml
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.12"

[[packages]]
name = "proj"
directory = { path = ".", editable = true }

[[packages]]
name = "attrs"
version = "25.3.0"
index = "https://pypi.org/simple"
sdist = { url = "https://files.pythonhosted.org/p/attrs-25.3.0.tar.gz", upload-time = 2025-03-13T11:10:22Z, size = 812032, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } }
wheels = [{ url = "https://files.pythonhosted.org/p/attrs-25.3.0-py3-none-any.whl", upload-time = 2025-03-13T11:10:21Z, size = 63815, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } }]

[[packages]]
name = "colorama"
version = "0.4.6"
marker = "sys_platform == 'win32'"
index = "https://pypi.org/simple"
wheels = [{ url = "https://files.pythonhosted.org/p/colorama-0.4.6-py2.py3-none-any.whl", size = 25335, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } }]

[[packages]]
name = "cbor2"
version = "5.6.5"
index = "https://pypi.org/simple"
wheels = [
    { url = "https://files.pythonhosted.org/p/cbor2-5.6.5-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", size = 1, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } },
    { url = "https://files.pythonhosted.org/p/cbor2-5.6.5-py3-none-any.whl", size = 24, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } },
    { url = "https://files.pythonhosted.org/p/cbor2-5.6.5-cp312-cp312-wasi_0_0_0_wasm32.whl", size = 2, hashes = { sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } },
]
"#;

    /// As `pip lock` writes it.
    const PIP: &str = r#"lock-version = "1.0"
created-by = "pip"

[[packages]]
name = "packaging"
version = "25.0"

[[packages.wheels]]
name = "packaging-25.0-py3-none-any.whl"
url = "https://files.pythonhosted.org/p/packaging-25.0-py3-none-any.whl"

[packages.wheels.hashes]
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

[[packages]]
name = "local"

[packages.archive]
path = "wheels/local-1.0-py3-none-any.whl"

[packages.archive.hashes]
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"#;

    fn parse(text: &str) -> Result<Lock, LockError> {
        Lock::parse(Utf8Path::new("/p/pylock.toml"), text)
    }

    fn choose_with(text: &str, extras: &[&str], groups: &[&str]) -> Result<Vec<Chosen>, LockError> {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let (extras, groups): (BTreeSet<String>, BTreeSet<String>) = (set(extras), set(groups));
        let info = marker::tests::info();
        let target = Target {
            markers: &marker::environment(&info).unwrap(),
            tags: &Tags::of(&info),
            extras: &extras,
            groups: (!groups.is_empty()).then_some(&groups),
        };
        parse(text)?.choose(Utf8Path::new("/p/pylock.toml"), target)
    }

    fn choose(text: &str) -> Result<Vec<Chosen>, LockError> {
        choose_with(text, &[], &[])
    }

    fn error(text: &str) -> String {
        choose(text).unwrap_err().to_string()
    }

    /// A lock of one package with this wheel.
    fn one(more: &str) -> String {
        format!(
            "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\nversion = '1'\n{more}"
        )
    }

    fn wheel(name: &str) -> String {
        format!(
            "wheels = [{{ name = '{name}', url = 'https://a/{name}', hashes = {{ sha256 = '{DIGEST}' }} }}]\n"
        )
    }

    #[test]
    fn a_lock_of_uv_s() {
        let chosen = choose(UV).unwrap();
        let names: Vec<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["attrs", "cbor2", "proj"]);
        assert_eq!(chosen[2].source, ChosenSource::Folder("/p/.".into()));
        let ChosenSource::Wheel(native) = &chosen[1].source else {
            panic!("{chosen:?}")
        };
        assert_eq!(
            native.filename,
            "cbor2-5.6.5-cp312-cp312-wasi_0_0_0_wasm32.whl"
        );
        assert_eq!(native.size, Some(2));
        assert_eq!(native.sha256.to_string(), DIGEST);
        assert_eq!(parse(UV).unwrap().note(), None);
    }

    #[test]
    fn a_lock_of_pip_s() {
        let chosen = choose(PIP).unwrap();
        let ChosenSource::Wheel(local) = &chosen[0].source else {
            panic!("{chosen:?}")
        };
        assert_eq!(
            local.origin,
            Origin::File("/p/wheels/local-1.0-py3-none-any.whl".into())
        );
        assert_eq!(chosen[1].version.as_deref(), Some("25.0"));
    }

    #[test]
    fn what_is_read_is_written_the_same_way() {
        for text in [UV, PIP] {
            let lock = parse(text).unwrap();
            let written = lock.to_toml();
            let again = parse(&written).unwrap();
            assert_eq!(again.to_toml(), written);
            let sorted = |lock: &Lock| {
                let mut packages = lock.packages.clone();
                packages.sort_by(|a, b| a.name.cmp(&b.name));
                packages
                    .iter_mut()
                    .for_each(|p| p.wheels.sort_by_key(file_table));
                packages
            };
            assert_eq!(sorted(&again), sorted(&lock));
        }
    }

    #[test]
    fn markers_of_extras_and_groups() {
        let text = format!(
            "lock-version = '1.0'\ncreated-by = 'x'\nextras = ['Fast.IO']\n\
             dependency-groups = ['dev']\ndefault-groups = ['dev']\n[[packages]]\nname = 'a'\n\
             marker = \"'fast-io' in extras and sys_platform == 'wasi'\"\n{}[[packages]]\n\
             name = 'b'\nmarker = \"'dev' in dependency_groups or 'x' in extras\"\n{}",
            wheel("a-1-py3-none-any.whl"),
            wheel("b-1-py3-none-any.whl"),
        );
        let names = |extras: &[&str], groups: &[&str]| -> String {
            let chosen = choose_with(&text, extras, groups).unwrap();
            chosen.iter().map(|c| c.name.as_str().to_owned()).collect()
        };
        assert_eq!(names(&[], &[]), "b", "the default group");
        assert_eq!(names(&["Fast_IO"], &["none"]), "a");
        assert_eq!(names(&["x"], &["none"]), "b");
        assert_eq!(names(&["fast-io"], &["dev"]), "ab");
        let none = BTreeSet::new();
        assert_eq!(
            settle(
                "\"x\" not in extras and os_name == 'not in extras'",
                &none,
                &none
            ),
            "python_version >= '0' and os_name == 'not in extras'"
        );
        assert_eq!(settle("'x", &none, &none), "'x");
    }

    #[test]
    fn what_cannot_be_used_is_explained() {
        let here = "/p/pylock.toml";
        assert_eq!(
            error("lock-version = '2.0'"),
            "/p/pylock.toml is a lock of version \"2.0\", and pyw knows 1.x"
        );
        assert!(parse("lock-version = '1.7'\ncreated-by = 'x'\nnew = 1").is_ok());
        assert_eq!(
            error("lock-version = 1"),
            "/p/pylock.toml:1:16: invalid type: integer `1`, expected a string\n  |\n\
             1 | lock-version = 1\n  |                ^"
        );
        assert!(error("created-by = 'x'").contains("missing field `lock-version`"));
        let python = "lock-version = '1.0'\ncreated-by = 'x'\nrequires-python = '>=3.99'";
        assert_eq!(
            error(python),
            format!(
                "{here} is not for this interpreter: it wants Python >=3.99, and this is 3.12.0"
            )
        );
        assert_eq!(
            error("lock-version = '1.0'\ncreated-by = 'x'\nenvironments = [\"os_name == 'nt'\"]"),
            format!("{here} is not for this interpreter: it wants os_name == 'nt'")
        );
        for (more, message) in [
            (String::new(), "a: it has no file".to_owned()),
            (
                wheel("a-1-cp312-cp312-win_amd64.whl"),
                "a 1 cannot be installed here: none of its wheels is for this interpreter: \
                 a-1-cp312-cp312-win_amd64.whl"
                    .to_owned(),
            ),
            (
                wheel("b-1-py3-none-any.whl"),
                "a: b-1-py3-none-any.whl is of another project".to_owned(),
            ),
            (
                "sdist = { name = 'a-1.tar.gz', url = 'https://a', hashes = {} }".to_owned(),
                "a 1 cannot be installed here: the lock has only its sdist, and pyw builds none"
                    .to_owned(),
            ),
            (
                "vcs = { type = 'git', url = 'https://a', commit-id = 'x' }".to_owned(),
                "a 1 cannot be installed here: it comes from version control, and pyw builds none"
                    .to_owned(),
            ),
            (
                "wheels = [{ url = 'https://a/a-1-py3-none-any.whl', hashes = { md5 = 'x' } }]"
                    .to_owned(),
                "a: a-1-py3-none-any.whl has no sha256, by which pyw knows its files".to_owned(),
            ),
            (
                "wheels = [{ name = 'a-1-py3-none-any.whl', hashes = {} }]".to_owned(),
                "a: a-1-py3-none-any.whl has no sha256, by which pyw knows its files".to_owned(),
            ),
            (
                wheel("a-1-py3-none-any.whl") + "marker = 'nonsense'",
                "a: the marker \"nonsense\" is wrong: ".to_owned(),
            ),
            (
                wheel("a-1-py3-none-any.whl") + "requires-python = '>=4'",
                "a 1 cannot be installed here: it wants Python >=4, and this is 3.12.0".to_owned(),
            ),
            (
                wheel("a-1-py3-none-any.whl") + "directory = { path = '.' }",
                "a: vcs, directory, archive and wheels exclude each other".to_owned(),
            ),
        ] {
            let error = error(&one(&more));
            let expected = format!("{here}: {message}");
            assert!(error.starts_with(&expected), "{error}\n{expected}");
        }
        let twice = one(&wheel("a-1-py3-none-any.whl"))
            + "[[packages]]\nname = 'A'\nversion = '2'\n"
            + &wheel("a-2-py3-none-any.whl");
        assert_eq!(
            error(&twice),
            format!("{here}: a: both 1 and 2 would be installed")
        );
    }

    #[test]
    fn a_lock_of_our_own() {
        let info = marker::tests::info();
        let name = |text: &str| PackageName::new(text).unwrap();
        let file = |filename: &str, index: Option<&str>, place| resolution::File {
            filename: filename.to_owned(),
            place,
            sha256: Some(Sha256::of(b"abc")),
            size: Some(3),
            index: index.map(str::to_owned),
        };
        let resolved = |text: &str, source| resolution::Resolved {
            name: name(text),
            version: "1.0".parse().unwrap(),
            source,
            extras: BTreeSet::new(),
            dependencies: BTreeSet::new(),
            why: Vec::new(),
        };
        let url = Url::parse("https://f/rich-1.0-py3-none-any.whl").unwrap();
        let mut rich = resolved(
            "rich",
            resolution::Source::Wheel(file(
                "rich-1.0-py3-none-any.whl",
                Some("https://pypi.org/simple/"),
                FilePlace::Url(url),
            )),
        );
        rich.dependencies.insert(name("mdurl"));
        let local = FilePlace::Path("/home/me/wheels/mdurl-1.0-py3-none-any.whl".into());
        let resolution = Resolution {
            packages: vec![
                rich,
                resolved("numpy", resolution::Source::Interpreter),
                resolved("here", resolution::Source::Folder("/home/me/app".into())),
                resolved(
                    "mdurl",
                    resolution::Source::Wheel(file("mdurl-1.0-py3-none-any.whl", None, local)),
                ),
            ],
            notes: Vec::new(),
        };
        let asked = inputs(["rich"]);
        let folder = Utf8Path::new("/home/me/app");
        let lock = Lock::of(&resolution, &info, "cpython-x", asked, None, folder).unwrap();
        let text = lock.to_toml();
        assert_eq!(
            text,
            format!(
                r#"lock-version = "1.0"
environments = ["python_version == '3.12' and sys_platform == 'wasi'"]
created-by = "pyw"

[[packages]]
name = "here"
directory = {{ path = ".", editable = true }}

[[packages]]
name = "mdurl"
version = "1.0"
archive = {{ name = "mdurl-1.0-py3-none-any.whl", path = "../wheels/mdurl-1.0-py3-none-any.whl", size = 3, hashes = {{ sha256 = "{DIGEST}" }} }}

[[packages]]
name = "rich"
version = "1.0"
dependencies = [
    {{ name = "mdurl" }},
]
index = "https://pypi.org/simple/"
wheels = [
    {{ name = "rich-1.0-py3-none-any.whl", url = "https://f/rich-1.0-py3-none-any.whl", size = 3, hashes = {{ sha256 = "{DIGEST}" }} }},
]

[tool.pyw]
inputs = "{asked}"
interpreter = "cpython-x"
platform = "{}"
python = "{}"
"#,
                info.platform, info.version
            )
        );
        let read = parse(&text).unwrap();
        assert_eq!(read.still_matches(asked, &info), Ok(()));
        assert_eq!(choose(&text).unwrap().len(), 3);
        assert_eq!(
            read.still_matches(inputs(["rich", "x"]), &info),
            Err(Stale::Inputs)
        );
        let mut other = info.clone();
        other.version = "3.13.5".into();
        let stale = read.still_matches(asked, &other).unwrap_err();
        assert_eq!(
            stale.to_string(),
            format!(
                "it was written for CPython {} ({}), and this is 3.13.5 ({})",
                info.version, info.platform, info.platform
            )
        );
        assert_eq!(
            parse(UV)
                .unwrap()
                .still_matches(asked, &info)
                .unwrap_err()
                .to_string(),
            "uv wrote it, which does not say for what"
        );
        assert_eq!(
            read.to_requirements(Utf8Path::new("pylock.toml")).unwrap(),
            format!(
                "-e .\n../wheels/mdurl-1.0-py3-none-any.whl \\\n    --hash=sha256:{DIGEST}\n\
                 rich==1.0 \\\n    --hash=sha256:{DIGEST}\n"
            )
        );
    }

    #[test]
    fn names_of_locks() {
        for (script, lock) in [
            ("/a/app.py", "/a/pylock.app.toml"),
            ("my.app.py", "pylock.my-app.toml"),
            ("tool", "pylock.tool.toml"),
        ] {
            let path = path_for_script(Utf8Path::new(script));
            assert_eq!(path, lock);
            assert!(is_lock(&path));
        }
        assert!(is_lock(&path_for_project(Utf8Path::new("/p"))));
        for other in [
            "pylock.a.b.toml",
            "pylock..toml",
            "pylock",
            "xpylock.toml",
            "pylock.toml.x",
        ] {
            assert!(!is_lock(Utf8Path::new(other)), "{other}");
        }
        assert_ne!(inputs(["ab", "c"]), inputs(["a", "bc"]));
    }

    #[test]
    fn strings_are_quoted() {
        let odd = "a\"b\\c\n\t\u{7}é";
        let table: toml::Table = toml::from_str(&format!("x = {}", quoted(odd))).unwrap();
        assert_eq!(table["x"].as_str(), Some(odd));
    }
}
