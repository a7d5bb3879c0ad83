//! All descriptors: those that pyw brings along and those of the user's configuration folder.
//!
//! A user's descriptor takes the place of a built-in one of the same name. Projects and scripts
//! can name a runtime but never describe one: a descriptor decides what is executed.

use camino::Utf8Path;

use super::descriptor::Text;
use super::error::RuntimeError;

/// The descriptors in the order in which `auto` tries them.
const BUILT_IN: &[(&str, &str)] = &[
    ("wasmtime", include_str!("../../runtimes/wasmtime.toml")),
    ("wasmer", include_str!("../../runtimes/wasmer.toml")),
    ("wasmedge", include_str!("../../runtimes/wasmedge.toml")),
];

/// The runtime that is installed where none is found.
pub const DEFAULT: &str = "wasmtime";

/// One descriptor with its name and where it came from.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// The file of a user's descriptor.
    pub file: Option<String>,
    pub text: Text,
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
        for (name, text) in BUILT_IN {
            entries.push(entry(text, None, &format!("built-in {name}.toml"))?);
        }
        for file in user_files(user_folder)? {
            let text = std::fs::read_to_string(&file).map_err(|source| RuntimeError::Read {
                path: file.clone(),
                source,
            })?;
            let new = entry(&text, Some(file.clone()), &file)?;
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

fn entry(text: &str, file: Option<String>, place: &str) -> Result<Entry, RuntimeError> {
    let wrong = |message| RuntimeError::Descriptor {
        path: place.to_owned(),
        message,
    };
    let text = Text::parse(text).map_err(wrong)?;
    let name = text.for_version(None).map_err(wrong)?.name;
    Ok(Entry { name, file, text })
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
        for ((name, _), entry) in BUILT_IN.iter().zip(catalog.entries()) {
            assert_eq!(entry.name, *name);
        }
        assert!(catalog.get(DEFAULT).is_ok());
    }
}
