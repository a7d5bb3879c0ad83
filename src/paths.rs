//! What paths lead to.

use camino::{Utf8Path, Utf8PathBuf};

/// The path without links and `..`; one that leads nowhere, or to a name that is not UTF-8, stays as
/// it is.
#[must_use]
pub fn real(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned())
}
