//! A host directory that the guest sees, and the syntax of `--mount`.

use camino::Utf8PathBuf;

/// What a guest may do below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Read,
    Write,
}

/// Why a mount is there. Users see it in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Granted by the user, or by default (script and working directory).
    Grant,
    /// The interpreter's standard library.
    Interpreter,
    /// The skeleton that makes `/` and the mount points' parents exist.
    Root,
    /// The private `/tmp`, `/dev`.
    Private,
    /// pyw's own channel for the exit code.
    Channel,
}

/// One host directory at one guest path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mount {
    pub host: Utf8PathBuf,
    /// Absolute, `/`-separated, without a trailing slash (but for `/` itself).
    pub guest: String,
    pub access: Access,
    pub purpose: Purpose,
}
