//! The folder that exists for the length of one run: private `/tmp`, pyw's channel, and what
//! stands in for things that a runtime cannot mount as they are.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::Access;

/// What the run needs on disk, all of it below one folder that is removed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scratch {
    pub root: Utf8PathBuf,
    /// Folders with room for so many bytes and no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<(Utf8PathBuf, u64)>,
    pub folders: Vec<Utf8PathBuf>,
    /// Empty files.
    pub files: Vec<Utf8PathBuf>,
    /// Symbolic links to folders whose own path the runtime cannot spell.
    pub links: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    /// Files with a text, by path.
    pub texts: Vec<(Utf8PathBuf, String)>,
    /// Single files that are mounted: made by hard link, or copied when they are read-only.
    pub placed: Vec<Placed>,
}

impl Scratch {
    /// Whether there is nothing to make.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
            && self.files.is_empty()
            && self.links.is_empty()
            && self.texts.is_empty()
            && self.placed.is_empty()
    }
}

/// One file that is put into a folder of the scratch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub from: Utf8PathBuf,
    pub to: Utf8PathBuf,
    pub access: Access,
}
