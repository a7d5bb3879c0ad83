//! What can go wrong for a user, and the exit code it ends with.
//!
//! Each layer has its own error enum that carries data; this file gives every one of them its
//! exit code, and nothing else in pyw decides on one. Rendering is in [`crate::ui::report`].

/// Exit codes of pyw itself. They are stable: scripts may rely on them.
///
/// A program may end with the same number, so pyw's own failures are also told apart by a message
/// on stderr that begins with `pyw: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// A bug in pyw.
    Internal = 70,
    /// The command line, a configuration file or an environment variable is wrong.
    Usage = 2,
    /// Neither the runtime nor the fence can hold what the sandbox asks for.
    Refused = 110,
    /// A script, interpreter, runtime or mount source does not exist.
    NotFound = 111,
    /// The packages asked for cannot be had together.
    Resolution = 112,
    /// The network is down, forbidden by `--offline`, or a server answered with an error.
    Network = 113,
    /// Bytes are not the ones that were pinned, or an archive is malformed.
    Integrity = 114,
    /// The store or a temporary folder could not be read or written.
    Storage = 115,
    /// The interpreter is not a CPython that pyw can run.
    Interpreter = 116,
    /// The runtime is too old, or failed when it was probed.
    Runtime = 117,
    /// The runtime crashed while the program ran.
    Crashed = 118,
    /// The script or project asks for more than it was granted.
    NotTrusted = 119,
    /// The program used up the processor time it was given.
    CpuTime = 120,
    /// The program wrote more than it may.
    OutputSize = 121,
    /// The program ended by a MemoryError, and its memory was limited.
    Memory = 122,
    /// The program used up the time it was given.
    TimedOut = 124,
}

impl Code {
    /// All codes with a one-line meaning, in the order in which `pyw help exit-codes` shows them.
    pub const ALL: &[(Code, &str)] = &[
        (
            Code::Usage,
            "the command line or a configuration file is wrong",
        ),
        (Code::Internal, "a bug in pyw"),
        (
            Code::Refused,
            "the sandbox asks for what this runtime cannot hold",
        ),
        (
            Code::NotFound,
            "a script, interpreter, runtime or mount source does not exist",
        ),
        (
            Code::Resolution,
            "the packages asked for cannot be had together",
        ),
        (Code::Network, "a download failed, or --offline forbids it"),
        (
            Code::Integrity,
            "downloaded or imported bytes are not the expected ones",
        ),
        (
            Code::Storage,
            "the store or a temporary folder could not be used",
        ),
        (
            Code::Interpreter,
            "the interpreter is not a CPython that pyw can run",
        ),
        (Code::Runtime, "the runtime is too old or does not work"),
        (Code::Crashed, "the runtime crashed while the program ran"),
        (
            Code::NotTrusted,
            "the script or project asks for more than it was granted",
        ),
        (
            Code::CpuTime,
            "the program used up its processor time (--cpu-time)",
        ),
        (
            Code::OutputSize,
            "the program wrote more than it may (--output-size)",
        ),
        (Code::Memory, "the program ran out of memory (--memory)"),
        (Code::TimedOut, "the program used up its time (--timeout)"),
    ];
}

/// Any failure that a user can meet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong in a way that clap or one of its values' parsers found.
    #[error("{message}")]
    Usage {
        message: String,
        /// The command that shows how it is done.
        see: String,
    },

    #[error(transparent)]
    Split(#[from] crate::cli::split::SplitError),

    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),

    #[error(transparent)]
    Request(#[from] crate::request::RequestError),

    #[error(transparent)]
    Interpreter(#[from] crate::interpreter::InterpreterError),

    #[error(transparent)]
    Wasm(#[from] crate::interpreter::wasm::WasmError),

    #[error(transparent)]
    Pybi(#[from] crate::interpreter::pybi::PybiError),

    #[error(transparent)]
    Pybis(#[from] crate::package::pybis::PybisError),

    #[error(transparent)]
    Script(#[from] crate::package::script::ScriptError),

    #[error(transparent)]
    Project(#[from] crate::package::project::ProjectError),

    #[error(transparent)]
    Environment(#[from] crate::package::environment::EnvironmentError),

    #[error(transparent)]
    Lock(#[from] crate::package::lock::LockError),

    #[error(transparent)]
    Runtime(#[from] crate::runtime::RuntimeError),

    #[error(transparent)]
    Store(#[from] crate::store::StoreError),

    /// Grants or limits that nothing can hold.
    #[error("{runtime} cannot run this as asked, so it is not run")]
    Refused {
        runtime: String,
        refusals: Vec<crate::plan::Refusal>,
    },

    /// A request that nobody agreed to.
    #[error("{} asks for what it was not granted", asks.file)]
    NotTrusted { asks: crate::config::asks::Asks },

    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),

    #[error(transparent)]
    Package(#[from] crate::package::PackageError),

    #[error(transparent)]
    Launch(#[from] crate::launch::LaunchError),

    /// A bug.
    #[error("internal error: {message}")]
    Internal { message: String },
}

impl Error {
    /// A mistake in the options of a run.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            see: "pyw --help".into(),
        }
    }

    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Usage { .. } | Self::Split(_) => Code::Usage,
            Self::Config(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::Interpreter(error) => error.code(),
            Self::Wasm(error) => error.code(),
            Self::Pybi(error) => error.code(),
            Self::Pybis(error) => error.code(),
            Self::Script(error) => error.code(),
            Self::Project(error) => error.code(),
            Self::Environment(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Runtime(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Refused { .. } => Code::Refused,
            Self::NotTrusted { .. } => Code::NotTrusted,
            Self::Trust(error) => error.code(),
            Self::Package(error) => error.code(),
            Self::Launch(error) => error.code(),
            Self::Internal { .. } => Code::Internal,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { see, .. } => Some(format!("`{see}` tells more")),
            Self::Split(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Request(error) => error.hint(),
            Self::Interpreter(error) => error.hint(),
            Self::Wasm(error) => error.hint(),
            Self::Pybi(error) => error.hint(),
            Self::Pybis(error) => error.hint(),
            Self::Script(error) => error.hint(),
            Self::Project(error) => error.hint(),
            Self::Environment(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Refused { .. } => None,
            Self::NotTrusted { asks } => Some(format!(
                "look at it, and then allow it for good with `pyw trust {}`, or for one run with \
                 the flags above",
                asks.file
            )),
            Self::Trust(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Launch(error) => error.hint(),
            Self::Internal { .. } => Some("this is a bug in pyw; please report it".into()),
        }
    }
}

/// A result with pyw's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
