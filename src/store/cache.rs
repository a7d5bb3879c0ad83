//! Index pages that were seen before: young ones need no network, older ones only a short question.
//!
//! A cache can only help: what cannot be read is as if it were not there, and what cannot be
//! written is not kept.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use super::Store;
use super::hash::Sha256;
use super::http::{self, Answer, Page};

/// No page is believed for longer, whatever the server says.
const LONGEST: u64 = 24 * 3600;

/// The place of one page in the cache.
#[derive(Debug)]
pub(super) struct PageCache {
    file: Utf8PathBuf,
    key: String,
}

/// A page from the cache.
#[derive(Debug)]
pub(super) struct CachedPage {
    head: Head,
    body: Vec<u8>,
}

/// The first line of a cached page.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    /// Digest of the address that was asked for.
    key: String,
    /// Where the page was found. A password is not written down.
    url: String,
    content_type: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// When it was last known to be right, and until when that may be believed, in Unix time.
    checked: u64,
    fresh_until: u64,
}

impl PageCache {
    pub(super) fn new(store: &Store, url: &Url) -> Option<PageCache> {
        // The digest covers the password: one user of a store must not see another one's index.
        let key = Sha256::of(url.as_str().as_bytes()).to_string();
        let folder = store.cache_dir("pages").ok()?;
        Some(PageCache {
            file: folder.join(&key),
            key,
        })
    }

    pub(super) fn read(&self) -> Option<CachedPage> {
        let mut bytes = std::fs::read(&self.file).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        bytes.drain(..=end);
        (head.key == self.key).then_some(CachedPage { head, body: bytes })
    }

    pub(super) fn write(&self, answer: &Answer) {
        let Some(fresh) = freshness(&answer.headers) else {
            let _ = std::fs::remove_file(&self.file);
            return;
        };
        let text = |name: HeaderName| {
            let value = answer.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let checked = now();
        let mut url = answer.url.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let head = Head {
            key: self.key.clone(),
            url: url.into(),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default(),
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            checked,
            fresh_until: checked + fresh,
        };
        self.store(&head, &answer.body);
    }

    /// Notes that a page is still as it was.
    pub(super) fn renew(&self, cached: &CachedPage, headers: &HeaderMap) {
        let checked = now();
        let head = Head {
            checked,
            fresh_until: checked + freshness(headers).unwrap_or(0),
            ..cached.head.clone()
        };
        self.store(&head, &cached.body);
    }

    fn store(&self, head: &Head, body: &[u8]) {
        let Some(folder) = self.file.parent() else {
            return;
        };
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, head)?;
            file.write_all(b"\n")?;
            file.write_all(body)?;
            file.persist(&self.file)?;
            Ok(())
        };
        let _ = write();
    }
}

impl CachedPage {
    pub(super) fn is_fresh(&self) -> bool {
        // A clock that was set back must not keep a page alive.
        (self.head.checked..self.head.fresh_until).contains(&now())
    }

    /// Makes a request conditional on a change.
    pub(super) fn ask_whether_changed(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.head.etag {
            http::insert(headers, header::IF_NONE_MATCH, etag);
        } else if let Some(date) = &self.head.last_modified {
            http::insert(headers, header::IF_MODIFIED_SINCE, date);
        }
    }

    pub(super) fn page(self) -> Option<Page> {
        Some(Page {
            url: Url::parse(&self.head.url).ok()?,
            content_type: self
                .head
                .content_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase(),
            body: self.body,
        })
    }
}

/// For how many seconds an answer may be used without asking; `None` if it must not be kept.
fn freshness(headers: &HeaderMap) -> Option<u64> {
    let mut seconds = 0;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for word in value.to_str().unwrap_or_default().split(',') {
            let word = word.trim().to_ascii_lowercase();
            match word.as_str() {
                "no-store" => return None,
                "no-cache" => return Some(0),
                _ => {
                    if let Some(age) = word.strip_prefix("max-age=") {
                        seconds = age.trim_matches('"').parse().unwrap_or(0);
                    }
                }
            }
        }
    }
    let age = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .unwrap_or(0);
    Some(u64::min(seconds, LONGEST).saturating_sub(age))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_what_the_server_allows() {
        for (control, age, seconds) in [
            ("max-age=600, public", None, Some(600)),
            ("public, max-age=600", Some("100"), Some(500)),
            ("max-age=99999999", None, Some(LONGEST)),
            ("no-cache, max-age=600", None, Some(0)),
            ("no-store", None, None),
            ("max-age=x", None, Some(0)),
            ("", None, Some(0)),
        ] {
            let mut headers = HeaderMap::new();
            http::insert(&mut headers, header::CACHE_CONTROL, control);
            if let Some(age) = age {
                http::insert(&mut headers, header::AGE, age);
            }
            assert_eq!(freshness(&headers), seconds, "{control}");
        }
    }
}
