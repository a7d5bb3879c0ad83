//! The builds that pyw knows: where they can be had, pinned by sha256.

use serde::Deserialize;

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

/// One build. Several sources carry the same bytes and are tried in turn.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_catalog_is_sound_and_has_one_default() {
        let entries = super::entries().unwrap();
        assert_eq!(entries.iter().filter(|e| e.default).count(), 1);
        assert!(entries.iter().all(|e| !e.sources.is_empty()));
    }
}
