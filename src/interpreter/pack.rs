//! Packing: any layout that pyw can import becomes a pybi.
//!
//! What the archive says is what the interpreter said inside its runtime and what stands in its
//! module. The same input makes the same bytes: byte code is compiled in a fixed order, and nothing
//! of the machine, the moment or the path goes into the archive.

use camino::{Utf8Path, Utf8PathBuf};

use super::convert::{Brought, Guest};
use super::error::InterpreterError;
use super::pybi::{self, Metadata, Pybi, Wasm, info, name};
use super::wasm::{Feature, PREVIEW1};
use super::{Info, LICENSES, MODULE, Platform, parent};

/// Packs the interpreter at `path` into a pybi in `folder`, and answers with the archive's path.
/// `wheel_tags` are the tags of wheels for an interpreter, the best first, with `PLATFORM` for the
/// platform.
///
/// # Errors
/// It is none, or does not work; the archive cannot be written.
pub fn pack(
    path: &Utf8Path,
    folder: &Utf8Path,
    guest: &dyn Guest,
    wheel_tags: &dyn Fn(&Info) -> Vec<String>,
) -> Result<Utf8PathBuf, InterpreterError> {
    if !path.exists() {
        return Err(InterpreterError::NoFile {
            path: path.to_owned(),
        });
    }
    let io = |action, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| InterpreterError::Io {
            action,
            path,
            source,
        }
    };
    let temporary = tempfile::Builder::new()
        .prefix("pyw-pack-")
        .tempdir()
        .map_err(io(
            "make a folder in",
            Utf8Path::new("the temporary folder"),
        ))?;
    // Runtimes resolve links, and the fence works with real paths.
    let real = temporary
        .path()
        .canonicalize()
        .map_err(io("find", Utf8Path::new("the temporary folder")))?;
    let staging = Utf8PathBuf::from_path_buf(real).map_err(|path| InterpreterError::Layout {
        path: path.to_string_lossy().into_owned().into(),
        reason: "the temporary folder's path is not UTF-8".to_owned(),
    })?;
    let file = path.file_name().unwrap_or_default();
    let brought = Brought::new(path, file, path.as_str(), &staging, guest)?;
    prune(&staging)?;
    brought.compile()?;
    let told = brought.info()?;
    let build = brought.stated.as_ref().and_then(|s| s.pybi.build.clone());
    brought.clean()?;

    let licenses = staging.join(pybi::LICENSES);
    let mut license_files = Vec::new();
    if let Ok(entries) = staging.join(LICENSES).read_dir_utf8() {
        license_files.extend(entries.flatten().map(|entry| entry.file_name().to_owned()));
        license_files.sort();
        std::fs::create_dir_all(staging.join(pybi::INFO)).map_err(io("make", &licenses))?;
        std::fs::rename(staging.join(LICENSES), &licenses).map_err(io("move", &licenses))?;
    }
    let pybi = Pybi {
        generator: format!("pyw {}", env!("CARGO_PKG_VERSION")),
        tags: vec![name::canonical(&told.platform)],
        build,
        wasm: Wasm {
            module: Some(MODULE.to_owned()),
            abi: Some(match name::platform_of(&told.platform) {
                Some(Platform::Emscripten) => info::EMSCRIPTEN.to_owned(),
                _ => PREVIEW1.to_owned(),
            }),
            imports: told.imports.clone(),
            features: told
                .features
                .iter()
                .copied()
                .map(Feature::name)
                .map(str::to_owned)
                .collect(),
            library: Some(parent(&told.stdlib).to_owned()),
            builtin_modules: told.builtin_modules.iter().cloned().collect(),
        },
    };
    let metadata = metadata(&told, license_files, wheel_tags)?;
    Ok(pybi::write::write(&staging, &pybi, &metadata, folder)?)
}

fn metadata(
    told: &Info,
    license_files: Vec<String>,
    wheel_tags: &dyn Fn(&Info) -> Vec<String>,
) -> Result<Metadata, InterpreterError> {
    let name = told
        .markers
        .get("implementation_name")
        .map_or("cpython", String::as_str);
    let version = told.version.parse().map_err(|_| InterpreterError::Import {
        origin: told.source.clone(),
        step: "asking what it is",
        reason: format!("its version, {:?}, is none of PEP 440", told.version),
    })?;
    Ok(Metadata {
        name: name.to_owned(),
        version,
        summary: Some(format!(
            "CPython {} for {}",
            told.version,
            name::canonical(&told.platform)
        )),
        license_files,
        markers: told.markers.clone(),
        paths: told.paths.clone(),
        wheel_tags: wheel_tags(told),
    })
}

/// Leaves CPython's own tests out, which are a third of the library and of no use to programs.
fn prune(staging: &Utf8Path) -> Result<(), InterpreterError> {
    let library = staging.join("lib");
    let Ok(entries) = library.read_dir_utf8() else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let tests = entry.path().join("test");
        if tests.is_dir() {
            std::fs::remove_dir_all(&tests).map_err(|source| InterpreterError::Io {
                action: "remove",
                path: tests,
                source,
            })?;
        }
    }
    Ok(())
}
