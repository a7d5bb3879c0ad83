//! Runtimes: what pyw knows of them (descriptors), where they are on this machine, and which
//! version they are.

pub mod advisories;
pub mod catalog;
pub mod check;
pub mod compiled;
pub mod descriptor;
pub mod error;
pub mod install;
pub mod locate;
pub mod probe;
pub mod template;

use camino::Utf8PathBuf;

pub use descriptor::Descriptor;
pub use error::RuntimeError;

/// How pyw came by a runtime's executable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Named by this environment variable.
    Variable(String),
    /// Named in the user's configuration file.
    Config,
    /// The first of its names on `PATH`.
    Path,
    /// Installed by pyw into its store.
    Store,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Variable(name) => write!(f, "${name}"),
            Found::Config => f.write_str("configuration"),
            Found::Path => f.write_str("PATH"),
            Found::Store => f.write_str("store"),
        }
    }
}

/// A runtime that stands ready: its descriptor, its executable and the version that this
/// executable answered with.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub descriptor: Descriptor,
    pub executable: Utf8PathBuf,
    pub found: Found,
    /// `None` when the runtime answers without a version number, as development builds do.
    pub version: Option<semver::Version>,
    /// Its lean executable, of the same release, where it is there.
    pub lean: Option<Utf8PathBuf>,
    /// Tells this build from others of the same version.
    pub build: String,
    /// Where this runtime may keep compiled modules.
    pub cache: Utf8PathBuf,
    /// Folders of libraries that were installed with it.
    pub libraries: Vec<Utf8PathBuf>,
    /// The executable is a script that starts something else.
    pub script: bool,
    /// What it runs in the module's place, on disk.
    pub host_script: Option<Utf8PathBuf>,
}

impl Runtime {
    /// The runtime's name, with its version when it told one.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.descriptor.name),
            None => self.descriptor.name.clone(),
        }
    }
}
