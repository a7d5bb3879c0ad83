//! Notes: small JSON files in a cache, each whole or not there, that can be lost at any time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use crate::paths::is_ours;

impl Store {
    /// Reads a note. `None` where there is none, or none that can be understood.
    #[must_use]
    pub fn note<T: DeserializeOwned>(&self, cache: &str, key: &str) -> Option<T> {
        serde_json::from_str(&self.text(cache, key)?).ok()
    }

    /// Reads a note as it is. `None` where there is none.
    #[must_use]
    pub fn text(&self, cache: &str, key: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join("cache").join(cache).join(key)).ok()
    }

    /// Reads a note that this user alone can have written: one that decides what is executed. `None`
    /// where there is none.
    #[must_use]
    pub fn own_text(&self, cache: &str, key: &str) -> Option<String> {
        let mut file = File::open(self.root.join("cache").join(cache).join(key)).ok()?;
        let mut text = String::new();
        let is_own = file.metadata().is_ok_and(|seen| is_ours(&seen));
        (is_own && file.read_to_string(&mut text).is_ok()).then_some(text)
    }

    /// Writes a note. That it fails does not matter: what it holds is found out again.
    pub fn put_note<T: Serialize>(&self, cache: &str, key: &str, value: &T) {
        if let Ok(text) = serde_json::to_string(value) {
            self.put_text(cache, key, &text);
        }
    }

    /// Writes a note as it is, as [`Self::put_note`] does.
    pub fn put_text(&self, cache: &str, key: &str, text: &str) {
        if let Ok(folder) = self.cache_dir(cache) {
            let _ = write_whole(&folder.join(key), text.as_bytes());
        }
    }

    /// Removes the oldest notes of a cache where there are more than so many.
    pub fn keep_newest(&self, cache: &str, most: usize) {
        let folder = self.root.join("cache").join(cache);
        let listing = folder.read_dir_utf8().into_iter().flatten().flatten();
        let mut notes: Vec<(SystemTime, Utf8PathBuf)> = listing
            .filter_map(|note| Some((note.metadata().ok()?.modified().ok()?, note.into_path())))
            .collect();
        notes.sort();
        for (_, path) in notes.iter().rev().skip(most) {
            let _ = std::fs::remove_file(path);
        }
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
