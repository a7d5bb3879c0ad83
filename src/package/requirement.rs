//! Requirements: `name[extra]>=1; marker`, `name @ URL`, a wheel's path or a project's folder.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::{LocalSegment, Operator, Version, VersionSpecifier, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerTree, Pep508Url, VersionOrUrl};
use pubgrub::Ranges;
use reqwest::Url;

use super::filename::{WheelName, has_sane_numbers};
use super::name::{ExtraName, PackageName};
use super::project_file;
use crate::store::Sha256;
use crate::store::source::redacted;

/// No requirement may be longer.
const LONGEST: usize = 16 * 1024;
/// Parentheses in a marker are read by recursion, so a hostile one must not go too deep.
const DEEPEST: usize = 60;

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The project.
    pub name: PackageName,
    /// The extras of it that are wanted as well.
    pub extras: BTreeSet<ExtraName>,
    /// Which releases will do.
    pub wanted: Wanted,
    /// Where it is asked for; nowhere else.
    pub marker: MarkerTree,
    /// The digests that the file may have; any, if there are none.
    pub hashes: BTreeSet<Sha256>,
    text: String,
}

/// Which releases of a project will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of an index that fit.
    Versions(VersionSpecifiers),
    /// The wheel at this address.
    Url(Url),
    /// The wheel or the project's folder at this path.
    Path(Utf8PathBuf),
}

/// Shown as it was written, without secrets and markers.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Requirement {
    /// Reads a requirement of a user; relative paths start at `base`.
    ///
    /// Of a folder the `pyproject.toml` is read, since only it tells the project's name.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without secrets.
    pub fn parse(text: &str, base: &Utf8Path) -> Result<Requirement, String> {
        let text = text.trim();
        check(text)?;
        if let Some((name, place)) = split_at_sign(text) {
            return Requirement::placed(Some(name), place, Some(base));
        }
        if looks_like_a_location(text) {
            return Requirement::placed(None, text, Some(base));
        }
        Requirement::of(parse_named(text)?)
    }

    /// Reads a requirement of a package's metadata, forgiving what old tools wrote.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse_lenient(text: &str) -> Result<Requirement, String> {
        let text = text.trim();
        check(text)?;
        if let Some((name, place)) = split_at_sign(text) {
            return Requirement::placed(Some(name), place, None);
        }
        let parsed = parse_named(text).or_else(|problem| {
            let mended = mend(text);
            match mended == text {
                true => Err(problem),
                false => parse_named(&mended).map_err(|_| problem),
            }
        })?;
        Requirement::of(parsed)
    }

    /// A requirement of one project in any release.
    #[must_use]
    pub fn any(name: PackageName) -> Requirement {
        Requirement {
            text: name.to_string(),
            name,
            extras: BTreeSet::new(),
            wanted: Wanted::Versions(VersionSpecifiers::empty()),
            marker: MarkerTree::default(),
            hashes: BTreeSet::new(),
        }
    }

    fn of(parsed: pep508_rs::Requirement<Written>) -> Result<Requirement, String> {
        let name = PackageName::new(parsed.name.as_ref()).map_err(|error| error.to_string())?;
        let extras: Result<BTreeSet<_>, _> = parsed
            .extras
            .iter()
            .map(|extra| ExtraName::new(extra.as_ref()))
            .collect();
        let extras = extras.map_err(|error| error.to_string())?;
        let specifiers = match parsed.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers,
            None => VersionSpecifiers::empty(),
            Some(VersionOrUrl::Url(_)) => return Err(format!("`{name} @` is not readable")),
        };
        Ok(Requirement {
            text: format!(
                "{name}{}{}",
                show_extras(&extras),
                show_specifiers(&specifiers)
            ),
            name,
            extras,
            wanted: Wanted::Versions(specifiers),
            marker: parsed.marker,
            hashes: BTreeSet::new(),
        })
    }

    /// `./x.whl`, `https://…/x.whl` or a folder, with extras and a marker perhaps, or the same
    /// after `name[extras] @`. Without a base there are no paths.
    fn placed(
        name: Option<&str>,
        text: &str,
        base: Option<&Utf8Path>,
    ) -> Result<Requirement, String> {
        let (place, marker) = match text.split_once(" ;").or_else(|| text.split_once("; ")) {
            Some((place, marker)) => (place.trim(), parse_marker(marker)?),
            None => (text, MarkerTree::default()),
        };
        let (place, name, list) = match name {
            Some(name) => match name.strip_suffix(']').and_then(|n| n.split_once('[')) {
                Some((name, list)) => (place, Some(name.trim()), list),
                None => (place, Some(name), ""),
            },
            None => match place.strip_suffix(']').and_then(|p| p.rsplit_once('[')) {
                Some((place, list)) => (place, None, list),
                None => (place, None, ""),
            },
        };
        let extras = list.split(',').map(str::trim).filter(|e| !e.is_empty());
        let extras: Result<BTreeSet<_>, _> = extras.map(ExtraName::new).collect();
        let extras = extras.map_err(|error| error.to_string())?;
        let mut hashes = BTreeSet::new();
        let wanted = location(place, base, &mut hashes)?;
        let name = match (name, &wanted) {
            (Some(name), _) => PackageName::new(name).map_err(|error| error.to_string())?,
            (None, Wanted::Path(path)) if path.is_dir() => project_file::read(path)?.name,
            (None, Wanted::Path(path)) => file_name(path.file_name().unwrap_or_default())?,
            (None, Wanted::Url(url)) => file_name(&last_segment(url))?,
            (None, Wanted::Versions(_)) => return Err(format!("{text:?} names no place")),
        };
        Ok(Requirement {
            text: format!(
                "{name}{} @ {}",
                show_extras(&extras),
                show_location(&wanted)
            ),
            name,
            extras,
            wanted,
            marker,
            hashes,
        })
    }

    /// Whether it is asked for on this interpreter, by a package of which no extras are wanted.
    #[must_use]
    pub fn applies(&self, environment: &MarkerEnvironment) -> bool {
        self.marker.evaluate(environment, &[])
    }

    /// Whether it is asked for on this interpreter only if this extra is wanted.
    #[must_use]
    pub fn applies_for(&self, environment: &MarkerEnvironment, extra: &ExtraName) -> bool {
        let Ok(extra) = pep508_rs::ExtraName::from_str(extra.as_str()) else {
            return false;
        };
        !self.applies(environment) && self.marker.evaluate(environment, &[extra])
    }

    /// The same requirement, asked for only with this extra.
    #[must_use]
    pub fn for_extra(mut self, extra: &ExtraName) -> Requirement {
        if let Ok(marker) = parse_marker(&format!("extra == \"{extra}\"")) {
            self.marker.and(marker);
        }
        self
    }

    /// The versions that it allows.
    #[must_use]
    pub fn ranges(&self) -> Ranges<Version> {
        match &self.wanted {
            Wanted::Versions(specifiers) => ranges(specifiers),
            Wanted::Url(_) | Wanted::Path(_) => Ranges::full(),
        }
    }

    /// Whether it names a pre-release, and so allows them.
    #[must_use]
    pub fn names_prerelease(&self) -> bool {
        match &self.wanted {
            Wanted::Versions(specifiers) => specifiers.iter().any(VersionSpecifier::any_prerelease),
            Wanted::Url(_) | Wanted::Path(_) => true,
        }
    }

    /// The one version that it allows, if it is pinned.
    #[must_use]
    pub fn pin(&self) -> Option<&Version> {
        match &self.wanted {
            Wanted::Versions(specifiers) => pin(specifiers),
            Wanted::Url(_) | Wanted::Path(_) => None,
        }
    }

    /// Whether any release will do.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        matches!(&self.wanted, Wanted::Versions(specifiers) if specifiers.is_empty())
    }
}

/// The version that specifiers pin with `==` or `===`.
fn pin(specifiers: &VersionSpecifiers) -> Option<&Version> {
    specifiers.iter().find_map(|specifier| {
        matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
            .then(|| specifier.version())
    })
}

/// The versions that specifiers allow.
///
/// A specifier without a local part allows every local version of what it names: `==1.0` takes
/// `1.0+wasi.1`.
#[must_use]
pub fn ranges(specifiers: &VersionSpecifiers) -> Ranges<Version> {
    specifiers.iter().fold(Ranges::full(), |all, specifier| {
        let version = specifier.version();
        let plain = version.local().is_empty();
        let last = || {
            version
                .clone()
                .with_local(vec![LocalSegment::Number(u64::MAX)])
        };
        let range = match specifier.operator() {
            Operator::Equal if plain => Ranges::from_range_bounds(version.clone()..=last()),
            Operator::NotEqual if plain => {
                Ranges::from_range_bounds(version.clone()..=last()).complement()
            }
            Operator::LessThanEqual if plain => Ranges::lower_than(last()),
            _ => Ranges::from(specifier.clone()),
        };
        all.intersection(&range)
    })
}

/// Reads version specifiers, forgiving what old tools wrote.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(VersionSpecifiers::empty());
    }
    if text.len() > LONGEST {
        return Err("the version specifier is too long".to_owned());
    }
    check_grammar(text)?;
    VersionSpecifiers::from_str(text)
        .or_else(|error| VersionSpecifiers::from_str(&mend(text)).map_err(|_| error))
        .map_err(|_| format!("{text:?} is not a version specifier"))
}

/// Reads a marker.
fn parse_marker(text: &str) -> Result<MarkerTree, String> {
    check_grammar(text)?;
    MarkerTree::parse_str::<Written>(text.trim())
        .map_err(|error| format!("the marker {text:?} is not valid: {}", error.message))
}

/// Requirements as people write them: `>=1,<2`.
#[must_use]
pub fn show_specifiers(specifiers: &VersionSpecifiers) -> String {
    let all: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn show_extras(extras: &BTreeSet<ExtraName>) -> String {
    if extras.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = extras.iter().map(ExtraName::as_str).collect();
    format!("[{}]", names.join(","))
}

fn show_location(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Url(url) => redacted(url),
        Wanted::Path(path) => path.to_string(),
        Wanted::Versions(specifiers) => show_specifiers(specifiers),
    }
}

/// Refuses what must not come to a parser that recurses and counts.
fn check(text: &str) -> Result<(), String> {
    let start: String = text.chars().take(60).collect();
    if text.is_empty() {
        return Err("an empty requirement asks for nothing".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("{start:?}… is too long for a requirement"));
    }
    if text.bytes().filter(|byte| *byte == b'(').count() > DEEPEST {
        return Err(format!("{start:?}… has too many parentheses"));
    }
    Ok(())
}

/// Splits `name[extras] @ place ; marker`.
fn split_at_sign(text: &str) -> Option<(&str, &str)> {
    let (name, place) = text.split_once('@')?;
    let name = name.trim();
    let plain = name.split('[').next().unwrap_or_default().trim();
    let whole = !name.contains('[') || name.ends_with(']');
    (whole && PackageName::new(plain).is_ok()).then_some((name, place.trim()))
}

/// Refuses what the parser of PEP 508 was not made for: it counts characters where it should
/// count bytes, and numbers up without looking.
fn check_grammar(text: &str) -> Result<(), String> {
    if !text.is_ascii() {
        return Err(format!(
            "{text:?} holds a character that is not ASCII, which only an address or a path may"
        ));
    }
    if !has_sane_numbers(text) {
        return Err(format!("{text:?} holds a number that is too long"));
    }
    // pep508_rs panics on such a name or extra where something follows it.
    let head = text.split(|c| "@;(<>=!~".contains(c)).next();
    let of_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if head
        .unwrap_or_default()
        .split(|c| !of_name(c))
        .any(|word| word.ends_with(['.', '-', '_']))
    {
        return Err(format!(
            "{text:?} has a name that does not end with a letter or digit"
        ));
    }
    Ok(())
}

fn parse_named(text: &str) -> Result<pep508_rs::Requirement<Written>, String> {
    check_grammar(text)?;
    pep508_rs::Requirement::<Written>::from_str(text)
        // Not the error itself: its display may cut where it must not.
        .map_err(|error| format!("{text:?} is not a requirement: {}", error.message))
}

/// What pep508_rs would take for an address; they never come to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Written(String);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pep508Url for Written {
    type Err = std::convert::Infallible;

    fn parse_url(url: &str, _: Option<&Path>) -> Result<Self, Self::Err> {
        Ok(Written(url.trim().to_owned()))
    }
}

/// Whether a requirement is an address or a path and not a name.
fn looks_like_a_location(text: &str) -> bool {
    let place = text.split([' ', '[', ';']).next().unwrap_or_default();
    place.contains("://")
        || place.starts_with(['.', '/', '~', '\\'])
        || place.contains(['/', '\\'])
        || place.ends_with(".whl")
        || place.ends_with(".tar.gz")
        || place.ends_with(".zip")
}

/// Reads an address or a path. Without a base, paths are refused.
fn location(
    written: &str,
    base: Option<&Utf8Path>,
    hashes: &mut BTreeSet<Sha256>,
) -> Result<Wanted, String> {
    if let Some((scheme, _)) = written.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        let url = Url::parse(written).map_err(|error| format!("the address is wrong: {error}"))?;
        return match scheme.as_str() {
            "https" | "http" => {
                for part in url.fragment().unwrap_or_default().split('&') {
                    if let Some(digest) = part.strip_prefix("sha256=") {
                        let digest = digest.parse().map_err(|error| format!("{error}"))?;
                        hashes.insert(digest);
                    }
                }
                let mut url = url;
                url.set_fragment(None);
                Ok(Wanted::Url(url))
            }
            "file" if base.is_some() => {
                let path = url
                    .to_file_path()
                    .ok()
                    .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
                    .ok_or_else(|| format!("{:?} is not a path here", redacted(&url)))?;
                Ok(Wanted::Path(path))
            }
            "file" => Err("it asks for a file of this machine".to_owned()),
            other if other.starts_with("git+") || other.contains('+') => Err(format!(
                "{} is a repository, and pyw takes only wheels and folders",
                redacted(&url)
            )),
            other => Err(format!("pyw cannot fetch from {other}: addresses")),
        };
    }
    let Some(base) = base else {
        return Err(format!("{written:?} is not an address"));
    };
    let path = match written.strip_prefix("~/") {
        Some(rest) => match std::env::var("HOME") {
            Ok(home) => Utf8PathBuf::from(home).join(rest),
            Err(_) => return Err("`~` is not known: HOME is not set".to_owned()),
        },
        None => base.join(written.strip_prefix("file:").unwrap_or(written)),
    };
    Ok(Wanted::Path(tidy(&path)))
}

/// Takes `.` and `x/..` out of a path, for it to be shown.
fn tidy(path: &Utf8Path) -> Utf8PathBuf {
    use camino::Utf8Component;
    let mut out = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if out.file_name().is_some() && !out.is_symlink() => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The name of the project that a wheel is of.
fn file_name(file: &str) -> Result<PackageName, String> {
    if file.ends_with(".whl") {
        return WheelName::parse(file).map(|wheel| wheel.name);
    }
    if super::filename::SdistName::is_sdist(file) {
        return Err(format!(
            "{file} is a source archive, and pyw cannot build one yet; name a wheel"
        ));
    }
    Err(format!(
        "{file:?} is neither a wheel nor a project's folder"
    ))
}

/// The last segment of an address, decoded.
#[must_use]
pub fn last_segment(url: &Url) -> String {
    let segment = url.path().rsplit('/').next().unwrap_or_default();
    percent_decode(segment)
}

/// Decodes `%41`; what is no code, or no UTF-8, stays as it is.
pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Corrects what old metadata has and no standard ever allowed: `>=1.0.*` and a trailing comma.
fn mend(text: &str) -> String {
    let (specifiers, marker) = match text.split_once(';') {
        Some((specifiers, marker)) => (specifiers, Some(marker)),
        None => (text, None),
    };
    let mut parts: Vec<String> = Vec::new();
    let (body, close) = match specifiers.trim_end().strip_suffix(')') {
        Some(body) => (body, ")"),
        None => (specifiers.trim_end(), ""),
    };
    for part in body.split(',') {
        let ordered = part.contains(['<', '>']) || part.contains("~=");
        let part = match part.trim_end().strip_suffix(".*") {
            Some(rest) if ordered => rest,
            _ => part,
        };
        if !part.trim().is_empty() {
            parts.push(part.to_owned());
        }
    }
    let mut out = parts.join(",") + close;
    if let Some(marker) = marker {
        out.push_str(" ;");
        out.push_str(marker);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Requirement, String> {
        Requirement::parse(text, Utf8Path::new("/base"))
    }

    #[test]
    fn names_that_end_with_punctuation() {
        for text in [
            "n..>=1",
            "n- ;os_name=='x'",
            "a[b.]",
            "a[b,c_]>=1",
            "n. (==1)",
            "n_",
        ] {
            assert!(parse(text).is_err(), "{text}");
            assert!(Requirement::parse_lenient(text).is_err(), "{text}");
        }
    }

    #[test]
    fn named_requirements() {
        let req = parse("Foo_Bar[Sec, test] >=1.0 , <2 ; python_version > '3.8'").unwrap();
        assert_eq!(req.name, "foo-bar");
        assert_eq!(req.to_string(), "foo-bar[sec,test]>=1.0,<2");
        let environment = super::super::marker::environment(&super::super::marker::tests::info());
        assert!(req.applies(&environment.unwrap()));
        assert_eq!(parse("a==1").unwrap().pin().unwrap().to_string(), "1");
        assert!(parse("a>=2.0rc1").unwrap().names_prerelease());
        assert!(parse("a").unwrap().is_unbounded());
    }

    #[test]
    fn places() {
        for (text, name, wanted) in [
            (
                "x @ https://e.org/x-1-py3-none-any.whl",
                "x",
                "https://e.org/x-1-py3-none-any.whl",
            ),
            (
                "https://e.org/a%2Bb/x-1%2B2-py3-none-any.whl",
                "x",
                "https://e.org/a%2Bb/x-1%2B2-py3-none-any.whl",
            ),
            (
                "./d/x-1-py3-none-any.whl",
                "x",
                "/base/d/x-1-py3-none-any.whl",
            ),
            ("x-1-py3-none-any.whl", "x", "/base/x-1-py3-none-any.whl"),
            ("x @ file:///d/x.whl", "x", "/d/x.whl"),
            ("x @ ../x.whl", "x", "/x.whl"),
            ("x[a]@./y", "x", "/base/y"),
        ] {
            let req = parse(text).unwrap();
            assert_eq!(req.name, name, "{text}");
            assert_eq!(show_location(&req.wanted), wanted, "{text}");
        }
        let req = parse("./x-1-py3-none-any.whl[a,b] ; python_version > '3'").unwrap();
        assert_eq!(req.extras.len(), 2);
        assert!(!req.marker.is_true());
        let digest = Sha256::of(b"");
        let req = parse(&format!("https://e/x-1-py3-none-any.whl#sha256={digest}")).unwrap();
        assert_eq!(req.hashes, [digest].into());
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (text, problem) in [
            ("", "asks for nothing"),
            ("???", "is not a requirement"),
            ("a>=", "is not a requirement"),
            ("a @ git+https://me:secret@e.org/x", "is a repository"),
            ("./x-1.tar.gz", "cannot build one yet"),
            ("https://me:secret@e.org/x.txt", "neither a wheel"),
            (
                "https://me:secret@e.org:99999/x.whl",
                "the address is wrong",
            ),
            ("a>=99999999999999999999", "too long"),
            ("a; os_name == \"", "is not a requirement"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let req = parse("x @ https://me:secret@e.org/x.whl?token=secret").unwrap();
        assert_eq!(req.to_string(), "x @ https://***@e.org/x.whl?***");
        assert!(Requirement::parse_lenient("a @ file:///etc/passwd").is_err());
        let deep = format!("a; {}os_name == 'x'{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&deep).is_err());
        assert!(parse(&"a".repeat(100_000)).is_err());
    }

    #[test]
    fn no_text_makes_it_panic() {
        let seeds = [
            "Foo[a,b]>=1.0,!=2.*;python_version<'3.9' and (os_name=='é' or extra=='x')",
            "a @ https://ü/ä%zz.whl ; sys_platform == \"wasi\"",
            "a (~=1.0rc1.post2.dev3+l.1)",
            "./dir[ö]; 'x' in platform_version",
            "a; python_version ~= '3.8' or python_full_version in '3.8 3.9' and extra != 'x'",
            "a===1.0.*,>2!3; python_version not in '3.8.*,4' and '3.9.1rc1' <= python_version",
        ];
        // A small generator of its own keeps the texts the same in every run.
        let mut state = 7u64;
        let mut next = |limit: usize| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            usize::try_from(state >> 33).unwrap_or(0) % limit.max(1)
        };
        for _ in 0..4000 {
            let mut text: Vec<char> = seeds[next(6)].chars().collect();
            for _ in 0..=next(3) {
                let at = next(text.len());
                match next(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(
                        at,
                        [' ', '(', ';', '@', 'é', '\u{0}', '[', '*', '='][next(9)],
                    ),
                    _ => text.truncate(at),
                }
                if text.is_empty() {
                    break;
                }
            }
            let text: String = text.into_iter().collect();
            let _ = parse(&text);
            let _ = Requirement::parse_lenient(&text);
            let _ = parse_specifiers(&text);
        }
    }

    #[test]
    fn old_metadata_is_forgiven() {
        for (text, mended) in [
            ("a (>=1.0.*)", "a>=1.0"),
            ("a>=1.0.*,<2", "a>=1.0,<2"),
            ("a==1.0.*", "a==1.0.*"),
            ("a>=1,", "a>=1"),
        ] {
            assert_eq!(
                Requirement::parse_lenient(text).unwrap().to_string(),
                mended
            );
        }
        assert_eq!(
            parse_specifiers(">=3.6.*, <4").unwrap().to_string(),
            ">=3.6, <4"
        );
        assert!(parse_specifiers("three").is_err());
    }

    #[test]
    fn local_versions_fit_what_names_none() {
        let fits = |specifier: &str, version: &str| {
            ranges(&parse_specifiers(specifier).unwrap()).contains(&version.parse().unwrap())
        };
        for (specifier, version, expected) in [
            ("==1.0", "1.0+wasi.1", true),
            ("==1.0", "1.0.post1", false),
            ("==1.0+a", "1.0", false),
            ("!=1.0", "1.0+a", false),
            ("<=1.0", "1.0+a", true),
            ("<=1.0", "1.0.post1", false),
            (">1.0", "1.0+a", false),
            ("<2", "2.0rc1", false),
            (">=1", "2.0rc1", true),
            ("~=1.2", "1.9", true),
            ("~=1.2", "2.0", false),
        ] {
            assert_eq!(fits(specifier, version), expected, "{specifier} {version}");
        }
    }
}
