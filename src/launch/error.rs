//! What can go wrong when a plan is carried out.

use std::time::Duration;

use camino::Utf8PathBuf;

use crate::error::Code;

/// A program that could not be started, or was ended by pyw.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot start {program}: {source}")]
    Start {
        program: Utf8PathBuf,
        source: std::io::Error,
    },

    #[error("cannot confine {program}: {reason}")]
    Fence {
        program: Utf8PathBuf,
        reason: String,
    },

    #[error("cannot {action} `{path}`: {source}")]
    Scratch {
        action: &'static str,
        path: Utf8PathBuf,
        source: std::io::Error,
    },

    #[error(
        "cannot mount the single file `{path}` for writing: it lies on another file system than {scratch}"
    )]
    PlaceWritable {
        path: Utf8PathBuf,
        scratch: Utf8PathBuf,
    },

    #[error("the program ran longer than {} and was stopped", crate::sandbox::limits::format_duration(*limit))]
    TimedOut { limit: Duration },

    #[error("the program used more than {} of processor time and was stopped", crate::sandbox::limits::format_duration(*limit))]
    CpuTime { limit: Duration },

    #[error("the program wrote more than {} and was stopped", crate::sandbox::limits::format_size(*limit))]
    OutputSize { limit: u64 },

    #[error("the program ran out of memory: it was given {}", crate::sandbox::limits::format_size(*limit))]
    Memory { limit: u64 },

    #[error("{runtime} crashed ({status})")]
    Crashed { runtime: String, status: String },

    #[error("cannot wait for {program}: {source}")]
    Wait {
        program: Utf8PathBuf,
        source: std::io::Error,
    },
}

impl LaunchError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Start { .. } | Self::Wait { .. } => Code::Runtime,
            Self::Fence { .. } | Self::PlaceWritable { .. } => Code::Refused,
            Self::Scratch { .. } => Code::Storage,
            Self::TimedOut { .. } => Code::TimedOut,
            Self::CpuTime { .. } => Code::CpuTime,
            Self::OutputSize { .. } => Code::OutputSize,
            Self::Memory { .. } => Code::Memory,
            Self::Crashed { .. } => Code::Crashed,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Fence { .. } => "pyw starts nothing that it cannot confine as planned".into(),
            Self::PlaceWritable { .. } => "grant the folder that holds it instead".into(),
            Self::Scratch { .. } => "name a folder with room and write access in TMPDIR".into(),
            Self::TimedOut { .. } => "allow more with --timeout".into(),
            Self::CpuTime { .. } => "allow more with --cpu-time".into(),
            Self::OutputSize { .. } => "allow more with --output-size".into(),
            Self::Memory { .. } => "allow more with --memory".into(),
            Self::Crashed { .. } => {
                "this is the runtime's own failure, not the program's; try another with --runtime"
                    .into()
            }
            _ => return None,
        })
    }
}
