//! The abstract sandbox: what a program may touch, with no word about any runtime.
//!
//! Everything here is a plain value. Paths are UTF-8, because every runtime takes them as text on
//! its command line; what is not UTF-8 is refused while the request is built.

pub mod endpoint;
pub mod env;
pub mod isolation;
pub mod limits;
pub mod mount;
pub mod scratch;

use std::collections::BTreeMap;

pub use endpoint::Endpoint;
pub use env::EnvSpec;
pub use isolation::IsolationLevel;
pub use limits::Limits;
pub use mount::{Access, Mount, MountSpec, Purpose};
pub use scratch::{Placed, Scratch};

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
    /// Its rows and columns, where one is and says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
}

impl Terminals {
    /// One bit a stream: 1 stdin, 2 stdout, 4 stderr.
    #[must_use]
    pub fn mask(self) -> u8 {
        u8::from(self.stdin) | u8::from(self.stdout) << 1 | u8::from(self.stderr) << 2
    }
}

/// What the bootstrap in the guest is told: what no runtime can set for a preview 1 program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Start {
    /// The working directory.
    pub cwd: String,
    /// What `sys.executable` shall be.
    pub executable: String,
    /// What `sys.argv[0]` shall be, where it isn't the path that the interpreter is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argv0: Option<String>,
    /// What `sys.path[0]` shall be, where the interpreter would find something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path0: Option<String>,
    /// The file to make where the program ends by a MemoryError that nothing caught. For the
    /// planner, which knows whether anybody looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The file to which the program's imports are told in the end. For the planner as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn: Option<String>,
    /// The folder of packages that a snapshot has to look into, as it was made without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

impl Start {
    /// The text that the bootstrap reads: JSON made of objects and strings only, which is a
    /// literal of Python's as well. `env` holds variables that the runtime could not carry.
    #[must_use]
    pub fn encode(&self, env: &BTreeMap<String, String>) -> String {
        #[derive(serde::Serialize)]
        struct Text<'a> {
            #[serde(flatten)]
            start: &'a Start,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            env: &'a BTreeMap<String, String>,
        }
        serde_json::to_string(&Text { start: self, env }).unwrap_or_default()
    }
}

/// What a program may touch, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sandbox {
    /// The guest's arguments, without `argv[0]`.
    pub args: Vec<String>,
    /// The place among them of a script that is spelt with `..`, and its path without.
    pub plain_script: Option<(usize, String)>,
    /// The guest's environment.
    pub env: BTreeMap<String, String>,
    /// What the bootstrap is told; `None` for a module without one.
    pub start: Option<Start>,
    /// Host directories that the guest sees, no two at the same guest path.
    pub mounts: Vec<Mount>,
    pub network: Network,
    /// All that it may reach of the network, where that is not the whole of it.
    pub endpoints: Vec<Endpoint>,
    pub limits: Limits,
    pub terminals: Terminals,
    /// The program may use the JavaScript of a runtime that has one.
    pub javascript: bool,
    /// The guest tells which modules it imported, for the snapshot that later runs begin from.
    pub teaches: bool,
    /// The folder that exists for the length of the run, with what is made in it.
    pub scratch: Option<Scratch>,
}

impl Sandbox {
    /// One in which nothing is granted and nothing is there.
    #[must_use]
    pub fn bare(args: Vec<String>) -> Self {
        Self {
            args,
            plain_script: None,
            env: BTreeMap::new(),
            start: None,
            mounts: Vec::new(),
            network: Network::None,
            endpoints: Vec::new(),
            limits: Limits::default(),
            terminals: Terminals::default(),
            javascript: false,
            teaches: false,
            scratch: None,
        }
    }
}
