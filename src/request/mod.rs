//! A request: the program and everything the user said about running it, validated, nothing
//! looked up yet. [`grants`] turns it into a sandbox once the interpreter is known.

pub mod error;
pub mod grants;
mod script;
pub mod snapshot;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

pub use error::RequestError;

use crate::sandbox::{Endpoint, Limits, MountSpec, Network, Terminals};

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file, a folder with `__main__.py`, or a zip, as it was written.
    Script(String),
    /// `-c CODE`
    Code(String),
    /// `-m MODULE`
    Module(String),
    /// `--entry NAME`: a command of one of the packages.
    Command(String),
    /// `-`: the program comes from stdin.
    Stdin,
    /// Nothing: the interactive prompt, or stdin when that is no terminal.
    Prompt,
}

/// All that a sandbox is made from, besides the interpreter.
#[derive(Clone, Debug)]
pub struct Request {
    pub program: Program,
    /// CPython's own options, in order, the last one ending in `c` or `m` for such a program.
    pub python_options: Vec<String>,
    pub args: Vec<String>,
    pub mounts: Vec<MountSpec>,
    /// Folders of importable modules that the program is to see, read-only.
    pub roots: Vec<Utf8PathBuf>,
    /// The guest's environment, complete.
    pub env: BTreeMap<String, String>,
    /// `--cwd`, a guest path.
    pub cwd: Option<String>,
    pub network: Network,
    /// `--allow-net`.
    pub endpoints: Vec<Endpoint>,
    pub limits: Limits,
    pub terminals: Terminals,
    pub private_tmp: bool,
    /// `--js`: the program may use the runtime's JavaScript.
    pub javascript: bool,
    /// Where pyw was started, absolute and without links, as the system tells it.
    pub caller_cwd: Utf8PathBuf,
    /// The user's home, which is never granted by default.
    pub home: Option<Utf8PathBuf>,
}

/// Variables of the host that every program sees: how to write to the terminal, in which
/// language, in which time zone.
#[must_use]
pub fn inherited(name: &str) -> bool {
    const NAMES: [&str; 6] = ["TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "LANG", "TZ"];
    NAMES.contains(&name) || name.starts_with("LC_")
}
