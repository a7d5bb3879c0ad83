//! The layouts in which CPython for wasm is handed around, brought into one: `bin/python.wasm`,
//! `lib/python3.X`, and `licenses`.
//!
//! Of Emscripten builds, known are the npm package `pyodide` (`pyodide.asm.wasm`,
//! `pyodide.asm.mjs`, `python_stdlib.zip`), the same in a folder `lib`, and pyw's own layout:
//! `bin/python.wasm`, `bin/python.mjs` and a *folder* `lib/python3XX.zip`, since such a build looks
//! for its library at that very path.
//!
//! Of WASI builds, known are a lone `python.wasm` (standard library inside, or in `lib` beside it), the folder or
//! zip of cpython-wasi-build (`python.wasm`, `lib/python3.X`), CPython's own package
//! (`lib-wasm/python3.X.wasm`, in a `.tar.xz`), a PEP 711 pybi, and what pyw itself imported.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::InterpreterError;
use super::pybi::{self, read::Verified};
use super::{
    INFO_FILE, LICENSES, LOADER, MODULE, NO_JAVASCRIPT, ORIGINALS, PACKAGES, START_MODULE,
    format_tag,
};
use crate::store::hash::Sha256;
use crate::store::unpack;

/// The name under which the store keeps what is imported from a path: its stem and the hash of
/// its content, for a folder that of the module and of what can be seen of each file without
/// reading it.
///
/// # Errors
/// The path does not exist or cannot be read.
pub fn key(path: &Utf8Path) -> Result<String, InterpreterError> {
    if !path.exists() {
        return Err(InterpreterError::NoFile {
            path: path.to_owned(),
        });
    }
    let mut seen = String::new();
    if path.is_dir() {
        if let Some(files) = Emscripten::find(path) {
            for file in [&files.module, &files.loader, &files.library] {
                if file.is_file() {
                    seen.push_str(&Sha256::of_file(file)?.to_string());
                }
            }
        } else {
            let module = find_module(path)?;
            seen.push_str(&Sha256::of_file(&module)?.to_string());
        }
        list_library(path, &mut seen)?;
    } else {
        seen.push_str(&Sha256::of_file(path)?.to_string());
        if let Some(folder) = beside(path) {
            list_library(&folder, &mut seen)?;
        }
    }
    let hash = Sha256::of(seen.as_bytes()).to_string();
    let stem = path.file_stem().unwrap_or("python");
    let stem: String = stem
        .strip_suffix(".tar")
        .unwrap_or(stem)
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || ".-_+".contains(c) => c,
            _ => '_',
        })
        .take(60)
        .collect();
    // The store takes no name that begins with a dot.
    let stem = stem.trim_start_matches('.');
    let stem = if stem.is_empty() { "python" } else { stem };
    Ok(format!("{stem}-{}-{}", &hash[..16], format_tag()))
}

fn list_library(root: &Utf8Path, seen: &mut String) -> Result<(), InterpreterError> {
    let Some(library) = find_library(root)? else {
        return Ok(());
    };
    for entry in walkdir::WalkDir::new(&library).sort_by_file_name() {
        let entry = entry.map_err(|e| walk(&library, e))?;
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            let age = metadata.modified().ok().and_then(|t| {
                t.duration_since(std::time::UNIX_EPOCH)
                    .ok()
                    .map(|d| d.as_nanos())
            });
            seen.push_str(&format!(
                "\n{}|{}|{age:?}",
                entry.path().display(),
                metadata.len()
            ));
        }
    }
    Ok(())
}

/// What came of bringing an interpreter in.
#[derive(Debug)]
pub struct Brought {
    /// Its standard library came along; otherwise it is inside the module.
    pub library: bool,
    /// What a pybi says of itself.
    pub stated: Option<Verified>,
}

/// Brings the interpreter at `path` into `staging` in pyw's own layout. An archive goes by the name
/// `file`, whatever its path is.
///
/// # Errors
/// No module is found, more than one is, or an archive is malformed.
pub fn bring(path: &Utf8Path, file: &str, staging: &Utf8Path) -> Result<Brought, InterpreterError> {
    let bin = staging.join("bin");
    std::fs::create_dir_all(&bin).map_err(|source| InterpreterError::Io {
        action: "make",
        path: bin,
        source,
    })?;
    let plain = |library| Brought {
        library,
        stated: None,
    };
    if path.is_dir() {
        return take(path, path, staging).map(plain);
    }
    let begin = beginning(path)?;
    let format = match begin.as_slice() {
        [b'P', b'K', ..] => unpack::Format::Zip,
        [0x1f, 0x8b, ..] => unpack::Format::Tgz,
        [0xfd, b'7', b'z', b'X'] => unpack::Format::Txz,
        _ => {
            // Whether it is a module at all is told by the inspection that follows.
            copy_file(path, &staging.join(MODULE))?;
            return match beside(path) {
                Some(folder) => copy_library(&folder, false, staging).map(plain),
                None => Ok(plain(false)),
            };
        }
    };
    let unpacked = staging.join(".unpacked");
    let brought = if file.ends_with(".pybi") {
        let stated = pybi::read::unpack(path, file, &unpacked)?;
        take_pybi(&unpacked, stated, staging)?
    } else {
        let what = unpack::Unpack::default();
        unpack::unpack(format, path, &unpacked, &what)?;
        if unpacked.join(pybi::PYBI).exists() {
            return Err(pybi::Fault::FileName.of(file).into());
        }
        plain(take(&only_folder(&unpacked)?, path, staging)?)
    };
    std::fs::remove_dir_all(&unpacked).map_err(|source| InterpreterError::Io {
        action: "remove",
        path: unpacked,
        source,
    })?;
    Ok(brought)
}

fn take_pybi(
    root: &Utf8Path,
    stated: Verified,
    staging: &Utf8Path,
) -> Result<Brought, InterpreterError> {
    // It says for where it was compiled, and import checks that.
    let byte_code = stated.pybi.wasm.library.is_some();
    copy_licenses(&root.join(pybi::LICENSES), staging)?;
    let library = match Emscripten::find(root) {
        Some(files) => files.take(root, Utf8Path::new("the pybi"), byte_code, staging)?,
        None => {
            let module = match &stated.module {
                Some(module) => root.join(module),
                None => find_module(root)?,
            };
            copy_file(&module, &staging.join(MODULE))?;
            copy_library(root, byte_code, staging)?
        }
    };
    Ok(Brought {
        library,
        stated: Some(stated),
    })
}

fn take(root: &Utf8Path, shown: &Utf8Path, staging: &Utf8Path) -> Result<bool, InterpreterError> {
    let imported = root.join(INFO_FILE).is_file();
    let licenses = match imported {
        true => root.join(LICENSES),
        false => root.to_owned(),
    };
    copy_licenses(&licenses, staging)?;
    let library = match Emscripten::find(root) {
        Some(files) => files.take(root, shown, false, staging)?,
        None => {
            let module = find_module(root).map_err(|error| match error {
                InterpreterError::Layout { reason, .. } => InterpreterError::Layout {
                    path: shown.to_owned(),
                    reason,
                },
                other => other,
            })?;
            copy_file(&module, &staging.join(MODULE))?;
            copy_library(root, false, staging)?
        }
    };
    if imported {
        undo_import(root, staging)?;
    }
    Ok(library)
}

/// Takes pyw's bootstrap out of a library that was imported.
fn undo_import(root: &Utf8Path, staging: &Utf8Path) -> Result<(), InterpreterError> {
    let Some(library) = find_library(staging)? else {
        return Ok(());
    };
    for made in [START_MODULE, NO_JAVASCRIPT] {
        let _ = std::fs::remove_file(library.join(made));
    }
    let originals = root.join(ORIGINALS);
    for entry in walkdir::WalkDir::new(&originals) {
        let entry = entry.map_err(|e| walk(&originals, e))?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        if entry.file_type().is_file()
            && let Ok(inside) = path.strip_prefix(&originals)
        {
            copy_file(path, &library.join(inside))?;
        }
    }
    Ok(())
}

/// Copies the licences that lie in a folder, if there are any.
fn copy_licenses(from: &Utf8Path, staging: &Utf8Path) -> Result<(), InterpreterError> {
    let Ok(entries) = from.read_dir_utf8() else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let upper = name.to_ascii_uppercase();
        let is_one = ["LICENSE", "LICENCE", "COPYING", "NOTICE"]
            .iter()
            .any(|word| upper.starts_with(word));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_one && is_file {
            let folder = staging.join(LICENSES);
            std::fs::create_dir_all(&folder).map_err(|source| InterpreterError::Io {
                action: "make",
                path: folder.clone(),
                source,
            })?;
            copy_file(entry.path(), &folder.join(name))?;
        }
    }
    Ok(())
}

/// The files of an Emscripten build.
struct Emscripten {
    module: Utf8PathBuf,
    /// The JavaScript that loads it.
    loader: Utf8PathBuf,
    /// The standard library as a zip; in pyw's own layout it is a folder, and this is not there.
    library: Utf8PathBuf,
}

impl Emscripten {
    fn find(root: &Utf8Path) -> Option<Self> {
        let lib = root.join("lib");
        let places = [(root, root), (&lib, &lib)];
        let found = places.into_iter().map(|(code, library)| Self {
            module: code.join("pyodide.asm.wasm"),
            loader: code.join("pyodide.asm.mjs"),
            library: library.join("python_stdlib.zip"),
        });
        let own = Self {
            module: root.join(MODULE),
            loader: root.join(MODULE).with_file_name(LOADER),
            library: root.join("lib/python_stdlib.zip"),
        };
        found
            .chain([own])
            .find(|files| files.module.is_file() && files.loader.is_file())
    }

    fn take(
        &self,
        root: &Utf8Path,
        shown: &Utf8Path,
        byte_code: bool,
        staging: &Utf8Path,
    ) -> Result<bool, InterpreterError> {
        copy_file(&self.module, &staging.join(MODULE))?;
        copy_file(&self.loader, &staging.join(MODULE).with_file_name(LOADER))?;
        let wrong = |reason: &str| InterpreterError::Layout {
            path: shown.to_owned(),
            reason: reason.to_owned(),
        };
        let untold = || wrong("its library does not tell for which Python it is");
        let io = |action, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| InterpreterError::Io {
                action,
                path,
                source,
            }
        };
        let version = if copy_library(root, byte_code, staging)? {
            let library = find_library(staging)?.ok_or_else(untold)?;
            version_of_library(&library).ok_or_else(untold)?
        } else {
            if !self.library.is_file() {
                return Err(wrong("it has no python_stdlib.zip"));
            }
            let unpacked = staging.join(".library");
            unpack::unpack_zip(&self.library, &unpacked, &unpack::Unpack::default())?;
            let version = version_of_library(&unpacked).ok_or_else(untold)?;
            // A folder of its own, where packages go, is made by whoever mounts them.
            let _ = std::fs::remove_dir_all(unpacked.join("site-packages"));
            let name = format!("python{}.zip", version.replace('.', ""));
            let target = staging.join("lib").join(name);
            std::fs::create_dir_all(staging.join("lib")).map_err(io("make", &target))?;
            std::fs::rename(&unpacked, &target).map_err(io("move", &unpacked))?;
            version
        };
        for folder in [
            staging.join(format!("lib/python{version}/lib-dynload")),
            staging.join(format!("lib/python{version}/site-packages")),
        ] {
            std::fs::create_dir_all(&folder).map_err(io("make", &folder))?;
        }
        let lock = self.library.with_file_name("pyodide-lock.json");
        if lock.is_file() {
            copy_file(&lock, &staging.join(PACKAGES))?;
        }
        Ok(true)
    }
}

/// `3.14` of a library whose `_sysconfigdata` module says so.
fn version_of_library(library: &Utf8Path) -> Option<String> {
    let entries = library.read_dir_utf8().ok()?;
    let file = entries.flatten().find(|entry| {
        entry.file_name().starts_with("_sysconfigdata_") && entry.file_name().ends_with(".py")
    })?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let version = build_variable(&text, "VERSION")?;
    let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let (major, minor) = version.split_once('.')?;
    (number(major) && number(minor)).then(|| version.to_owned())
}

/// The text that a `_sysconfigdata` module has under a name.
pub(super) fn build_variable<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let after = text.split(&format!("'{name}':")).nth(1)?;
    let value = after.trim_start().strip_prefix('\'')?;
    value.split('\'').next()
}

/// The folder of a lone module, when a standard library lies beside it.
fn beside(module: &Utf8Path) -> Option<Utf8PathBuf> {
    if module.extension() != Some("wasm") {
        return None;
    }
    let folder = module.parent()?;
    let folder = if folder.as_str().is_empty() {
        Utf8Path::new(".")
    } else {
        folder
    };
    find_library(folder)
        .ok()
        .flatten()
        .map(|_| folder.to_owned())
}

fn beginning(path: &Utf8Path) -> Result<Vec<u8>, InterpreterError> {
    use std::io::Read as _;
    let io = |source| InterpreterError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut begin = Vec::new();
    std::fs::File::open(path)
        .map_err(io)?
        .take(4)
        .read_to_end(&mut begin)
        .map_err(io)?;
    Ok(begin)
}

/// Archives often hold one folder with everything in it.
fn only_folder(root: &Utf8Path) -> Result<Utf8PathBuf, InterpreterError> {
    let io = |source| InterpreterError::Io {
        action: "read",
        path: root.to_owned(),
        source,
    };
    let entries: Vec<_> = root
        .read_dir_utf8()
        .map_err(io)?
        .collect::<Result<_, _>>()
        .map_err(io)?;
    match entries.as_slice() {
        [only] if only.path().is_dir() => Ok(only.path().to_owned()),
        _ => Ok(root.to_owned()),
    }
}

fn find_module(root: &Utf8Path) -> Result<Utf8PathBuf, InterpreterError> {
    for name in [MODULE, "python.wasm"] {
        let path = root.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let mut found = Vec::new();
    for folder in [root.to_owned(), root.join("lib-wasm"), root.join("bin")] {
        let Ok(entries) = folder.read_dir_utf8() else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.path().extension() == Some("wasm") && entry.path().is_file() {
                found.push(entry.path().to_owned());
            }
        }
    }
    let reason = match found.len() {
        1 => return Ok(found.remove(0)),
        0 => "there is no python.wasm in it".to_owned(),
        _ => {
            found.sort();
            let names: Vec<&str> = found.iter().filter_map(|p| p.file_name()).collect();
            format!(
                "it has more than one module ({}); name the file",
                names.join(", ")
            )
        }
    };
    Err(InterpreterError::Layout {
        path: root.to_owned(),
        reason,
    })
}

fn find_library(root: &Utf8Path) -> Result<Option<Utf8PathBuf>, InterpreterError> {
    let lib = root.join("lib");
    let Ok(entries) = lib.read_dir_utf8() else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        if entry.file_name().starts_with("python3") && entry.path().join("os.py").is_file() {
            found.push(entry.path().to_owned());
        }
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => Err(InterpreterError::Layout {
            path: root.to_owned(),
            reason: "its `lib` holds the standard libraries of several Pythons".into(),
        }),
    }
}

fn copy_library(
    root: &Utf8Path,
    byte_code: bool,
    staging: &Utf8Path,
) -> Result<bool, InterpreterError> {
    let Some(library) = find_library(root)? else {
        return Ok(false);
    };
    let name = library.file_name().unwrap_or("python3");
    let target = staging.join("lib").join(name);
    for entry in walkdir::WalkDir::new(&library).follow_links(false) {
        let entry = entry.map_err(|e| walk(&library, e))?;
        let path = Utf8Path::from_path(entry.path()).ok_or_else(|| InterpreterError::Layout {
            path: library.clone(),
            reason: format!("{} is not UTF-8", entry.path().display()),
        })?;
        let inside = path.strip_prefix(&library).unwrap_or(path);
        // Byte code of unknown origin is not taken over: pyw compiles the sources itself.
        if !byte_code && inside.components().any(|c| c.as_str() == "__pycache__") {
            continue;
        }
        let to = target.join(inside);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&to).map_err(|source| InterpreterError::Io {
                action: "make",
                path: to,
                source,
            })?;
        } else if entry.file_type().is_file() {
            copy_file(path, &to)?;
        } else {
            return Err(InterpreterError::Layout {
                path: root.to_owned(),
                reason: format!("{inside} is a symbolic link, which a WASI library cannot hold"),
            });
        }
    }
    Ok(true)
}

fn copy_file(from: &Utf8Path, to: &Utf8Path) -> Result<(), InterpreterError> {
    // Not `fs::copy`, which would carry modes over: everything here is read by guests.
    let read = |source| InterpreterError::Io {
        action: "read",
        path: from.to_owned(),
        source,
    };
    let write = |source| InterpreterError::Io {
        action: "write",
        path: to.to_owned(),
        source,
    };
    let mut input = std::fs::File::open(from).map_err(read)?;
    let mut output = std::fs::File::create(to).map_err(write)?;
    std::io::copy(&mut input, &mut output).map_err(write)?;
    Ok(())
}

fn walk(path: &Utf8Path, error: walkdir::Error) -> InterpreterError {
    let source = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("a loop of links"));
    InterpreterError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_variables_are_read_as_text() {
        let text = "build_time_vars = {'LDVERSION': '3.x',\n 'VERSION': '3.14', 'prefix': ''}";
        assert_eq!(build_variable(text, "VERSION"), Some("3.14"));
        assert_eq!(build_variable(text, "prefix"), Some(""));
        assert_eq!(build_variable(text, "absent"), None);
    }

    #[test]
    fn an_emscripten_build_is_told_by_its_loader() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(root.join("pyodide.asm.wasm"), b"").unwrap();
        assert!(Emscripten::find(root).is_none());
        std::fs::write(root.join("pyodide.asm.mjs"), b"").unwrap();
        let files = Emscripten::find(root).unwrap();
        std::fs::create_dir_all(root.join("out/bin")).unwrap();
        let error = files
            .take(root, root, false, &root.join("out"))
            .unwrap_err();
        assert!(error.to_string().ends_with("it has no python_stdlib.zip"));
    }
}
