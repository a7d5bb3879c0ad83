//! Getting pinned bytes from the first source that has them.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{StatusCode, Url};

use super::Store;
use super::cache::PageCache;
use super::error::{Failure, StoreError};
use super::hash::Sha256;
use super::http::{self, Http, PAGE_CAP};
use super::locks::Lock;
use super::source::{Place, Registries, Source, join, redacted};
use super::unpack::extract_member;
use crate::ui::progress::{self, Progress};

pub use super::http::{Page, Patience};

/// The media type of PEP 691 pages.
pub const SIMPLE_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Unfinished downloads that nobody came back to for so long are deleted.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the fetched file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
}

/// Downloads files, each pinned by its digest.
///
/// Making one costs nothing; the network is not touched before something is asked for.
#[derive(Debug)]
pub struct Fetcher {
    offline: bool,
    http: Http,
    registries: OnceLock<Registries>,
    store: Option<Store>,
}

/// A part of a file on a server.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// Where in the file it begins.
    pub start: u64,
    /// The size of the file.
    pub total: u64,
    /// The part itself.
    pub bytes: Vec<u8>,
}

/// A download, ready to begin.
struct Job {
    url: Url,
    size: Option<u64>,
    /// What the index says the digest is, for want of a pin.
    sha256: Option<Sha256>,
}

impl Fetcher {
    /// A fetcher that downloads, or with `offline` refuses to.
    pub fn new(offline: bool) -> Self {
        Fetcher {
            offline,
            http: Http::default(),
            registries: OnceLock::new(),
            store: None,
        }
    }

    /// Keeps unfinished downloads in this store, so that the next process can go on with them.
    #[must_use]
    pub fn with_store(mut self, store: &Store) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// Uses these package indexes and not those that the environment names.
    #[must_use]
    pub fn with_registries(mut self, registries: Registries) -> Self {
        self.registries = OnceLock::from(registries);
        self
    }

    /// Has another patience than the default one.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.http.patience = patience;
        self
    }

    /// Whether downloads are refused.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The package indexes that are used.
    pub fn registries(&self) -> Result<&Registries, StoreError> {
        if let Some(registries) = self.registries.get() {
            return Ok(registries);
        }
        let registries = Registries::from_env()?;
        Ok(self.registries.get_or_init(|| registries))
    }

    /// Gets a page, as of an index; `what` is what is wanted from it.
    pub fn page(&self, what: &str, url: &Url, accept: &str) -> Result<Page, StoreError> {
        self.refuse_offline(what, url)?;
        let answer = self
            .http
            .get(url, &accepting(accept), &[StatusCode::OK], PAGE_CAP)?;
        Ok(Page::of(answer))
    }

    /// Gets a page by way of the store's cache; `None` if there is no such page.
    ///
    /// What is younger than the server allows is taken as it is, older pages are asked for again
    /// by their ETag. With `refresh` every page is asked for again; offline any age will do.
    pub fn cached_page(
        &self,
        what: &str,
        url: &Url,
        accept: &str,
        refresh: bool,
    ) -> Result<Option<Page>, StoreError> {
        let cache = self
            .store
            .as_ref()
            .and_then(|store| PageCache::new(store, url));
        let cached = match cache.as_ref().and_then(PageCache::read) {
            Some(cached) if self.offline || (!refresh && cached.is_fresh()) => {
                return Ok(cached.page());
            }
            cached => cached,
        };
        self.refuse_offline(what, url)?;
        let mut headers = accepting(accept);
        if let Some(cached) = &cached {
            cached.ask_whether_changed(&mut headers);
        }
        let hoped = [
            StatusCode::OK,
            StatusCode::NOT_MODIFIED,
            StatusCode::NOT_FOUND,
            StatusCode::GONE,
        ];
        let answer = self.http.get(url, &headers, &hoped, PAGE_CAP)?;
        match (answer.status, cached) {
            (StatusCode::OK, _) => {
                if let Some(cache) = &cache {
                    cache.write(&answer);
                }
                Ok(Some(Page::of(answer)))
            }
            (StatusCode::NOT_MODIFIED, Some(cached)) => {
                if let Some(cache) = &cache {
                    cache.renew(&cached, &answer.headers);
                }
                Ok(cached.page())
            }
            (StatusCode::NOT_MODIFIED, None) => Err(StoreError::Index {
                url: redacted(url),
                problem: "the server says that nothing changed, but was not asked".to_owned(),
            }),
            _ => Ok(None),
        }
    }

    /// Gets a small file of at most `cap` bytes into memory; `None` if there is no such file.
    pub fn small_file(
        &self,
        what: &str,
        url: &Url,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.refuse_offline(what, url)?;
        let hoped = [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::GONE];
        let answer = self.http.get(url, &accepting("*/*"), &hoped, cap)?;
        Ok((answer.status == StatusCode::OK).then_some(answer.body))
    }

    /// Gets a part of a file: `length` bytes from `start`, or without a start the last ones.
    ///
    /// `None` if the server does not serve parts.
    pub fn part_of_file(
        &self,
        what: &str,
        url: &Url,
        start: Option<u64>,
        length: u64,
    ) -> Result<Option<FilePart>, StoreError> {
        self.refuse_offline(what, url)?;
        let mut headers = HeaderMap::new();
        let range = match start {
            Some(start) => format!(
                "bytes={start}-{}",
                start.saturating_add(length).saturating_sub(1)
            ),
            None => format!("bytes=-{length}"),
        };
        http::insert(&mut headers, header::ACCEPT_ENCODING, "identity");
        http::insert(&mut headers, header::RANGE, &range);
        let hoped = [
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
            StatusCode::NOT_IMPLEMENTED,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::BAD_REQUEST,
        ];
        let answer = match self.http.get(url, &headers, &hoped, length) {
            Ok(answer) => answer,
            // The whole file came, and was not read.
            Err(StoreError::Status { status, .. }) if status.starts_with("200") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Ok(None);
        }
        let told = http::content_range(&answer.headers);
        let Some((first, Some(total))) = told else {
            return Ok(None);
        };
        let right = match start {
            Some(start) => first == start,
            None => first == total.saturating_sub(length),
        };
        if !right || first + answer.body.len() as u64 > total {
            return Ok(None);
        }
        Ok(Some(FilePart {
            start: first,
            total,
            bytes: answer.body,
        }))
    }

    /// Downloads a file that nothing pins to `dest`, and tells its digest and size.
    pub fn fetch_unpinned(
        &self,
        what: &str,
        url: &Url,
        size: Option<u64>,
        dest: &Utf8Path,
    ) -> Result<Sha256, StoreError> {
        self.refuse_offline(what, url)?;
        let (part, _lock) = match &self.store {
            None => (beside(dest, ".part"), None),
            Some(store) => {
                let name = Sha256::of(url.as_str().as_bytes());
                let folder = store.downloads()?;
                let lock =
                    store.lock(&format!("download-{name}"), || format!("download {what}"))?;
                forget(&folder);
                (folder.join(format!("{name}.part")), Some(lock))
            }
        };
        // What an earlier run left may be of another file, and nothing would tell.
        let _ = std::fs::remove_file(&part);
        let progress = Progress::bytes(&format!("downloading {what}"), size);
        match self.http.download(url, &part, size, &progress) {
            Ok(download) => move_to(&part, dest).map(|()| download.sha256),
            Err(error) => {
                let _ = std::fs::remove_file(&part);
                Err(error)
            }
        }
    }

    fn refuse_offline(&self, what: &str, url: &Url) -> Result<(), StoreError> {
        if self.offline {
            return Err(StoreError::Offline {
                what: what.to_owned(),
                sources: vec![redacted(url)],
            });
        }
        Ok(())
    }

    /// Gets `what` from the first source that gives the right bytes, to the file `dest`, and
    /// tells which source that was.
    ///
    /// `dest` appears whole or not at all, and is best on the file system of the store. A source
    /// that fails is passed over; the error names all of them. Trouble with this machine's disk
    /// ends it at once, since no other source would fare better.
    pub fn fetch_first<'s>(
        &self,
        what: &str,
        sources: &'s [Source],
        expected: Expected,
        dest: &Utf8Path,
    ) -> Result<&'s Source, StoreError> {
        if self.offline {
            return Err(StoreError::Offline {
                what: what.to_owned(),
                sources: sources.iter().map(ToString::to_string).collect(),
            });
        }
        let mut failures: Vec<Failure> = Vec::new();
        for source in sources {
            if let Some(failure) = failures.last() {
                // Not silently: the user should know if a mirror has gone bad.
                progress::note(&format!("{}; trying {source}", failure.error));
            }
            match self.fetch(what, source, expected, dest) {
                Ok(()) => return Ok(source),
                Err(error) if error.is_local() => return Err(error),
                Err(error) => failures.push(Failure {
                    source: source.to_string(),
                    error,
                }),
            }
        }
        Err(StoreError::Sources {
            what: what.to_owned(),
            failures,
        })
    }

    fn fetch(
        &self,
        what: &str,
        source: &Source,
        expected: Expected,
        dest: &Utf8Path,
    ) -> Result<(), StoreError> {
        let (part, _lock) = self.part(what, source, expected, dest)?;
        let job = self.look_up(what, source, expected)?;
        let progress = Progress::bytes(&format!("downloading {what}"), job.size);
        let mut resumed = false;
        let result = self.attempt(&job, source, expected, &part, dest, &progress, &mut resumed);
        match result {
            // What an earlier run left may be of another release of the file: once from the start.
            Err(StoreError::Integrity { .. } | StoreError::Archive { .. }) if resumed => {
                self.attempt(&job, source, expected, &part, dest, &progress, &mut resumed)
            }
            result => result,
        }
    }

    /// Downloads and checks; wrong bytes are deleted.
    #[expect(clippy::too_many_arguments, reason = "one step of fetch, split off")]
    fn attempt(
        &self,
        job: &Job,
        source: &Source,
        expected: Expected,
        part: &Utf8Path,
        dest: &Utf8Path,
        progress: &Progress,
        resumed: &mut bool,
    ) -> Result<(), StoreError> {
        let download = self.http.download(&job.url, part, job.size, progress)?;
        *resumed = download.resumed;
        let pins = [
            source.sha256,
            job.sha256,
            source.member.is_none().then_some(expected.sha256),
        ];
        let check = |got: Sha256, pin: Sha256, from: String| match got == pin {
            true => Ok(()),
            false => Err(StoreError::Integrity {
                from,
                expected: pin,
                got,
            }),
        };
        let result = pins
            .into_iter()
            .flatten()
            .try_for_each(|pin| check(download.sha256, pin, redacted(&job.url)))
            .and_then(|()| match (&source.member, source.format()) {
                (Some(member), Some(format)) => {
                    let taken = beside(dest, ".member");
                    let limit = expected.size.unwrap_or(u64::MAX);
                    let result = extract_member(format, part, member, limit, &taken)
                        .map_err(|error| name_archive(error, source))
                        .and_then(|got| check(got, expected.sha256, source.to_string()))
                        .and_then(|()| move_to(&taken, dest));
                    if result.is_err() {
                        let _ = std::fs::remove_file(&taken);
                    }
                    result
                }
                _ => move_to(part, dest),
            });
        // Either moved away already, or wrong, or of no more use.
        let _ = std::fs::remove_file(part);
        result
    }

    /// The file to download to, and the lock that makes it ours.
    fn part(
        &self,
        what: &str,
        source: &Source,
        expected: Expected,
        dest: &Utf8Path,
    ) -> Result<(Utf8PathBuf, Option<Lock>), StoreError> {
        let Some(store) = &self.store else {
            return Ok((beside(dest, ".part"), None));
        };
        // By digest where there is one: then a mirror can go on with what another one began.
        let pin = match source.member {
            Some(_) => source.sha256,
            None => Some(expected.sha256),
        };
        let name = pin.unwrap_or_else(|| Sha256::of(source.to_string().as_bytes()));
        let folder = store.downloads()?;
        let lock = store.lock(&format!("download-{name}"), || format!("download {what}"))?;
        forget(&folder);
        Ok((folder.join(format!("{name}.part")), Some(lock)))
    }

    /// Turns a source into an address.
    fn look_up(&self, what: &str, source: &Source, expected: Expected) -> Result<Job, StoreError> {
        let size = match source.member {
            Some(_) => None,
            None => expected.size,
        };
        let plain = |url| Job {
            url,
            size,
            sha256: None,
        };
        match &source.place {
            Place::Url(url) => Ok(plain(url.clone())),
            Place::Npm { name, version } => Ok(plain(self.registries()?.tarball(name, version)?)),
            Place::Pypi { project, file, .. } => {
                let url = self.registries()?.project_page(project)?;
                let page = self.page(what, &url, SIMPLE_JSON)?;
                let found = find_file(&page, file)?;
                Ok(Job {
                    size: size.or(found.size),
                    ..found
                })
            }
        }
    }
}

/// The parts of a PEP 691 page that are needed here.
#[derive(Deserialize)]
struct ProjectPage {
    files: Vec<ProjectFile>,
}

#[derive(Deserialize)]
struct ProjectFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    size: Option<u64>,
}

fn find_file(page: &Page, file: &str) -> Result<Job, StoreError> {
    let wrong = |problem: String| StoreError::Index {
        url: redacted(&page.url),
        problem,
    };
    if !matches!(&*page.content_type, SIMPLE_JSON | "application/json") {
        return Err(wrong(format!(
            "the index answers with {:?} and not with PEP 691 JSON",
            page.content_type
        )));
    }
    let listing: ProjectPage = serde_json::from_slice(&page.body)
        .map_err(|error| wrong(format!("the page is not PEP 691 JSON: {error}")))?;
    let entry = listing
        .files
        .iter()
        .find(|entry| entry.filename == file)
        .ok_or_else(|| wrong(format!("the index has no {file}")))?;
    let url = join(&page.url, &entry.url)?;
    if !matches!(url.scheme(), "https" | "http")
        || (page.url.scheme() == "https" && url.scheme() == "http")
    {
        return Err(wrong(format!(
            "it links to {}, which is not https",
            redacted(&url)
        )));
    }
    Ok(Job {
        url,
        size: entry.size,
        sha256: entry
            .hashes
            .get("sha256")
            .and_then(|text| text.parse().ok()),
    })
}

/// Says which source an archive came from, since its file is gone when the message is read.
fn name_archive(error: StoreError, source: &Source) -> StoreError {
    match error {
        StoreError::Archive { entry, problem, .. } => StoreError::Archive {
            archive: Source {
                member: None,
                ..source.clone()
            }
            .to_string(),
            entry,
            problem,
        },
        error => error,
    }
}

/// What asks for a page of that media type.
fn accepting(accept: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    http::insert(&mut headers, header::ACCEPT, accept);
    http::insert(&mut headers, header::ACCEPT_ENCODING, "gzip");
    headers
}

fn beside(path: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}{suffix}"))
}

/// Moves a file; across file systems by way of a copy beside the destination.
fn move_to(from: &Utf8Path, to: &Utf8Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::io("writing", to, cause);
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let copy = beside(to, ".copy");
            let result = std::fs::copy(from, &copy).and_then(|_| std::fs::rename(&copy, to));
            if result.is_err() {
                let _ = std::fs::remove_file(&copy);
            }
            result.map_err(failed)
        }
        result => result.map_err(failed),
    }
}

/// Deletes unfinished downloads that are old; that it fails does not matter.
fn forget(folder: &Utf8Path) {
    let Ok(listing) = folder.read_dir_utf8() else {
        return;
    };
    for entry in listing.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        // One that is being written is younger than any stall can last.
        if age.is_some_and(|age| age > FORGOTTEN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
