//! The one place that talks to the network: requests, retries, resuming, and caps on what comes.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use reqwest::blocking::{Client, Response};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url, redirect};

use super::cause::{is_certificate_problem, reason};
use super::dns::Dns;
use super::error::StoreError;
use super::hash::Sha256;
use super::part::Part;
use super::source::redacted;
use crate::ui::progress::Progress;

/// No single download may be bigger.
const DOWNLOAD_CAP: u64 = 2 << 30;
/// No index page may be bigger.
pub(super) const PAGE_CAP: u64 = 64 << 20;
/// The most that a server may make us wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// A broken connection that brought this much does not count as a failed try.
const WORTHWHILE: u64 = 64 * 1024;

/// How patient downloads are.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To reach a server.
    pub connect: Duration,
    /// To get the next bytes from it.
    pub stall: Duration,
    /// For a page to come to its end.
    pub page: Duration,
    /// Before the first retry; doubled for each further one.
    pub backoff: Duration,
    /// How often to try again.
    pub retries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            page: Duration::from_secs(300),
            backoff: Duration::from_millis(500),
            retries: 3,
        }
    }
}

/// An HTTP client that is built when it is first needed: reading the system's certificates takes
/// longer than a warm start may.
#[derive(Debug, Default)]
pub(super) struct Http {
    client: OnceLock<Client>,
    /// Held by who builds the client: many threads need it at once, and reading the certificates
    /// in each of them would take longer than what they ask for.
    building: Mutex<()>,
    pub(super) patience: Patience,
}

/// A page, and where it was found after redirects, to resolve its links.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it was found.
    pub url: Url,
    /// Its media type, lower-case and without parameters.
    pub content_type: String,
    /// Its content.
    pub body: Vec<u8>,
}

impl Page {
    /// A page as it came.
    pub(super) fn of(answer: Answer) -> Page {
        let content_type = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        Page {
            url: answer.url,
            content_type,
            body: answer.body,
        }
    }
}

/// An answer of a server, in memory.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Where it was found after redirects.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A body that has to come to its end in time, however steadily it trickles.
struct Patient {
    response: Response,
    until: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("the answer came too slowly to go on waiting for its end")]
struct TooSlow;

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, TooSlow));
        }
        self.response.read(buffer)
    }
}

/// What a download gave.
pub(super) struct Downloaded {
    pub(super) sha256: Sha256,
    /// Whether the beginning came from an earlier run, so that wrong bytes may be stale ones.
    pub(super) resumed: bool,
}

/// Why a try failed, and whether another one may help.
enum Try {
    Again(StoreError, Option<Duration>),
    Never(StoreError),
}

impl From<StoreError> for Try {
    fn from(error: StoreError) -> Self {
        Try::Never(error)
    }
}

impl Http {
    /// Downloads to the file `part`, going on where an earlier download left it.
    ///
    /// Bytes that are known to be wrong are deleted; what a broken connection left is kept.
    pub(super) fn download(
        &self,
        url: &Url,
        part: &Utf8Path,
        size: Option<u64>,
        progress: &Progress,
    ) -> Result<Downloaded, StoreError> {
        let mut part = Part::open(part)?;
        let resumed = part.size() > 0;
        let mut etag = None;
        let mut furthest = part.size();
        let mut tries = 0;
        let result = loop {
            match self.download_once(url, &mut part, size, &mut etag, progress) {
                Ok(()) => break Ok(()),
                Err(Try::Never(error)) => break Err(error),
                Err(Try::Again(error, wait)) => {
                    // Measured against the furthest point ever, so that a server that always
                    // breaks at the same one comes to an end.
                    if part.size() >= furthest.saturating_add(WORTHWHILE) {
                        tries = 0;
                    }
                    furthest = furthest.max(part.size());
                    if !self.wait(&mut tries, wait) {
                        break Err(error);
                    }
                }
            }
        };
        match result {
            Ok(()) => Ok(Downloaded {
                sha256: part.sha256(),
                resumed,
            }),
            Err(error) => {
                // Too many bytes are wrong bytes, and a full disk must not stay full of ours.
                if !matches!(
                    error,
                    StoreError::Connection { .. } | StoreError::Status { .. }
                ) {
                    part.discard();
                }
                Err(error)
            }
        }
    }

    /// One request and its answer.
    fn download_once(
        &self,
        url: &Url,
        part: &mut Part,
        size: Option<u64>,
        etag: &mut Option<HeaderValue>,
        progress: &Progress,
    ) -> Result<(), Try> {
        if part.size() > size.unwrap_or(DOWNLOAD_CAP) {
            part.restart()?;
        } else if size == Some(part.size()) && part.size() > 0 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        if part.size() > 0 {
            insert(
                &mut headers,
                header::RANGE,
                &format!("bytes={}-", part.size()),
            );
            if let Some(etag) = etag {
                headers.insert(header::IF_RANGE, etag.clone());
            }
        }
        let response = self.send(url, headers)?;
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => match content_range(response.headers()) {
                Some((start, total)) if start == part.size() && start > 0 => total,
                _ => {
                    part.restart()?;
                    return Err(Try::Again(
                        connection(url, "the server sent another range than was asked for"),
                        None,
                    ));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if part.size() > 0 => {
                part.restart()?;
                return Err(Try::Again(status(url, &response), Some(Duration::ZERO)));
            }
            StatusCode::OK => {
                part.restart()?;
                response.content_length()
            }
            _ => return Err(refused(url, &response)),
        };
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let problem = "the server compressed the file on its own account";
            return Err(Try::Never(connection(url, problem)));
        }
        *etag = response
            .headers()
            .get(header::ETAG)
            // A weak tag only says that the content means the same.
            .filter(|etag| !etag.as_bytes().starts_with(b"W/"))
            .cloned();
        if let (Some(total), Some(size)) = (total, size)
            && total != size
        {
            return Err(Try::Never(wrong_size(
                url,
                format!("it has {total} bytes where {size} are expected"),
            )));
        }
        let expected = size.or(total);
        let cap = expected.unwrap_or(DOWNLOAD_CAP).min(DOWNLOAD_CAP);
        if let Some(expected) = expected {
            if expected > cap {
                return Err(Try::Never(too_big(url, cap)));
            }
            progress.set_total(expected);
        }
        progress.set_position(part.size());
        self.receive(url, response, part, cap, progress)?;
        match expected {
            Some(expected) if part.size() < expected => Err(Try::Again(
                connection(url, "the connection was closed before the end"),
                None,
            )),
            _ => Ok(()),
        }
    }

    /// Writes a body to the part, never beyond the cap.
    fn receive(
        &self,
        url: &Url,
        mut response: Response,
        part: &mut Part,
        cap: u64,
        progress: &Progress,
    ) -> Result<(), Try> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match response.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Try::Again(connection(url, &reason(&error)), None)),
            };
            if part.size() + count as u64 > cap {
                return Err(Try::Never(too_big(url, cap)));
            }
            part.write(&buffer[..count])?;
            progress.inc(count as u64);
        }
    }

    /// Gets an answer of at most `cap` bytes into memory. Only the statuses in `hoped` are answers,
    /// all others are errors.
    pub(super) fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        hoped: &[StatusCode],
        cap: u64,
    ) -> Result<Answer, StoreError> {
        let mut tries = 0;
        loop {
            match self.get_once(url, headers, hoped, cap) {
                Ok(answer) => return Ok(answer),
                Err(Try::Never(error)) => return Err(error),
                Err(Try::Again(error, wait)) => {
                    if !self.wait(&mut tries, wait) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn get_once(
        &self,
        url: &Url,
        headers: &HeaderMap,
        hoped: &[StatusCode],
        cap: u64,
    ) -> Result<Answer, Try> {
        let mut response = self.send(url, headers.clone())?;
        if !hoped.contains(&response.status()) {
            return Err(refused(url, &response));
        }
        if response.content_length().is_some_and(|length| length > cap) {
            return Err(Try::Never(too_big(url, cap)));
        }
        let status = response.status();
        let found = response.url().clone();
        let headers = std::mem::take(response.headers_mut());
        let gzipped = headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|encoding| encoding == "gzip");
        let body = Patient {
            response,
            until: Instant::now() + self.patience.page,
        };
        // The cap is on what comes out, so that a small answer cannot become a huge one.
        let mut body: Box<dyn Read> = match gzipped {
            true => Box::new(flate2::read::MultiGzDecoder::new(body).take(cap + 1)),
            false => Box::new(body.take(cap + 1)),
        };
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut if error.get_ref().is_some_and(|e| e.is::<TooSlow>()) => {
                    Try::Never(connection(url, &error.to_string()))
                }
                _ => Try::Again(connection(url, &reason(&error)), None),
            })?;
        if bytes.len() as u64 > cap {
            return Err(Try::Never(too_big(url, cap)));
        }
        Ok(Answer {
            status,
            url: found,
            headers,
            body: bytes,
        })
    }

    /// Waits before the next try, if there is one left.
    fn wait(&self, tries: &mut u32, asked: Option<Duration>) -> bool {
        if *tries >= self.patience.retries {
            return false;
        }
        let backoff = self.patience.backoff.saturating_mul(1 << (*tries).min(10));
        std::thread::sleep(asked.unwrap_or(backoff).min(LONGEST_WAIT));
        *tries += 1;
        true
    }

    fn send(&self, url: &Url, headers: HeaderMap) -> Result<Response, Try> {
        let request = self.client()?.get(url.clone()).headers(headers);
        request.send().map_err(|error| {
            let error = error.without_url();
            let failed = connection(url, &reason(&error));
            if error.is_redirect() || error.is_builder() || is_certificate_problem(&error) {
                Try::Never(failed)
            } else {
                Try::Again(failed, None)
            }
        })
    }

    fn client(&self) -> Result<&Client, StoreError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error only says that somebody else installed one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("pyw/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience.connect)
            // In the blocking client this holds for each read and not for the whole download.
            .timeout(self.patience.stall)
            .redirect(redirect::Policy::custom(check_redirect))
            .dns_resolver(Arc::new(Dns::default()))
            .build()
            .map_err(|error| StoreError::Tls {
                problem: reason(&error),
            })?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn check_redirect(attempt: redirect::Attempt<'_>) -> redirect::Action {
    match may_redirect(attempt.previous(), attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(problem) => attempt.error(problem),
    }
}

fn may_redirect(previous: &[Url], next: &Url) -> Result<(), &'static str> {
    if previous.len() > REDIRECTS {
        return Err("it redirects more than 5 times");
    }
    if next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https") {
        return Err("it redirects from https to http");
    }
    // A password that the server made up, for a host that is not its own. (That the user's own
    // password is not sent on to another host is the client's doing.)
    let secret = !next.username().is_empty() || next.password().is_some();
    if secret && previous.first().map(Url::origin) != Some(next.origin()) {
        return Err("it redirects to another host with a password");
    }
    Ok(())
}

pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The start and the full size of `Content-Range: bytes START-END/SIZE`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?;
    let (range, total) = value
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// A status that is none of those hoped for.
fn refused(url: &Url, response: &Response) -> Try {
    let code = response.status();
    let error = status(url, response);
    let busy = matches!(
        code,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    );
    if !busy && !code.is_server_error() {
        return Try::Never(error);
    }
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Try::Again(error, seconds.map(Duration::from_secs))
}

fn status(url: &Url, response: &Response) -> StoreError {
    StoreError::Status {
        url: redacted(url),
        status: response.status().to_string(),
    }
}

fn connection(url: &Url, problem: &str) -> StoreError {
    StoreError::Connection {
        url: redacted(url),
        problem: problem.to_owned(),
    }
}

fn wrong_size(url: &Url, problem: String) -> StoreError {
    StoreError::Size {
        from: redacted(url),
        problem,
    }
}

fn too_big(url: &Url, cap: u64) -> StoreError {
    wrong_size(url, format!("more than {cap} bytes came"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_few_and_stay_secure() {
        let url = |text| Url::parse(text).unwrap();
        let (plain, secure) = (url("http://a/"), url("https://a/"));
        assert!(may_redirect(std::slice::from_ref(&plain), &secure).is_ok());
        assert!(may_redirect(std::slice::from_ref(&secure), &secure).is_ok());
        assert!(may_redirect(std::slice::from_ref(&secure), &plain).is_err());
        assert!(may_redirect(&vec![plain.clone(); REDIRECTS], &plain).is_ok());
        assert!(may_redirect(&vec![plain.clone(); REDIRECTS + 1], &plain).is_err());
    }
}
