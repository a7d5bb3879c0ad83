//! Which Python package indexes to use: what the command line, the environment and pip's
//! configuration files say.
//!
//! Every setting (the index, the extra indexes, the links) is taken from the first of these that
//! has it, whatever the others say of the other settings:
//!
//! 1. the command line: `--index-url`, `--extra-index-url`, `--find-links`, `--no-index`;
//! 2. pyw's variables: `PYW_INDEX_URL`, `PYW_EXTRA_INDEX_URL`, `PYW_FIND_LINKS`, `PYW_NO_INDEX`;
//! 3. uv's: `UV_DEFAULT_INDEX`, `UV_INDEX_URL`; `UV_INDEX`, `UV_EXTRA_INDEX_URL`;
//!    `UV_FIND_LINKS`; `UV_NO_INDEX`;
//! 4. pip's: `PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`, `PIP_FIND_LINKS`, `PIP_NO_INDEX`;
//! 5. pip's configuration files, `[install]` before `[global]`: the one that `PIP_CONFIG_FILE`
//!    names (`/dev/null`: no file at all), that of the virtual environment, the user's
//!    (`~/.config/pip/pip.conf`, `~/.pip/pip.conf`), the system's (`/etc/pip.conf`).
//!
//! Where the packages of Pyodide's own distribution are, only `--pyodide-packages` and
//! `PYW_PYODIDE_PACKAGES` say; they are no index.
//!
//! An empty variable is as if unset. Without any setting the index is PyPI.
//!
//! The extra indexes are asked first, in their order, and the index last. **The first one that
//! knows a project is the only one that is asked for it** (as uv does it, unlike pip): a private
//! project cannot be replaced by a public one of the same name.

use camino::{Utf8Path, Utf8PathBuf};
use reqwest::Url;

use super::error::StoreError;
use super::source::redacted;
use crate::config::{Origin, Setting};

/// The index that everybody uses.
const PYPI: &str = "https://pypi.org/simple/";

/// What the command line says of indexes; requirements files say it in the same words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexArguments {
    /// `--index-url`.
    pub index_url: Option<String>,
    /// `--extra-index-url`, in order.
    pub extra_index_url: Vec<String>,
    /// `--find-links`, in order.
    pub find_links: Vec<String>,
    /// `--no-index`.
    pub no_index: bool,
    /// `--pyodide-packages`.
    pub pyodide_packages: Option<String>,
}

impl IndexArguments {
    /// Adds what a requirements file says; what stood here before goes first.
    pub fn merge(&mut self, file: IndexArguments) {
        self.index_url = self.index_url.take().or(file.index_url);
        self.extra_index_url.extend(file.extra_index_url);
        self.find_links.extend(file.find_links);
        self.no_index |= file.no_index;
        self.pyodide_packages = self.pyodide_packages.take().or(file.pyodide_packages);
    }
}

/// Which indexes to use, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSettings {
    /// The index, asked last; `None` if only links are to be used.
    pub index: Option<Setting<Url>>,
    /// More indexes, in the order in which they are asked.
    pub extra: Vec<Setting<Url>>,
    /// Where single files are.
    pub find_links: Vec<Setting<Links>>,
    /// Where the packages of an interpreter's own distribution are, in place of where its maker
    /// has them.
    pub pyodide_packages: Option<Setting<Links>>,
    /// pip's configuration files, there or not.
    pub looked_for: Vec<Utf8PathBuf>,
}

/// A place with files of many projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Links {
    /// A folder.
    Folder(Utf8PathBuf),
    /// A page with links.
    Page(Url),
}

/// What is around pyw: everything that is read beside the command line.
pub struct Surroundings<'a> {
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths start.
    pub folder: &'a Utf8Path,
    /// pip's configuration files without `PIP_CONFIG_FILE`, the most important one first.
    pub pip_files: Vec<Utf8PathBuf>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("folder", &self.folder)
            .field("pip_files", &self.pip_files)
            .finish_non_exhaustive()
    }
}

/// One level of settings, as texts.
#[derive(Default)]
struct Level {
    index: Option<(String, Origin)>,
    extra: Option<(Vec<String>, Origin)>,
    links: Option<(Vec<String>, Origin)>,
    no_index: Option<(bool, Origin)>,
    pyodide: Option<(String, Origin)>,
    /// Where its relative paths start.
    folder: Utf8PathBuf,
}

impl IndexSettings {
    /// The settings of this process.
    ///
    /// # Errors
    /// Something that was set cannot be used.
    pub fn from_process(arguments: &IndexArguments) -> Result<Self, StoreError> {
        let variable = |name: &str| std::env::var(name).ok();
        let folder = std::env::current_dir()
            .ok()
            .and_then(|folder| Utf8PathBuf::from_path_buf(folder).ok())
            .unwrap_or_default();
        let surroundings = Surroundings {
            pip_files: pip_files(&variable),
            variable: &variable,
            folder: &folder,
        };
        Self::new(arguments, &surroundings)
    }

    /// The settings that arguments and surroundings make.
    ///
    /// # Errors
    /// Something that was set cannot be used.
    pub fn new(
        arguments: &IndexArguments,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, StoreError> {
        let mut levels = vec![command_line(arguments, surroundings.folder)];
        for family in FAMILIES {
            levels.push(environment(family, surroundings));
        }
        let given = (surroundings.variable)("PIP_CONFIG_FILE").filter(|file| !file.is_empty());
        let none = given.as_deref() == Some("/dev/null") || given.as_deref() == Some("nul");
        let given = given.map(|file| surroundings.folder.join(file));
        let looked_for: Vec<_> = match none {
            true => Vec::new(),
            false => given
                .iter()
                .chain(&surroundings.pip_files)
                .cloned()
                .collect(),
        };
        for file in &looked_for {
            levels.extend(pip_file(file));
        }
        let no_index = levels.iter().find_map(|level| level.no_index.as_ref());
        let no_index = no_index.is_some_and(|(no, _)| *no);
        let mut settings = IndexSettings {
            index: None,
            extra: Vec::new(),
            find_links: Vec::new(),
            pyodide_packages: None,
            looked_for,
        };
        if !no_index {
            settings.index = Some(match levels.iter().find_map(|level| level.index.as_ref()) {
                Some((text, origin)) => setting(parse_index(text), origin)?,
                None => Setting {
                    value: parse_index(PYPI).map_err(|problem| StoreError::Setting {
                        variable: "the default index".to_owned(),
                        problem,
                    })?,
                    origin: Origin::Default,
                },
            });
            if let Some((texts, origin)) = levels.iter().find_map(|level| level.extra.as_ref()) {
                for text in texts {
                    settings.extra.push(setting(parse_index(text), origin)?);
                }
            }
        }
        let links = levels
            .iter()
            .find_map(|level| Some((level.links.as_ref()?, &level.folder)));
        if let Some(((texts, origin), folder)) = links {
            for text in texts {
                settings
                    .find_links
                    .push(setting(parse_links(text, folder), origin)?);
            }
        }
        let pyodide = levels
            .iter()
            .find_map(|level| Some((level.pyodide.as_ref()?, &level.folder)));
        if let Some(((text, origin), folder)) = pyodide {
            settings.pyodide_packages = Some(setting(parse_links(text, folder), origin)?);
        }
        Ok(settings)
    }

    /// The indexes in the order in which they are asked.
    pub fn indexes(&self) -> impl Iterator<Item = &Setting<Url>> {
        self.extra.iter().chain(&self.index)
    }
}

fn setting<T>(value: Result<T, String>, origin: &Origin) -> Result<Setting<T>, StoreError> {
    match value {
        Ok(value) => Ok(Setting {
            value,
            origin: origin.clone(),
        }),
        Err(problem) => Err(StoreError::Setting {
            variable: origin.to_string(),
            problem,
        }),
    }
}

fn command_line(arguments: &IndexArguments, folder: &Utf8Path) -> Level {
    let flag = |flag: &str| Origin::CommandLine {
        flag: flag.to_owned(),
    };
    let list =
        |list: &[String], name: &str| (!list.is_empty()).then(|| (list.to_vec(), flag(name)));
    Level {
        index: arguments
            .index_url
            .clone()
            .map(|url| (url, flag("--index-url"))),
        extra: list(&arguments.extra_index_url, "--extra-index-url"),
        links: list(&arguments.find_links, "--find-links"),
        no_index: arguments.no_index.then(|| (true, flag("--no-index"))),
        pyodide: arguments
            .pyodide_packages
            .clone()
            .map(|place| (place, flag("--pyodide-packages"))),
        folder: folder.to_owned(),
    }
}

/// The variables of one program.
struct Family {
    index: &'static [&'static str],
    extra: &'static [&'static str],
    links: &'static str,
    no_index: &'static str,
    pyodide: Option<&'static str>,
}

const FAMILIES: &[Family] = &[
    Family {
        index: &["PYW_INDEX_URL"],
        extra: &["PYW_EXTRA_INDEX_URL"],
        links: "PYW_FIND_LINKS",
        no_index: "PYW_NO_INDEX",
        pyodide: Some("PYW_PYODIDE_PACKAGES"),
    },
    Family {
        index: &["UV_DEFAULT_INDEX", "UV_INDEX_URL"],
        extra: &["UV_INDEX", "UV_EXTRA_INDEX_URL"],
        links: "UV_FIND_LINKS",
        no_index: "UV_NO_INDEX",
        pyodide: None,
    },
    Family {
        index: &["PIP_INDEX_URL"],
        extra: &["PIP_EXTRA_INDEX_URL"],
        links: "PIP_FIND_LINKS",
        no_index: "PIP_NO_INDEX",
        pyodide: None,
    },
];

fn environment(family: &Family, surroundings: &Surroundings<'_>) -> Level {
    let get = |name: &str| {
        let value = (surroundings.variable)(name)?.trim().to_owned();
        let origin = Origin::Environment {
            name: name.to_owned(),
        };
        (!value.is_empty()).then_some((value, origin))
    };
    let first = |names: &[&str]| names.iter().find_map(|name| get(name));
    Level {
        index: first(family.index),
        extra: first(family.extra).map(|(text, origin)| (words(&text), origin)),
        links: get(family.links).map(|(text, origin)| {
            // uv separates them by commas, pip by spaces; neither stands in an address.
            let text = text.replace(',', " ");
            (words(&text), origin)
        }),
        no_index: get(family.no_index).map(|(text, origin)| (is_true(&text), origin)),
        pyodide: family.pyodide.and_then(get),
        folder: surroundings.folder.to_owned(),
    }
}

/// Where pip's configuration files are, the most important one first.
fn pip_files(variable: &dyn Fn(&str) -> Option<String>) -> Vec<Utf8PathBuf> {
    let folder = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(Utf8PathBuf::from(value))
    };
    let name = if cfg!(windows) { "pip.ini" } else { "pip.conf" };
    let mut files = Vec::new();
    if let Some(folder) = folder("VIRTUAL_ENV") {
        files.push(folder.join(name));
    }
    if cfg!(windows) {
        files.extend(folder("APPDATA").map(|f| f.join("pip").join(name)));
        files.extend(folder("USERPROFILE").map(|f| f.join("pip").join(name)));
        files.extend(folder("ProgramData").map(|f| f.join("pip").join(name)));
        return files;
    }
    if let Some(home) = folder("HOME") {
        let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        if cfg!(target_os = "macos") {
            files.push(home.join("Library/Application Support/pip").join(name));
        }
        files.push(config.join("pip").join(name));
        files.push(home.join(".pip").join(name));
    }
    files.push(Utf8PathBuf::from("/etc/pip.conf"));
    let system = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".to_owned());
    for folder in system.split(':').filter(|folder| !folder.is_empty()) {
        files.push(Utf8Path::new(folder).join("pip").join(name));
    }
    files
}

/// The levels in one of pip's configuration files. One that is not there, or not readable, says
/// nothing: it is another program's file.
fn pip_file(file: &Utf8Path) -> Vec<Level> {
    let Ok(text) = std::fs::read_to_string(file) else {
        return Vec::new();
    };
    let entries = ini(&text);
    let level = |section: &str| {
        let get = |key: &str| {
            let entry = entries
                .iter()
                .rev()
                .find(|entry| entry.section == section && entry.key == key)?;
            let origin = Origin::UserFile {
                path: file.to_owned(),
                line: entry.line,
            };
            Some((entry.value.trim().to_owned(), origin))
        };
        let list = |key: &str| get(key).map(|(text, origin)| (words(&text), origin));
        Level {
            index: get("index-url"),
            extra: list("extra-index-url"),
            links: list("find-links"),
            no_index: get("no-index").map(|(text, origin)| (is_true(&text), origin)),
            pyodide: None,
            folder: file.parent().unwrap_or(file).to_owned(),
        }
    };
    vec![level("install"), level("global")]
}

struct IniEntry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

/// Reads what Python's configparser reads: sections, `key = value` or `key: value`, values that go
/// on in indented lines, comments.
fn ini(text: &str) -> Vec<IniEntry> {
    let mut entries: Vec<IniEntry> = Vec::new();
    let mut section = String::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if open && line.starts_with([' ', '\t']) {
            if let Some(entry) = entries.last_mut() {
                entry.value.push('\n');
                entry.value.push_str(trimmed);
            }
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            section = name.trim().to_ascii_lowercase();
            open = false;
            continue;
        }
        if let Some(at) = trimmed.find(['=', ':']) {
            entries.push(IniEntry {
                section: section.clone(),
                key: trimmed[..at].trim().to_ascii_lowercase().replace('_', "-"),
                value: trimmed[at + 1..].trim().to_owned(),
                line: number + 1,
            });
            open = true;
        }
    }
    entries
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on"
    )
}

/// Reads the address of an index.
fn parse_index(text: &str) -> Result<Url, String> {
    let text = text.trim();
    // uv allows `name=https://…`.
    let text = match text.split_once('=') {
        Some((name, rest)) if !name.contains([':', '/']) => rest,
        _ => text,
    };
    // The text itself is not shown: it may hold a password.
    let mut url = Url::parse(text).map_err(|error| format!("it is not an address: {error}"))?;
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

fn parse_links(text: &str, folder: &Utf8Path) -> Result<Links, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        let url = Url::parse(text).map_err(|error| format!("it is not an address: {error}"))?;
        return match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => Ok(Links::Page(url)),
            "file" => url
                .to_file_path()
                .ok()
                .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
                .map(Links::Folder)
                .ok_or_else(|| format!("{} is not a path here", redacted(&url))),
            other => Err(format!("it begins with {other}: and not with https:")),
        };
    }
    let path = match (text.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => Utf8PathBuf::from(home).join(rest),
        _ => folder.join(text),
    };
    Ok(Links::Folder(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings from variables and one pip file.
    fn settings(
        arguments: &IndexArguments,
        variables: &[(&str, &str)],
        pip: &str,
    ) -> Result<IndexSettings, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(folder.join("pip.conf"), pip).unwrap();
        IndexSettings::new(
            arguments,
            &Surroundings {
                variable: &|name| {
                    let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
                    Some((*value).to_owned())
                },
                folder: Utf8Path::new("/here"),
                pip_files: vec![folder.join("pip.conf")],
            },
        )
    }

    fn shown(settings: &IndexSettings) -> Vec<String> {
        let indexes = settings.indexes().map(|index| {
            let name = match &index.origin {
                Origin::UserFile { path, line } => {
                    format!("{}:{line}", path.file_name().unwrap_or_default())
                }
                origin => origin.to_string(),
            };
            format!("{} {name}", index.value)
        });
        indexes.collect()
    }

    #[test]
    fn nothing_set_is_pypi() {
        let none = IndexArguments::default();
        let settings = settings(&none, &[("PYW_INDEX_URL", " ")], "").unwrap();
        assert_eq!(shown(&settings), ["https://pypi.org/simple/ default"]);
        assert!(settings.find_links.is_empty());
    }

    #[test]
    fn each_setting_comes_from_the_first_that_has_it() {
        let pip = "[global]\nindex-url = https://file/g\nextra-index-url =\n    https://file/e1\n\
                   \thttps://file/e2\n# c\n[install]\nindex_url: https://file/i\n";
        let variables = [
            ("PIP_INDEX_URL", "https://pip/simple"),
            ("UV_DEFAULT_INDEX", "corp=https://me:pw@uv/simple"),
            ("UV_FIND_LINKS", "/a,wheels"),
            ("PYW_INDEX_URL", "https://pyw/simple/"),
        ];
        let mut arguments = IndexArguments {
            index_url: Some("https://cli/simple".into()),
            ..IndexArguments::default()
        };
        let extra = "https://file/e1/ pip.conf:3,https://file/e2/ pip.conf:3";
        let first = |arguments: &IndexArguments, variables: &[(&str, &str)]| {
            shown(&settings(arguments, variables, pip).unwrap()).join(",")
        };
        assert_eq!(
            first(&arguments, &variables),
            format!("{extra},https://cli/simple/ --index-url")
        );
        arguments = IndexArguments::default();
        for (variables, last) in [
            (&variables[..], "https://pyw/simple/ PYW_INDEX_URL"),
            (&variables[..3], "https://me:pw@uv/simple/ UV_DEFAULT_INDEX"),
            (&variables[..1], "https://pip/simple/ PIP_INDEX_URL"),
            (&[], "https://file/i/ pip.conf:8"),
        ] {
            assert_eq!(first(&arguments, variables), format!("{extra},{last}"));
        }
        let links = settings(&arguments, &variables, pip).unwrap().find_links;
        assert_eq!(links[0].value, Links::Folder("/a".into()));
        assert_eq!(links[1].value, Links::Folder("/here/wheels".into()));
        assert!(first(&arguments, &[("PIP_CONFIG_FILE", "/dev/null")]).starts_with("https://pypi"));
        assert!(first(&arguments, &[("PIP_NO_INDEX", "1")]).is_empty());
    }

    #[test]
    fn wrong_settings_name_who_set_them_and_no_secret() {
        let none = IndexArguments::default();
        for (variable, value) in [
            ("UV_INDEX_URL", "ftp://me:secret@x"),
            ("PIP_EXTRA_INDEX_URL", "https://me:secret@x:999999/"),
            ("PYW_FIND_LINKS", "ftp://me:secret@x"),
        ] {
            let error = settings(&none, &[(variable, value)], "").unwrap_err();
            assert!(error.to_string().contains(variable), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let error = settings(&none, &[], "[global]\nindex-url = nonsense\n").unwrap_err();
        assert!(error.to_string().contains("pip.conf:2"), "{error}");
    }
}
