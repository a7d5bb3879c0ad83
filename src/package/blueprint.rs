//! A blueprint: the exact files that a [`Brief`] comes to on one interpreter.
//!
//! It is taken, in this order, from a lock that was named; from the lock of the script or project,
//! as long as that matches; from the record of an earlier run that asked for the very same; and
//! only then from the indexes. So a program that runs for the second time needs no network, and
//! gets the packages of the first time until somebody asks for newer ones.
//!
//! Records are in the store's `cache/resolutions`, each under the digest of all that the answer
//! depends on and that can be seen without asking an index.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::Version;
use serde::{Deserialize, Serialize};

use super::brief::Brief;
use super::error::PackageError;
use super::index::Index;
use super::installed;
use super::lock::{ChosenSource, Lock, LockError, Stale, Target};
use super::marker;
use super::name::PackageName;
use super::project::Project;
use super::requirement::Wanted;
use super::resolution::{Alternative, Resolution, ResolveRequest, Source, Upgrade};
use super::resolve::resolve;
use super::tags::Tags;
use super::wheel::{Origin, WheelRef};
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::store::indexes::Links;
use crate::store::source::Place;
use crate::store::usage;
use crate::store::{Sha256, Store};
use crate::ui::progress;

/// Changes whenever the same question may get another answer.
const FORMAT: u32 = 2;

/// The files of an environment, pinned.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The wheels.
    pub wheels: Vec<WheelRef>,
    /// Folders of this machine whose modules are importable as they are.
    pub roots: Vec<Utf8PathBuf>,
    /// Who says so.
    pub drawn_from: DrawnFrom,
}

/// Where a blueprint comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrawnFrom {
    /// A lock.
    Lock(Utf8PathBuf),
    /// The record, in this file, of an earlier run.
    Record(Utf8PathBuf),
    /// The indexes.
    Indexes,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    resolution: Resolution,
}

/// Finds the files for a brief.
///
/// # Errors
/// There are none that fit together; the lock is wrong, or missing and insisted on; an index
/// failed.
pub fn draw(
    brief: &Brief,
    interpreter: &Interpreter,
    index: &Index,
    store: &Store,
) -> Result<Blueprint, Error> {
    if let Some(path) = &brief.named_lock {
        let lock = Lock::read(path)?;
        return from_lock(&lock, path, brief, interpreter, index);
    }
    let lock = own_lock(brief)?;
    if let Some((path, lock)) = &lock
        && brief.upgrade == Upgrade::None
        && !brief.has_more_than_its_own()
        && matches(lock, path, brief, interpreter)?
    {
        return from_lock(lock, path, brief, interpreter, index);
    }
    let preferences = lock.map(|(_, lock)| versions_of(&lock));
    let (resolution, drawn_from) = resolution(brief, interpreter, index, store, preferences)?;
    from_resolution(&resolution, drawn_from, brief, index)
}

/// The lock of the script or project, if it has one and anything to lock.
///
/// # Errors
/// It cannot be used, or is missing and insisted on.
pub fn own_lock(brief: &Brief) -> Result<Option<(Utf8PathBuf, Lock)>, LockError> {
    let Some(path) = brief
        .lock
        .clone()
        .filter(|_| !brief.requirements.is_empty())
    else {
        return Ok(None);
    };
    match read_lock(&path)? {
        Some(lock) => Ok(Some((path, lock))),
        None if brief.locked => Err(LockError::Missing { path }),
        None => Ok(None),
    }
}

/// Whether a lock is for this brief and interpreter. One that another tool wrote does not say, and
/// is believed.
fn matches(
    lock: &Lock,
    path: &Utf8Path,
    brief: &Brief,
    interpreter: &Interpreter,
) -> Result<bool, LockError> {
    match lock.still_matches(brief.inputs(), &interpreter.info) {
        Ok(()) | Err(Stale::Foreign { .. }) => Ok(true),
        Err(why) if brief.locked => Err(LockError::Stale {
            path: path.to_owned(),
            why,
        }),
        Err(why) => {
            progress::note(&format!(
                "{path} does not match any more: {why}; its versions are taken where they fit, \
                 and `pyw lock` writes it anew"
            ));
            Ok(false)
        }
    }
}

/// The packages for a brief, by the record of an earlier run or by the indexes. Among the versions
/// that fit, preferred ones are taken.
///
/// # Errors
/// There are none that fit together, or an index failed.
pub fn resolution(
    brief: &Brief,
    interpreter: &Interpreter,
    index: &Index,
    store: &Store,
    preferences: Option<BTreeMap<PackageName, Version>>,
) -> Result<(Resolution, DrawnFrom), PackageError> {
    let file = record_file(brief, interpreter, index, store, preferences.as_ref());
    let known = file
        .clone()
        .and_then(|file| Some((file.clone(), read_record(&file)?)));
    let preferences = match known {
        Some((file, resolution)) if brief.upgrade == Upgrade::None => {
            return Ok((resolution, DrawnFrom::Record(file)));
        }
        Some((_, resolution)) => preferences.unwrap_or_else(|| versions_in(&resolution)),
        None => preferences.unwrap_or_default(),
    };
    let resolution = resolve_anew(brief, interpreter, index, store, preferences)?;
    if let Some(file) = file {
        // Without it the next run asks the indexes again, which is no failure of this one.
        let _ = write_record(&file, &resolution);
    }
    Ok((resolution, DrawnFrom::Indexes))
}

/// Asks the indexes, whatever locks and records say, and tells the user what is worth knowing.
///
/// # Errors
/// There are no packages that fit together, or an index failed.
pub fn resolve_anew(
    brief: &Brief,
    interpreter: &Interpreter,
    index: &Index,
    store: &Store,
    preferences: BTreeMap<PackageName, Version>,
) -> Result<Resolution, PackageError> {
    let request = ResolveRequest {
        requirements: brief.requirements.clone(),
        constraints: brief.constraints.clone(),
        preferences,
        upgrade: brief.upgrade.clone(),
        prereleases: brief.prereleases,
        upload_before: brief.upload_before,
        require_hashes: brief.require_hashes,
        installed: installed::in_folder(&interpreter.site()),
        alternatives: alternatives(interpreter, store),
    };
    let resolution = resolve(&request, &interpreter.info, index)?;
    for note in &resolution.notes {
        progress::note(note);
    }
    Ok(resolution)
}

/// The versions that a lock has, for a resolution that is to stay near it.
#[must_use]
pub fn versions_of(lock: &Lock) -> BTreeMap<PackageName, Version> {
    let version = |text: &Option<String>| text.as_deref()?.parse().ok();
    lock.packages
        .iter()
        .filter_map(|package| Some((package.name.clone(), version(&package.version)?)))
        .collect()
}

/// The lock at this path; `None` if there is none.
///
/// # Errors
/// It is there and cannot be used.
pub fn read_lock(path: &Utf8Path) -> Result<Option<Lock>, LockError> {
    match Lock::read(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn versions_in(resolution: &Resolution) -> BTreeMap<PackageName, Version> {
    let versions = resolution.packages.iter();
    versions
        .map(|p| (p.name.clone(), p.version.clone()))
        .collect()
}

/// The other interpreters here that bring packages, to be named when nothing else helps.
fn alternatives(interpreter: &Interpreter, store: &Store) -> Vec<Alternative> {
    Interpreter::installed(store)
        .into_iter()
        .filter(|other| other.key != interpreter.key)
        .filter_map(|other| {
            let brought = installed::in_folder(&other.site());
            let packages: BTreeSet<PackageName> = brought.into_iter().map(|m| m.name).collect();
            (!packages.is_empty()).then_some(Alternative {
                python: other.key,
                packages,
            })
        })
        .collect()
}

fn from_lock(
    lock: &Lock,
    path: &Utf8Path,
    brief: &Brief,
    interpreter: &Interpreter,
    index: &Index,
) -> Result<Blueprint, Error> {
    let markers = marker::environment(&interpreter.info)
        .map_err(|problem| PackageError::Interpreter { problem })?;
    let tags = Tags::of(&interpreter.info);
    let chosen = lock.choose(
        path,
        Target {
            markers: &markers,
            tags: &tags,
            extras: &BTreeSet::new(),
            groups: None,
        },
    )?;
    let mut wheels = Vec::new();
    let mut roots = brief.roots.clone();
    for package in chosen {
        match package.source {
            ChosenSource::Wheel(wheel) => wheels.push(authorized(wheel, index)),
            ChosenSource::Folder(folder) => roots.extend(Project::read(&folder)?.import_roots()),
        }
    }
    Ok(Blueprint {
        wheels,
        roots: without_doubles(roots),
        drawn_from: DrawnFrom::Lock(path.to_owned()),
    })
}

/// A wheel that is fetched with the credentials of its index.
fn authorized(mut wheel: WheelRef, index: &Index) -> WheelRef {
    if let Origin::Remote(sources) = &mut wheel.origin {
        for source in sources {
            if let Place::Url(url) = &mut source.place {
                *url = index.authorize(url);
            }
        }
    }
    wheel
}

fn from_resolution(
    resolution: &Resolution,
    drawn_from: DrawnFrom,
    brief: &Brief,
    index: &Index,
) -> Result<Blueprint, Error> {
    let mut wheels = Vec::new();
    let mut roots = brief.roots.clone();
    for package in &resolution.packages {
        match &package.source {
            Source::Interpreter => {}
            Source::Folder(folder) => roots.extend(Project::read(folder)?.import_roots()),
            Source::Wheel(file) => match WheelRef::resolved(file, index) {
                Some(wheel) => wheels.push(wheel),
                None => {
                    return Err(PackageError::NoDigest {
                        file: file.filename.clone(),
                        index: file.index.clone(),
                    }
                    .into());
                }
            },
        }
    }
    Ok(Blueprint {
        wheels,
        roots: without_doubles(roots),
        drawn_from,
    })
}

fn without_doubles(mut roots: Vec<Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    let mut seen = BTreeSet::new();
    roots.retain(|root| seen.insert(root.clone()));
    roots
}

/// Where the answer to this very question is, or would be; `None` if the store cannot be written.
fn record_file(
    brief: &Brief,
    interpreter: &Interpreter,
    index: &Index,
    store: &Store,
    preferences: Option<&BTreeMap<PackageName, Version>>,
) -> Option<Utf8PathBuf> {
    let mut text = format!(
        "{FORMAT}\n{}\n{:?}\n{:?}\n{:?}\n{:?} {:?} {}\n{preferences:?}\n",
        interpreter.key,
        index.settings(),
        brief.requirements,
        brief.constraints,
        brief.prereleases,
        brief.upload_before,
        brief.require_hashes,
    );
    let requirements = brief.requirements.iter().map(|asked| &asked.requirement);
    for requirement in requirements.chain(&brief.constraints) {
        if let Wanted::Path(path) = &requirement.wanted {
            // Of a folder only what says which packages it needs.
            let file = match path.is_dir() {
                true => path.join("pyproject.toml"),
                false => path.clone(),
            };
            text.push_str(&state(&file));
        }
    }
    // Whoever builds a wheel anew wants the new one.
    for links in &index.settings().find_links {
        if let Links::Folder(folder) = &links.value {
            let listing = folder.read_dir_utf8().into_iter().flatten().flatten();
            let mut states: Vec<String> = listing.map(|entry| state(entry.path())).collect();
            states.sort();
            text.push_str(&states.concat());
        }
    }
    let folder = store.cache_dir("resolutions").ok()?;
    Some(folder.join(Sha256::of(text.as_bytes()).to_string()))
}

/// What tells cheaply that a file is another one.
fn state(file: &Utf8Path) -> String {
    let state = std::fs::metadata(file).ok();
    let state = state.map(|state| (state.len(), state.modified().ok()));
    format!("{file} {state:?}\n")
}

fn read_record(file: &Utf8Path) -> Option<Resolution> {
    let bytes = std::fs::read(file).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    // For pruning.
    if let Ok(open) = std::fs::File::open(file) {
        usage::touch(&open);
    }
    (record.format == FORMAT).then_some(record.resolution)
}

fn write_record(file: &Utf8Path, resolution: &Resolution) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    let record = Record {
        format: FORMAT,
        resolution: resolution.clone(),
    };
    serde_json::to_writer(&mut temporary, &record)?;
    temporary.flush()?;
    temporary.persist(file)?;
    Ok(())
}
