//! Finding a runtime's executable: `PYW_RUNTIME_<NAME>`, the user's configuration, `PATH`, and
//! at last what pyw installed itself.

use camino::{Utf8Path, Utf8PathBuf};

use super::catalog::{Catalog, Entry, HostScript};
use super::descriptor::Descriptor;
use super::error::RuntimeError;
use super::{Found, Runtime, install, probe};
use crate::config::runtime_path_variable;
use crate::store::hash::Sha256;
use crate::store::stamp::Stamp;
use crate::store::{Kind, Store, StoreError};

/// What finding a runtime depends on.
pub struct Places<'a> {
    /// Looks up a variable of pyw's own environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The user's `[paths]` table: runtime name to executable.
    pub configured: &'a std::collections::BTreeMap<String, Utf8PathBuf>,
    pub store: &'a Store,
}

/// Where the executable is, without starting it; `None` when it is nowhere. A runtime that has
/// another's is looked for under its own name, then under the other's.
///
/// # Errors
/// A variable or configuration that names something else than an executable file; the runtime is
/// unknown.
pub fn executable(
    catalog: &Catalog,
    name: &str,
    places: &Places<'_>,
) -> Result<Option<(Utf8PathBuf, Found)>, RuntimeError> {
    let entry = catalog.executable_of(name)?;
    let mut names = vec![name, entry.name.as_str()];
    names.dedup();
    for name in names {
        let variable = runtime_path_variable(name);
        if let Some(path) = (places.variable)(&variable).filter(|p| !p.is_empty()) {
            let path = named(&path, &format!("${variable}"))?;
            return Ok(Some((path, Found::Variable(variable))));
        }
        if let Some(path) = places.configured.get(name) {
            let from = format!("the configuration ([paths] {name})");
            return Ok(Some((named(path.as_str(), &from)?, Found::Config)));
        }
    }
    let descriptor = entry.describe(None)?;
    for name in &descriptor.executables {
        if let Ok(path) = which::which(name) {
            let path = Utf8PathBuf::from_path_buf(path).map_err(|path| RuntimeError::NotUtf8 {
                path: path.display().to_string(),
            })?;
            return Ok(Some((path, Found::Path)));
        }
    }
    Ok(install::installed(&descriptor, places.store).map(|path| (path, Found::Store)))
}

/// Finds and probes a runtime; `None` when it is nowhere.
///
/// # Errors
/// As [`executable`], and what probing finds wrong.
pub fn runtime(
    catalog: &Catalog,
    name: &str,
    places: &Places<'_>,
) -> Result<Option<Runtime>, RuntimeError> {
    let Some((path, found)) = executable(catalog, name, places)? else {
        return Ok(None);
    };
    ready(catalog.get(name)?, path, found, places.store).map(Some)
}

/// Probes an executable that has been found.
///
/// # Errors
/// What probing finds wrong.
pub fn ready(
    entry: &Entry,
    executable: Utf8PathBuf,
    found: Found,
    store: &Store,
) -> Result<Runtime, RuntimeError> {
    let base = entry.describe(None)?;
    let script = is_script(&executable);
    let answer = probe::answer(&base.name, &executable, &base.probe, !script, store)?;
    let version = probe::version(&base.name, &executable, &base.probe, &answer)?;
    let descriptor = entry.describe(version.as_ref())?;
    let lean = lean(&descriptor, &executable, &answer, store);
    let build = [Some(&executable), lean.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|file| Some(Stamp::of(file)?.content()))
        .collect::<Vec<_>>()
        .join(" ");
    let cache = store.cache_dir(&descriptor.name)?;
    let libraries = libraries(&executable);
    let host_script = host_script(entry, store)?;
    Ok(Runtime {
        descriptor,
        executable,
        found,
        version,
        lean,
        build,
        cache,
        libraries,
        script,
        host_script,
    })
}

/// The lean executable, if there is one of the very release. It lies beside the other one as named or
/// as it really is.
fn lean(
    descriptor: &Descriptor,
    executable: &Utf8Path,
    answer: &str,
    store: &Store,
) -> Option<Utf8PathBuf> {
    let lean = descriptor.compile.as_ref()?.lean.as_ref()?;
    let real = executable.canonicalize_utf8().ok();
    let places = [Some(executable), real.as_deref()];
    let file = places
        .into_iter()
        .flatten()
        .map(|executable| lean.beside(executable))
        .find(|file| file.is_file())?;
    let same = probe::answer(&descriptor.name, &file, &descriptor.probe, true, store);
    // What does not start is as good as absent: the other executable does all that it does.
    same.is_ok_and(|same| same == answer).then_some(file)
}

/// The host script on disk. One that pyw brings along is written into the store, under a name that
/// tells its content.
fn host_script(entry: &Entry, store: &Store) -> Result<Option<Utf8PathBuf>, RuntimeError> {
    let text = match &entry.host_script {
        None => return Ok(None),
        Some(HostScript::File(path)) => return Ok(absolute(path)),
        Some(HostScript::Embedded(text)) => text,
    };
    let hash = Sha256::of(text.as_bytes()).to_string();
    let key = format!("{}-host-{}", entry.name, &hash[..16]);
    let name = "host.mjs";
    let folder = store.get_or_create::<RuntimeError>(Kind::Runtime, &key, |staging| {
        let file = staging.join(name);
        std::fs::write(&file, text).map_err(|error| StoreError::io("write", &file, error))?;
        Ok(())
    })?;
    Ok(Some(folder.join(name)))
}

fn is_script(executable: &Utf8Path) -> bool {
    use std::io::Read as _;
    let mut begin = [0; 2];
    let read = std::fs::File::open(executable).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"#!"
}

/// `lib` beside the `bin` that the executable really lies in.
fn libraries(executable: &Utf8Path) -> Vec<Utf8PathBuf> {
    let real = executable.canonicalize_utf8();
    let real = real.as_deref().unwrap_or(executable);
    let bin = real.parent().filter(|folder| folder.ends_with("bin"));
    let folders = bin.and_then(Utf8Path::parent).map(|prefix| {
        let folders = ["lib", "lib64"].map(|name| prefix.join(name));
        folders.into_iter().filter(|folder| folder.is_dir())
    });
    folders.into_iter().flatten().collect()
}

fn named(path: &str, from: &str) -> Result<Utf8PathBuf, RuntimeError> {
    let bad = || RuntimeError::BadOverride {
        from: from.to_owned(),
        path: path.to_owned(),
    };
    // `which` checks that it is a file with the right to execute, and finds plain names on PATH.
    let found = which::which(path).map_err(|_| bad())?;
    let found = Utf8PathBuf::from_path_buf(found).map_err(|_| bad())?;
    absolute(&found).ok_or_else(bad)
}

fn absolute(path: &Utf8Path) -> Option<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(std::path::absolute(path).ok()?).ok()
}
