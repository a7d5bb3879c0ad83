//! A small package index: wheels made in memory and pages that list them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pyw::store::Sha256;

use super::server::{Reply, Request, Server};
use super::zip::{self, zip};

pub const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// One file of an index.
#[derive(Clone, Default)]
pub struct Entry {
    pub filename: String,
    pub body: Vec<u8>,
    pub requires_python: Option<String>,
    pub yanked: Option<String>,
    pub upload_time: Option<String>,
    /// Advertise its metadata with this digest and serve these bytes.
    pub sidecar: Option<(Option<Sha256>, Vec<u8>)>,
    pub no_hash: bool,
    pub no_size: bool,
}

impl Entry {
    pub fn yanked(mut self, reason: &str) -> Self {
        self.yanked = Some(reason.to_owned());
        self
    }

    pub fn python(mut self, wanted: &str) -> Self {
        self.requires_python = Some(wanted.to_owned());
        self
    }

    pub fn uploaded(mut self, time: &str) -> Self {
        self.upload_time = Some(time.to_owned());
        self
    }

    fn project(&self) -> String {
        let name = self.filename.split('-').next().unwrap();
        name.to_ascii_lowercase().replace(['_', '.'], "-")
    }

    /// Any file that is no wheel.
    pub fn file(filename: &str) -> Entry {
        Entry {
            filename: filename.to_owned(),
            body: b"not looked at".to_vec(),
            ..Entry::default()
        }
    }
}

/// The METADATA of a release that needs this.
pub fn metadata(name: &str, version: &str, requires: &[&str]) -> Vec<u8> {
    let mut text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for requirement in requires {
        match requirement.strip_prefix("extra:") {
            Some(extra) => text += &format!("Provides-Extra: {extra}\n"),
            None => text += &format!("Requires-Dist: {requirement}\n"),
        }
    }
    text += "\nDescription\n";
    text.into_bytes()
}

/// A wheel of that name that needs this; `extra:NAME` offers an extra.
pub fn wheel(filename: &str, requires: &[&str]) -> Entry {
    let mut parts = filename.split('-');
    let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
    let metadata = metadata(name, version, requires);
    Entry {
        filename: filename.to_owned(),
        body: zip(&[
            zip::Entry::file(&format!("{name}/__init__.py"), [b'#'; 20]),
            zip::Entry::file(&format!("{name}-{version}.dist-info/METADATA"), metadata),
        ]),
        ..Entry::default()
    }
}

/// A pure wheel.
pub fn pure(name: &str, version: &str, requires: &[&str]) -> Entry {
    wheel(&format!("{name}-{version}-py3-none-any.whl"), requires)
}

/// The page of a project in PEP 691 JSON.
pub fn page(name: &str, entries: &[Entry]) -> String {
    let files: Vec<serde_json::Value> = entries
        .iter()
        .map(|entry| {
            let mut file = serde_json::json!({
                "filename": entry.filename,
                "url": format!("../../files/{}", entry.filename),
                "hashes": {},
            });
            if !entry.no_hash {
                file["hashes"] = serde_json::json!({
                    "sha256": Sha256::of(&entry.body).to_string()
                });
            }
            if !entry.no_size {
                file["size"] = entry.body.len().into();
            }
            if let Some(wanted) = &entry.requires_python {
                file["requires-python"] = wanted.as_str().into();
            }
            if let Some(reason) = &entry.yanked {
                file["yanked"] = reason.as_str().into();
            }
            if let Some(time) = &entry.upload_time {
                file["upload-time"] = time.as_str().into();
            }
            if let Some((digest, _)) = &entry.sidecar {
                file["core-metadata"] = match digest {
                    Some(digest) => serde_json::json!({ "sha256": digest.to_string() }),
                    None => true.into(),
                };
            }
            file
        })
        .collect();
    serde_json::json!({
        "meta": { "api-version": "1.1" },
        "name": name,
        "files": files,
    })
    .to_string()
}

/// A range of a file, as `a-b` or `-n`.
pub fn part(request: &Request, body: &[u8]) -> Reply {
    let Some(range) = request.headers.get("range") else {
        return Reply::Other(200, Vec::new(), body.to_vec());
    };
    let (start, end) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let size = body.len();
    let (start, end) = match (start.parse::<usize>(), end.parse::<usize>()) {
        (Ok(start), Ok(end)) => (start, end.min(size - 1)),
        (Ok(start), Err(_)) => (start, size - 1),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size - 1),
        _ => return Reply::Status(416, Vec::new()),
    };
    let told = format!("bytes {start}-{end}/{size}");
    Reply::Other(
        206,
        vec![("Content-Range", told)],
        body[start..=end].to_vec(),
    )
}

/// Starts an index of these files at `/simple/`, which serves ranges.
pub fn serve(entries: Vec<Entry>) -> Server {
    serve_but(entries, |_, _| None)
}

/// Starts an index, of which `other` may answer some requests in another way.
pub fn serve_but(
    entries: Vec<Entry>,
    other: impl Fn(&Request, &BTreeMap<String, Vec<Entry>>) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    let mut projects: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        projects.entry(entry.project()).or_default().push(entry);
    }
    let projects = Arc::new(Mutex::new(projects));
    Server::start(move |request| {
        let projects = projects.lock().unwrap();
        other(request, &projects).unwrap_or_else(|| usual(request, &projects))
    })
}

pub fn usual(request: &Request, projects: &BTreeMap<String, Vec<Entry>>) -> Reply {
    if let Some(name) = request.path.strip_prefix("/simple/") {
        let name = name.trim_end_matches('/');
        return match projects.get(name) {
            Some(entries) => Reply::Page(JSON, page(name, entries)),
            None => Reply::Status(404, Vec::new()),
        };
    }
    let Some(file) = request.path.strip_prefix("/files/") else {
        return Reply::Status(404, Vec::new());
    };
    let entries = || projects.values().flatten();
    if let Some(wheel) = file.strip_suffix(".metadata") {
        let entry = entries().find(|entry| entry.filename == wheel);
        return match entry.and_then(|entry| entry.sidecar.as_ref()) {
            Some((_, bytes)) => Reply::Other(200, Vec::new(), bytes.clone()),
            None => Reply::Status(404, Vec::new()),
        };
    }
    match entries().find(|entry| entry.filename == file) {
        Some(entry) => part(request, &entry.body),
        None => Reply::Status(404, Vec::new()),
    }
}
