//! Packages that were built along with an interpreter: Pyodide's distribution.
//!
//! Pyodide comes with a lock, `pyodide-lock.json`, which names some hundred wheels with their
//! sha256. Many of them are on no index. They lie in one place for each release of Pyodide, on its
//! CDN, or where `--pyodide-packages` says.
//!
//! What needs a shared library that is no wheel is left out. The lock adds to what the indexes
//! have, and replaces nothing. The newest version of a project
//! stays the newest that this interpreter can use, wherever it is from.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::Version;
use reqwest::Url;
use serde::Deserialize;

use super::candidate::{Link, Listed, Project, Sidecar, Wheel};
use super::error::PackageError;
use super::filename::WheelName;
use super::name::PackageName;
use crate::interpreter::{Interpreter, PACKAGES};
use crate::store::indexes::Links;
use crate::store::source::{join, redacted};
use crate::store::{Sha256, StoreError};

/// Pyodide's CDN, with a folder for each release.
const CDN: &str = "https://cdn.jsdelivr.net/pyodide/";
/// The module of Pyodide's Python library that says which release it is.
const RELEASE: &str = "pyodide/__init__.py";
/// No lock may be bigger; Pyodide's have 200 KiB.
const CAP: u64 = 8 << 20;

/// The wheels that an interpreter's lock names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Where the wheels are; `None` if nobody says so and the interpreter is of no release.
    place: Option<Links>,
    /// The wheels by project.
    wheels: BTreeMap<PackageName, Vec<Locked>>,
}

/// A wheel that a lock names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Locked {
    file: String,
    sha256: Sha256,
    /// Other projects in the lock that it needs.
    depends: Vec<PackageName>,
}

#[derive(Deserialize)]
struct File {
    packages: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    file_name: String,
    sha256: String,
    #[serde(default)]
    depends: Vec<String>,
}

impl Distribution {
    /// The distribution of an interpreter; `place` is what the user says of where it is. One
    /// without a lock has none.
    ///
    /// # Errors
    /// It has a lock that is none.
    pub fn of(interpreter: &Interpreter, place: Option<Links>) -> Result<Self, StoreError> {
        let path = interpreter.folder.join(PACKAGES);
        let bytes = match std::fs::metadata(&path) {
            Ok(found) if found.len() <= CAP => {
                std::fs::read(&path).map_err(|cause| StoreError::io("reading", &path, cause))?
            }
            Ok(_) => return Err(wrong(&path, "it is too big".to_owned())),
            Err(_) => return Ok(Self::default()),
        };
        let place = place.or_else(|| release(interpreter).and_then(|release| cdn(&release)));
        Self::read(&bytes, place).map_err(|problem| wrong(&path, problem))
    }

    /// Reads a lock.
    fn read(bytes: &[u8], place: Option<Links>) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut read = Distribution {
            place,
            ..Self::default()
        };
        // Pyodide loads libraries that stand beside the wheels; a wheel that needs one
        // would fail here.
        let is_wheel = |key: &str| {
            let entry = file.packages.get(key);
            entry.is_some_and(|entry| entry.file_name.ends_with(".whl"))
        };
        for (key, entry) in &file.packages {
            if !is_wheel(key) {
                continue;
            }
            if entry.depends.iter().any(|other| !is_wheel(other)) {
                continue;
            }
            let name = PackageName::new(&entry.name).map_err(|error| error.to_string())?;
            let depends = entry.depends.iter().map(|other| PackageName::new(other));
            let locked = Locked {
                file: entry.file_name.clone(),
                sha256: entry
                    .sha256
                    .parse()
                    .map_err(|_| format!("it has no sha256 of {}", entry.file_name))?,
                depends: depends
                    .collect::<Result<_, _>>()
                    .map_err(|error| error.to_string())?,
            };
            read.wheels.entry(name).or_default().push(locked);
        }
        Ok(read)
    }

    /// Where the wheels are, as it is shown to people.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.place {
            None => String::new(),
            Some(Links::Page(url)) => redacted(url),
            Some(Links::Folder(folder)) => folder.to_string(),
        }
    }

    /// The files that it has of a project.
    #[must_use]
    pub fn files(&self, name: &PackageName) -> Vec<Listed<'static>> {
        let Some(place) = &self.place else {
            return Vec::new();
        };
        let wheels = self.wheels.get(name).into_iter().flatten();
        wheels
            .filter_map(|locked| {
                Some(Listed {
                    filename: Cow::Owned(base_name(&locked.file).to_owned()),
                    link: link(&locked.file, place)?,
                    sha256: Some(locked.sha256),
                    size: None,
                    requires_python: None,
                    upload_time: None,
                    yanked: None,
                    sidecar: Sidecar::No,
                })
            })
            .collect()
    }

    /// Whether a wheel is one of these, and which other projects its lock says that it needs: the
    /// wheel itself may not say so.
    #[must_use]
    pub fn needs(&self, name: &PackageName, wheel: &Wheel) -> Option<&[PackageName]> {
        let place = self.place.as_ref()?;
        let mut wheels = self.wheels.get(name)?.iter();
        let found = wheels.find(|locked| {
            Some(locked.sha256) == wheel.sha256
                && link(&locked.file, place).as_ref() == Some(&wheel.link)
        })?;
        Some(&found.depends)
    }

    /// What stands in the way of its wheels, when one could not be had.
    #[must_use]
    pub fn failure(&self, file: &str, error: StoreError) -> PackageError {
        PackageError::Distribution {
            file: file.to_owned(),
            place: self.label(),
            source: Box::new(error),
        }
    }
}

/// Adds the releases of a distribution to those that an index has, where the interpreter can use
/// none of the index's files.
///
/// A version that the index does not have is only added if none of the index's can be used: who
/// has a private project of the same name does not get another one for it.
pub fn add(project: &mut Project, more: Project) {
    let usable = project.releases.values().any(|r| r.wheel.is_ok());
    for (version, release) in more.releases {
        let known: Option<&_> = project.releases.get(&version);
        let wanted = match known {
            Some(known) => known.wheel.is_err() && known.yanked.is_none(),
            None => !usable,
        };
        if wanted && release.wheel.is_ok() {
            project.releases.insert(version, release);
        }
    }
}

fn wrong(path: &Utf8Path, problem: String) -> StoreError {
    StoreError::Archive {
        archive: path.to_string(),
        entry: None,
        problem,
    }
}

/// The release of Pyodide that an interpreter is of, as its library says.
fn release(interpreter: &Interpreter) -> Option<String> {
    let library = interpreter.info.stdlib.rsplit('/').next()?;
    let file = interpreter.library().join(library).join(RELEASE);
    let text = std::fs::read_to_string(file).ok()?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("__version__ = \"")?.strip_suffix('"'))?;
    // It becomes part of an address.
    version.parse::<Version>().ok()?;
    Some(version.to_owned())
}

fn cdn(release: &str) -> Option<Links> {
    Url::parse(&format!("{CDN}v{release}/full/"))
        .ok()
        .map(Links::Page)
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// Where a file of the lock is. In a folder it is a file of that very folder, and at an address
/// one below it, unless the lock has a whole address.
fn link(file: &str, place: &Links) -> Option<Link<'static>> {
    WheelName::parse(base_name(file)).ok()?;
    match place {
        Links::Page(url) => {
            let mut base = url.clone();
            if !base.path().ends_with('/') {
                base.set_path(&format!("{}/", base.path()));
            }
            join(&base, file).ok()?;
            Some(Link::Page(Cow::Owned(file.to_owned()), Arc::new(base)))
        }
        Links::Folder(folder) => {
            let path: Utf8PathBuf = folder.join(base_name(file));
            Some(Link::Path(path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3";

    fn lock(entries: &[(&str, &str, &[&str])]) -> Vec<u8> {
        let packages: serde_json::Map<_, _> = entries
            .iter()
            .map(|(name, file, depends)| {
                let entry = serde_json::json!({
                    "name": name, "file_name": file, "sha256": DIGEST, "depends": depends,
                });
                (name.to_lowercase().replace('_', "-"), entry)
            })
            .collect();
        serde_json::to_vec(&serde_json::json!({ "packages": packages })).unwrap()
    }

    fn name(text: &str) -> PackageName {
        PackageName::new(text).unwrap()
    }

    #[test]
    fn wheels_are_found_and_other_files_are_not() {
        let bytes = lock(&[
            ("My_A", "my_a-1-py3-none-any.whl", &["b"]),
            ("b", "https://e.org/x/b-1-py3-none-any.whl", &[]),
            ("b-tests", "b-tests.zip", &["b"]),
            ("c", "c-1-py3-none-any.whl", &["libc"]),
            ("libc", "libc-1.zip", &[]),
        ]);
        let folder = Links::Folder("/w".into());
        let read = Distribution::read(&bytes, Some(folder)).unwrap();
        let files = read.files(&name("my-a"));
        assert_eq!(files.len(), 1);
        let path = "/w/my_a-1-py3-none-any.whl";
        assert_eq!(files[0].link, Link::Path(path.into()));
        let wheel = |sha256| Wheel {
            filename: files[0].filename.to_string(),
            link: files[0].link.clone(),
            sha256,
            size: None,
            sidecar: Sidecar::No,
        };
        let digest = DIGEST.parse().ok();
        assert_eq!(files[0].sha256, digest);
        let needs = read.needs(&name("my-a"), &wheel(digest));
        assert_eq!(needs, Some(&[name("b")][..]));
        assert_eq!(read.needs(&name("my-a"), &wheel(None)), None);
        let of_b = &read.files(&name("b"))[0];
        assert_eq!(of_b.link, Link::Path("/w/b-1-py3-none-any.whl".into()));
        assert!(read.files(&name("b-tests")).is_empty());
        assert!(read.files(&name("c")).is_empty());
        let nowhere = Distribution::read(&bytes, None).unwrap();
        assert!(nowhere.files(&name("b")).is_empty());
    }

    #[test]
    fn a_lock_that_is_none_is_told() {
        for text in ["", "[]", "{}"] {
            assert!(Distribution::read(text.as_bytes(), None).is_err());
        }
        let text = String::from_utf8(lock(&[("a", "a-1-py3-none-any.whl", &[])])).unwrap();
        let error = Distribution::read(text.replace(DIGEST, "x").as_bytes(), None).unwrap_err();
        assert_eq!(error, "it has no sha256 of a-1-py3-none-any.whl");
        let dangling = lock(&[("a", "a-1-py3-none-any.whl", &["gone"])]);
        let read = Distribution::read(&dangling, None).unwrap();
        assert!(read.files(&name("a")).is_empty());
    }
}
