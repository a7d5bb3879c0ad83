//! Interpreters as an index or a folder offers them: pybis by name, version and platform.
//!
//! An index is a simple one (PEP 503 or 691) whose project `cpython` has files that end in `.pybi`,
//! or one page with links to such files.

use std::str::FromStr as _;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::VersionSpecifiers;
use reqwest::Url;

use super::candidate::Link;
use super::page;
use super::requirement::last_segment;
use crate::error::Code;
use crate::interpreter::Platform;
use crate::interpreter::choose::Wanted;
use crate::interpreter::pybi::name::{PybiName, platform_of};
use crate::store::fetch::{Expected, Fetcher};
use crate::store::source::{Place, Source, join, parse_url, redacted};
use crate::store::{Sha256, StoreError};

/// Where pybis are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pybis {
    /// A folder of files.
    Folder(Utf8PathBuf),
    /// A simple index, or a page of links.
    Index(Url),
}

/// What is wanted of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPybi {
    /// The distribution, such as `cpython`.
    pub distribution: String,
    /// The versions that will do.
    pub versions: VersionSpecifiers,
}

/// A pybi that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPybi {
    /// What its name says.
    pub name: PybiName,
    /// Its file name.
    pub file: String,
    /// Where it is.
    pub place: FoundAt,
}

/// Where a pybi is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundAt {
    /// On this machine.
    File(Utf8PathBuf),
    /// At an address, with the digest that the index tells.
    Url(Url, Option<Sha256>),
}

/// Why there is no pybi.
#[derive(Debug, thiserror::Error)]
pub enum PybisError {
    /// It is neither a folder nor an address.
    #[error("`{text}` is neither a folder nor the address of an index: {problem}")]
    NoIndex {
        /// What was given.
        text: String,
        /// Why it is none.
        problem: String,
    },
    /// It is no requirement.
    #[error("`{text}` does not say which interpreter: {problem}")]
    NotUnderstood {
        /// What was given.
        text: String,
        /// Why.
        problem: String,
    },
    /// Nothing fits.
    #[error("{place} has no {wanted} for WASI or Emscripten")]
    NoMatch {
        /// Where it was looked for.
        place: String,
        /// What was looked for.
        wanted: String,
        /// The pybis that are there.
        there: Vec<String>,
    },
    /// A file name that cannot be one.
    #[error("{url} does not name a file")]
    NoFileName {
        /// The address.
        url: String,
    },
    /// The network or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PybisError {
    /// The exit code that this ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoIndex { .. } | Self::NotUnderstood { .. } | Self::NoFileName { .. } => {
                Code::Usage
            }
            Self::NoMatch { .. } => Code::NotFound,
            Self::Store(error) => error.code(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoIndex { .. } => "say --index FOLDER or --index https://…".into(),
            Self::NotUnderstood { .. } => "say a name and versions, as in `cpython>=3.13`".into(),
            Self::NoMatch { there, .. } if there.is_empty() => "there is no .pybi in it".into(),
            Self::NoMatch { there, .. } => format!("it has {}", there.join(", ")),
            Self::NoFileName { .. } => "the address has to end with the name of a file".into(),
            Self::Store(error) => return error.hint(),
        })
    }
}

impl WantedPybi {
    /// Reads `cpython>=3.13`, `cpython`, or what stands for versions of it, such as `3.13`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, PybisError> {
        let text = text.trim();
        let wrong = |problem: String| PybisError::NotUnderstood {
            text: text.to_owned(),
            problem,
        };
        let named = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
        let (name, rest) = match named {
            true => text.split_at(end.unwrap_or(text.len())),
            false => ("cpython", text),
        };
        let versions = match rest.trim() {
            "" if named => VersionSpecifiers::empty(),
            "" => return Err(wrong("it is empty".into())),
            rest => match Wanted::parse(rest) {
                Ok(Wanted::Version(versions)) => versions,
                _ => VersionSpecifiers::from_str(rest).map_err(|e| wrong(e.to_string()))?,
            },
        };
        Ok(Self {
            distribution: name.to_ascii_lowercase(),
            versions,
        })
    }

    fn fits(&self, name: &PybiName) -> bool {
        let normal = |text: &str| text.replace(['-', '.'], "_");
        normal(&name.distribution) == normal(&self.distribution)
            && self.versions.contains(&name.version)
            && name
                .platform
                .split('.')
                .any(|tag| platform_of(tag).is_some())
    }
}

impl std::fmt::Display for WantedPybi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.distribution, self.versions)
    }
}

impl Pybis {
    /// Reads the value of `--index`; a folder is relative to `cwd`.
    ///
    /// # Errors
    /// It is neither a folder nor an address.
    pub fn parse(text: &str, cwd: &Utf8Path) -> Result<Self, PybisError> {
        if text.contains("://") {
            let url = parse_url(text).map_err(|problem| PybisError::NoIndex {
                text: text.to_owned(),
                problem,
            })?;
            return Ok(Self::Index(url));
        }
        let folder = cwd.join(text);
        match folder.is_dir() {
            true => Ok(Self::Folder(folder)),
            false => Err(PybisError::NoIndex {
                text: text.to_owned(),
                problem: "there is no such folder".to_owned(),
            }),
        }
    }

    /// The best pybi that fits: for WASI before others, the newest version and build.
    /// Pre-releases only where they are asked for or nothing else fits, as PEP 440 has it.
    ///
    /// # Errors
    /// None fits; the index cannot be read.
    pub fn find(&self, wanted: &WantedPybi, fetcher: &Fetcher) -> Result<FoundPybi, PybisError> {
        let (all, place) = match self {
            Self::Folder(folder) => (in_folder(folder)?, folder.to_string()),
            Self::Index(url) => (on_index(url, wanted, fetcher)?, redacted(url)),
        };
        let asks_for_early = wanted.versions.iter().any(|s| s.any_prerelease());
        let rank = |found: &FoundPybi| {
            let early = found.name.version.any_prerelease() && !asks_for_early;
            let wasi = platform_of(&found.name.platform) == Some(Platform::Wasi);
            let name = &found.name;
            (!early, wasi, name.version.clone(), name.build.clone())
        };
        let there: Vec<String> = all.iter().map(|found| found.file.clone()).collect();
        let fitting = all.into_iter().filter(|found| wanted.fits(&found.name));
        fitting.max_by_key(rank).ok_or_else(|| PybisError::NoMatch {
            place,
            wanted: wanted.to_string(),
            there,
        })
    }
}

fn in_folder(folder: &Utf8Path) -> Result<Vec<FoundPybi>, PybisError> {
    let failed = |cause| StoreError::io("listing", folder, cause);
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some(name) = PybiName::parse(entry.file_name()) {
            found.push(FoundPybi {
                name,
                file: entry.file_name().to_owned(),
                place: FoundAt::File(entry.path().to_owned()),
            });
        }
    }
    Ok(found)
}

fn on_index(
    index: &Url,
    wanted: &WantedPybi,
    fetcher: &Fetcher,
) -> Result<Vec<FoundPybi>, PybisError> {
    let mut root = index.clone();
    if !root.path().ends_with('/') {
        root.set_path(&format!("{}/", index.path()));
    }
    let project = join(&root, &format!("{}/", wanted.distribution))?;
    let mut found = Vec::new();
    for url in [&project, index] {
        let Some(page) = fetcher.cached_page("interpreters", url, page::ACCEPT, true)? else {
            continue;
        };
        let listing = page::read(&page).map_err(|problem| StoreError::Index {
            url: redacted(&page.url),
            problem,
        })?;
        for file in listing.files {
            let Some(name) = PybiName::parse(&file.filename) else {
                continue;
            };
            let Link::Page(link, base) = &file.link else {
                continue;
            };
            if file.yanked.is_some() {
                continue;
            }
            let url = join(base, link)?;
            let safe = match url.scheme() {
                "https" => true,
                "http" => base.scheme() == "http",
                _ => false,
            };
            if !safe {
                return Err(StoreError::Index {
                    url: redacted(base),
                    problem: format!("it links to {}, which is not https", redacted(&url)),
                }
                .into());
            }
            found.push(FoundPybi {
                name,
                file: file.filename.clone().into_owned(),
                place: FoundAt::Url(url, file.sha256),
            });
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

impl FoundPybi {
    /// The file on this machine; what has to be downloaded goes into `folder`, under its own name.
    ///
    /// # Errors
    /// It cannot be downloaded, or is not what the index says.
    pub fn get(&self, folder: &Utf8Path, fetcher: &Fetcher) -> Result<Utf8PathBuf, PybisError> {
        match &self.place {
            FoundAt::File(path) => Ok(path.clone()),
            FoundAt::Url(url, sha256) => download(url, *sha256, &self.file, folder, fetcher),
        }
    }

    /// Where it came from, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.place {
            FoundAt::File(path) => path.to_string(),
            FoundAt::Url(url, _) => redacted(url),
        }
    }
}

/// Downloads what a user named by its address to `folder`, under its own name. A fragment
/// `#sha256=…` pins it. Answers with the path and with the address as it may be shown.
///
/// # Errors
/// The address is not one of a file, or the file cannot be had.
pub fn from_url(
    text: &str,
    folder: &Utf8Path,
    fetcher: &Fetcher,
) -> Result<(Utf8PathBuf, String), PybisError> {
    let wrong = |problem: String| PybisError::NotUnderstood {
        text: text.to_owned(),
        problem,
    };
    let mut url = parse_url(text).map_err(wrong)?;
    let fragment = url.fragment().unwrap_or_default().to_owned();
    url.set_fragment(None);
    let sha256 = match fragment.strip_prefix("sha256=") {
        None => None,
        Some(digest) => Some(digest.parse::<Sha256>().map_err(|e| wrong(e.to_string()))?),
    };
    let shown = redacted(&url);
    let file = last_segment(&url);
    if file.is_empty() || file.starts_with('.') || file.contains(['/', '\\', '\0']) {
        return Err(PybisError::NoFileName { url: shown });
    }
    let path = download(&url, sha256, &file, folder, fetcher)?;
    Ok((path, shown))
}

fn download(
    url: &Url,
    sha256: Option<Sha256>,
    file: &str,
    folder: &Utf8Path,
    fetcher: &Fetcher,
) -> Result<Utf8PathBuf, PybisError> {
    let path = folder.join(file);
    match sha256 {
        None => {
            fetcher.fetch_unpinned(file, url, None, &path)?;
        }
        Some(sha256) => {
            let source = Source {
                place: Place::Url(url.clone()),
                sha256: None,
                member: None,
            };
            let expected = Expected { sha256, size: None };
            fetcher.fetch_first(file, &[source], expected, &path)?;
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let fetcher = Fetcher::new(true);
        for file in [
            "cpython-3.12.0-wasi_wasm32.pybi",
            "cpython-3.13.5-wasi_0_0_0_wasm32.pybi",
            "cpython-3.13.5-2-wasi_wasm32.pybi",
            "cpython-3.14.0-pyemscripten_2026_0_wasm32.pybi",
            "cpython-3.14.7-manylinux_2_17_x86_64.pybi",
            "cpython-3.15.0rc1-wasi_wasm32.pybi",
            "pypy-3.13.9-wasi_wasm32.pybi",
            "cpython-3.99.0.pybi",
            "notes.txt",
        ] {
            std::fs::write(folder.join(file), b"").unwrap();
        }
        let pybis = Pybis::parse(folder.as_str(), Utf8Path::new("/")).unwrap();
        let find = |text: &str| {
            let wanted = WantedPybi::parse(text)?;
            pybis.find(&wanted, &fetcher).map(|found| found.file)
        };
        for (wanted, file) in [
            ("cpython", "cpython-3.13.5-2-wasi_wasm32.pybi"),
            ("CPython >= 3.12", "cpython-3.13.5-2-wasi_wasm32.pybi"),
            ("3.12", "cpython-3.12.0-wasi_wasm32.pybi"),
            (
                "cpython==3.14.*",
                "cpython-3.14.0-pyemscripten_2026_0_wasm32.pybi",
            ),
            ("cpython>=3.15.0rc1", "cpython-3.15.0rc1-wasi_wasm32.pybi"),
            ("pypy", "pypy-3.13.9-wasi_wasm32.pybi"),
        ] {
            assert_eq!(find(wanted).unwrap(), file, "{wanted}");
        }
        let none = find("cpython>=4").unwrap_err();
        assert!(
            none.to_string().contains("has no cpython>=4 for WASI"),
            "{none}"
        );
        assert_eq!(none.code(), Code::NotFound);
        for wrong in ["", "cpython>>3", "cpython 3.13 or so"] {
            assert_eq!(find(wrong).unwrap_err().code(), Code::Usage, "{wrong}");
        }
        assert!(Pybis::parse("nowhere", folder).is_err());
        assert!(Pybis::parse("http://e.org/simple", folder).is_err());
    }
}
