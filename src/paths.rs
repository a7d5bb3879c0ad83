//! What paths lead to, and whose that is.

use camino::{Utf8Path, Utf8PathBuf};

/// The path without links and `..`; one that leads nowhere, or to a name that is not UTF-8, stays as
/// it is.
#[must_use]
pub fn real(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned())
}

/// Whether this user alone can have written a file or folder.
#[cfg(unix)]
#[must_use]
pub fn is_ours(seen: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    seen.uid() == rustix::process::geteuid().as_raw() && seen.mode() & 0o022 == 0
}

/// Whether this user alone can have written a file or folder.
#[cfg(not(unix))]
#[must_use]
pub fn is_ours(_seen: &std::fs::Metadata) -> bool {
    true
}
