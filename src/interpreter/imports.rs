//! What a module imports beyond WASI preview 1, which not every runtime provides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wasmparser::{Chunk, Parser, Payload};

use super::wasm::{ModuleInfo, PREVIEW1, Problem, WasmError};

/// The functions of preview 1, as its `wasi_snapshot_preview1.witx` lists them.
const STANDARD: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// An import: the module's name and the function's. Written `MODULE FUNCTION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Import {
    /// The import module, such as `wasi_snapshot_preview1`.
    pub module: String,
    /// What is imported from it.
    pub name: String,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.module, self.name)
    }
}

impl FromStr for Import {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [module, name] => Ok(Self {
                module: (*module).to_owned(),
                name: (*name).to_owned(),
            }),
            _ => Err(format!("{text:?} is not `MODULE FUNCTION`")),
        }
    }
}

impl Serialize for Import {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Import {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a runtime provides beyond preview 1: `MODULE FUNCTION`, or `MODULE` for all of a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Provided {
    module: String,
    name: Option<String>,
}

impl TryFrom<String> for Provided {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [module] => Ok(Self {
                module: (*module).to_owned(),
                name: None,
            }),
            [module, name] => Ok(Self {
                module: (*module).to_owned(),
                name: Some((*name).to_owned()),
            }),
            _ => Err(format!(
                "{text:?} is neither `MODULE` nor `MODULE FUNCTION`"
            )),
        }
    }
}

impl Provided {
    /// Whether this is, or includes, the import.
    #[must_use]
    pub fn covers(&self, import: &Import) -> bool {
        self.module == import.module && self.name.as_ref().is_none_or(|name| *name == import.name)
    }
}

fn is_standard(module: &str, name: &str) -> bool {
    module == PREVIEW1 && STANDARD.binary_search(&name).is_ok()
}

impl ModuleInfo {
    /// The imports that WASI preview 1 does not promise.
    #[must_use]
    pub fn special_imports(&self) -> BTreeSet<Import> {
        let pairs = self
            .imports
            .iter()
            .flat_map(|(module, names)| names.iter().map(move |name| (module, name)));
        pairs
            .filter(|(module, name)| !is_standard(module, name))
            .map(|(module, name)| Import {
                module: module.clone(),
                name: name.clone(),
            })
            .collect()
    }
}

/// The imports of a module that preview 1 does not promise, from the module's first kilobytes.
///
/// # Errors
/// It cannot be read, or is no module.
pub fn special_imports(path: &Utf8Path) -> Result<BTreeSet<Import>, WasmError> {
    use std::io::Read as _;
    let read = |error| WasmError::from(Problem::Read(error)).at(path);
    let mut file = std::fs::File::open(path).map_err(read)?;
    let mut parser = Parser::new(0);
    let mut buffer = Vec::new();
    let mut special = BTreeSet::new();
    loop {
        let wrong = |error| WasmError::from(Problem::from(error)).at(path);
        match parser.parse(&buffer, false).map_err(wrong)? {
            Chunk::NeedMoreData(_) => {
                let more = file.by_ref().take(64 * 1024);
                let mut more = more;
                if more.read_to_end(&mut buffer).map_err(read)? == 0 {
                    let length = buffer.len();
                    return Err(WasmError::from(Problem::Truncated { length }).at(path));
                }
            }
            Chunk::Parsed { consumed, payload } => {
                let done = match payload {
                    Payload::ImportSection(section) => {
                        for import in section.into_imports() {
                            let import = import.map_err(wrong)?;
                            if !is_standard(import.module, import.name) {
                                special.insert(Import {
                                    module: import.module.to_owned(),
                                    name: import.name.to_owned(),
                                });
                            }
                        }
                        true
                    }
                    // Imports stand before functions; a module may have none.
                    Payload::FunctionSection(_)
                    | Payload::CodeSectionStart { .. }
                    | Payload::End(_) => true,
                    _ => false,
                };
                if done {
                    return Ok(special);
                }
                buffer.drain(..consumed);
            }
        }
    }
}

/// Imports for people: by module, and not all of many.
#[must_use]
pub fn list(imports: &[&Import]) -> String {
    const SHOWN: usize = 4;
    let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for import in imports {
        modules
            .entry(&import.module)
            .or_default()
            .push(&import.name);
    }
    let modules: Vec<String> = modules
        .iter()
        .map(|(module, names)| {
            let more = match names.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
            format!("{}{more} of `{module}`", shown.join(", "))
        })
        .collect();
    modules.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_is_sorted() {
        assert!(STANDARD.is_sorted());
    }

    #[test]
    fn what_is_not_of_the_standard_is_special() {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))
            (import "wasix_32v1" "getcwd" (func (param i32 i32) (result i32)))
            (memory 1) (func (export "_start")))"#;
        let bytes = wat::parse_str(text).unwrap();
        let special = crate::interpreter::wasm::inspect(&bytes)
            .unwrap()
            .special_imports();
        let names: Vec<String> = special.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["wasi_snapshot_preview1 sock_open", "wasix_32v1 getcwd"]
        );
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("a.wasm");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(special_imports(&path).unwrap(), special);
        for end in [0, 7, 20, 60] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(special_imports(&path).is_err(), "{end}");
        }
        let provides = |text: &str| Provided::try_from(text.to_owned()).unwrap();
        let getcwd: Import = "wasix_32v1 getcwd".parse().unwrap();
        assert!(provides("wasix_32v1").covers(&getcwd));
        assert!(provides("wasix_32v1 getcwd").covers(&getcwd));
        assert!(!provides("wasix_32v1 fork").covers(&getcwd));
        assert!(Provided::try_from("a b c".to_owned()).is_err());
    }
}
