//! What can go wrong with a runtime.

use camino::Utf8PathBuf;

use super::advisories::Advisory;
use crate::error::Code;
use crate::interpreter::Platform;
use crate::store::StoreError;

/// A runtime that cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("there is no runtime named `{name}`")]
    Unknown { name: String, known: Vec<String> },

    #[error("{name} cannot stand in `runtimes`: only a run that names it gets it")]
    ByNameOnly { name: String },

    #[error("{name} was not found")]
    NotFound {
        name: String,
        variable: String,
        installable: bool,
    },

    #[error("{name} runs interpreters built for {runs}, and this one is built for {wanted}")]
    OtherPlatform {
        name: String,
        runs: Platform,
        wanted: Platform,
    },

    #[error("no runtime was found, and pyw cannot install {name} on this platform ({platform})")]
    NoBuild { name: String, platform: String },

    #[error("{from} names `{path}`, which is not an executable file")]
    BadOverride { from: String, path: String },

    #[error("`{path}` has a path that is not UTF-8, which runtimes cannot be given")]
    NotUtf8 { path: String },

    #[error("{name} at `{path}` is version {version}; pyw needs {minimum} or newer")]
    TooOld {
        name: String,
        path: Utf8PathBuf,
        version: String,
        minimum: String,
    },

    #[error("{name} has a known security hole: {}", shown(advisories))]
    Vulnerable {
        /// With its version.
        name: String,
        advisories: Vec<&'static Advisory>,
    },

    #[error("{name} could not be checked: {reason}")]
    Unchecked {
        /// With its version.
        name: String,
        reason: String,
    },

    #[error("{name} could not compile the interpreter: {reason}")]
    NotCompiled {
        /// With its version.
        name: String,
        /// What the runtime said.
        reason: String,
    },

    #[error("what is claimed is not so: {}", claims.join("; "))]
    Refuted {
        /// The runtime, what was claimed of it, and what was seen.
        claims: Vec<String>,
    },

    #[error("`{path}` did not answer `{args}` within {seconds} seconds")]
    ProbeHung {
        path: Utf8PathBuf,
        args: String,
        seconds: u64,
    },

    #[error("`{path} {args}` failed: {reason}")]
    ProbeFailed {
        path: Utf8PathBuf,
        args: String,
        reason: String,
    },

    #[error("`{path}` does not look like {name}: to `{args}` it answered `{answer}`")]
    ProbeOther {
        name: String,
        path: Utf8PathBuf,
        args: String,
        answer: String,
    },

    #[error("{path}: {message}")]
    Descriptor { path: String, message: String },

    #[error("cannot read `{path}`: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },

    #[error("{name} {version} is not installed in pyw's store")]
    NotInstalled { name: String, version: String },

    #[error(transparent)]
    Store(#[from] StoreError),
}

fn shown(advisories: &[&Advisory]) -> String {
    let all: Vec<String> = advisories
        .iter()
        .map(|one| format!("{} ({})", one.what, one.id))
        .collect();
    all.join("; ")
}

impl RuntimeError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown { .. }
            | Self::ByNameOnly { .. }
            | Self::Descriptor { .. }
            | Self::OtherPlatform { .. } => Code::Usage,
            Self::NotFound { .. }
            | Self::NoBuild { .. }
            | Self::BadOverride { .. }
            | Self::NotInstalled { .. } => Code::NotFound,
            Self::NotUtf8 { .. }
            | Self::TooOld { .. }
            | Self::ProbeHung { .. }
            | Self::ProbeFailed { .. }
            | Self::Unchecked { .. }
            | Self::Refuted { .. }
            | Self::NotCompiled { .. }
            | Self::ProbeOther { .. } => Code::Runtime,
            Self::Vulnerable { .. } => Code::Refused,
            Self::Read { .. } => Code::Storage,
            Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { known, .. } => format!("known are: {}", known.join(", ")),
            Self::ByNameOnly { name } => {
                format!("take it out of `runtimes`, and say --runtime {name} where you want it")
            }
            Self::NotFound {
                name,
                variable,
                installable,
            } => {
                let install = if *installable {
                    format!(", or run `pyw runtime install {name}`")
                } else {
                    String::new()
                };
                format!("put it on PATH, or name its path in {variable}{install}")
            }
            Self::OtherPlatform { runs, .. } => {
                format!("choose another runtime with --runtime, or say --platform {runs}")
            }
            Self::NoBuild { .. } => {
                "install wasmtime, WasmEdge or wasmer yourself and put it on PATH".into()
            }
            Self::Vulnerable { advisories, .. } => {
                let fixed: Vec<&str> = advisories.iter().map(|one| one.fixed.as_str()).collect();
                format!(
                    "update it (fixed in {}), choose another with --runtime, or accept it: \
                     --allow-vulnerable-runtime",
                    fixed.join("; and in ")
                )
            }
            Self::TooOld { .. } => "update it, or choose another with --runtime".into(),
            Self::ProbeHung { .. } | Self::ProbeFailed { .. } | Self::ProbeOther { .. } => {
                "choose another with --runtime, or name a working one by PYW_RUNTIME_<NAME>".into()
            }
            Self::NotCompiled { .. } => {
                "programs run all the same, more slowly; another runtime may do better: --runtime"
                    .into()
            }
            Self::Refuted { .. } => {
                "do not use the runtime with this descriptor; runtimes/README.md of pyw's sources \
                 says what each key promises"
                    .into()
            }
            Self::Descriptor { .. } => {
                "the grammar is in runtimes/README.md of pyw's sources".into()
            }
            Self::Store(error) => return error.hint(),
            _ => return None,
        })
    }
}
