//! All descriptors: those that pyw brings along and those of the user's configuration folder.
//!
//! A user's descriptor takes the place of a built-in one of the same name. Projects and scripts
//! can name a runtime but never describe one: a descriptor decides what is executed.

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};

use super::descriptor::{Descriptor, Text};
use super::error::RuntimeError;
use crate::interpreter::Platform;

/// The descriptors in the order in which `auto` tries them.
const BUILT_IN: &[(&str, &str, Option<&str>)] = &[
    (
        "wasmtime",
        include_str!("../../runtimes/wasmtime.toml"),
        None,
    ),
    ("wasmer", include_str!("../../runtimes/wasmer.toml"), None),
    (
        "wasmedge",
        include_str!("../../runtimes/wasmedge.toml"),
        None,
    ),
    (
        "node",
        include_str!("../../runtimes/node.toml"),
        Some(include_str!("../../runtimes/node/host.mjs")),
    ),
    (
        "deno",
        include_str!("../../runtimes/deno.toml"),
        // Deno knows what the script uses of node.
        Some(include_str!("../../runtimes/node/host.mjs")),
    ),
    (
        "node-wasi",
        include_str!("../../runtimes/node-wasi.toml"),
        Some(include_str!("../../runtimes/node-wasi/host.mjs")),
    ),
];

/// The runtime that is installed where none is found that runs a platform.
#[must_use]
pub fn default_for(platform: Platform) -> &'static str {
    match platform {
        Platform::Wasi => "wasmtime",
        Platform::Emscripten => "node",
    }
}

/// The program that a runtime runs in the module's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostScript {
    /// Its text, which pyw brings along.
    Embedded(&'static str),
    /// A file beside a user's descriptor.
    File(Utf8PathBuf),
}

/// One descriptor with its name and where it came from.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// The file of a user's descriptor.
    pub file: Option<String>,
    /// Where the descriptor names one.
    pub host_script: Option<HostScript>,
    source: &'static str,
    /// The source, read when it is first asked for: most starts need one descriptor of all.
    text: OnceLock<Result<Text, String>>,
}

impl Entry {
    /// The descriptor of a version; without one, no overlay applies.
    ///
    /// # Errors
    /// Overlays that fit one by one do not fit together.
    pub fn describe(&self, version: Option<&semver::Version>) -> Result<Descriptor, RuntimeError> {
        let text = self.text.get_or_init(|| Text::parse(self.source)).as_ref();
        text.map_err(Clone::clone)
            .and_then(|text| text.for_version(version))
            .map_err(|message| RuntimeError::Descriptor {
                path: self.place(),
                message,
            })
    }

    /// Where the descriptor stands.
    fn place(&self) -> String {
        match &self.file {
            Some(file) => file.clone(),
            None => format!("built-in {}.toml", self.name),
        }
    }
}

/// All known runtimes.
#[derive(Clone, Debug)]
pub struct Catalog {
    entries: Vec<Entry>,
}

impl Catalog {
    /// The built-in descriptors, and every `*.toml` of `user_folder`.
    ///
    /// # Errors
    /// A user's file that cannot be read or does not fit the grammar.
    pub fn load(user_folder: Option<&Utf8Path>) -> Result<Self, RuntimeError> {
        let mut entries = Vec::new();
        for (name, source, script) in BUILT_IN {
            entries.push(Entry {
                name: (*name).to_owned(),
                file: None,
                host_script: script.map(HostScript::Embedded),
                source,
                text: OnceLock::new(),
            });
        }
        for file in user_files(user_folder)? {
            let text = std::fs::read_to_string(&file).map_err(|source| RuntimeError::Read {
                path: file.clone(),
                source,
            })?;
            let new = users(&text, file)?;
            match entries.iter_mut().find(|old| old.name == new.name) {
                Some(old) => *old = new,
                None => entries.push(new),
            }
        }
        Ok(Self { entries })
    }

    /// The entries in the order in which `auto` tries them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry whose executable a runtime is: mostly itself.
    ///
    /// # Errors
    /// The runtime, or the one that it names, is unknown; that one has no executable of its own.
    pub fn executable_of(&self, name: &str) -> Result<&Entry, RuntimeError> {
        let entry = self.get(name)?;
        let Some(other) = entry.describe(None)?.executable_of else {
            return Ok(entry);
        };
        let wrong = || RuntimeError::Descriptor {
            path: entry.place(),
            message: format!("`executable-of = \"{other}\"`: `{other}` has no executables"),
        };
        let found = self.get(&other).map_err(|_| wrong())?;
        match found.describe(None)?.executable_of {
            None => Ok(found),
            Some(_) => Err(wrong()),
        }
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// [`RuntimeError::Unknown`] with the names that there are.
    pub fn get(&self, name: &str) -> Result<&Entry, RuntimeError> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| RuntimeError::Unknown {
                name: name.to_owned(),
                known: self
                    .entries
                    .iter()
                    .map(|entry| entry.name.clone())
                    .collect(),
            })
    }
}

/// A user's descriptor, read at once so that what is wrong with it is told.
fn users(text: &str, file: String) -> Result<Entry, RuntimeError> {
    let wrong = |message| RuntimeError::Descriptor {
        path: file.clone(),
        message,
    };
    let text = Text::parse(text).map_err(wrong)?;
    let descriptor = text.for_version(None).map_err(wrong)?;
    let host_script = match descriptor.host_script {
        None => None,
        Some(name) => {
            let folder = Utf8Path::new(&file).parent();
            let path = folder.unwrap_or(Utf8Path::new(".")).join(&name);
            if !path.is_file() {
                return Err(wrong(format!(
                    "`host-script = \"{name}\"`: there is no `{path}`"
                )));
            }
            Some(HostScript::File(path))
        }
    };
    Ok(Entry {
        name: descriptor.name,
        file: Some(file),
        host_script,
        source: "",
        text: OnceLock::from(Ok(text)),
    })
}

fn user_files(folder: Option<&Utf8Path>) -> Result<Vec<String>, RuntimeError> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let read = |source| RuntimeError::Read {
        path: folder.to_string(),
        source,
    };
    let listing = match std::fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(read(e)),
    };
    let mut files = Vec::new();
    for item in listing {
        let path = item.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            match path.into_os_string().into_string() {
                Ok(path) => files.push(path),
                Err(path) => {
                    return Err(RuntimeError::NotUtf8 {
                        path: path.to_string_lossy().into(),
                    });
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_descriptors_are_sound() {
        let catalog = Catalog::load(None).unwrap();
        for ((name, _, _), entry) in BUILT_IN.iter().zip(catalog.entries()) {
            let descriptor = entry.describe(None).unwrap();
            assert_eq!(descriptor.name, *name);
            assert_eq!(
                descriptor.host_script.is_some(),
                entry.host_script.is_some()
            );
        }
        for platform in Platform::ALL {
            let default = catalog.get(default_for(platform)).unwrap();
            let descriptor = default.describe(None).unwrap();
            assert_eq!(descriptor.platform, platform);
        }
    }
}
