//! All descriptors: those that pyw brings along and those of the user's configuration folder.
//!
//! A user's descriptor takes the place of a built-in one of the same name. Projects and scripts
//! can name a runtime but never describe one: a descriptor decides what is executed.

use camino::{Utf8Path, Utf8PathBuf};

use super::descriptor::Text;
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
    pub text: Text,
    /// Where the descriptor names one.
    pub host_script: Option<HostScript>,
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
        for (name, text, script) in BUILT_IN {
            let place = format!("built-in {name}.toml");
            entries.push(entry(text, None, &place, *script)?);
        }
        for file in user_files(user_folder)? {
            let text = std::fs::read_to_string(&file).map_err(|source| RuntimeError::Read {
                path: file.clone(),
                source,
            })?;
            let new = entry(&text, Some(file.clone()), &file, None)?;
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

fn entry(
    text: &str,
    file: Option<String>,
    place: &str,
    script: Option<&'static str>,
) -> Result<Entry, RuntimeError> {
    let wrong = |message| RuntimeError::Descriptor {
        path: place.to_owned(),
        message,
    };
    let text = Text::parse(text).map_err(wrong)?;
    let descriptor = text.for_version(None).map_err(wrong)?;
    let host_script = match (descriptor.host_script, script, &file) {
        (None, _, _) => None,
        (Some(_), Some(script), _) => Some(HostScript::Embedded(script)),
        (Some(name), None, file) => {
            let folder = file
                .as_deref()
                .map(Utf8Path::new)
                .and_then(Utf8Path::parent);
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
        file,
        text,
        host_script,
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
            assert_eq!(entry.name, *name);
        }
        for platform in Platform::ALL {
            let default = catalog.get(default_for(platform)).unwrap();
            let descriptor = default.text.for_version(None).unwrap();
            assert_eq!(descriptor.platform, platform);
        }
    }
}
