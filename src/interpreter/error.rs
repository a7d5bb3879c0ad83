//! What can go wrong with an interpreter.

use camino::Utf8PathBuf;

use super::platform::Platform;
use super::pybi::PybiError;
use super::snapshot::SnapshotError;
use super::wasm::WasmError;
use crate::error::Code;
use crate::store::StoreError;

/// An interpreter that cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    #[error("no interpreter fits `{wanted}`")]
    NoMatch { wanted: String, known: Vec<String> },

    #[error("`{wanted}` is neither a version, nor a catalog name, nor a file or folder")]
    NotUnderstood { wanted: String },

    #[error("there is no file or folder `{path}`")]
    NoFile { path: Utf8PathBuf },

    #[error("`{name}` is built for {built_for}, not for {wanted}")]
    OtherPlatform {
        name: String,
        built_for: Platform,
        wanted: Platform,
    },

    #[error("`{path}` holds no interpreter: {reason}")]
    Layout { path: Utf8PathBuf, reason: String },

    #[error("importing `{origin}` failed: {step}: {reason}")]
    Import {
        origin: String,
        step: &'static str,
        reason: String,
    },

    #[error("`{path}` is not a record that this pyw can read: {reason}")]
    Record { path: Utf8PathBuf, reason: String },

    #[error("cannot {action} `{path}`: {source}")]
    Io {
        action: &'static str,
        path: Utf8PathBuf,
        source: std::io::Error,
    },

    #[error("{name} is not installed")]
    NotInstalled {
        name: String,
        installed: Vec<String>,
    },

    #[error("{path}: {message}")]
    Catalog { path: String, message: String },

    #[error("{file} is known not to work: {reason}")]
    KnownBad { file: String, reason: String },

    #[error(transparent)]
    Pybi(#[from] PybiError),

    #[error(transparent)]
    Wasm(#[from] WasmError),

    #[error(transparent)]
    Snapshot(#[from] SnapshotError),

    #[error(transparent)]
    Store(#[from] StoreError),
}

impl InterpreterError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoMatch { .. } | Self::NoFile { .. } | Self::NotInstalled { .. } => {
                Code::NotFound
            }
            Self::NotUnderstood { .. } | Self::Catalog { .. } | Self::OtherPlatform { .. } => {
                Code::Usage
            }
            Self::Layout { .. }
            | Self::Import { .. }
            | Self::Record { .. }
            | Self::KnownBad { .. } => Code::Interpreter,
            Self::Io { .. } => Code::Storage,
            Self::Pybi(error) => error.code(),
            Self::Wasm(error) => error.code(),
            Self::Snapshot(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoMatch { known, .. } => format!("known are: {}", known.join(", ")),
            Self::NotUnderstood { .. } => {
                "say a version (3.14), a specifier (>=3.13), a name from `pyw python list`, or the \
                 path of a .wasm, a folder, a release zip or a .pybi"
                    .into()
            }
            Self::OtherPlatform { built_for, .. } => {
                format!("leave --platform out, or say --platform {built_for}")
            }
            Self::Layout { .. } => {
                "pyw imports a single python.wasm, a folder, zip or tarball with a module and \
                 lib/python3.X, the npm package pyodide, and a .pybi"
                    .into()
            }
            Self::Import { .. } => {
                "see what it says under another runtime (--runtime), or take another build".into()
            }
            Self::NotInstalled { installed, .. } if installed.is_empty() => {
                "none is installed".into()
            }
            Self::NotInstalled { installed, .. } => {
                format!("installed are: {}", installed.join(", "))
            }
            Self::Io { path, source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                format!(
                    "free some space on the disk of {path}, or set PYW_STORE to a folder on \
                     another disk"
                )
            }
            Self::KnownBad { .. } => "take another version of it".into(),
            Self::Pybi(error) => return error.hint(),
            Self::Wasm(error) => return error.hint(),
            Self::Snapshot(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            _ => return None,
        })
    }
}
