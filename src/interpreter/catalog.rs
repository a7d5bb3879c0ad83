//! The builds that pyw knows: where they can be had, pinned by sha256.

use serde::{Deserialize, Serialize};

use super::error::InterpreterError;
use super::platform::Platform;
use crate::store::hash::Sha256;
use crate::store::source::Source;

const BUILT_IN: &[(&str, &str)] = &[
    (
        "cpython-3.12.0-wasi.toml",
        include_str!("../../interpreters/cpython-3.12.0-wasi.toml"),
    ),
    (
        "cpython-3.13.15-wasi.toml",
        include_str!("../../interpreters/cpython-3.13.15-wasi.toml"),
    ),
    (
        "cpython-3.14.7-wasi.toml",
        include_str!("../../interpreters/cpython-3.14.7-wasi.toml"),
    ),
    (
        "cpython-3.14.2-emscripten.toml",
        include_str!("../../interpreters/cpython-3.14.2-emscripten.toml"),
    ),
];

/// Builds that do not work.
const KNOWN_BAD: &str = include_str!("../../interpreters/known-bad.toml");

/// One build. Several sources carry the same bytes and are tried in turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    pub name: String,
    pub version: pep440_rs::Version,
    /// A PEP 711 platform tag.
    pub platform: String,
    /// What is run when nothing is asked for.
    #[serde(default)]
    pub default: bool,
    /// The file name that the bytes go by; its ending tells the layout.
    pub file: String,
    pub sha256: Sha256,
    /// In bytes.
    pub size: Option<u64>,
    /// Those of [`super::OPTIONAL`] that it has.
    pub modules: Option<Vec<String>>,
    /// How many times as long as natively loops in pure Python take, where it was measured.
    pub slowdown: Option<f64>,
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

impl Entry {
    /// What it was built for.
    #[must_use]
    pub fn system(&self) -> Platform {
        Platform::of_tag(&self.platform)
    }
}

/// All known builds, newest first.
///
/// # Errors
/// An entry is malformed, which only a change to pyw's own files can cause.
pub fn entries() -> Result<Vec<Entry>, InterpreterError> {
    let mut entries = BUILT_IN
        .iter()
        .map(|(file, text)| {
            toml::from_str::<Entry>(text).map_err(|e| InterpreterError::Catalog {
                path: (*file).to_owned(),
                message: e.to_string(),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(entries)
}

/// A build that is handed around and does not work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownBad {
    /// As a catalog entry would be called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A PEP 711 platform tag.
    pub platform: String,
    /// The file name that it goes by.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
    /// Where that is told.
    pub see: String,
}

#[derive(Deserialize)]
struct KnownBadList {
    build: Vec<KnownBad>,
}

/// The builds that are known not to work.
///
/// # Errors
/// The list is malformed, which only a change to pyw's own files can cause.
pub fn known_bad_builds() -> Result<Vec<KnownBad>, InterpreterError> {
    let list: KnownBadList = toml::from_str(KNOWN_BAD).map_err(|e| InterpreterError::Catalog {
        path: "known-bad.toml".to_owned(),
        message: e.to_string(),
    })?;
    Ok(list.build)
}

/// Why the build of this file name does not work, if it is known not to.
///
/// # Errors
/// As [`known_bad_builds`].
pub fn known_bad(file: &str) -> Result<Option<String>, InterpreterError> {
    let found = known_bad_builds()?
        .into_iter()
        .find(|build| build.file == file);
    Ok(found.map(|build| format!("{} ({})", build.reason, build.see)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_bad_builds_are_not_offered() {
        let entries = super::entries().unwrap();
        for bad in super::known_bad_builds().unwrap() {
            assert!(entries.iter().all(|e| e.file != bad.file), "{}", bad.file);
            assert!(super::known_bad(&bad.file).unwrap().is_some());
        }
        assert_eq!(super::known_bad("python.wasm").unwrap(), None);
    }

    #[test]
    fn modules_of_entries_are_known_ones() {
        for entry in super::entries().unwrap() {
            for module in entry.modules.iter().flatten() {
                let known = crate::interpreter::OPTIONAL;
                assert!(known.iter().any(|(_, name)| name == module), "{module}");
            }
        }
    }

    #[test]
    fn the_catalog_is_sound_and_has_one_default() {
        let entries = super::entries().unwrap();
        assert_eq!(entries.iter().filter(|e| e.default).count(), 1);
        assert!(entries.iter().all(|e| !e.sources.is_empty()));
    }
}
