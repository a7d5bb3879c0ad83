//! Wheels: verified, then unpacked once into the store.
//!
//! Nothing of a wheel is believed. The archive must have the pinned hash; its names must stay
//! inside and differ on every file system; its RECORD must list every file with the right hash and
//! size, and no other; file name, `.dist-info` and METADATA must name the same release. Until all
//! of that holds everything is in a staging folder of the store, and nothing of a wheel ever runs
//! on the host.
//!
//! An unpacked wheel looks like this:
//!
//! ```text
//! pyw.json    what is known of it: [`Info`]
//! site/       what belongs into site-packages, `.data/purelib` and `.data/platlib` included
//! data/       `.data/data`, which belongs below the prefix
//! scripts/    `.data/scripts`, kept as data
//! headers/    `.data/headers`
//! ```
//!
//! Two things are left out of `site`. `__pycache__` folders: pyw compiles by itself, for the
//! interpreter at hand. And `.pth` and `.start` files that would run code at every start of every
//! program, which PEP 829 is about to end as well; `.pth` files that only name folders inside
//! site-packages are kept.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::Version;
use serde::{Deserialize, Serialize};

use super::entry_points::{self, EntryPoint};
use super::filename::{self, WheelName};
use super::index::Index;
use super::name::PackageName;
use super::resolution::{self, FilePlace};
use crate::error::Code;
use crate::store::fetch::{Expected, Fetcher};
use crate::store::record::{self, Hash, Line};
use crate::store::source::{Place, Source};
use crate::store::unpack::unpack_measured;
use crate::store::{Built, Kind, Sha256, Store, StoreError};
use crate::ui::progress::Progress;

/// The file that holds an [`Info`].
pub const INFO_FILE: &str = "pyw.json";
/// Changes whenever wheels are unpacked differently, so that older ones are not used.
pub const FORMAT: u32 = 1;

/// So many wheels are downloaded at once.
const AT_ONCE: usize = 16;

/// What METADATA, WHEEL, RECORD and entry_points.txt may have in bytes.
const TEXT_LIMIT: u64 = 32 << 20;

/// A wheel that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelRef {
    /// Its file name, which says project, version and tags.
    pub filename: String,
    /// The digest of the file.
    pub sha256: Sha256,
    /// Its size, where it is known.
    pub size: Option<u64>,
    /// Where it is.
    pub origin: Origin,
}

/// Where a wheel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file on this machine.
    File(Utf8PathBuf),
    /// To be downloaded from the first source that has it.
    Remote(Vec<Source>),
}

/// A wheel in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Its name in the store.
    pub key: String,
    /// Its folder.
    pub folder: Utf8PathBuf,
    /// What is known of it.
    pub info: Info,
}

/// What is known of an unpacked wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: String,
    /// The name of the wheel's file.
    pub filename: String,
    /// The name of its `.dist-info` folder.
    pub dist_info: String,
    /// The commands that it offers.
    pub entry_points: Vec<EntryPoint>,
    /// Everything in `site`, by path.
    pub files: BTreeMap<String, FileInfo>,
    /// Everything in `data`, `scripts` and `headers`, with the folder's name in front.
    pub extra: Vec<String>,
    /// What was left out of `site`.
    pub dropped: Vec<String>,
}

/// A file of an unpacked wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Sha256,
}

/// A wheel that cannot be had or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// It is not what it should be.
    #[error("the wheel {file} is refused: {fault}")]
    Refused {
        /// Its file name.
        file: String,
        /// What is wrong.
        fault: Fault,
    },
    /// What the store wrote down about an unpacked wheel is gone or unreadable.
    #[error("`{path}` is not a record that this pyw can read: {reason}")]
    Info {
        /// The record.
        path: Utf8PathBuf,
        /// Why not.
        reason: String,
    },
    /// The download, the archive or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a wheel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file name is none of a wheel.
    #[error("its name is not NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl")]
    FileName,
    /// There is no `.dist-info` folder, or there are several.
    #[error("it has {} .dist-info folders where there should be one{}", found.len(), list(found))]
    DistInfos {
        /// Their names.
        found: Vec<String>,
    },
    /// Two places name different projects.
    #[error("its file name says {expected} and its {place} says {found:?}")]
    Name {
        /// The project of the file name.
        expected: PackageName,
        /// Where another one stands.
        place: String,
        /// The other one.
        found: String,
    },
    /// Two places name different versions.
    #[error("its file name says version {expected} and its {place} says {found:?}")]
    Version {
        /// The version of the file name.
        expected: Version,
        /// Where another one stands.
        place: String,
        /// The other one.
        found: String,
    },
    /// A file that every wheel has is missing.
    #[error("it has no {path}")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file that describes the wheel cannot be understood.
    #[error("its {path} cannot be read: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The format of the wheel is of the future.
    #[error("it is of wheel version {version}, and pyw knows 1.x")]
    WheelVersion {
        /// What WHEEL says.
        version: String,
    },
    /// A file that RECORD does not know.
    #[error("{path:?} is not in its RECORD")]
    NotRecorded {
        /// The file.
        path: String,
    },
    /// A file that only RECORD knows.
    #[error("its RECORD names {path:?}, which is not in it")]
    NotThere {
        /// The file.
        path: String,
    },
    /// RECORD names a file twice.
    #[error("its RECORD names {path:?} twice")]
    RecordedTwice {
        /// The file.
        path: String,
    },
    /// RECORD has no hash for a file.
    #[error("its RECORD has no hash for {path:?}")]
    NoHash {
        /// The file.
        path: String,
    },
    /// A file has another hash than RECORD says.
    #[error("{path:?} has not the hash that its RECORD says")]
    Hash {
        /// The file.
        path: String,
    },
    /// A file has another size than RECORD says.
    #[error("{path:?} has {got} bytes where its RECORD says {recorded}")]
    Size {
        /// The file.
        path: String,
        /// The size in RECORD.
        recorded: u64,
        /// The true size.
        got: u64,
    },
    /// Something in `.data` has no known place.
    #[error("{path:?} is in no scheme that pyw knows (purelib, platlib, data, headers, scripts)")]
    Scheme {
        /// The file.
        path: String,
    },
    /// Two files would be installed at one path.
    #[error("{first:?} and {second:?} belong to the same path")]
    Clash {
        /// One file.
        first: String,
        /// The other one.
        second: String,
    },
    /// An entry point that is none.
    #[error("{reason}")]
    EntryPoint {
        /// Which, and why.
        reason: String,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        // Debug form: they come out of an archive.
        names => format!(": {names:?}"),
    }
}

impl WheelError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { .. } => Code::Integrity,
            Self::Info { .. } => Code::Storage,
            Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused {
                fault: Fault::FileName,
                ..
            } => Some("give the file the name under which it was published".into()),
            Self::Refused { .. } => Some(
                "nothing of it was kept; take another release of the project, and tell its \
                 authors if this one comes from them"
                    .into(),
            ),
            Self::Info { path, .. } => {
                let entry = path.parent().unwrap_or(path);
                Some(format!("delete {entry}, and it is made again"))
            }
            Self::Store(error) => error.hint(),
        }
    }
}

impl WheelRef {
    /// A wheel on this machine, which is pinned to what it is now.
    ///
    /// # Errors
    /// It cannot be read, or its name is none of a wheel.
    pub fn local(path: &Utf8Path) -> Result<Self, WheelError> {
        let filename = path.file_name().unwrap_or_default().to_owned();
        parse_filename(&filename)?;
        Ok(WheelRef {
            sha256: Sha256::of_file(path)?,
            size: None,
            origin: Origin::File(path.to_owned()),
            filename,
        })
    }

    /// A wheel of a resolution, to be fetched from `index`. `None`: the index tells no digest, by
    /// which pyw would know it.
    #[must_use]
    pub fn resolved(file: &resolution::File, index: &Index) -> Option<Self> {
        let sha256 = file.sha256?;
        let origin = match &file.place {
            FilePlace::Path(path) => Origin::File(path.clone()),
            FilePlace::Url(url) => match index.downloaded(sha256) {
                // Resolving had to download it whole.
                Some(path) => Origin::File(path),
                None => Origin::Remote(vec![Source {
                    place: Place::Url(index.authorize(url)),
                    sha256: None,
                    member: None,
                }]),
            },
        };
        Some(WheelRef {
            filename: file.filename.clone(),
            sha256,
            size: file.size,
            origin,
        })
    }

    /// Its name in the store.
    #[must_use]
    pub fn key(&self) -> String {
        key(self.sha256)
    }
}

/// Whether this pyw can use an unpacked wheel of that name.
#[must_use]
pub fn is_current(key: &str) -> bool {
    key.ends_with(&format!("-{FORMAT}"))
}

/// The name in the store of the wheel with this digest.
#[must_use]
pub fn key(sha256: Sha256) -> String {
    format!("{sha256}-{FORMAT}")
}

impl Wheel {
    /// Reads what is known of an unpacked wheel.
    ///
    /// # Errors
    /// It isn't there, or is damaged.
    pub fn open(folder: &Utf8Path) -> Result<Wheel, WheelError> {
        let path = folder.join(INFO_FILE);
        let broken = |reason: String| WheelError::Info {
            path: path.clone(),
            reason,
        };
        let text = std::fs::read(&path).map_err(|error| broken(error.to_string()))?;
        let info = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        Ok(Wheel {
            key: folder.file_name().unwrap_or_default().to_owned(),
            folder: folder.to_owned(),
            info,
        })
    }

    /// The tree that belongs into site-packages.
    #[must_use]
    pub fn site(&self) -> Utf8PathBuf {
        self.folder.join("site")
    }
}

/// The unpacked wheels, in the same order. Those that are not in the store are downloaded and
/// unpacked, many at once.
///
/// # Errors
/// One cannot be had or is refused. What was finished by then is kept.
pub fn provide(
    wheels: &[WheelRef],
    store: &Store,
    fetcher: &Fetcher,
) -> Result<Vec<Wheel>, WheelError> {
    let keys: Vec<String> = wheels.iter().map(WheelRef::key).collect();
    let by_key: HashMap<&str, &WheelRef> = keys.iter().map(String::as_str).zip(wheels).collect();
    let folders = store.get_or_create_all::<WheelError>(Kind::Wheel, &keys, |tree, missing| {
        let progress = Progress::steps("preparing packages", missing.len() as u64);
        let next = AtomicUsize::new(0);
        let finished = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        let work = || {
            while let Some(key) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = match by_key.get(key.as_str()) {
                    Some(wheel) => prepare(wheel, fetcher, tree, key),
                    None => continue,
                };
                progress.inc(1);
                match result {
                    Ok(()) => lock(&finished).push(key.clone()),
                    Err(error) => {
                        lock(&failed).get_or_insert(error);
                        // The others need not begin anything more.
                        next.store(missing.len(), Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..missing.len().min(AT_ONCE) {
                scope.spawn(work);
            }
            work();
        });
        let failed = lock(&failed).take();
        Built {
            finished: std::mem::take(&mut *lock(&finished)),
            result: failed.map_or(Ok(()), Err),
        }
    })?;
    folders.iter().map(|folder| Wheel::open(folder)).collect()
}

/// A thread that panicked has not left half a push behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Brings one wheel to `tree/KEY`.
fn prepare(
    wheel: &WheelRef,
    fetcher: &Fetcher,
    tree: &Utf8Path,
    key: &str,
) -> Result<(), WheelError> {
    // Before anything is downloaded.
    parse_filename(&wheel.filename)?;
    let dest = tree.join(key);
    let downloaded = tree.join(format!("{key}.whl"));
    let result = match &wheel.origin {
        Origin::File(path) => {
            let got = Sha256::of_file(path)?;
            if got == wheel.sha256 {
                unpack(path, &wheel.filename, &dest).map(|_| ())
            } else {
                Err(WheelError::Store(StoreError::Integrity {
                    from: path.to_string(),
                    expected: wheel.sha256,
                    got,
                }))
            }
        }
        Origin::Remote(sources) => {
            let expected = Expected {
                sha256: wheel.sha256,
                size: wheel.size,
            };
            fetcher
                .fetch_first(&wheel.filename, sources, expected, &downloaded)
                .map_err(WheelError::from)
                .and_then(|_| unpack(&downloaded, &wheel.filename, &dest).map(|_| ()))
        }
    };
    let _ = std::fs::remove_file(&downloaded);
    result
}

/// The project and the version in a wheel's file name.
fn parse_filename(file: &str) -> Result<(PackageName, Version), WheelError> {
    let name = WheelName::parse(file).map_err(|_| refused(file, Fault::FileName))?;
    Ok((name.name, name.version))
}

/// A version, in which names of files and folders write `_` for `-`.
fn parse_version(text: &str) -> Option<Version> {
    filename::parse_version(&text.replace('_', "-")).ok()
}

fn refused(file: &str, fault: Fault) -> WheelError {
    WheelError::Refused {
        file: file.to_owned(),
        fault,
    }
}

/// Verifies the wheel `archive` and unpacks it to the new folder `dest`, which is not whole where
/// this fails. The hash of the archive itself is the caller's to check.
///
/// # Errors
/// It is malformed, not what its name says, or does something that a wheel must not do.
pub fn unpack(archive: &Utf8Path, filename: &str, dest: &Utf8Path) -> Result<Info, WheelError> {
    let fault = |fault| refused(filename, fault);
    let (name, version) = parse_filename(filename)?;
    let raw = dest.join("raw");
    let files = unpack_raw(archive, filename, &raw)?;
    let dist_info = check_dist_info(&files, &name, &version).map_err(fault)?;
    let text = |path: &str| read_text(&raw, &format!("{dist_info}/{path}"), filename);

    check_record(&raw, &text("RECORD")?, &dist_info, &files, filename)?;
    check_wheel_version(&text("WHEEL")?, &dist_info).map_err(fault)?;
    check_metadata(&text("METADATA")?, &dist_info, &name, &version).map_err(fault)?;
    let entry_points = match files.contains_key(&format!("{dist_info}/entry_points.txt")) {
        true => entry_points::parse(&text("entry_points.txt")?)
            .map_err(|reason| fault(Fault::EntryPoint { reason }))?,
        false => Vec::new(),
    };

    let places = places(&files, &dist_info).map_err(fault)?;
    let mut info = Info {
        name,
        version: version.to_string(),
        filename: filename.to_owned(),
        entry_points,
        files: BTreeMap::new(),
        extra: Vec::new(),
        dropped: Vec::new(),
        dist_info,
    };
    spread(&raw, dest, &places, &files, &mut info)?;
    finish(dest, &mut info)?;
    Ok(info)
}

/// Unpacks all files, each with its size and digest.
fn unpack_raw(
    archive: &Utf8Path,
    filename: &str,
    raw: &Utf8Path,
) -> Result<BTreeMap<String, FileInfo>, WheelError> {
    let files = unpack_measured(archive, filename, raw, true)?.into_iter();
    Ok(files
        .map(|(path, (size, sha256))| (path, FileInfo { size, sha256 }))
        .collect())
}

/// The one `.dist-info` folder, which has to be that of the release.
fn check_dist_info(
    files: &BTreeMap<String, FileInfo>,
    name: &PackageName,
    version: &Version,
) -> Result<String, Fault> {
    let mut found: Vec<String> = files
        .keys()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| is_dist_info(folder))
        .map(str::to_owned)
        .collect();
    found.dedup();
    let [dist_info] = &found[..] else {
        return Err(Fault::DistInfos { found });
    };
    let stem = &dist_info[..dist_info.len() - ".dist-info".len()];
    let place = ".dist-info folder".to_owned();
    let (its_name, its_version) = stem.split_once('-').unwrap_or((stem, ""));
    if PackageName::new(its_name).ok().as_ref() != Some(name) {
        return Err(Fault::Name {
            expected: name.clone(),
            place,
            found: stem.to_owned(),
        });
    }
    if parse_version(its_version).as_ref() != Some(version) {
        return Err(Fault::Version {
            expected: version.clone(),
            place,
            found: stem.to_owned(),
        });
    }
    Ok(dist_info.clone())
}

fn is_dist_info(folder: &str) -> bool {
    let lower = folder.to_ascii_lowercase();
    lower.ends_with(".dist-info")
}

fn read_text(raw: &Utf8Path, path: &str, filename: &str) -> Result<String, WheelError> {
    let missing = || {
        let path = path.to_owned();
        refused(filename, Fault::Missing { path })
    };
    let malformed = |reason: &str| {
        let (path, reason) = (path.to_owned(), reason.to_owned());
        refused(filename, Fault::Malformed { path, reason })
    };
    let full = raw.join(path);
    let file = std::fs::File::open(&full).map_err(|_| missing())?;
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| StoreError::io("reading", &full, cause))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(malformed("it is too long"));
    }
    // Old METADATA may be in some other encoding; what is compared is ASCII.
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) if path.ends_with("/RECORD") => return Err(malformed("it is not UTF-8")),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// RECORD itself, and what can only be made after it.
fn goes_without_hash(path: &str, dist_info: &str) -> bool {
    let inside = path
        .strip_prefix(dist_info)
        .and_then(|p| p.strip_prefix('/'));
    matches!(inside, Some("RECORD" | "RECORD.jws" | "RECORD.p7s"))
}

fn check_record(
    raw: &Utf8Path,
    text: &str,
    dist_info: &str,
    files: &BTreeMap<String, FileInfo>,
    filename: &str,
) -> Result<(), WheelError> {
    let fault = |fault| refused(filename, fault);
    let lines = record::parse(text).map_err(|reason| {
        let path = format!("{dist_info}/RECORD");
        fault(Fault::Malformed { path, reason })
    })?;
    let mut recorded = HashMap::with_capacity(lines.len());
    for line in lines {
        // Some tools write a line for a folder.
        if line.path.ends_with('/') && line.hash.is_none() {
            continue;
        }
        let path = line.path.clone();
        if recorded.insert(path.clone(), line).is_some() {
            return Err(fault(Fault::RecordedTwice { path }));
        }
    }
    for (path, found) in files {
        let line = recorded.remove(path);
        if goes_without_hash(path, dist_info) {
            continue;
        }
        let path = path.clone();
        let Some(line) = line else {
            return Err(fault(Fault::NotRecorded { path }));
        };
        match line.size {
            Some(recorded) if recorded != found.size => {
                let got = found.size;
                return Err(fault(Fault::Size {
                    path,
                    recorded,
                    got,
                }));
            }
            _ => {}
        }
        let right = match &line.hash {
            None => return Err(fault(Fault::NoHash { path })),
            // Wheels have no links.
            Some(Hash::Symlink(_)) => false,
            Some(hash) => hash.holds(found.sha256, &raw.join(&path))?,
        };
        if !right {
            return Err(fault(Fault::Hash { path }));
        }
    }
    let left = recorded
        .into_keys()
        .filter(|path| !goes_without_hash(path, dist_info))
        .min();
    match left {
        Some(path) => Err(fault(Fault::NotThere { path })),
        None => Ok(()),
    }
}

fn check_wheel_version(text: &str, dist_info: &str) -> Result<(), Fault> {
    let Some(version) = header(text, "Wheel-Version") else {
        return Err(Fault::Malformed {
            path: format!("{dist_info}/WHEEL"),
            reason: "it has no Wheel-Version".to_owned(),
        });
    };
    let (major, _) = version.split_once('.').unwrap_or((version, ""));
    match major {
        "1" => Ok(()),
        _ => Err(Fault::WheelVersion {
            version: version.chars().take(40).collect(),
        }),
    }
}

fn check_metadata(
    text: &str,
    dist_info: &str,
    name: &PackageName,
    version: &Version,
) -> Result<(), Fault> {
    let get = |wanted: &str| {
        header(text, wanted).ok_or_else(|| Fault::Malformed {
            path: format!("{dist_info}/METADATA"),
            reason: format!("it has no {wanted}"),
        })
    };
    let (its_name, its_version) = (get("Name")?, get("Version")?);
    if PackageName::new(its_name).ok().as_ref() != Some(name) {
        return Err(Fault::Name {
            expected: name.clone(),
            place: "METADATA".to_owned(),
            found: its_name.to_owned(),
        });
    }
    if parse_version(its_version).as_ref() != Some(version) {
        return Err(Fault::Version {
            expected: version.clone(),
            place: "METADATA".to_owned(),
            found: its_version.to_owned(),
        });
    }
    Ok(())
}

/// The value of the first header of that name, in the form of e-mail that METADATA and WHEEL have.
fn header<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
}

/// Where each file goes: its folder in the store and the path in there. `None` drops it.
type Places = BTreeMap<String, Option<(&'static str, String)>>;

fn places(files: &BTreeMap<String, FileInfo>, dist_info: &str) -> Result<Places, Fault> {
    let data = format!(
        "{}.data/",
        dist_info.strip_suffix(".dist-info").unwrap_or(dist_info)
    );
    let mut places = Places::new();
    // By the path without case, so that the tree is the same on every file system.
    let mut taken: HashMap<String, &str> = HashMap::new();
    for path in files.keys() {
        let place = match path.strip_prefix(&data) {
            None => ("site", path.as_str()),
            Some(inside) => {
                let scheme = || Fault::Scheme { path: path.clone() };
                let (name, rest) = inside.split_once('/').ok_or_else(scheme)?;
                match name {
                    "purelib" | "platlib" => ("site", rest),
                    "data" => ("data", rest),
                    "scripts" => ("scripts", rest),
                    "headers" => ("headers", rest),
                    _ => return Err(scheme()),
                }
            }
        };
        let (folder, inside) = place;
        if folder == "site" {
            let top = inside.split('/').next().unwrap_or(inside);
            if is_dist_info(top) && top != dist_info {
                return Err(Fault::DistInfos {
                    found: vec![dist_info.to_owned(), top.to_owned()],
                });
            }
            if inside.split('/').any(|part| part == "__pycache__") {
                places.insert(path.clone(), None);
                continue;
            }
        }
        if folder == "scripts" && !entry_points::is_command(inside) {
            return Err(Fault::Scheme { path: path.clone() });
        }
        let key = |end: usize| format!("{folder}/{}", inside[..end].to_lowercase());
        if let Some(first) = taken.insert(key(inside.len()), path) {
            return Err(Fault::Clash {
                first: first.to_owned(),
                second: path.clone(),
            });
        }
        places.insert(path.clone(), Some((folder, inside.to_owned())));
    }
    // And no file may be where another one needs a folder.
    for (path, place) in &places {
        let Some((folder, inside)) = place else {
            continue;
        };
        for (end, _) in inside.match_indices('/') {
            let above = format!("{folder}/{}", inside[..end].to_lowercase());
            if let Some(first) = taken.get(&above) {
                return Err(Fault::Clash {
                    first: (*first).to_owned(),
                    second: path.clone(),
                });
            }
        }
    }
    Ok(places)
}

/// Moves every file to its place.
fn spread(
    raw: &Utf8Path,
    dest: &Utf8Path,
    places: &Places,
    files: &BTreeMap<String, FileInfo>,
    info: &mut Info,
) -> Result<(), WheelError> {
    // Most wheels are nothing but site-packages: one rename then does for all.
    let plain = places.iter().all(|(path, place)| {
        place
            .as_ref()
            .is_some_and(|(f, p)| *f == "site" && p == path)
    });
    let site = dest.join("site");
    if plain {
        std::fs::rename(raw, &site).map_err(|cause| StoreError::io("moving", raw, cause))?;
    }
    for (path, place) in places {
        let Some((folder, inside)) = place else {
            info.dropped.push(path.clone());
            continue;
        };
        let to = dest.join(folder).join(inside);
        if !plain {
            let from = raw.join(path);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|cause| StoreError::io("creating the folder", parent, cause))?;
            }
            std::fs::rename(&from, &to).map_err(|cause| StoreError::io("moving", &from, cause))?;
        }
        if *folder != "site" {
            info.extra.push(format!("{folder}/{inside}"));
        } else if starts_code(&to, inside)? {
            std::fs::remove_file(&to).map_err(|cause| StoreError::io("removing", &to, cause))?;
            info.dropped.push(path.clone());
        } else if let Some(found) = files.get(path) {
            info.files.insert(inside.clone(), *found);
        }
    }
    if !plain {
        std::fs::remove_dir_all(raw).map_err(|cause| StoreError::io("removing", raw, cause))?;
    }
    Ok(())
}

/// Whether a file of site-packages would run code, or lead elsewhere, at every start.
fn starts_code(file: &Utf8Path, inside: &str) -> Result<bool, StoreError> {
    if inside.contains('/') {
        return Ok(false);
    }
    let lower = inside.to_ascii_lowercase();
    if lower.ends_with(".start") {
        return Ok(true);
    }
    if !lower.ends_with(".pth") {
        return Ok(false);
    }
    let bytes = std::fs::read(file).map_err(|cause| StoreError::io("reading", file, cause))?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(true);
    };
    let harmless = |line: &str| {
        let line = line.trim();
        line.is_empty()
            || line.starts_with('#')
            || !(line.starts_with("import")
                || line.starts_with('/')
                || line.contains('\\')
                || line.split('/').any(|part| part == ".."))
    };
    Ok(!text.lines().all(harmless))
}

/// Writes INSTALLER, the RECORD of what is installed, and what is known of the wheel.
fn finish(dest: &Utf8Path, info: &mut Info) -> Result<(), WheelError> {
    let write = |path: Utf8PathBuf, bytes: &[u8]| {
        std::fs::write(&path, bytes).map_err(|cause| StoreError::io("writing", &path, cause))
    };
    let dist_info = dest.join("site").join(&info.dist_info);
    let installer = b"pyw\n";
    write(dist_info.join("INSTALLER"), installer)?;
    let known = |bytes: &[u8]| FileInfo {
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    };
    info.files
        .insert(format!("{}/INSTALLER", info.dist_info), known(installer));
    // Only what is below site-packages: for a line that begins with `../../` a WASI guest gets
    // EPERM, where importlib.metadata expects at most ENOENT.
    let record = format!("{}/RECORD", info.dist_info);
    info.files.remove(&record);
    let mut lines: Vec<Line> = info
        .files
        .iter()
        .map(|(path, file)| Line::of(path, file.sha256, file.size))
        .collect();
    lines.push(Line::bare(&record));
    let text = record::format(&lines);
    write(dist_info.join("RECORD"), text.as_bytes())?;
    info.files.insert(record, known(text.as_bytes()));

    let path = dest.join(INFO_FILE);
    let text = serde_json::to_vec(info).map_err(|error| WheelError::Info {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    write(path, &text)?;
    Ok(())
}
