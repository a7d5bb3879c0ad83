//! What can be wrong with a request.

use camino::Utf8PathBuf;

use crate::error::Code;

/// A request that cannot be turned into a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is no script `{path}`")]
    NoScript { path: String },

    #[error("`{path}` is a folder without a __main__.py")]
    NoMain { path: String },

    #[error("`{path}` is neither a file nor a folder, so it cannot be run")]
    ScriptKind { path: String },

    #[error("cannot read the script `{path}`: {source}")]
    Script {
        path: String,
        source: std::io::Error,
    },

    #[error("`{what}` is not UTF-8, which runtimes cannot be given")]
    NotUtf8 { what: String },

    #[error("{what} has a NUL byte in it")]
    Nul { what: String },

    #[error("cannot find the current folder: {source}")]
    CurrentFolder { source: std::io::Error },

    #[error("there is no `{path}` to mount")]
    NoMountSource { path: Utf8PathBuf },

    #[error("cannot mount `{path}`: {source}")]
    MountSource {
        path: Utf8PathBuf,
        source: std::io::Error,
    },

    #[error("`{path}` is neither a folder nor a regular file, so it cannot be mounted")]
    MountKind { path: Utf8PathBuf },

    #[error("`{path}` is mounted twice with different rights")]
    MountedTwice { path: Utf8PathBuf },

    #[error("`{first}` and `{second}` are both mounted at {guest}")]
    SameGuest {
        guest: String,
        first: Utf8PathBuf,
        second: Utf8PathBuf,
    },

    #[error("{guest} belongs to pyw inside the sandbox, so nothing can be mounted there")]
    Reserved { guest: String },

    #[error("the file `{file}` cannot be mounted at {guest}: the folder `{folder}` is there")]
    FileInFolder {
        file: Utf8PathBuf,
        guest: String,
        folder: Utf8PathBuf,
    },

    #[error("there is no folder {cwd} to start in")]
    NoCwd { cwd: String },

    #[error("the variable {name} is pyw's own")]
    ReservedVariable { name: String },

    #[error("there are no packages here that could bring the command `{command}`")]
    NoPackages { command: String },

    #[error(transparent)]
    Packages(#[from] crate::package::environment::EnvironmentError),

    #[error(transparent)]
    Guest(#[from] crate::sandbox::mount::GuestPathError),
}

impl RequestError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoScript { .. }
            | Self::NoMain { .. }
            | Self::Script { .. }
            | Self::ScriptKind { .. }
            | Self::NoMountSource { .. }
            | Self::CurrentFolder { .. }
            | Self::NoCwd { .. } => Code::NotFound,
            Self::NotUtf8 { .. }
            | Self::Nul { .. }
            | Self::MountSource { .. }
            | Self::MountKind { .. }
            | Self::MountedTwice { .. }
            | Self::SameGuest { .. }
            | Self::Reserved { .. }
            | Self::FileInFolder { .. }
            | Self::ReservedVariable { .. }
            | Self::Guest(_) => Code::Usage,
            Self::NoPackages { .. } => Code::NotFound,
            Self::Packages(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoScript { path } if !path.contains(['/', '.']) => {
                "a module is run with -m, code with -c; commands are in `pyw --help`".into()
            }
            Self::ScriptKind { path } => {
                format!("a program is read from a pipe as `-`: pyw - < {path}")
            }
            Self::NoMain { .. } => {
                "a folder is run through its __main__.py; to run a package, say -m NAME".into()
            }
            Self::NoMountSource { path } if path.as_str().contains(':') => {
                "the path inside the sandbox begins with `/`: --mount HOST:/GUEST".into()
            }
            Self::MountedTwice { .. } => "grant it once, with :ro or with :rw".into(),
            Self::SameGuest { .. } => "give one of them another path: --mount HOST:GUEST".into(),
            Self::Reserved { .. } | Self::FileInFolder { .. } => {
                "give it another path: --mount HOST:GUEST".into()
            }
            Self::NoCwd { .. } => "name a folder that exists, or one below a --mount".into(),
            Self::NoPackages { command } => {
                format!("name the package that brings it: pyw --with {command} --entry {command}")
            }
            Self::Packages(error) => return error.hint(),
            _ => return None,
        })
    }
}
