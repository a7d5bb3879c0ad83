//! What resolving starts from and what it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use camino::Utf8PathBuf;
use pep440_rs::Version;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use super::name::{ExtraName, PackageName};
use super::requirement::Requirement;
use crate::store::Sha256;

/// What is asked for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The requirement.
    pub requirement: Requirement,
    /// Who asks, as a message names it: `app.py`, `--with`, `requirements.txt:3`.
    pub origin: String,
}

/// All that resolving starts from, beside the interpreter and the indexes.
#[derive(Clone, Debug, Default)]
pub struct ResolveRequest {
    /// What is asked for.
    pub requirements: Vec<Asked>,
    /// Limits on projects, for when they are needed.
    pub constraints: Vec<Requirement>,
    /// Versions to be taken if they fit, as those of a lock.
    pub preferences: BTreeMap<PackageName, Version>,
    /// Which preferences not to heed.
    pub upgrade: Upgrade,
    /// Whether pre-releases will do.
    pub prereleases: Prereleases,
    /// Files must have been uploaded before.
    pub upload_before: Option<SystemTime>,
    /// Whether every file must have one of the hashes that its requirement names. So it is anyway
    /// when one requirement names some.
    pub require_hashes: bool,
    /// The packages in the interpreter's own site-packages.
    pub installed: Vec<Metadata>,
    /// Other interpreters that bring packages of their own, to be named when nothing else works.
    pub alternatives: Vec<Alternative>,
}

/// Which packages are to be renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// None: what was preferred stays while it fits.
    #[default]
    None,
    /// These.
    Packages(BTreeSet<PackageName>),
    /// All.
    All,
}

/// Whether pre-releases will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prereleases {
    /// If a requirement names one, or if nothing else fits.
    #[default]
    IfNeeded,
    /// Always.
    Allowed,
}

/// An interpreter with packages of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// How to ask for it with `--python`.
    pub python: String,
    /// What it brings.
    pub packages: BTreeSet<PackageName>,
}

/// The packages that a program gets: one version of each, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The packages.
    pub packages: Vec<Resolved>,
    /// What the user may want to know, as sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One package of a resolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: Version,
    /// Where it comes from.
    pub source: Source,
    /// The extras of it that are asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub extras: BTreeSet<ExtraName>,
    /// What it needs of the others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dependencies: BTreeSet<PackageName>,
    /// Why it is there.
    pub why: Vec<Why>,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A wheel.
    Wheel(File),
    /// A project's folder, whose code is used as it is.
    Folder(Utf8PathBuf),
    /// The interpreter brings it.
    Interpreter,
}

/// A wheel to be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub filename: String,
    /// Where it is.
    pub place: FilePlace,
    /// Its digest, if the index tells it.
    pub sha256: Option<Sha256>,
    /// Its size, if the index tells it.
    pub size: Option<u64>,
    /// The index that has it, without credentials; `None` if it was named directly.
    #[serde(default)]
    pub index: Option<String>,
}

/// Where a wheel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilePlace {
    /// At an address, which holds no credentials: [`super::Index::authorize`] adds them.
    Url(Url),
    /// On this machine.
    Path(Utf8PathBuf),
}

/// Why a package is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The user asks for it.
    Asked {
        /// The requirement.
        requirement: String,
        /// Who asks.
        origin: String,
    },
    /// Another package needs it.
    Needed {
        /// Which.
        by: PackageName,
        /// The requirement.
        requirement: String,
    },
}

/// Reads the date of `--upload-before`: `2025-01-31`, which is its first moment in UTC, or a time
/// of RFC 3339.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_upload_before(text: &str) -> Result<SystemTime, String> {
    let text = text.trim();
    let time = match text.contains(['T', ' ', 't']) {
        true => humantime::parse_rfc3339_weak(text),
        false => humantime::parse_rfc3339(&format!("{text}T00:00:00Z")),
    };
    time.map_err(|_| format!("{text:?} is neither a date (2025-01-31) nor a time of RFC 3339"))
}

impl Resolution {
    /// The package of that name.
    #[must_use]
    pub fn get(&self, name: &PackageName) -> Option<&Resolved> {
        let found = self.packages.binary_search_by(|p| p.name.cmp(name));
        found.ok().map(|at| &self.packages[at])
    }
}

impl Resolved {
    /// The wheel, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        match &self.source {
            Source::Wheel(file) => Some(file),
            Source::Folder(_) | Source::Interpreter => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let day = parse_upload_before("2025-01-31").unwrap();
        assert_eq!(parse_upload_before("2025-01-31T00:00:00Z").unwrap(), day);
        for wrong in ["", "yesterday", "2025-13-01", "31.1.2025", "2025-01-31T"] {
            assert!(parse_upload_before(wrong).is_err(), "{wrong}");
        }
    }
}
