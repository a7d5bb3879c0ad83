//! Reading index pages: PEP 691 JSON and PEP 503 HTML.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::candidate::{Link, Listed, Sidecar};
use super::html;
use super::requirement::percent_decode;
use crate::store::fetch::Page;

/// What to ask an index for: JSON if it can, or else HTML.
pub const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                          application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// What a page says of a project.
#[derive(Clone, Debug, Default)]
pub struct Listing<'p> {
    /// Its files.
    pub files: Vec<Listed<'p>>,
    /// Whether the index says that nobody should install it (PEP 792).
    pub quarantined: bool,
}

#[derive(Deserialize)]
struct JsonPage<'p> {
    #[serde(default)]
    meta: Meta,
    #[serde(borrow, default)]
    files: Vec<JsonFile<'p>>,
    #[serde(rename = "project-status", default)]
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "api-version", default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile<'p> {
    #[serde(borrow)]
    filename: Cow<'p, str>,
    #[serde(borrow)]
    url: Cow<'p, str>,
    #[serde(borrow, default)]
    hashes: HashMap<Cow<'p, str>, Cow<'p, str>>,
    #[serde(borrow, default)]
    requires_python: Option<Cow<'p, str>>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(borrow, default)]
    upload_time: Option<Cow<'p, str>>,
    #[serde(default)]
    yanked: Yanked,
    #[serde(default)]
    core_metadata: Told,
    #[serde(default)]
    dist_info_metadata: Told,
}

/// `false`, `true` or a reason.
#[derive(Default)]
struct Yanked(Option<String>);

impl<'de> Deserialize<'de> for Yanked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Yanked(
            match serde_json::Value::deserialize(deserializer)? {
                serde_json::Value::Bool(true) => Some(String::new()),
                serde_json::Value::String(reason) => Some(reason),
                _ => None,
            },
        ))
    }
}

/// `false`, `true` or the digests of the metadata.
#[derive(Default)]
struct Told(Option<Sidecar>);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Told(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(true) => Some(Sidecar::Yes(None)),
            serde_json::Value::Object(hashes) => Some(Sidecar::Yes(
                hashes
                    .get("sha256")
                    .and_then(|digest| digest.as_str()?.parse().ok()),
            )),
            _ => None,
        }))
    }
}

/// Reads a page of an index or of links.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn read(page: &Page) -> Result<Listing<'_>, String> {
    match page.content_type.as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => json(page),
        "application/vnd.pypi.simple.v1+html" | "text/html" | "application/xhtml+xml" => {
            html_page(page)
        }
        other => Err(format!(
            "the index answers with {other:?}, which is neither PEP 691 JSON nor HTML"
        )),
    }
}

fn json(page: &Page) -> Result<Listing<'_>, String> {
    let read: JsonPage<'_> = serde_json::from_slice(&page.body)
        .map_err(|error| format!("the page is not PEP 691 JSON: {error}"))?;
    check_version(read.meta.version.as_deref())?;
    let base = Arc::new(page.url.clone());
    let files = read.files.into_iter().map(|file| {
        let sidecar = file.core_metadata.0.or(file.dist_info_metadata.0);
        Listed {
            sha256: file
                .hashes
                .get("sha256")
                .and_then(|digest| digest.parse().ok()),
            filename: file.filename,
            link: Link::Page(file.url, Arc::clone(&base)),
            size: file.size,
            requires_python: file.requires_python,
            upload_time: file.upload_time,
            yanked: file.yanked.0.map(Cow::Owned),
            sidecar: sidecar.unwrap_or_default(),
        }
    });
    let status = read.status.and_then(|status| status.status);
    Ok(Listing {
        files: files.collect(),
        quarantined: status.as_deref() == Some("quarantined"),
    })
}

fn html_page(page: &Page) -> Result<Listing<'_>, String> {
    let text = String::from_utf8_lossy(&page.body);
    let mut base = page.url.clone();
    let mut listing = Listing::default();
    let mut anchors = Vec::new();
    for element in html::elements(&text, &["a", "base", "meta"]) {
        let content = || element.get("content");
        match (element.tag.as_str(), element.get("name")) {
            ("base", _) => {
                if let Some(url) = element.get("href").and_then(|href| base.join(href).ok()) {
                    base = url;
                }
            }
            ("meta", Some("pypi:repository-version")) => check_version(content())?,
            ("meta", Some("pypi:project-status")) => {
                listing.quarantined = content() == Some("quarantined");
            }
            ("a", _) => anchors.push(element),
            _ => {}
        }
    }
    let base = Arc::new(base);
    for anchor in anchors {
        let Some(href) = anchor.get("href") else {
            continue;
        };
        let (link, fragment) = href.split_once('#').unwrap_or((href, ""));
        let path = link.split('?').next().unwrap_or_default();
        let filename = percent_decode(path.rsplit('/').next().unwrap_or_default());
        let owned = |name: &str| anchor.get(name).map(|value| Cow::Owned(value.to_owned()));
        let sidecar = anchor
            .get("data-core-metadata")
            .or_else(|| anchor.get("data-dist-info-metadata"));
        listing.files.push(Listed {
            filename: Cow::Owned(filename),
            link: Link::Page(Cow::Owned(link.to_owned()), Arc::clone(&base)),
            sha256: fragment
                .split('&')
                .find_map(|part| part.strip_prefix("sha256=")?.parse().ok()),
            size: None,
            requires_python: owned("data-requires-python"),
            upload_time: None,
            yanked: owned("data-yanked"),
            sidecar: match sidecar {
                None | Some("false") => Sidecar::No,
                Some(digest) => Sidecar::Yes(
                    digest
                        .strip_prefix("sha256=")
                        .and_then(|digest| digest.parse().ok()),
                ),
            },
        });
    }
    Ok(listing)
}

/// Refuses pages of a later generation, whose fields may mean something else.
fn check_version(version: Option<&str>) -> Result<(), String> {
    match version.and_then(|version| version.split('.').next()) {
        None | Some("1") => Ok(()),
        Some(_) => Err(format!(
            "the index speaks version {} of the simple API, and pyw knows 1",
            version.unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    fn page(kind: &str, body: &str) -> Page {
        Page {
            url: Url::parse("https://e.org/simple/a/").unwrap(),
            content_type: kind.to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    const DIGEST: &str = "c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3";

    #[test]
    fn json_pages() {
        let body = format!(
            r#"{{"meta":{{"api-version":"1.4"}},"name":"a","project-status":{{"status":"active"}},
            "files":[{{"filename":"a-1-py3-none-any.whl","url":"../f/a.whl","hashes":{{"sha256":
            "{DIGEST}"}},"requires-python":"\u003e=3.8","size":7,"yanked":"bad","upload-time":
            "2024-01-01T00:00:00Z","core-metadata":{{"sha256":"{DIGEST}"}},"provenance":null}},
            {{"filename":"a-2.tar.gz","url":"u","hashes":{{}},"requires-python":null,
            "yanked":false,"core-metadata":true}},
            {{"filename":"x","url":"u","dist-info-metadata":true,"yanked":true}}]}}"#
        );
        let page = page("application/vnd.pypi.simple.v1+json", &body);
        let listing = read(&page).unwrap();
        assert!(!listing.quarantined);
        let [one, two, three] = listing.files.as_slice() else {
            panic!("{listing:?}")
        };
        assert_eq!(one.sha256, DIGEST.parse().ok());
        assert_eq!(one.sidecar, Sidecar::Yes(DIGEST.parse().ok()));
        assert_eq!(one.yanked.as_deref(), Some("bad"));
        assert_eq!(one.requires_python.as_deref(), Some(">=3.8"));
        assert_eq!((two.sha256, two.yanked.as_deref()), (None, None));
        assert_eq!(three.sidecar, Sidecar::Yes(None));
        assert_eq!(three.yanked.as_deref(), Some(""));
    }

    #[test]
    fn html_pages() {
        let body = format!(
            "<html><head><meta name=\"pypi:repository-version\" content=\"1.1\">\
             <meta name=\"pypi:project-status\" content=\"quarantined\"></head><body>\
             <a href=\"../../f/a-1%2Bx-py3-none-any.whl#sha256={DIGEST}\" \
             data-requires-python=\"&gt;=3.8\" data-core-metadata=\"sha256={DIGEST}\">x</a>\
             <a href='a-2.tar.gz?x=1' data-yanked=''>y</a></body>"
        );
        let page = page("text/html", &body);
        let listing = read(&page).unwrap();
        assert!(listing.quarantined);
        let [one, two] = listing.files.as_slice() else {
            panic!("{listing:?}")
        };
        assert_eq!(one.filename, "a-1+x-py3-none-any.whl");
        assert_eq!(one.sha256, DIGEST.parse().ok());
        assert_eq!(one.sidecar, Sidecar::Yes(DIGEST.parse().ok()));
        assert_eq!(two.filename, "a-2.tar.gz");
        assert_eq!(two.yanked.as_deref(), Some(""));
    }

    #[test]
    fn other_pages_are_refused() {
        for (kind, body, problem) in [
            ("text/plain", "", "neither PEP 691 JSON nor HTML"),
            ("application/json", "{", "not PEP 691 JSON"),
            (
                "application/json",
                r#"{"meta":{"api-version":"2.0"},"files":[]}"#,
                "version 2.0",
            ),
            (
                "text/html",
                "<meta name='pypi:repository-version' content='3.1'>",
                "version 3.1",
            ),
        ] {
            let error = read(&page(kind, body)).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
