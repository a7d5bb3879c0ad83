//! The indexes: which files a project has, and what the wheels among them need.
//!
//! The metadata of a wheel come from the cheapest place that has them: the store's cache, the
//! file beside the wheel that the index advertises (PEP 658), the end of the wheel by a range
//! request, or the whole wheel.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use reqwest::Url;

use super::candidate::{Filter, Link, Listed, Project, Sidecar, Wheel};
use super::credentials::{Credentials, without};
use super::distribution::{self, Distribution};
use super::error::PackageError;
use super::filename::WheelName;
use super::metadata::{METADATA_CAP, Metadata};
use super::name::PackageName;
use super::page;
use super::requirement::{Requirement, last_segment};
use crate::config::Origin;
use crate::store::indexes::{IndexSettings, Links};
use crate::store::source::{join, redacted};
use crate::store::usage::Use;
use crate::store::{Fetcher, Sha256, Store, StoreError};
use crate::ui::progress;

/// What a first range request asks for: most wheels have their directory and their metadata in
/// these last bytes.
const TAIL: u64 = 32 * 1024;
/// Further ranges are at least so long.
const CHUNK: u64 = 32 * 1024;
/// What may be read of one wheel in ranges.
const RANGES_CAP: u64 = 32 << 20;

/// The indexes and links that the settings name. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: IndexSettings,
    distribution: Distribution,
    fetcher: Arc<Fetcher>,
    store: Store,
    credentials: Credentials,
    refresh: bool,
    links: OnceLock<Result<Vec<Listed<'static>>, Arc<PackageError>>>,
    /// The folder of wheels that were downloaded whole, which are not pruned meanwhile.
    wheels: OnceLock<Use>,
}

/// Why there are no metadata.
#[derive(Debug)]
pub enum MetadataError {
    /// They are wrong, so that only this release is of no use.
    Wrong(String),
    /// The network or the store failed.
    Store(StoreError),
    /// A wheel of the interpreter's own distribution cannot be had.
    Distribution(PackageError),
}

impl From<StoreError> for MetadataError {
    fn from(error: StoreError) -> Self {
        MetadataError::Store(error)
    }
}

impl Index {
    /// The indexes that the settings name. Nothing is read or asked before it is needed.
    #[must_use]
    pub fn new(settings: IndexSettings, fetcher: Arc<Fetcher>, store: &Store) -> Self {
        Index {
            inner: Arc::new(Inner {
                credentials: Credentials::new(&settings),
                settings,
                distribution: Distribution::default(),
                fetcher,
                store: store.clone(),
                refresh: false,
                links: OnceLock::new(),
                wheels: OnceLock::new(),
            }),
        }
    }

    /// Has the packages that were built along with an interpreter, too.
    #[must_use]
    pub fn with_distribution(self, distribution: Distribution) -> Self {
        self.change(|inner| inner.distribution = distribution)
    }

    /// Asks for every page again, however young the one in the cache is.
    #[must_use]
    pub fn with_refresh(self) -> Self {
        self.change(|inner| inner.refresh = true)
    }

    /// Uses the text of a netrc file and not the user's file.
    #[must_use]
    pub fn with_netrc(self, text: &str) -> Self {
        self.change(|inner| {
            let credentials = std::mem::take(&mut inner.credentials);
            inner.credentials = credentials.with_netrc(text);
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        // It was just made, so nobody shares it yet.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            change(inner);
        }
        self
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &IndexSettings {
        &self.inner.settings
    }

    /// An address with the credentials that belong to it, just before it is asked for.
    #[must_use]
    pub fn authorize(&self, url: &Url) -> Url {
        self.inner.credentials.authorize(url)
    }

    /// Where the index keeps wheels that it had to download whole, if it did so with this one.
    #[must_use]
    pub fn downloaded(&self, sha256: Sha256) -> Option<Utf8PathBuf> {
        let path = self.wheels().ok()?.join(format!("{sha256}.whl"));
        path.is_file().then_some(path)
    }

    /// All that the first index that knows the project has of it, what the links have, and what was
    /// built along with the interpreter.
    ///
    /// # Errors
    /// An index cannot be reached, or its page cannot be read.
    pub fn project(&self, name: &PackageName, filter: &Filter) -> Result<Project, PackageError> {
        let mut project = self.of_indexes(name, filter)?;
        let distribution = &self.inner.distribution;
        let files = distribution.files(name);
        if !files.is_empty() {
            let more = Project::new(name, distribution.label(), &files, filter, false);
            distribution::add(&mut project, more);
        }
        Ok(project)
    }

    fn of_indexes(&self, name: &PackageName, filter: &Filter) -> Result<Project, PackageError> {
        let inner = &*self.inner;
        let linked = self.links()?;
        let mut files: Vec<Listed<'_>> = linked
            .iter()
            .filter(|file| could_be(&file.filename, name))
            .cloned()
            .collect();
        if filter.hashes.contains_key(name) {
            // Of a file on this machine nobody else tells it.
            for file in &mut files {
                if let (Link::Path(path), None) = (&file.link, file.sha256) {
                    file.sha256 = Some(Sha256::of_file(path)?);
                }
            }
        }
        let mut label = String::new();
        for index in inner.settings.indexes() {
            let url = join(&index.value, &format!("{name}/"))?;
            label = redacted(&index.value);
            let asked = inner.fetcher.cached_page(
                name.as_str(),
                &self.authorize(&url),
                page::ACCEPT,
                inner.refresh,
            );
            let Some(page) = asked? else { continue };
            let listing = page::read(&page).map_err(|problem| StoreError::Index {
                url: redacted(&page.url),
                problem,
            })?;
            let quarantined = listing.quarantined;
            files.extend(listing.files);
            return Ok(Project::new(name, label, &files, filter, quarantined));
        }
        Ok(Project::new(name, label, &files, filter, false))
    }

    /// The files in the folders and on the pages of links, read once.
    fn links(&self) -> Result<&[Listed<'static>], PackageError> {
        let links = self.inner.links.get_or_init(|| {
            let mut files = Vec::new();
            for links in &self.inner.settings.find_links {
                match &links.value {
                    Links::Folder(folder) => match list_folder(folder) {
                        Ok(found) => files.extend(found),
                        // pip's settings may be of another machine, and pip passes over them.
                        Err(error) if is_foreign(&links.origin) => {
                            progress::verbose(&format!("{}: {error}", links.origin));
                        }
                        Err(error) => {
                            return Err(Arc::new(PackageError::Setting {
                                setting: links.origin.to_string(),
                                problem: error.to_string(),
                            }));
                        }
                    },
                    Links::Page(url) => {
                        let found = self.links_page(url).map_err(Arc::new)?;
                        files.extend(found);
                    }
                }
            }
            Ok(files)
        });
        match links {
            Ok(files) => Ok(files),
            Err(error) => Err(PackageError::Shared(Arc::clone(error))),
        }
    }

    fn links_page(&self, url: &Url) -> Result<Vec<Listed<'static>>, PackageError> {
        let inner = &*self.inner;
        let wrong = |problem: String| StoreError::Index {
            url: redacted(url),
            problem,
        };
        let page = inner
            .fetcher
            .cached_page(
                "the page of links",
                &self.authorize(url),
                page::ACCEPT,
                inner.refresh,
            )?
            .ok_or_else(|| wrong("there is no such page".to_owned()))?;
        let listing = page::read(&page).map_err(wrong)?;
        Ok(listing.files.into_iter().map(owned).collect())
    }

    /// The address of a wheel, without credentials.
    ///
    /// # Errors
    /// It is none, or one that a page must not link to.
    pub fn locate(&self, wheel: &Wheel) -> Result<Place, StoreError> {
        let (text, page) = match &wheel.link {
            Link::Path(path) => return Ok(Place::Path(path.clone())),
            Link::Page(text, page) => (text, page),
        };
        let url = without(&join(page, text)?);
        if !matches!(url.scheme(), "https" | "http")
            || (page.scheme() == "https" && url.scheme() == "http")
        {
            return Err(StoreError::Index {
                url: redacted(page),
                problem: format!("it links to {}, which is not https", redacted(&url)),
            });
        }
        Ok(Place::Url(url))
    }

    /// Where a wheel of a project was found, without secrets.
    #[must_use]
    pub fn label(&self, name: &PackageName, wheel: &Wheel, project: &Project) -> String {
        let distribution = &self.inner.distribution;
        match distribution.needs(name, wheel) {
            Some(_) => distribution.label(),
            None => project.index.clone(),
        }
    }

    /// The metadata of a wheel, checked against its name.
    ///
    /// # Errors
    /// They cannot be had, or are wrong.
    pub fn metadata(&self, wheel: &Wheel) -> Result<Metadata, MetadataError> {
        let name = WheelName::parse(&wheel.filename).map_err(MetadataError::Wrong)?;
        let distribution = &self.inner.distribution;
        let Some(needs) = distribution.needs(&name.name, wheel) else {
            return self.own_metadata(wheel);
        };
        let mut metadata = self.own_metadata(wheel).map_err(|error| match error {
            MetadataError::Store(error) => {
                MetadataError::Distribution(distribution.failure(&wheel.filename, error))
            }
            other => other,
        })?;
        for need in needs {
            if !metadata.requires.iter().any(|known| known.name == *need) {
                let need = Requirement::parse_lenient(need.as_str());
                metadata.requires.push(need.map_err(MetadataError::Wrong)?);
            }
        }
        Ok(metadata)
    }

    fn own_metadata(&self, wheel: &Wheel) -> Result<Metadata, MetadataError> {
        let name = WheelName::parse(&wheel.filename).map_err(MetadataError::Wrong)?;
        if let Some(bytes) = wheel.sha256.and_then(|digest| self.cached(digest)) {
            return check(&name, &bytes);
        }
        let bytes = match self.locate(wheel)? {
            Place::Path(path) => {
                let file = std::fs::File::open(&path)
                    .map_err(|cause| StoreError::io("reading", &path, cause))?;
                return check(&name, &from_zip(io::BufReader::new(file), &name)?);
            }
            Place::Url(url) => self.remote_metadata(wheel, &name, &self.authorize(&url))?,
        };
        let metadata = check(&name, &bytes)?;
        if let Some(digest) = wheel.sha256 {
            self.keep(digest, &bytes);
        }
        Ok(metadata)
    }

    fn remote_metadata(
        &self,
        wheel: &Wheel,
        name: &WheelName,
        url: &Url,
    ) -> Result<Vec<u8>, MetadataError> {
        let fetcher = &self.inner.fetcher;
        let what = || format!("the metadata of {}", wheel.filename);
        if let Sidecar::Yes(digest) = wheel.sidecar {
            let mut beside = url.clone();
            beside.set_path(&format!("{}.metadata", url.path()));
            if let Some(bytes) = fetcher.small_file(&what(), &beside, METADATA_CAP)? {
                let got = Sha256::of(&bytes);
                return match digest {
                    Some(expected) if expected != got => Err(StoreError::Integrity {
                        from: redacted(&beside),
                        expected,
                        got,
                    }
                    .into()),
                    _ => Ok(bytes),
                };
            }
        }
        let what = what();
        let start = wheel.size.map(|size| size.saturating_sub(TAIL));
        let length = wheel.size.map_or(TAIL, |size| size.min(TAIL)).max(1);
        if let Some(tail) = fetcher.part_of_file(&what, url, start, length)? {
            let mut remote = Remote {
                fetcher,
                what: &what,
                url,
                total: tail.total,
                parts: vec![(tail.start, tail.bytes)],
                position: 0,
                read: 0,
                failure: None,
            };
            let result = from_zip(&mut remote, name);
            return match remote.failure {
                Some(error) => Err(error.into()),
                None => result,
            };
        }
        let (path, _) = self.download(&wheel.filename, url, wheel.size, wheel.sha256)?;
        let file =
            std::fs::File::open(&path).map_err(|cause| StoreError::io("reading", &path, cause))?;
        from_zip(io::BufReader::new(file), name)
    }

    /// Downloads a whole wheel, and keeps it for whoever installs it.
    fn download(
        &self,
        filename: &str,
        url: &Url,
        size: Option<u64>,
        pin: Option<Sha256>,
    ) -> Result<(Utf8PathBuf, Sha256), StoreError> {
        let folder = self.wheels()?;
        // A file of its own for each address and process: the name becomes the digest in the end.
        let label = Sha256::of(url.as_str().as_bytes());
        let part = folder.join(format!("{label}.{}", std::process::id()));
        let got = self
            .inner
            .fetcher
            .fetch_unpinned(filename, url, size, &part)?;
        if let Some(expected) = pin
            && expected != got
        {
            let _ = std::fs::remove_file(&part);
            return Err(StoreError::Integrity {
                from: redacted(url),
                expected,
                got,
            });
        }
        let path = folder.join(format!("{got}.whl"));
        std::fs::rename(&part, &path).map_err(|cause| StoreError::io("writing", &path, cause))?;
        Ok((path, got))
    }

    /// The wheel at an address that a user named, and its metadata. Without a pin it is downloaded,
    /// so that there is a digest of it.
    ///
    /// # Errors
    /// It cannot be had, or is no wheel.
    pub fn wheel_at_url(
        &self,
        url: &Url,
        pins: &BTreeSet<Sha256>,
    ) -> Result<(Wheel, Metadata), MetadataError> {
        self.inner.credentials.learn(url);
        let filename = last_segment(url);
        let name = WheelName::parse(&filename).map_err(MetadataError::Wrong)?;
        let mut wheel = Wheel {
            filename,
            link: Link::Page(Cow::Owned(url.as_str().to_owned()), Arc::new(without(url))),
            sha256: pins.first().copied().filter(|_| pins.len() == 1),
            size: None,
            sidecar: Sidecar::No,
        };
        if wheel.sha256.is_some() {
            let metadata = self.metadata(&wheel)?;
            return Ok((wheel, metadata));
        }
        let (path, digest) = self.download(&wheel.filename, &self.authorize(url), None, None)?;
        if !pins.is_empty() && !pins.contains(&digest) {
            return Err(MetadataError::Wrong(format!(
                "its sha256 is {digest}, which is none of those that were asked for"
            )));
        }
        let file =
            std::fs::File::open(&path).map_err(|cause| StoreError::io("reading", &path, cause))?;
        wheel.size = file.metadata().ok().map(|metadata| metadata.len());
        wheel.sha256 = Some(digest);
        let bytes = from_zip(io::BufReader::new(file), &name)?;
        let metadata = check(&name, &bytes)?;
        self.keep(digest, &bytes);
        Ok((wheel, metadata))
    }

    /// The wheel at a path, and its metadata.
    ///
    /// # Errors
    /// It is not there, or is no wheel.
    pub fn wheel_at_path(
        &self,
        path: &Utf8Path,
        pins: &BTreeSet<Sha256>,
    ) -> Result<(Wheel, Metadata), MetadataError> {
        let filename = path.file_name().unwrap_or_default().to_owned();
        let name = WheelName::parse(&filename).map_err(MetadataError::Wrong)?;
        let file = std::fs::File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MetadataError::Wrong("there is no such file".to_owned()),
            _ => StoreError::io("reading", path, error).into(),
        })?;
        let size = file.metadata().ok().map(|metadata| metadata.len());
        let digest = Sha256::of_file(path)?;
        if !pins.is_empty() && !pins.contains(&digest) {
            return Err(MetadataError::Wrong(format!(
                "its sha256 is {digest}, which is none of those that were asked for"
            )));
        }
        let metadata = check(&name, &from_zip(io::BufReader::new(file), &name)?)?;
        let wheel = Wheel {
            filename,
            link: Link::Path(path.to_owned()),
            sha256: Some(digest),
            size,
            sidecar: Sidecar::No,
        };
        Ok((wheel, metadata))
    }

    fn wheels(&self) -> Result<Utf8PathBuf, StoreError> {
        let held = match self.inner.wheels.get() {
            Some(held) => held,
            None => {
                let held = self.inner.store.hold_cache("wheels")?;
                self.inner.wheels.get_or_init(|| held)
            }
        };
        Ok(held.folder.clone())
    }

    fn cached(&self, digest: Sha256) -> Option<Vec<u8>> {
        let folder = self.inner.store.cache_dir("metadata").ok()?;
        std::fs::read(folder.join(digest.to_string())).ok()
    }

    /// Keeps metadata in the cache; that it fails does not matter.
    fn keep(&self, digest: Sha256, bytes: &[u8]) {
        let write = || -> Option<()> {
            let folder = self.inner.store.cache_dir("metadata").ok()?;
            let mut file = tempfile::NamedTempFile::new_in(&folder).ok()?;
            file.write_all(bytes).ok()?;
            file.persist(folder.join(digest.to_string())).ok()?;
            Some(())
        };
        write();
    }
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address.
    Url(Url),
    /// On this machine.
    Path(Utf8PathBuf),
}

/// Whether a file may be of a project; a quick look that passes over nearly all that are not.
fn could_be(filename: &str, name: &PackageName) -> bool {
    let mut rest = name.as_str().bytes().chain(*b"-");
    let mut last = b' ';
    for byte in filename.bytes() {
        let byte = match byte {
            b'_' | b'.' => b'-',
            byte => byte.to_ascii_lowercase(),
        };
        if byte == b'-' && last == b'-' {
            continue;
        }
        last = byte;
        match rest.next() {
            None => return true,
            Some(expected) if expected == byte => {}
            Some(_) => return false,
        }
    }
    false
}

/// Whether a setting was made for another program.
fn is_foreign(origin: &Origin) -> bool {
    match origin {
        Origin::Environment { name } => !name.starts_with("PYW_"),
        Origin::UserFile { .. } => true,
        _ => false,
    }
}

fn list_folder(folder: &Utf8Path) -> Result<Vec<Listed<'static>>, StoreError> {
    let failed = |cause| StoreError::io("listing", folder, cause);
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        files.push(Listed {
            filename: Cow::Owned(entry.file_name().to_owned()),
            link: Link::Path(entry.path().to_owned()),
            sha256: None,
            size: None,
            requires_python: None,
            upload_time: None,
            yanked: None,
            sidecar: Sidecar::No,
        });
    }
    // The order of a folder is nobody's.
    files.sort_by(|a, b| a.filename.cmp(&b.filename));
    Ok(files)
}

fn owned(file: Listed<'_>) -> Listed<'static> {
    let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
    Listed {
        filename: Cow::Owned(file.filename.into_owned()),
        link: match file.link {
            Link::Page(text, page) => Link::Page(Cow::Owned(text.into_owned()), page),
            Link::Path(path) => Link::Path(path),
        },
        requires_python: own(file.requires_python),
        upload_time: own(file.upload_time),
        yanked: own(file.yanked),
        sha256: file.sha256,
        size: file.size,
        sidecar: file.sidecar,
    }
}

/// Reads metadata and compares them with the wheel's name.
fn check(wheel: &WheelName, bytes: &[u8]) -> Result<Metadata, MetadataError> {
    let metadata = Metadata::parse(bytes)
        .map_err(|problem| MetadataError::Wrong(format!("its metadata are wrong: {problem}")))?;
    if metadata.name != wheel.name || metadata.version != wheel.version {
        return Err(MetadataError::Wrong(format!(
            "its metadata are of {} {}",
            metadata.name, metadata.version
        )));
    }
    Ok(metadata)
}

/// Takes METADATA out of a wheel.
fn from_zip(wheel: impl Read + Seek, name: &WheelName) -> Result<Vec<u8>, MetadataError> {
    let broken = |problem: String| MetadataError::Wrong(format!("its wheel is broken: {problem}"));
    let mut archive = zip::ZipArchive::new(wheel).map_err(|error| broken(error.to_string()))?;
    let mut found = None;
    for index in 0..archive.len() {
        let Some(Ok(entry)) = archive.name_for_index(index) else {
            continue;
        };
        let Some(folder) = entry.strip_suffix(".dist-info/METADATA") else {
            continue;
        };
        // Others may be vendored deeper inside.
        if folder.contains('/') {
            continue;
        }
        let own = folder
            .rsplit_once('-')
            .and_then(|(name, _)| PackageName::new(name).ok());
        if own.as_ref() != Some(&name.name) || found.is_some() {
            return Err(broken(format!("it holds {entry:?}")));
        }
        found = Some(index);
    }
    let Some(index) = found else {
        return Err(broken("it has no METADATA".to_owned()));
    };
    let entry = archive
        .by_index(index)
        .map_err(|error| broken(error.to_string()))?;
    let mut bytes = Vec::new();
    entry
        .take(METADATA_CAP + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| broken(error.to_string()))?;
    if bytes.len() as u64 > METADATA_CAP {
        return Err(broken("its METADATA is too big".to_owned()));
    }
    Ok(bytes)
}

/// A file on a server that is read in parts.
struct Remote<'a> {
    fetcher: &'a Fetcher,
    what: &'a str,
    url: &'a Url,
    total: u64,
    parts: Vec<(u64, Vec<u8>)>,
    position: u64,
    read: u64,
    /// What the zip reader would hide.
    failure: Option<StoreError>,
}

impl Read for Remote<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.total || buffer.is_empty() {
            return Ok(0);
        }
        for (start, bytes) in &self.parts {
            let Some(offset) = self.position.checked_sub(*start) else {
                continue;
            };
            let Some(rest) = usize::try_from(offset).ok().and_then(|o| bytes.get(o..)) else {
                continue;
            };
            if !rest.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.position += count as u64;
                return Ok(count);
            }
        }
        let length = CHUNK
            .max(buffer.len() as u64)
            .min(self.total - self.position);
        self.read += length;
        if self.read > RANGES_CAP {
            return Err(io::Error::other("its directory is too big"));
        }
        let part = self
            .fetcher
            .part_of_file(self.what, self.url, Some(self.position), length);
        match part {
            Ok(Some(part)) if !part.bytes.is_empty() && part.total == self.total => {
                self.parts.push((part.start, part.bytes));
                self.read(buffer)
            }
            Ok(_) => Err(io::Error::other("the server stopped to serve parts of it")),
            Err(error) => {
                let message = error.to_string();
                self.failure = Some(error);
                Err(io::Error::other(message))
            }
        }
    }
}

impl Seek for Remote<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(start) => Some(start),
            SeekFrom::End(offset) => self.total.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
