//! What `--python` means: a version, a specifier, a catalog name, or a path.

use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::{Version, VersionSpecifiers};

use super::catalog::Entry;
use super::error::InterpreterError;
use super::platform::Platform;
use super::{Interpreter, format_tag};

/// What was asked for, before anything is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The catalog's default.
    Default,
    /// Any build whose version fits.
    Version(VersionSpecifiers),
    /// The default one if that will do, else any whose version fits.
    Fitting {
        /// The versions that will do.
        versions: VersionSpecifiers,
        /// Who says so, as `app.py`.
        origin: String,
    },
    /// A catalog entry or installed interpreter by name.
    Name(String),
    /// A `.wasm`, a folder, a zip or tarball, or a `.pybi`.
    Path(Utf8PathBuf),
    /// A build for this platform that is the other as well.
    On(Platform, Box<Wanted>),
}

impl Wanted {
    /// Reads the value of `--python`. What looks like a path is one; everything else is not
    /// looked for among files, so that a folder `3.14` cannot change what `--python 3.14` means.
    ///
    /// # Errors
    /// It is none of the four.
    pub fn parse(text: &str) -> Result<Self, InterpreterError> {
        let text = text.trim();
        const ENDINGS: [&str; 6] = [".wasm", ".zip", ".pybi", ".tar.xz", ".tar.gz", ".tgz"];
        let is_file = ENDINGS.iter().any(|ending| text.ends_with(ending));
        if text.contains(['/', '\\']) || is_file || text == "." {
            return Ok(Self::Path(text.into()));
        }
        if text.starts_with("cpython-") {
            return Ok(Self::Name(text.to_owned()));
        }
        for platform in Platform::ALL {
            if let Some(rest) = text.strip_suffix(platform.name())
                && let Some(rest) = rest.strip_suffix('-')
            {
                return Ok(Self::parse(rest)?.on(platform));
            }
        }
        if text.chars().all(|c| c.is_ascii_digit() || c == '.') && Version::from_str(text).is_ok() {
            // `3.14` means any 3.14.x; with three numbers it is exact.
            let exact = text.split('.').count() >= 3;
            let specifier = if exact {
                format!("=={text}")
            } else {
                format!("=={text}.*")
            };
            if let Ok(specifiers) = VersionSpecifiers::from_str(&specifier) {
                return Ok(Self::Version(specifiers));
            }
        }
        if !text.is_empty() {
            if let Ok(specifiers) = VersionSpecifiers::from_str(text) {
                return Ok(Self::Version(specifiers));
            }
            if let Ok(version) = Version::from_str(text)
                && let Ok(specifiers) = VersionSpecifiers::from_str(&format!("=={version}"))
            {
                return Ok(Self::Version(specifiers));
            }
        }
        Err(InterpreterError::NotUnderstood {
            wanted: text.to_owned(),
        })
    }
}

impl Wanted {
    /// The same, but only a build for this platform will do.
    #[must_use]
    pub fn on(self, platform: Platform) -> Self {
        match self {
            Self::On(..) => self,
            other => Self::On(platform, Box::new(other)),
        }
    }

    /// Whether any build of that version would do, whatever its platform.
    #[must_use]
    pub fn leaves_platform_open(&self) -> bool {
        matches!(
            self,
            Self::Default | Self::Version(_) | Self::Fitting { .. }
        )
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::Version(specifiers) => write!(f, "{specifiers}"),
            Self::Fitting { versions, origin } => write!(f, "{versions} ({origin})"),
            Self::Name(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{path}"),
            Self::On(platform, wanted) => write!(f, "{wanted} for {platform}"),
        }
    }
}

/// What to run: something in the store already, or something to import.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice<'a> {
    Installed(&'a Interpreter),
    Catalog(&'a Entry),
    Path(&'a Utf8Path),
}

/// Chooses: an installed interpreter that fits, newest first; else the catalog's default if it
/// fits; else the newest of the catalog.
///
/// # Errors
/// [`InterpreterError::NoMatch`] with all that is known.
pub fn choose<'a>(
    wanted: &'a Wanted,
    installed: &'a [Interpreter],
    catalog: &'a [Entry],
) -> Result<Choice<'a>, InterpreterError> {
    find(wanted, None, installed, catalog).ok_or_else(|| InterpreterError::NoMatch {
        wanted: wanted.to_string(),
        known: catalog
            .iter()
            .map(|e| e.name.clone())
            .chain(installed.iter().map(|i| i.key.clone()))
            .collect(),
    })
}

fn find<'a>(
    wanted: &'a Wanted,
    platform: Option<Platform>,
    installed: &'a [Interpreter],
    catalog: &'a [Entry],
) -> Option<Choice<'a>> {
    let of_entry = |entry: &'a Entry| {
        let key = entry.key();
        match installed.iter().find(|i| i.key == key) {
            Some(found) => Choice::Installed(found),
            None => Choice::Catalog(entry),
        }
    };
    let fits = move |own: Platform| platform.is_none_or(|platform| platform == own);
    let here = || installed.iter().filter(move |i| fits(i.info.system()));
    let known = || catalog.iter().filter(move |e| fits(e.system()));
    // The newest that is installed, else the one of the catalog.
    let by_version = |versions: &VersionSpecifiers| {
        let is_one = |found: &&Interpreter| {
            Version::from_str(&found.info.version).is_ok_and(|v| versions.contains(&v))
        };
        if let Some(found) = here().find(is_one) {
            return Some(Choice::Installed(found));
        }
        let fits = |entry: &&Entry| versions.contains(&entry.version);
        let default = known().filter(fits).find(|entry| entry.default);
        default.or_else(|| known().find(fits)).map(Choice::Catalog)
    };
    match wanted {
        Wanted::On(platform, wanted) => find(wanted, Some(*platform), installed, catalog),
        Wanted::Path(path) => Some(Choice::Path(path)),
        Wanted::Default => {
            let default = known().find(|e| e.default);
            default.or_else(|| known().next()).map(of_entry)
        }
        Wanted::Name(name) => known().find(|e| e.name == *name).map(of_entry).or_else(|| {
            here()
                .find(|i| i.key.starts_with(name.as_str()))
                .map(Choice::Installed)
        }),
        Wanted::Version(specifiers) => by_version(specifiers),
        Wanted::Fitting { versions, .. } => known()
            .find(|entry| entry.default && versions.contains(&entry.version))
            .map(of_entry)
            .or_else(|| by_version(versions)),
    }
}

impl Entry {
    /// The name under which the store keeps it.
    #[must_use]
    pub fn key(&self) -> String {
        let hash = self.sha256.to_string();
        format!(
            "{}-{}-{}-{}",
            self.name,
            self.platform,
            &hash[..16],
            format_tag()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_means_one_thing() {
        let version = |s: &str| Wanted::Version(VersionSpecifiers::from_str(s).unwrap());
        assert_eq!(Wanted::parse("3.14").unwrap(), version("==3.14.*"));
        assert_eq!(Wanted::parse("3.14.7").unwrap(), version("==3.14.7"));
        assert_eq!(Wanted::parse(">=3.13, <4").unwrap(), version(">=3.13, <4"));
        assert_eq!(Wanted::parse("3.15.0rc1").unwrap(), version("==3.15.0rc1"));
        assert_eq!(Wanted::parse("./py").unwrap(), Wanted::Path("./py".into()));
        assert_eq!(
            Wanted::parse("python.wasm").unwrap(),
            Wanted::Path("python.wasm".into())
        );
        assert_eq!(
            Wanted::parse("cpython-3.12.0").unwrap(),
            Wanted::Name("cpython-3.12.0".into())
        );
        for wrong in ["", "three", "pypy", "3.x", "=>3"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_wins_where_it_fits() {
        let catalog = super::super::catalog::entries().unwrap();
        let pick = |text: &str| match choose(&Wanted::parse(text).unwrap(), &[], &catalog).unwrap()
        {
            Choice::Catalog(entry) => entry.name.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(pick(">=3.12"), "cpython-3.12.0");
        assert_eq!(pick(">=3.13"), "cpython-3.14.7");
        assert_eq!(pick("3.13"), "cpython-3.13.15");
        let none = choose(&Wanted::Version("==2.7.*".parse().unwrap()), &[], &catalog).unwrap_err();
        assert_eq!(none.to_string(), "no interpreter fits `==2.7.*`");
    }

    #[test]
    fn a_platform_narrows_the_choice() {
        let catalog = super::super::catalog::entries().unwrap();
        let pick = |wanted: Wanted| match choose(&wanted, &[], &catalog) {
            Ok(Choice::Catalog(entry)) => entry.name.clone(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.to_string(),
        };
        let parse = |text: &str| Wanted::parse(text).unwrap();
        assert_eq!(pick(parse("3.14-emscripten")), "cpython-3.14.2-emscripten");
        assert_eq!(pick(parse("3.14-wasi")), "cpython-3.14.7");
        assert_eq!(
            pick(Wanted::Default.on(Platform::Emscripten)),
            "cpython-3.14.2-emscripten"
        );
        assert_eq!(pick(parse("3.14").on(Platform::Wasi)), "cpython-3.14.7");
        assert_eq!(
            pick(parse("3.12-emscripten")),
            "no interpreter fits `==3.12.* for emscripten`"
        );
    }
}
