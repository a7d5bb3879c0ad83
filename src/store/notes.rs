//! Notes: small JSON files in a cache, each whole or not there, that can be lost at any time.

use std::io::Write as _;

use camino::Utf8Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;

impl Store {
    /// Reads a note. `None` where there is none, or none that can be understood.
    #[must_use]
    pub fn note<T: DeserializeOwned>(&self, cache: &str, key: &str) -> Option<T> {
        let path = self.root.join("cache").join(cache).join(key);
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes a note. That it fails does not matter: what it holds is found out again.
    pub fn put_note<T: Serialize>(&self, cache: &str, key: &str, value: &T) {
        let Ok(folder) = self.cache_dir(cache) else {
            return;
        };
        let _ = serde_json::to_vec(value)
            .map_err(std::io::Error::other)
            .and_then(|bytes| write_whole(&folder.join(key), &bytes));
    }
}

/// Writes a file beside its place and moves it there, so that nobody ever reads half of it.
///
/// # Errors
/// The folder is not there or cannot be written.
pub fn write_whole(path: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}
