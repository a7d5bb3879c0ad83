//! What the user granted to scripts and projects for good: `trust.toml` in the user's configuration
//! folder.
//!
//! A record is about one file and one request. Another request of the same file is not covered, so
//! a script that is changed to ask for more asks again.

use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::config::asks::Asks;
use crate::error::Code;
use crate::paths::real;
use crate::store::Sha256;

/// The file's name.
const FILE: &str = "trust.toml";
const HEADER: &str = "\
# What `pyw trust` recorded: the requests of scripts and projects that you agreed to. A record that
# is removed is asked for again.

";

/// The user's records.
#[derive(Clone, Debug)]
pub struct Trust {
    path: Utf8PathBuf,
    records: Vec<Record>,
}

/// One request that was agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The script, or the project's file; absolute and without links.
    pub file: Utf8PathBuf,
    /// The digest of the request.
    pub request: Sha256,
    /// The request, for people.
    pub what: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    trusted: Vec<Record>,
}

/// The records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No place for them.
    #[error("there is no configuration folder to keep {FILE} in")]
    NoFolder,
    /// The file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// As "read".
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what pyw writes.
    #[error("`{path}` is not what `pyw trust` writes: {reason}")]
    Broken {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is nothing to agree to.
    #[error("`{file}` asks for nothing")]
    NothingAsked {
        /// The script or project.
        file: Utf8PathBuf,
    },
    /// Nothing is recorded of a file.
    #[error("nothing of `{file}` is recorded")]
    NotRecorded {
        /// The script or project.
        file: Utf8PathBuf,
    },
}

impl TrustError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoFolder | Self::Broken { .. } => Code::Usage,
            Self::Io { .. } => Code::Storage,
            Self::NothingAsked { .. } | Self::NotRecorded { .. } => Code::NotFound,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Broken { path, .. } => Some(format!(
                "remove {path}; what it records is then asked for again"
            )),
            Self::NotRecorded { .. } => Some("`pyw trust --list` shows what is".into()),
            _ => None,
        }
    }
}

impl Trust {
    /// Reads the records of the configuration folder; a file that is not there holds none.
    ///
    /// # Errors
    /// There is no such folder, or the file cannot be used.
    pub fn load(folder: Option<&Utf8Path>) -> Result<Trust, TrustError> {
        let path = folder.ok_or(TrustError::NoFolder)?.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(TrustError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        match toml::from_str::<File>(&text) {
            Ok(file) => Ok(Trust {
                path,
                records: file.trusted,
            }),
            Err(error) => Err(TrustError::Broken {
                path,
                reason: error.message().to_owned(),
            }),
        }
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether this very request was agreed to.
    #[must_use]
    pub fn covers(&self, asks: &Asks) -> bool {
        let file = real(&asks.file);
        let request = asks.digest();
        let mut records = self.records.iter();
        records.any(|record| record.file == file && record.request == request)
    }

    /// Records that a request was agreed to, in place of what was recorded of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&mut self, asks: &Asks) -> Result<(), TrustError> {
        let file = real(&asks.file);
        self.records.retain(|record| record.file != file);
        self.records.push(Record {
            file,
            request: asks.digest(),
            what: asks.rows().into_iter().map(|(what, _)| what).collect(),
        });
        self.write()
    }

    /// Forgets what was recorded of a file.
    ///
    /// # Errors
    /// Nothing was, or the file cannot be written.
    pub fn forget(&mut self, file: &Utf8Path) -> Result<(), TrustError> {
        let file = real(file);
        let before = self.records.len();
        self.records.retain(|record| record.file != file);
        if self.records.len() == before {
            return Err(TrustError::NotRecorded { file });
        }
        self.write()
    }

    fn write(&self) -> Result<(), TrustError> {
        let failed = |source| TrustError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        };
        let file = File {
            trusted: self.records.clone(),
        };
        let text = toml::to_string(&file).map_err(|error| failed(std::io::Error::other(error)))?;
        let folder = self.path.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(folder).map_err(failed)?;
        // Appears whole or not at all.
        let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let write = temporary
            .write_all(HEADER.as_bytes())
            .and_then(|()| temporary.write_all(text.as_bytes()));
        write.map_err(failed)?;
        temporary
            .persist(&self.path)
            .map(drop)
            .map_err(|error| failed(error.error))
    }
}
