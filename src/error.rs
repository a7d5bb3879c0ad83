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
        (Code::TimedOut, "the program used up its time (--timeout)"),
    ];
}

/// Any failure that a user can meet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Wasm(#[from] crate::interpreter::wasm::WasmError),
}

/// A result with pyw's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
