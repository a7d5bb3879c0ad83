//! Why there is no snapshot.

use camino::Utf8PathBuf;

use crate::error::Code;
use crate::interpreter::wasm::WasmError;
use crate::store::StoreError;

/// What kept a snapshot from being made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The module is of a kind that this recipe does not know.
    #[error("the module is unsuitable: {0}")]
    Module(String),
    /// This version of CPython lays its objects out in a way that nobody has looked at.
    #[error("snapshots are not made of CPython {0} yet")]
    Version(String),
    /// The run that is to be captured failed.
    #[error("the start that was to be captured failed: {0}")]
    Boot(String),
    /// What was captured is not what the recipe expects.
    #[error("what was captured is not understood: {0}")]
    Image(String),
    /// The snapshot was built, and does not do what the interpreter does.
    #[error("the snapshot does not work: {0}")]
    Trial(String),
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// A verb.
        action: &'static str,
        /// Of what.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The module is no module.
    #[error(transparent)]
    Wasm(#[from] WasmError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SnapshotError {
    /// The exit code that this ends with, where a snapshot was asked for by name.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Module(_)
            | Self::Version(_)
            | Self::Boot(_)
            | Self::Image(_)
            | Self::Trial(_) => Code::Interpreter,
            Self::Io { .. } => Code::Storage,
            Self::Wasm(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Module(_)
            | Self::Version(_)
            | Self::Boot(_)
            | Self::Image(_)
            | Self::Trial(_) => Some("programs start without a snapshot then, only slower".into()),
            Self::Io { .. } => None,
            Self::Wasm(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }

    /// Whether trying again would come out the same, so that it is remembered.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Store(_))
    }
}

impl From<wasmparser::BinaryReaderError> for SnapshotError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        WasmError::from(crate::interpreter::wasm::Problem::from(error)).into()
    }
}
