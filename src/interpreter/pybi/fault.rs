//! What can be wrong with a pybi.

use camino::Utf8PathBuf;

use crate::error::Code;
use crate::interpreter::wasm::WasmError;
use crate::store::StoreError;

/// A pybi that cannot be had or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PybiError {
    /// It is not what it should be.
    #[error("the pybi {file} is refused: {fault}")]
    Refused {
        /// Its file name.
        file: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The archive or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("cannot write `{path}`: {reason}")]
    Write {
        /// The archive.
        path: Utf8PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What is wrong with a pybi.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file name is none of a pybi.
    #[error("its name is not NAME-VERSION[-BUILD]-PLATFORM.pybi")]
    FileName,
    /// A file that every pybi has is missing.
    #[error("it has no {path}")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file that describes it cannot be understood.
    #[error("its {path} cannot be read: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The format is of the future.
    #[error("it is of pybi version {version:?}, and pyw knows 1.x")]
    Version {
        /// What PYBI says.
        version: String,
    },
    /// A key that PEP 711 forbids, since an interpreter has no dependencies.
    #[error("its METADATA has {key}, which PEP 711 forbids")]
    ForbiddenKey {
        /// The key.
        key: String,
    },
    /// A key of the convention for WebAssembly that nobody knows.
    #[error("its PYBI has {key}, which is no key for a WebAssembly build")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// Two places say different things.
    #[error("{first} and {second} contradict each other")]
    Contradiction {
        /// One place, and what it says.
        first: String,
        /// The other place, and what it says.
        second: String,
    },
    /// It is for a machine, not for a runtime.
    #[error("it is for {platform}; pyw runs builds for WASI and Emscripten")]
    Platform {
        /// The platform tag.
        platform: String,
    },
    /// A file that RECORD does not know.
    #[error("{path:?} is not in its RECORD")]
    NotRecorded {
        /// The file.
        path: String,
    },
    /// A file that only RECORD knows.
    #[error("its RECORD names {path:?}, which is not in it")]
    NotThere {
        /// The file.
        path: String,
    },
    /// RECORD names a file twice.
    #[error("its RECORD names {path:?} twice")]
    RecordedTwice {
        /// The file.
        path: String,
    },
    /// RECORD has no hash for a file.
    #[error("its RECORD has no hash for {path:?}")]
    NoHash {
        /// The file.
        path: String,
    },
    /// A file has another hash than RECORD says.
    #[error("{path:?} has not the hash that its RECORD says")]
    Hash {
        /// The file.
        path: String,
    },
    /// A file has another size than RECORD says.
    #[error("{path:?} has {got} bytes where its RECORD says {recorded}")]
    Size {
        /// The file.
        path: String,
        /// The size in RECORD.
        recorded: u64,
        /// The true size.
        got: u64,
    },
    /// A symbolic link that PEP 711 forbids.
    #[error("the symbolic link {path:?} {problem}")]
    Link {
        /// The link.
        path: String,
        /// Which rule it breaks.
        problem: String,
    },
    /// The module is not what the platform tag says.
    #[error("its module {path} does not fit the tag {platform}: {problem}")]
    Module {
        /// The module.
        path: String,
        /// The platform tag.
        platform: String,
        /// Why not.
        problem: Box<WasmError>,
    },
}

impl Fault {
    /// The error about a pybi of this name.
    #[must_use]
    pub fn of(self, file: &str) -> PybiError {
        PybiError::Refused {
            file: file.to_owned(),
            fault: self,
        }
    }

    /// That one place says another thing than the other.
    #[must_use]
    pub fn contradiction(first: impl Into<String>, second: impl Into<String>) -> Self {
        Self::Contradiction {
            first: first.into(),
            second: second.into(),
        }
    }
}

impl PybiError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { .. } => Code::Integrity,
            Self::Store(error) => error.code(),
            Self::Write { .. } => Code::Storage,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused {
                fault: Fault::FileName,
                ..
            } => "give the file the name under which it was published".into(),
            Self::Refused {
                fault: Fault::Platform { .. },
                ..
            } => "take the build of the same version for wasi_wasm32".into(),
            Self::Refused { .. } => {
                "nothing of it was kept; take another build, and tell those who made \
                                     it. `pyw python pack` makes a sound one of a build that runs"
                    .into()
            }
            Self::Store(error) => return error.hint(),
            Self::Write { .. } => return None,
        })
    }
}
