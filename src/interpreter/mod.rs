//! CPython builds for wasm: where they come from, how they become trees that pyw can run, and
//! what they say of themselves.

pub mod adapt;
pub mod catalog;
pub mod choose;
pub mod convert;
pub mod embedded;
pub mod error;
pub mod imports;
pub mod layout;
pub mod pack;
pub mod platform;
pub mod pybi;
pub mod snapshot;
pub mod wasm;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

pub use error::InterpreterError;
pub use platform::Platform;

use crate::sandbox::{Access, Mount, Purpose};
use crate::store::{Kind, Store};
use adapt::Adaptation;
use imports::Import;
use wasm::Feature;

/// The file, at the root of an imported interpreter, that holds its [`Info`].
pub const INFO_FILE: &str = "pyw.json";
/// The module inside an imported interpreter.
pub const MODULE: &str = "bin/python.wasm";
/// The file of an adapted module in its entry of the store.
const ADAPTED: &str = "python.wasm";
/// The licences inside an imported interpreter.
pub const LICENSES: &str = "licenses";
/// What the bootstrap's import changed of the standard library, as it was.
const ORIGINALS: &str = "original";
/// The bootstrap inside an imported standard library.
const START_MODULE: &str = "_pyw_start.pyc";
/// The stand-in for JavaScript inside an imported standard library.
const NO_JAVASCRIPT: &str = "js.py";
/// The JavaScript beside [`MODULE`] that an Emscripten build comes with.
pub const LOADER: &str = "python.mjs";
/// The lock of the packages that were built along with an Emscripten build.
pub const PACKAGES: &str = "lib/pyodide-lock.json";
/// Changes whenever imports come out differently by pyw's Rust code; what the guest's part does is
/// told by its text.
const FORMAT: u32 = 4;

/// The end of an interpreter's name in the store: another pyw, which imports otherwise, does not
/// use it.
#[must_use]
pub fn format_tag() -> &'static str {
    static TAG: LazyLock<String> = LazyLock::new(|| {
        let text = [crate::guest::START, crate::guest::IMPORT].concat();
        let hash = crate::store::hash::Sha256::of(text.as_bytes()).to_string();
        format!("{FORMAT}.{}", &hash[..8])
    });
    &TAG
}

/// Modules of the standard library that not every build has: what they are compiled to, and what
/// people call them.
pub const OPTIONAL: [(&str, &str); 9] = [
    ("zlib", "zlib"),
    ("_bz2", "bz2"),
    ("_lzma", "lzma"),
    ("_zstd", "compression.zstd"),
    ("_sqlite3", "sqlite3"),
    ("_socket", "socket"),
    ("_ssl", "ssl"),
    ("_ctypes", "ctypes"),
    ("mmap", "mmap"),
];
/// Whether this pyw can use an interpreter of that name in the store.
#[must_use]
pub fn is_current(key: &str) -> bool {
    key.ends_with(format_tag())
}

/// Whether this pyw can use an adapted module of that name in the store.
#[must_use]
pub fn is_current_module(key: &str) -> bool {
    key.ends_with(&format!("-{}", adapt::FORMAT))
}

/// What an interpreter says of itself, asked once when it is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// PEP 440 version of CPython, such as `3.14.0rc1`.
    pub version: String,
    /// `sys.version`.
    pub banner: String,
    /// The guest path where this build looks for its standard library when nobody tells it.
    pub stdlib: String,
    /// `sys.base_prefix`.
    pub prefix: String,
    /// Values of the PEP 508 markers.
    pub markers: BTreeMap<String, String>,
    /// The platform part of its wheel tags, such as `wasi_0_0_0_wasm32`.
    pub platform: String,
    /// Other platform tags whose wheels it can use.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The folder that its `site` module puts on `sys.path`, where packages go.
    pub site: String,
    /// `SOABI`, empty when the build names none.
    pub soabi: String,
    /// The installation scheme, relative (PEP 711 `Pybi-Paths`).
    pub paths: BTreeMap<String, String>,
    pub builtin_modules: Vec<String>,
    /// sha256 of the module.
    #[serde(default)]
    pub module_sha256: String,
    /// The linear memory that the module starts with, in bytes.
    #[serde(default)]
    pub module_memory: u64,
    /// What the module imports beyond WASI preview 1.
    #[serde(default)]
    pub imports: BTreeSet<Import>,
    /// The WebAssembly features that the module uses.
    #[serde(default)]
    pub features: BTreeSet<Feature>,
    /// Packages that came with it: the names of their `.dist-info` folders, without the ending.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Where it was imported from: a catalog name, a path or an address.
    #[serde(default)]
    pub source: String,
}

impl Info {
    /// What it was built for.
    #[must_use]
    pub fn system(&self) -> Platform {
        Platform::of_tag(&self.platform)
    }

    /// Those of [`OPTIONAL`] that are linked in, by the names that people know.
    #[must_use]
    pub fn optional_modules(&self) -> Vec<String> {
        let has = |name: &str| self.builtin_modules.iter().any(|module| module == name);
        let found = OPTIONAL.iter().filter(|(compiled, _)| has(compiled));
        found.map(|(_, name)| (*name).to_owned()).collect()
    }
}

/// A module, with what it asks of a runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// The file.
    pub path: Utf8PathBuf,
    /// What its bytes follow from: two modules of one identity are the same.
    pub identity: String,
    /// The same compiled for the runtime that it is to run on.
    pub compiled: Option<Compiled>,
    /// The least linear memory that it starts with, in bytes.
    pub memory: u64,
    /// What it imports beyond WASI preview 1.
    pub imports: BTreeSet<Import>,
}

impl Module {
    /// What the runtime is told to run.
    #[must_use]
    pub fn file(&self) -> &Utf8Path {
        let compiled = self.compiled.as_ref();
        compiled.map_or(&self.path, |compiled| &compiled.file)
    }
}

/// A module that a runtime compiled ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The file.
    pub file: Utf8PathBuf,
    /// It is for the runtime's lean executable, and no other.
    pub lean: bool,
}

/// An interpreter in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its name in the store.
    pub key: String,
    pub folder: Utf8PathBuf,
    pub info: Info,
}

impl Interpreter {
    /// Reads an imported interpreter.
    ///
    /// # Errors
    /// Its record is missing or not what this version of pyw writes.
    pub fn open(folder: &Utf8Path) -> Result<Self, InterpreterError> {
        let file = folder.join(INFO_FILE);
        let broken = |reason: String| InterpreterError::Record {
            path: file.clone(),
            reason,
        };
        let text = std::fs::read_to_string(&file).map_err(|e| broken(e.to_string()))?;
        let info = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
        let key = folder.file_name().unwrap_or_default().to_owned();
        Ok(Self {
            key,
            folder: folder.to_owned(),
            info,
        })
    }

    /// All interpreters that this pyw imported, newest Python first.
    #[must_use]
    pub fn installed(store: &Store) -> Vec<Self> {
        let mut all: Vec<Self> = store
            .list(Kind::Interpreter)
            .unwrap_or_default()
            .iter()
            .filter(|entry| is_current(&entry.key))
            .filter_map(|entry| Self::open(&entry.path).ok())
            .collect();
        all.sort_by_key(|i| {
            std::cmp::Reverse((
                i.info.version.parse::<pep440_rs::Version>().ok(),
                i.key.clone(),
            ))
        });
        all
    }

    /// The folder of the standard library on the host, the one that [`Self::library_guest`] shows.
    #[must_use]
    pub fn library(&self) -> Utf8PathBuf {
        self.folder.join("lib")
    }

    /// Where the guest sees [`Self::library`]: the folder in which the build looks for its
    /// standard library by itself, so that -I and -E work as they do natively.
    #[must_use]
    pub fn library_guest(&self) -> &str {
        parent(&self.info.stdlib)
    }

    /// The mount with which Python finds its standard library.
    #[must_use]
    pub fn library_mount(&self) -> Mount {
        Mount {
            host: self.library(),
            guest: self.library_guest().to_owned(),
            access: Access::Read,
            purpose: Purpose::Interpreter,
        }
    }

    /// Where the guest looks for packages: the folder that its `site` module puts on `sys.path`.
    #[must_use]
    pub fn site_guest(&self) -> String {
        self.info.site.clone()
    }

    /// The packages that came with this build, on the host. The folder may not exist.
    #[must_use]
    pub fn site(&self) -> Utf8PathBuf {
        let inside = self.info.site.strip_prefix(self.library_guest());
        let inside = inside.unwrap_or(&self.info.site).trim_start_matches('/');
        self.library().join(inside)
    }

    /// The guest path of a folder below the prefix, as `bin` or `share`.
    #[must_use]
    pub fn below_prefix(&self, name: &str) -> String {
        format!("{}/{name}", self.info.prefix.trim_end_matches('/'))
    }

    /// The plausible path of an executable, for `sys.executable`. There is no file: nothing in a
    /// WASI guest can start a process.
    #[must_use]
    pub fn executable(&self) -> String {
        let minor = self
            .info
            .markers
            .get("python_version")
            .map_or("3", String::as_str);
        format!(
            "{}/bin/python{minor}",
            self.info.prefix.trim_end_matches('/')
        )
    }

    /// The module as it was imported.
    #[must_use]
    pub fn module(&self) -> Utf8PathBuf {
        self.folder.join(MODULE)
    }

    /// The module with these adaptations, as a runtime is given it; there once [`adapted`] made it.
    #[must_use]
    pub fn adapted_module(&self, adaptations: &BTreeSet<Adaptation>, store: &Store) -> Module {
        let sha256 = &self.info.module_sha256;
        let (path, identity) = adapted_place(&self.module(), sha256, adaptations, store);
        Module {
            path,
            identity,
            compiled: None,
            memory: self.info.module_memory,
            imports: self.info.imports.clone(),
        }
    }

    /// Makes the module with these adaptations, unless it is there.
    ///
    /// # Errors
    /// As [`adapted`].
    pub fn adapted(
        &self,
        adaptations: &BTreeSet<Adaptation>,
        store: &Store,
    ) -> Result<(), InterpreterError> {
        adapted(&self.module(), &self.info.module_sha256, adaptations, store).map(drop)
    }
}

/// What a module with adaptations follows from.
fn adapted_identity(sha256: &str, adaptations: &BTreeSet<Adaptation>) -> String {
    let names: Vec<&str> = adaptations.iter().map(|a| a.name()).collect();
    let hash = sha256.get(..16).unwrap_or(sha256);
    format!("{hash}-{}-{}", names.join("-"), adapt::FORMAT)
}

/// Where a module with these adaptations is, or will be, and its identity.
fn adapted_place(
    module: &Utf8Path,
    sha256: &str,
    adaptations: &BTreeSet<Adaptation>,
    store: &Store,
) -> (Utf8PathBuf, String) {
    let identity = adapted_identity(sha256, adaptations);
    let path = match adaptations.is_empty() {
        true => module.to_owned(),
        false => store.place(Kind::Module, &identity).join(ADAPTED),
    };
    (path, identity)
}

/// Makes a module with these adaptations in the store, unless it is there; answers with its file
/// and its identity. `sha256` is that of `module`.
///
/// # Errors
/// The module cannot be read or rewritten, or the store cannot be written.
pub fn adapted(
    module: &Utf8Path,
    sha256: &str,
    adaptations: &BTreeSet<Adaptation>,
    store: &Store,
) -> Result<(Utf8PathBuf, String), InterpreterError> {
    let identity = adapted_identity(sha256, adaptations);
    if adaptations.is_empty() {
        return Ok((module.to_owned(), identity));
    }
    let folder = store.get_or_create::<InterpreterError>(Kind::Module, &identity, |staging| {
        let read = |source| InterpreterError::Io {
            action: "read",
            path: module.to_owned(),
            source,
        };
        let bytes = std::fs::read(module).map_err(read)?;
        let adapted = adapt::adapt(&bytes, adaptations)?;
        let out = staging.join(ADAPTED);
        std::fs::write(&out, adapted).map_err(|source| InterpreterError::Io {
            action: "write",
            path: out,
            source,
        })
    })?;
    Ok((folder.join(ADAPTED), identity))
}

/// The folder that holds a guest path.
#[must_use]
pub fn parent(guest: &str) -> &str {
    match guest.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &guest[..at],
    }
}
