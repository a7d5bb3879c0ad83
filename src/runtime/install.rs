//! Installing a runtime into the store, from the source that its descriptor pins.

use camino::{Utf8Path, Utf8PathBuf};

use super::descriptor::{Descriptor, Install};
use super::error::RuntimeError;
use crate::store::fetch::{Expected, Fetcher};
use crate::store::hash::Sha256;
use crate::store::source::Source;
use crate::store::unpack::{self, Unpack};
use crate::store::{Kind, Store};

/// This machine's platform as descriptors name it.
#[must_use]
pub fn platform() -> String {
    let libc = if cfg!(target_env = "musl") {
        "musl-"
    } else {
        ""
    };
    format!("{}-{libc}{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The executable of an installed runtime.
#[must_use]
pub fn installed(descriptor: &Descriptor, store: &Store) -> Option<Utf8PathBuf> {
    let (install, source) = recipe(descriptor)?;
    let folder = store.get(Kind::Runtime, &key(descriptor, install, source))?;
    Some(folder.join(&install.executable))
}

/// Whether the descriptor tells how to install it here.
#[must_use]
pub fn installable(descriptor: &Descriptor) -> bool {
    recipe(descriptor).is_some()
}

/// Installs a runtime, unless it is there, and answers with its executable.
///
/// # Errors
/// There is no build for this platform; the download or the store fails.
pub fn install(
    descriptor: &Descriptor,
    store: &Store,
    fetcher: &Fetcher,
) -> Result<Utf8PathBuf, RuntimeError> {
    let Some((install, source)) = recipe(descriptor) else {
        return Err(RuntimeError::NoBuild {
            name: descriptor.name.clone(),
            platform: platform(),
        });
    };
    let what = format!("{} {}", descriptor.name, install.version);
    let folder = store.get_or_create::<RuntimeError>(
        Kind::Runtime,
        &key(descriptor, install, source),
        |staging| {
            let archive = staging.join(".archive");
            let expected = Expected {
                sha256: pinned(source),
                size: None,
            };
            fetcher.fetch_first(&what, std::slice::from_ref(source), expected, &archive)?;
            // A wheel is a zip; nothing else has to be told apart.
            let format = source.format().unwrap_or(unpack::Format::Zip);
            unpack::unpack(format, &archive, staging, &Unpack::default())?;
            let _ = std::fs::remove_file(&archive);
            let executable = staging.join(&install.executable);
            let lean = descriptor.compile.as_ref().and_then(|c| c.lean.as_ref());
            let lean = lean.map(|lean| lean.beside(&executable));
            if let Some(lean) = lean.filter(|lean| lean.is_file()) {
                make_executable(&lean)?;
            }
            make_executable(&executable)
        },
    )?;
    Ok(folder.join(&install.executable))
}

/// Removes an installed runtime.
///
/// # Errors
/// It is not installed, or the store cannot be written.
pub fn remove(descriptor: &Descriptor, store: &Store) -> Result<(), RuntimeError> {
    let missing = |version: &str| RuntimeError::NotInstalled {
        name: descriptor.name.clone(),
        version: version.to_owned(),
    };
    let Some((install, source)) = recipe(descriptor) else {
        return Err(missing(""));
    };
    let key = key(descriptor, install, source);
    if store.get(Kind::Runtime, &key).is_none() {
        return Err(missing(&install.version.to_string()));
    }
    store.remove(Kind::Runtime, &key)?;
    Ok(())
}

fn recipe(descriptor: &Descriptor) -> Option<(&Install, &Source)> {
    let install = descriptor.install.as_ref()?;
    Some((install, install.platforms.get(&platform())?))
}

fn key(descriptor: &Descriptor, install: &Install, source: &Source) -> String {
    let hash = pinned(source).to_string();
    format!("{}-{}-{}", descriptor.name, install.version, &hash[..16])
}

/// [`Descriptor`]s without it are not accepted.
fn pinned(source: &Source) -> Sha256 {
    source.sha256.unwrap_or_else(|| Sha256::of(b""))
}

fn make_executable(path: &Utf8Path) -> Result<(), RuntimeError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(
            |source| RuntimeError::Read {
                path: path.to_string(),
                source,
            },
        )?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
