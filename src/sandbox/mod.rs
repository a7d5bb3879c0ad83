//! The abstract sandbox: what a program may touch, with no word about any runtime.
//!
//! Everything here is a plain value. Paths are UTF-8, because every runtime takes them as text on
//! its command line; what is not UTF-8 is refused while the request is built.

pub mod env;
pub mod limits;
pub mod mount;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

pub use env::EnvSpec;
pub use limits::Limits;
pub use mount::{Access, Mount, MountSpec, Purpose};

/// Whether the program may reach the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// No network at all.
    #[default]
    None,
    /// The host's network, as a native program would have it.
    Host,
}

/// Which of the three standard streams is a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Terminals {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Terminals {
    /// One bit a stream: 1 stdin, 2 stdout, 4 stderr.
    #[must_use]
    pub fn mask(self) -> u8 {
        u8::from(self.stdin) | u8::from(self.stdout) << 1 | u8::from(self.stderr) << 2
    }
}

/// What a program may touch, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sandbox {
    /// The interpreter's module on the host.
    pub module: Utf8PathBuf,
    /// The guest's arguments, without `argv[0]`.
    pub args: Vec<String>,
    /// The guest's environment.
    pub env: BTreeMap<String, String>,
    /// The guest's working directory.
    pub cwd: String,
    /// Host directories that the guest sees, no two at the same guest path.
    pub mounts: Vec<Mount>,
    pub network: Network,
    pub limits: Limits,
    pub terminals: Terminals,
}
