//! The file that a download grows in.

use std::fs::File;
use std::io::{self, Seek, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::StoreError;
use super::hash::{Hasher, Sha256, copy};

/// A file that grows while it is downloaded, and its hash.
pub(super) struct Part {
    path: Utf8PathBuf,
    file: File,
    size: u64,
    hasher: Hasher,
}

/// A writer that only hashes.
struct Hashing<'a>(&'a mut Hasher);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part {
    /// Opens the file, or creates it, and takes in what an earlier download left.
    pub(super) fn open(path: &Utf8Path) -> Result<Part, StoreError> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|cause| StoreError::io("creating", path, cause))?;
        let mut hasher = Hasher::new();
        let (_, size) = copy(&mut file, Hashing(&mut hasher))
            .map_err(|cause| StoreError::io("reading", path, cause))?;
        Ok(Part {
            path: path.to_owned(),
            file,
            size,
            hasher,
        })
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all(bytes)
            .map_err(|cause| StoreError::io("writing", &self.path, cause))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|cause| StoreError::io("writing", &self.path, cause))?;
        self.size = 0;
        self.hasher = Hasher::new();
        Ok(())
    }

    /// Deletes the file.
    pub(super) fn discard(self) {
        drop(self.file);
        let _ = std::fs::remove_file(&self.path);
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all bytes.
    pub(super) fn sha256(self) -> Sha256 {
        self.hasher.finish()
    }
}
