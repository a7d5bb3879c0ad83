//! Taking archives in: verified as a whole while they are unpacked.
//!
//! Nothing of an archive is believed: its names stay inside, RECORD lists every file and link and
//! nothing else, links obey PEP 711, the texts and the file name agree with each other, and the
//! module is what the texts say it is.

use std::collections::{BTreeMap, HashMap};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::fault::{Fault, PybiError};
use super::info::{EMSCRIPTEN, Metadata, Pybi};
use super::name::{PybiName, canonical, parse_build, platform_of};
use super::{INFO, METADATA, PYBI, RECORD};
use crate::interpreter::Platform;
use crate::interpreter::wasm::{self, Feature, Kind, ModuleInfo, PREVIEW1};
use crate::store::record::{self, Hash, Line};
use crate::store::unpack::unpack_measured;
use crate::store::{Sha256, StoreError};

/// What PYBI, METADATA and RECORD may have in bytes.
const TEXT_LIMIT: u64 = 32 << 20;
/// The module where PYBI names none, below the folder of scripts.
const USUAL_MODULE: &str = "python.wasm";

/// A pybi that is unpacked and in which nothing is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// What PYBI says.
    pub pybi: Pybi,
    /// What METADATA says.
    pub metadata: Metadata,
    /// The module, relative to the archive's root. `None` only for Emscripten builds that do not
    /// name it.
    pub module: Option<String>,
    /// What the module is.
    pub module_info: Option<ModuleInfo>,
    /// The number of files.
    pub files: usize,
    /// The number of symbolic links.
    pub links: usize,
    /// Packages that came with it: the names of their `.dist-info` folders, without the ending.
    pub packages: Vec<String>,
}

/// Unpacks a pybi into the new folder `dest`, which is not whole where this fails.
///
/// # Errors
/// It is malformed, contradicts itself or its file name, or does what an archive must not do.
pub fn unpack(archive: &Utf8Path, file_name: &str, dest: &Utf8Path) -> Result<Verified, PybiError> {
    let refuse = |fault: Fault| fault.of(file_name);
    let name = PybiName::parse(file_name).ok_or_else(|| refuse(Fault::FileName))?;
    let files = unpack_measured(archive, file_name, dest, false)?;
    let links = find_links(dest)?;
    let text = |path: &str| {
        read_text(dest, path).map_err(|problem| match problem {
            TextProblem::Fault(fault) => refuse(fault),
            TextProblem::Store(error) => error.into(),
        })
    };
    let lines = parse_record(&text(RECORD)?).map_err(refuse)?;
    check_links(&links, dest).map_err(refuse)?;
    check_record(lines, &files, &links, dest).map_err(|problem| match problem {
        TextProblem::Fault(fault) => refuse(fault),
        TextProblem::Store(error) => error.into(),
    })?;
    let pybi = Pybi::parse(&text(PYBI)?).map_err(refuse)?;
    let metadata = Metadata::parse(&text(METADATA)?).map_err(refuse)?;
    check_names(&name, &pybi, &metadata).map_err(refuse)?;
    let system = check_platform(&pybi, &metadata).map_err(refuse)?;
    let module = find_module(&pybi, &metadata, system, &files).map_err(refuse)?;
    let module_info = match &module {
        None => None,
        Some(path) => Some(check_module(&pybi, system, path, dest).map_err(refuse)?),
    };
    let mut packages: Vec<String> = files
        .keys()
        .filter_map(|path| path.strip_suffix("/METADATA")?.strip_suffix(".dist-info"))
        .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
        .collect();
    packages.sort();
    Ok(Verified {
        pybi,
        metadata,
        module,
        module_info,
        files: files.len(),
        links: links.len(),
        packages,
    })
}

/// A file's size and digest, by its path.
type Files = BTreeMap<String, (u64, Sha256)>;
/// Where links lead, by their path.
type Links = BTreeMap<String, String>;

fn find_links(dest: &Utf8Path) -> Result<Links, PybiError> {
    let mut links = Links::new();
    for entry in walkdir::WalkDir::new(dest).follow_links(false) {
        let failed = |cause| StoreError::io("reading", dest, cause);
        let entry = entry.map_err(|error| {
            failed(
                error
                    .into_io_error()
                    .unwrap_or_else(|| std::io::Error::other("a loop")),
            )
        })?;
        if !entry.path_is_symlink() {
            continue;
        }
        // What was unpacked has UTF-8 names.
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let target = path.read_link_utf8().map_err(failed)?;
        let inside = path.strip_prefix(dest).unwrap_or(path);
        links.insert(inside.to_string(), target.into_string());
    }
    Ok(links)
}

enum TextProblem {
    Fault(Fault),
    Store(StoreError),
}

fn read_text(dest: &Utf8Path, path: &str) -> Result<String, TextProblem> {
    let full = dest.join(path);
    let malformed = |reason: &str| {
        TextProblem::Fault(Fault::Malformed {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let is_file = full.symlink_metadata().map(|metadata| metadata.is_file());
    if !is_file.unwrap_or(false) {
        return Err(TextProblem::Fault(Fault::Missing {
            path: path.to_owned(),
        }));
    }
    let failed = |cause| TextProblem::Store(StoreError::io("reading", &full, cause));
    if full.metadata().map_err(failed)?.len() > TEXT_LIMIT {
        return Err(malformed("it is too long"));
    }
    let bytes = std::fs::read(&full)
        .map_err(|cause| TextProblem::Store(StoreError::io("reading", &full, cause)))?;
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))
}

fn parse_record(text: &str) -> Result<HashMap<String, Line>, Fault> {
    let lines = record::parse(text).map_err(|reason| Fault::Malformed {
        path: RECORD.to_owned(),
        reason,
    })?;
    let mut recorded = HashMap::with_capacity(lines.len());
    for line in lines {
        let path = line.path.clone();
        // A line for a folder says nothing.
        if path.ends_with('/') && line.hash.is_none() {
            continue;
        }
        if recorded.insert(path.clone(), line).is_some() {
            return Err(Fault::RecordedTwice { path });
        }
    }
    Ok(recorded)
}

/// What unpacking has not refused already: PEP 711 wants no link in `pybi-info`, and links that
/// lead to something, inside.
fn check_links(links: &Links, dest: &Utf8Path) -> Result<(), Fault> {
    let root = dest.canonicalize_utf8().unwrap_or_else(|_| dest.to_owned());
    for (path, target) in links {
        let wrong = |problem: String| {
            Err(Fault::Link {
                path: path.clone(),
                problem,
            })
        };
        if path.split('/').next() == Some(INFO) {
            return wrong(format!("lies in {INFO}, where PEP 711 allows none"));
        }
        match dest.join(path).canonicalize_utf8() {
            Ok(real) if real.starts_with(&root) && real != root => {}
            Ok(_) => return wrong(format!("leads outside, to {target:?}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return wrong(format!("leads to {target:?}, where nothing is"));
            }
            // The system's word for a circle, which std has no stable name for.
            Err(_) => return wrong(format!("leads in a circle, over {target:?}")),
        }
    }
    Ok(())
}

fn check_record(
    mut recorded: HashMap<String, Line>,
    files: &Files,
    links: &Links,
    dest: &Utf8Path,
) -> Result<(), TextProblem> {
    let fault = |fault| Err(TextProblem::Fault(fault));
    for (path, (size, sha256)) in files {
        let line = recorded.remove(path);
        if path == RECORD {
            continue;
        }
        let path = path.clone();
        let Some(line) = line else {
            return fault(Fault::NotRecorded { path });
        };
        match (line.size, line.hash) {
            (Some(recorded), _) if recorded != *size => {
                let got = *size;
                return fault(Fault::Size {
                    path,
                    recorded,
                    got,
                });
            }
            (_, None) => return fault(Fault::NoHash { path }),
            (_, Some(Hash::Symlink(target))) => {
                let problem = format!("to {target:?} of its RECORD is a file in the archive");
                return fault(Fault::Link { path, problem });
            }
            (_, Some(hash)) => {
                let holds = hash.holds(*sha256, &dest.join(&path));
                if !holds.map_err(TextProblem::Store)? {
                    return fault(Fault::Hash { path });
                }
            }
        }
    }
    for (path, target) in links {
        let path = path.clone();
        match recorded.remove(&path).map(|line| line.hash) {
            None => return fault(Fault::NotRecorded { path }),
            Some(Some(Hash::Symlink(recorded))) if recorded == *target => {}
            Some(Some(Hash::Symlink(recorded))) => {
                let problem = format!("leads to {target:?} where its RECORD says {recorded:?}");
                return fault(Fault::Link { path, problem });
            }
            Some(_) => {
                let problem = "is a file in its RECORD".to_owned();
                return fault(Fault::Link { path, problem });
            }
        }
    }
    match recorded.into_keys().filter(|path| path != RECORD).min() {
        Some(path) => fault(Fault::NotThere { path }),
        None => Ok(()),
    }
}

fn check_names(name: &PybiName, pybi: &Pybi, metadata: &Metadata) -> Result<(), Fault> {
    let normal = |text: &str| text.to_ascii_lowercase().replace(['-', '.'], "_");
    if normal(&name.distribution) != normal(&metadata.name) {
        return Err(Fault::contradiction(
            format!("the name of the file, {},", name.distribution),
            format!("Name {} in METADATA", metadata.name),
        ));
    }
    if name.version != metadata.version {
        return Err(Fault::contradiction(
            format!("version {} in the name of the file", name.version),
            format!("Version {} in METADATA", metadata.version),
        ));
    }
    if name.build != pybi.build.as_deref().and_then(parse_build) {
        return Err(Fault::contradiction(
            format!(
                "the build {} in the name of the file",
                name.build_text().unwrap_or_else(|| "-".into())
            ),
            format!("Build {} in PYBI", pybi.build.as_deref().unwrap_or("-")),
        ));
    }
    // A name may squeeze several tags into one, joined by dots, as those of wheels do.
    let own: Vec<String> = name.platform.split('.').map(canonical).collect();
    let known: Vec<String> = pybi.tags.iter().map(|tag| canonical(tag)).collect();
    if let Some(other) = own.iter().find(|tag| !known.contains(tag)) {
        return Err(Fault::contradiction(
            format!("the platform {other} in the name of the file"),
            format!("Tag {} in PYBI", pybi.tags.join(", ")),
        ));
    }
    Ok(())
}

/// The one system of all tags, which the markers have to name too.
fn check_platform(pybi: &Pybi, metadata: &Metadata) -> Result<Platform, Fault> {
    let mut found = None;
    for tag in &pybi.tags {
        let system = platform_of(tag).ok_or_else(|| Fault::Platform {
            platform: tag.clone(),
        })?;
        if let Some((before, first)) = &found
            && *before != system
        {
            return Err(Fault::contradiction(
                format!("Tag {first} in PYBI"),
                format!("Tag {tag}"),
            ));
        }
        found.get_or_insert((system, tag.clone()));
    }
    let Some((system, tag)) = found else {
        return Err(Fault::Malformed {
            path: PYBI.to_owned(),
            reason: "it has no Tag".to_owned(),
        });
    };
    let expected = match system {
        Platform::Wasi => ("wasi", PREVIEW1),
        Platform::Emscripten => ("emscripten", EMSCRIPTEN),
    };
    let marker = metadata.markers.get("sys_platform");
    if marker.is_none_or(|marker| marker != expected.0) {
        return Err(Fault::contradiction(
            format!("Tag {tag} in PYBI"),
            format!(
                "the marker sys_platform, {:?},",
                marker.map_or("", String::as_str)
            ),
        ));
    }
    match &pybi.wasm.abi {
        Some(abi) if abi != expected.1 => Err(Fault::contradiction(
            format!("Tag {tag} in PYBI"),
            format!("its Wasm-ABI, {abi},"),
        )),
        _ => Ok(system),
    }
}

fn find_module(
    pybi: &Pybi,
    metadata: &Metadata,
    system: Platform,
    files: &Files,
) -> Result<Option<String>, Fault> {
    if let Some(module) = &pybi.wasm.module {
        return match files.contains_key(module) {
            true => Ok(Some(module.clone())),
            false => Err(Fault::Missing {
                path: format!("{module:?}, its module"),
            }),
        };
    }
    let scripts = metadata.paths.get("scripts").map_or("bin", String::as_str);
    let usual = match scripts.trim_matches('/') {
        "" | "." => USUAL_MODULE.to_owned(),
        scripts => format!("{scripts}/{USUAL_MODULE}"),
    };
    if files.contains_key(&usual) {
        return Ok(Some(usual));
    }
    let any = files.keys().any(|path| path.ends_with(".wasm"));
    match system {
        Platform::Emscripten if any => Ok(None),
        _ => Err(Fault::Missing {
            path: format!("module, {usual:?} or another one that PYBI names"),
        }),
    }
}

fn check_module(
    pybi: &Pybi,
    system: Platform,
    path: &str,
    dest: &Utf8Path,
) -> Result<ModuleInfo, Fault> {
    let platform = pybi.tags.first().cloned().unwrap_or_default();
    let unfit = |problem| Fault::Module {
        path: path.to_owned(),
        platform: platform.clone(),
        problem: Box::new(problem),
    };
    let full: Utf8PathBuf = dest.join(path);
    let info = wasm::inspect_file(&full).map_err(|mut error| {
        error.path = None;
        unfit(error)
    })?;
    info.require_interpreter(system).map_err(unfit)?;
    if system == Platform::Emscripten && info.kind != Kind::Emscripten {
        return Err(Fault::contradiction(
            format!("Tag {platform} in PYBI"),
            format!("its module {path}, which Emscripten did not make,"),
        ));
    }
    // An archive without the convention's keys says nothing that could be wrong.
    if pybi.wasm.module.is_none() || system == Platform::Emscripten {
        return Ok(info);
    }
    let special = info.special_imports();
    if special != pybi.wasm.imports {
        let listed = |imports: &std::collections::BTreeSet<_>| -> String {
            let all: Vec<String> = imports.iter().map(ToString::to_string).collect();
            if all.is_empty() {
                "nothing".to_owned()
            } else {
                all.join(", ")
            }
        };
        return Err(Fault::contradiction(
            format!("Wasm-Import in PYBI ({})", listed(&pybi.wasm.imports)),
            format!(
                "its module, which imports {} beyond {PREVIEW1},",
                listed(&special)
            ),
        ));
    }
    let features: Vec<&str> = info.features.iter().copied().map(Feature::name).collect();
    let stated: Vec<&str> = pybi.wasm.features.iter().map(String::as_str).collect();
    let mut sorted = features.clone();
    sorted.sort_unstable();
    if sorted != stated {
        return Err(Fault::contradiction(
            format!("Wasm-Feature in PYBI ({})", stated.join(", ")),
            format!("its module, which uses {},", sorted.join(", ")),
        ));
    }
    Ok(info)
}
