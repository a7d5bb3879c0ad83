//! Where bytes can be had: the sources that descriptors and catalogues name, and the package
//! indexes that the environment names.

use std::fmt;

use reqwest::Url;
use serde::Deserialize;

use super::error::StoreError;
use super::hash::Sha256;
use super::indexes::{IndexArguments, IndexSettings};
use super::unpack::Format;

/// One place from which something can be downloaded.
///
/// In TOML it is a table with `url`, with `pypi`, `version` and `file`, or with `npm` and
/// `version`; each may have `sha256` (of the download itself) and `member` (a path inside the
/// downloaded archive).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSource")]
pub struct Source {
    /// Where the download is.
    pub place: Place,
    /// The digest of the download; without `member` the expected digest does as well.
    pub sha256: Option<Sha256>,
    /// The path of the file to take out of the downloaded archive.
    pub member: Option<String>,
}

/// Where a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address.
    Url(Url),
    /// On a Python package index.
    Pypi {
        /// The project's name.
        project: String,
        /// The release.
        version: String,
        /// The name of the wheel or sdist.
        file: String,
    },
    /// On an npm registry.
    Npm {
        /// The package's name with its scope.
        name: String,
        /// The release.
        version: String,
    },
}

// Not an untagged enum: serde could then only say that no variant matched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    url: Option<String>,
    pypi: Option<String>,
    npm: Option<String>,
    version: Option<String>,
    file: Option<String>,
    sha256: Option<Sha256>,
    member: Option<String>,
}

impl TryFrom<RawSource> for Source {
    type Error = String;

    fn try_from(raw: RawSource) -> Result<Self, String> {
        let unwanted = |field: &Option<String>, name: &str, beside: &str| match field {
            Some(_) => Err(format!("`{name}` does not go with `{beside}`")),
            None => Ok(()),
        };
        let place = match (raw.url, raw.pypi, raw.npm) {
            (Some(url), None, None) => {
                unwanted(&raw.version, "version", "url")?;
                unwanted(&raw.file, "file", "url")?;
                Place::Url(parse_url(&url)?)
            }
            (None, Some(project), None) => Place::Pypi {
                project: checked(project, "pypi", is_word)?,
                version: checked(
                    required(raw.version, "version", "pypi")?,
                    "version",
                    is_word,
                )?,
                file: checked(required(raw.file, "file", "pypi")?, "file", is_word)?,
            },
            (None, None, Some(name)) => {
                unwanted(&raw.file, "file", "npm")?;
                Place::Npm {
                    name: checked(name, "npm", is_npm_name)?,
                    version: checked(required(raw.version, "version", "npm")?, "version", is_word)?,
                }
            }
            (None, None, None) => {
                return Err("a source needs one of `url`, `pypi` and `npm`".to_owned());
            }
            _ => return Err("a source has only one of `url`, `pypi` and `npm`".to_owned()),
        };
        let source = Source {
            place,
            sha256: raw.sha256,
            member: raw.member,
        };
        if let Some(member) = &source.member {
            let plain = !member.contains('\\')
                && member
                    .split('/')
                    .all(|part| !matches!(part, "" | "." | ".."));
            if !plain {
                return Err(format!(
                    "`member = {member:?}` is not a plain relative path"
                ));
            }
            if source.format().is_none() {
                return Err("`member` needs an archive: .whl, .zip, .tgz or .tar.gz".to_owned());
            }
        }
        Ok(source)
    }
}

fn required(field: Option<String>, name: &str, beside: &str) -> Result<String, String> {
    field.ok_or_else(|| format!("a source with `{beside}` needs `{name}`"))
}

fn checked(value: String, name: &str, valid: fn(&str) -> bool) -> Result<String, String> {
    if valid(&value) {
        Ok(value)
    } else {
        Err(format!("`{name} = {value:?}` is not valid"))
    }
}

/// A name that is one segment of an address and needs no escaping there.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+!~".contains(&byte))
}

fn is_npm_name(text: &str) -> bool {
    match text.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, name)| is_word(scope) && is_word(name)),
        None => is_word(text),
    }
}

/// Reads an address that something is downloaded from: https, or http on this machine.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`url` is not an address: {error}"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(format!(
            "`url = {:?}` must begin with https://",
            redacted(&url)
        )),
    }
}

impl Source {
    /// The archive format of the download, by its name.
    pub fn format(&self) -> Option<Format> {
        match &self.place {
            Place::Url(url) => Format::of_name(url.path()),
            Place::Pypi { file, .. } => Format::of_name(file),
            Place::Npm { .. } => Some(Format::Tgz),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Url(url) => f.write_str(&redacted(url))?,
            Place::Pypi {
                project,
                version,
                file,
            } => write!(f, "pypi {project} {version} ({file})")?,
            Place::Npm { name, version } => write!(f, "npm {name} {version}")?,
        }
        match &self.member {
            Some(member) => write!(f, " [{member}]"),
            None => Ok(()),
        }
    }
}

/// An address as it may be shown: user names, passwords and signed queries are secrets.
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for addresses that cannot have them.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.set_fragment(None);
    url.to_string()
}

/// The package indexes to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registries {
    /// The root of the Python simple index; ends with a slash.
    pub pypi: Url,
    /// The root of the npm registry; ends with a slash.
    pub npm: Url,
}

impl Registries {
    /// Those that the environment and pip's configuration name, and npm's variables.
    ///
    /// # Errors
    /// One of them is no address.
    pub fn from_env() -> Result<Self, StoreError> {
        let settings = IndexSettings::from_process(&IndexArguments::default())?;
        let variables = ["npm_config_registry", "NPM_CONFIG_REGISTRY"];
        let given = variables.into_iter().find_map(|name| {
            let value = std::env::var(name).ok()?.trim().to_owned();
            (!value.is_empty()).then_some((name, value))
        });
        let (variable, npm) = given.unwrap_or(("", "https://registry.npmjs.org/".to_owned()));
        let wrong = |problem| StoreError::Setting {
            variable: variable.to_owned(),
            problem,
        };
        let pypi = match settings.index {
            Some(index) => index.value,
            // Interpreters and runtimes are no packages: only `--offline` keeps them away.
            None => parse_root("https://pypi.org/simple/").map_err(wrong)?,
        };
        Ok(Registries {
            pypi,
            npm: parse_root(&npm).map_err(wrong)?,
        })
    }

    /// The page that lists a project's files.
    pub(super) fn project_page(&self, project: &str) -> Result<Url, StoreError> {
        let mut normal = String::with_capacity(project.len());
        for word in project.split(['-', '_', '.']).filter(|w| !w.is_empty()) {
            if !normal.is_empty() {
                normal.push('-');
            }
            normal.push_str(&word.to_ascii_lowercase());
        }
        join(&self.pypi, &format!("{normal}/"))
    }

    /// The tarball of a release.
    pub(super) fn tarball(&self, name: &str, version: &str) -> Result<Url, StoreError> {
        let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
        join(&self.npm, &format!("{name}/-/{base}-{version}.tgz"))
    }
}

/// Resolves an address that stands on a page.
pub(crate) fn join(page: &Url, address: &str) -> Result<Url, StoreError> {
    let mut url = page.join(address).map_err(|error| StoreError::Index {
        url: redacted(page),
        problem: format!("it links to {address:?}, which is not an address: {error}"),
    })?;
    // An index behind a password names its files without it, as pip and uv expect.
    if url.origin() == page.origin() && url.username().is_empty() && url.password().is_none() {
        let _ = url.set_username(page.username());
        let _ = url.set_password(page.password());
    }
    Ok(url)
}

fn parse_root(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!(
            "it begins with {}: and not with https:",
            url.scheme()
        ));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3";

    fn parse(toml: &str) -> Result<Source, String> {
        #[derive(Deserialize)]
        struct Document {
            source: Source,
        }
        toml::from_str::<Document>(&format!("source = {toml}"))
            .map(|document| document.source)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_shapes() {
        let url = parse(&format!(
            r#"{{ url = "https://example.org/a-1.tar.gz", sha256 = "{DIGEST}", member = "a/b" }}"#
        ))
        .unwrap();
        assert_eq!(url.sha256, DIGEST.parse().ok());
        assert_eq!(url.format(), Some(Format::Tgz));
        assert_eq!(url.to_string(), "https://example.org/a-1.tar.gz [a/b]");
        let pypi = parse(r#"{ pypi = "a", version = "1.0", file = "a-1.0-py3-none-any.whl" }"#);
        assert_eq!(
            pypi.unwrap().to_string(),
            "pypi a 1.0 (a-1.0-py3-none-any.whl)"
        );
        let npm = parse(r#"{ npm = "@a/b", version = "1.0.0-rc.1" }"#).unwrap();
        assert_eq!(npm.to_string(), "npm @a/b 1.0.0-rc.1");
        assert_eq!(npm.format(), Some(Format::Tgz));
    }

    #[test]
    fn wrong_shapes_are_explained() {
        for (toml, message) in [
            ("{}", "needs one of"),
            (r#"{ url = "https://a/b", npm = "c" }"#, "only one of"),
            (
                r#"{ url = "https://a/b", version = "1" }"#,
                "`version` does not go with `url`",
            ),
            (r#"{ url = "http://a/b" }"#, "must begin with https"),
            (r#"{ url = "file:///etc/passwd" }"#, "must begin with https"),
            (r#"{ url = "b" }"#, "not an address"),
            (r#"{ pypi = "a", version = "1" }"#, "needs `file`"),
            (
                r#"{ pypi = "../a", version = "1", file = "f" }"#,
                "not valid",
            ),
            (
                r#"{ pypi = "a", version = "1", file = "x/y" }"#,
                "not valid",
            ),
            (r#"{ npm = "@a", version = "1" }"#, "not valid"),
            (r#"{ npm = "a/b", version = "1" }"#, "not valid"),
            (r#"{ npm = "a" }"#, "needs `version`"),
            (
                r#"{ npm = "a", version = "1", member = "../x" }"#,
                "plain relative path",
            ),
            (
                r#"{ url = "https://a/b.bin", member = "x" }"#,
                "needs an archive",
            ),
            (
                r#"{ url = "https://a/b", sha256 = "12" }"#,
                "64 hexadecimal digits",
            ),
            (
                r#"{ url = "https://a/b", sha265 = "12" }"#,
                "unknown field `sha265`",
            ),
        ] {
            let error = parse(toml).unwrap_err();
            assert!(error.contains(message), "{toml}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = parse(r#"{ url = "https://me:pass@example.org/a?token=pass#f" }"#).unwrap();
        assert_eq!(source.to_string(), "https://***@example.org/a?***");
        let error = parse(r#"{ url = "http://me:pass@example.org/a" }"#).unwrap_err();
        assert!(!error.lines().last().unwrap_or_default().contains("pass"));
    }

    #[test]
    fn registries_make_addresses() {
        let registries = Registries {
            pypi: parse_root("https://me:pw@uv/root/simple").unwrap(),
            npm: parse_root("https://npm.example/x").unwrap(),
        };
        assert_eq!(
            registries.project_page("Foo__Bar.baz").unwrap().as_str(),
            "https://me:pw@uv/root/simple/foo-bar-baz/"
        );
        assert_eq!(
            registries.tarball("@a/b", "1.0").unwrap().as_str(),
            "https://npm.example/x/@a/b/-/b-1.0.tgz"
        );
        assert!(parse_root("ftp://x").is_err());
    }

    #[test]
    fn links_resolve_against_the_page_and_keep_its_password() {
        let page = Url::parse("https://me:pw@a/simple/x/").unwrap();
        for (link, resolved) in [
            ("../../files/x.whl", "https://me:pw@a/files/x.whl"),
            ("https://a/x.whl", "https://me:pw@a/x.whl"),
            ("https://b/x.whl", "https://b/x.whl"),
        ] {
            assert_eq!(join(&page, link).unwrap().as_str(), resolved);
        }
    }
}
