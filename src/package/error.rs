//! What can go wrong with packages, with its exit code and advice.

use camino::Utf8PathBuf;

use super::report::NoSolution;
use crate::error::Code;
use crate::store::StoreError;

/// A failure to find out which packages a program gets.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A requirement is not one.
    #[error("{origin}: {problem}")]
    Requirement {
        /// Who asks, as `--with` or `app.py`.
        origin: String,
        /// What is wrong, in a sentence without secrets.
        problem: String,
    },
    /// A requirements file cannot be read.
    #[error("{path}: {problem}")]
    RequirementsFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, as "no such file".
        problem: String,
        /// Whether it is not there.
        missing: bool,
    },
    /// A setting is wrong.
    #[error("{setting}: {problem}")]
    Setting {
        /// As `--upload-before`.
        setting: String,
        /// What is wrong.
        problem: String,
    },
    /// The interpreter's metadata make no sense.
    #[error("packages cannot be resolved for this interpreter: {problem}")]
    Interpreter {
        /// What is wrong.
        problem: String,
    },
    /// Something named by its address or path cannot be used.
    #[error("{requirement} cannot be used: {problem}")]
    Direct {
        /// The requirement, without secrets.
        requirement: String,
        /// Why not.
        problem: String,
    },
    /// The requirements cannot be met together.
    #[error(transparent)]
    NoSolution(Box<NoSolution>),
    /// A file that nothing pins.
    #[error(
        "{} tells no sha256 for {file}, so nobody could say whether it is the right file",
        index.as_deref().unwrap_or("whoever named it")
    )]
    NoDigest {
        /// The wheel.
        file: String,
        /// The index.
        index: Option<String>,
    },
    /// No version of Python is what everybody wants.
    #[error("{wanted}, and {python} is CPython {version}")]
    Python {
        /// Who wants what.
        wanted: String,
        /// As `--python 3.12`.
        python: String,
        /// The version that it is.
        version: String,
    },
    /// A wheel that was built along with the interpreter cannot be had.
    #[error(
        "{file} is of the interpreter's own distribution, and is not to be had from {place}: {source}"
    )]
    Distribution {
        /// The wheel.
        file: String,
        /// Where it should be, without secrets.
        place: String,
        /// What went wrong.
        source: Box<StoreError>,
    },
    /// The store or the network failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A failure that another part of the search met first.
    #[error(transparent)]
    Shared(std::sync::Arc<PackageError>),
    /// A bug.
    #[error("resolving went wrong: {problem}")]
    Internal {
        /// What happened.
        problem: String,
    },
}

impl PackageError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Requirement { .. } | Self::Setting { .. } => Code::Usage,
            Self::RequirementsFile { missing: true, .. } => Code::NotFound,
            Self::RequirementsFile { .. } => Code::Usage,
            Self::Interpreter { .. } => Code::Interpreter,
            Self::Direct { .. } | Self::NoSolution(_) | Self::Python { .. } => Code::Resolution,
            Self::NoDigest { .. } => Code::Integrity,
            // It is the place that the user names which lacks the file, and not the store.
            Self::Distribution { source, .. } => match **source {
                StoreError::Io { .. } => Code::Network,
                _ => source.code(),
            },
            Self::Store(error) => error.code(),
            Self::Shared(error) => error.code(),
            Self::Internal { .. } => Code::Internal,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSolution(report) => report.hint(),
            Self::Distribution { source, .. } => match **source {
                StoreError::Offline { .. } | StoreError::Integrity { .. } => None,
                _ => Some(
                    "name a folder or address that has these files with --pyodide-packages or \
                     PYW_PYODIDE_PACKAGES; Pyodide's release archive has them"
                        .to_owned(),
                ),
            },
            Self::Store(error) => error.hint(),
            Self::Shared(error) => error.hint(),
            Self::NoDigest { file, .. } => Some(format!(
                "download {file} yourself and name its folder with --find-links"
            )),
            Self::Python { .. } => {
                Some("leave --python out, and pyw looks for one that fits".to_owned())
            }
            Self::Internal { .. } => Some("this is a bug in pyw; please report it".to_owned()),
            _ => None,
        }
    }
}

impl From<NoSolution> for PackageError {
    fn from(report: NoSolution) -> Self {
        PackageError::NoSolution(Box::new(report))
    }
}
