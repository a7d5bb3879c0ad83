//! What an index has of a project, and which of it an interpreter can use.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use camino::Utf8PathBuf;
use pep440_rs::Version;
use reqwest::Url;

use super::filename::{SdistName, WheelName};
use super::name::PackageName;
use super::requirement::parse_specifiers;
use super::tags::{Platform, Tags};
use crate::store::Sha256;

/// A file as an index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'p> {
    /// Its name.
    pub filename: Cow<'p, str>,
    /// Where it is.
    pub link: Link<'p>,
    /// Its digest, if the index tells it.
    pub sha256: Option<Sha256>,
    /// Its size in bytes, if the index tells it.
    pub size: Option<u64>,
    /// The Python versions that it is for, as written.
    pub requires_python: Option<Cow<'p, str>>,
    /// When it was uploaded, as written.
    pub upload_time: Option<Cow<'p, str>>,
    /// Whether it was withdrawn, and why.
    pub yanked: Option<Cow<'p, str>>,
    /// Whether its metadata can be had by itself, at its address and `.metadata`.
    pub sidecar: Sidecar,
}

/// Where a listed file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link<'p> {
    /// As it stands on this page.
    Page(Cow<'p, str>, Arc<Url>),
    /// In a folder.
    Path(Utf8PathBuf),
}

/// Whether a wheel's metadata can be had without the wheel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sidecar {
    /// The index does not say so.
    #[default]
    No,
    /// It can, and has this digest if one is given.
    Yes(Option<Sha256>),
}

/// A wheel that the interpreter can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The name of the file.
    pub filename: String,
    /// Where it is.
    pub link: Link<'static>,
    /// Its digest, if the index tells it.
    pub sha256: Option<Sha256>,
    /// Its size, if the index tells it.
    pub size: Option<u64>,
    /// Whether its metadata can be had by itself.
    pub sidecar: Sidecar,
}

/// One release, and what the interpreter can do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The best wheel, or why there is none.
    pub wheel: Result<Wheel, Unusable>,
    /// Why it was withdrawn, if it was.
    pub yanked: Option<String>,
}

/// Why a release cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its wheels hold compiled code for other machines.
    Native(Native),
    /// It has no wheel at all.
    SdistOnly,
    /// It is for other Python versions.
    Python(String),
    /// It was uploaded too late, or nobody knows when.
    TooNew,
    /// None of its files has a digest that was asked for.
    Hash,
    /// The index has put the project under quarantine.
    Quarantined,
    /// It has no files that an installer can read.
    NoFiles,
}

/// What the wheels of a release are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// The systems.
    pub systems: BTreeSet<Platform>,
    /// The Python versions of wheels for this very platform, as `3.13`.
    pub pythons: BTreeSet<String>,
    /// The Python versions of wheels for Emscripten.
    pub emscripten: BTreeSet<String>,
    /// The platform tags of wheels for this system with another ABI, as that of another year.
    pub abis: BTreeSet<String>,
    /// The platform tag of the interpreter.
    pub own: String,
    /// Whether there is source to build from.
    pub source: bool,
}

/// All that is known of a project.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The index that has it, without secrets.
    pub index: String,
    /// Its releases.
    pub releases: BTreeMap<Version, Release>,
}

/// What the files have to be.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The tags of the interpreter.
    pub tags: Tags,
    /// Its version, without pre-release parts.
    pub python: Version,
    /// Files have to be older.
    pub upload_before: Option<SystemTime>,
    /// The digests that the files of some projects may have.
    pub hashes: BTreeMap<PackageName, BTreeSet<Sha256>>,
}

impl fmt::Display for Unusable {
    /// Goes on after the version: "has only wheels for Linux and macOS".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(native) => native.fmt(f),
            Self::SdistOnly => f.write_str("is only there as source, which pyw cannot build yet"),
            Self::Python(wanted) => write!(f, "needs Python {wanted}"),
            Self::TooNew => f.write_str("was uploaded too late for --upload-before"),
            Self::Hash => f.write_str("has no file with a hash that was asked for"),
            Self::Quarantined => f.write_str("is in quarantine on its index"),
            Self::NoFiles => f.write_str("has no file that an installer can read"),
        }
    }
}

impl Unusable {
    /// Whether somebody could build a wheel.
    #[must_use]
    pub fn has_source(&self) -> bool {
        match self {
            Self::SdistOnly => true,
            Self::Native(native) => native.source,
            _ => false,
        }
    }

    /// Why a wheel of that name cannot be used, if it cannot.
    #[must_use]
    pub fn of_name(name: &WheelName, tags: &Tags) -> Option<Unusable> {
        if tags.rank(&name.tags).is_some() {
            return None;
        }
        let mut native = Native::default();
        native.add(name, tags);
        Some(Unusable::Native(native))
    }
}

impl fmt::Display for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pythons.is_empty() {
            return write!(
                f,
                "has wheels for this platform only for Python {}",
                list(self.pythons.iter())
            );
        }
        if !self.abis.is_empty() {
            return write!(
                f,
                "has wheels for {}, and this interpreter is {}",
                list(self.abis.iter()),
                self.own
            );
        }
        let systems: Vec<String> = self.systems.iter().map(ToString::to_string).collect();
        match systems.as_slice() {
            [any] if any == "any platform" => f.write_str("has only wheels for other Pythons"),
            _ => write!(f, "has only wheels for {}", list(systems.iter())),
        }
    }
}

/// As `a, b and c`.
pub(super) fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The files of one release, sorted by what they are.
#[derive(Default)]
struct Files<'l, 'p> {
    wheels: Vec<(WheelName, &'l Listed<'p>)>,
    sdist: Option<&'l Listed<'p>>,
}

impl Project {
    /// Sorts the files of a project into releases.
    #[must_use]
    pub fn new(
        name: &PackageName,
        index: String,
        listed: &[Listed<'_>],
        filter: &Filter,
        quarantined: bool,
    ) -> Project {
        let mut files: BTreeMap<Version, Files<'_, '_>> = BTreeMap::new();
        for file in listed {
            if let Ok(wheel) = WheelName::parse(&file.filename) {
                if wheel.name == *name {
                    let version = wheel.version.clone();
                    files.entry(version).or_default().wheels.push((wheel, file));
                }
            } else if let Some(sdist) = SdistName::parse(&file.filename, name) {
                files.entry(sdist.version).or_default().sdist = Some(file);
            }
        }
        let mut judge = Judge {
            filter,
            hashes: filter.hashes.get(name),
            quarantined,
            pythons: HashMap::new(),
        };
        let releases = files
            .into_iter()
            .map(|(version, files)| (version, judge.release(&files)))
            .collect();
        Project { index, releases }
    }
}

/// Judges the releases of a project.
struct Judge<'f, 'l> {
    filter: &'f Filter,
    hashes: Option<&'f BTreeSet<Sha256>>,
    quarantined: bool,
    /// What `requires-python` means, since a project has few and all its files have one.
    pythons: HashMap<&'l str, bool>,
}

impl<'l> Judge<'_, 'l> {
    fn release(&mut self, files: &Files<'l, '_>) -> Release {
        let mut best: Option<(bool, usize, std::cmp::Reverse<_>, &Listed<'_>)> = None;
        let mut refused: Option<Unusable> = None;
        let mut native = Native {
            source: files.sdist.is_some(),
            ..Native::default()
        };
        let mut any_native = false;
        for (name, file) in &files.wheels {
            let Some(rank) = self.filter.tags.rank(&name.tags) else {
                any_native = true;
                native.add(name, &self.filter.tags);
                continue;
            };
            if let Some(unusable) = self.refuse(file) {
                refused = Some(unusable);
                continue;
            }
            let yanked = file.yanked.is_some();
            let build = std::cmp::Reverse(name.build.clone());
            let better = best
                .as_ref()
                .is_none_or(|(y, r, b, _)| (yanked, rank, &build) < (*y, *r, b));
            if better {
                best = Some((yanked, rank, build, file));
            }
        }
        if let Some((_, _, _, file)) = best {
            return Release {
                yanked: file.yanked.as_ref().map(ToString::to_string),
                wheel: Ok(Wheel::of(file)),
            };
        }
        let all = || {
            files
                .wheels
                .iter()
                .map(|(_, file)| *file)
                .chain(files.sdist)
        };
        let yanked = all().all(|file| file.yanked.is_some());
        let yanked = all()
            .next()
            .filter(|_| yanked)
            .and_then(|file| file.yanked.clone());
        // Of several reasons the one that says most: a Python that it is not made for explains
        // what is missing.
        let python = || all().find_map(|file| self.wrong_python(file));
        let unusable = match refused {
            Some(refused) => refused,
            None if self.quarantined => Unusable::Quarantined,
            None => match python() {
                Some(wanted) => Unusable::Python(wanted),
                None if any_native => Unusable::Native(native),
                None if files.sdist.is_some() => Unusable::SdistOnly,
                None => Unusable::NoFiles,
            },
        };
        Release {
            wheel: Err(unusable),
            yanked: yanked.map(Cow::into_owned),
        }
    }

    /// Why a file with the right tags is nevertheless not the right one.
    fn refuse(&mut self, file: &'l Listed<'_>) -> Option<Unusable> {
        if self.quarantined {
            return Some(Unusable::Quarantined);
        }
        if let Some(text) = file.requires_python.as_deref() {
            let python = &self.filter.python;
            let fits = *self
                .pythons
                .entry(text)
                .or_insert_with(|| fits(text, python));
            if !fits {
                return Some(Unusable::Python(text.to_owned()));
            }
        }
        if let Some(limit) = self.filter.upload_before {
            let time = file.upload_time.as_deref();
            let time = time.and_then(|text| humantime::parse_rfc3339_weak(text).ok());
            if time.is_none_or(|time| time >= limit) {
                return Some(Unusable::TooNew);
            }
        }
        if let Some(hashes) = self.hashes
            && file.sha256.is_none_or(|digest| !hashes.contains(&digest))
        {
            return Some(Unusable::Hash);
        }
        None
    }

    fn wrong_python(&self, file: &Listed<'_>) -> Option<String> {
        let text = file.requires_python.as_deref()?;
        (!fits(text, &self.filter.python)).then(|| text.to_owned())
    }
}

/// Whether a `requires-python` allows a Python; one that cannot be read does.
fn fits(requires: &str, python: &Version) -> bool {
    parse_specifiers(requires).map_or(true, |specifiers| specifiers.contains(python))
}

impl Native {
    fn add(&mut self, wheel: &WheelName, tags: &Tags) {
        self.systems.extend(wheel.tags.systems());
        let python = || python_of(&wheel.tags.python);
        if tags.fits_platform(&wheel.tags) {
            self.pythons.extend(python());
            return;
        }
        if wheel.tags.systems().contains(&Platform::Emscripten) {
            self.emscripten.extend(python());
        }
        let here = tags.platform();
        let abis = wheel.tags.platform.split('.');
        self.abis.extend(
            abis.filter(|tag| Platform::of(tag) == here)
                .map(str::to_owned),
        );
        self.own.replace_range(.., tags.own());
    }
}

/// `cp313` is `3.13`.
fn python_of(tag: &str) -> Option<String> {
    let digits = tag.split('.').next()?.strip_prefix("cp")?;
    let (major, minor) = digits.split_at_checked(1)?;
    (!minor.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("{major}.{minor}"))
}

impl Wheel {
    fn of(file: &Listed<'_>) -> Wheel {
        Wheel {
            filename: file.filename.to_string(),
            link: match &file.link {
                Link::Page(text, page) => {
                    Link::Page(Cow::Owned(text.to_string()), Arc::clone(page))
                }
                Link::Path(path) => Link::Path(path.clone()),
            },
            sha256: file.sha256,
            size: file.size,
            sidecar: file.sidecar,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::marker::tests::info;

    fn filter() -> Filter {
        Filter {
            tags: Tags::of(&info()),
            python: "3.12.0".parse().unwrap(),
            upload_before: None,
            hashes: BTreeMap::new(),
        }
    }

    fn file(filename: &str) -> Listed<'_> {
        Listed {
            filename: filename.into(),
            link: Link::Path(filename.into()),
            sha256: None,
            size: None,
            requires_python: None,
            upload_time: None,
            yanked: None,
            sidecar: Sidecar::No,
        }
    }

    fn project(files: &[Listed<'_>], filter: &Filter) -> Project {
        let name = PackageName::new("a").unwrap();
        Project::new(&name, "index".into(), files, filter, false)
    }

    fn told(project: &Project, version: &str) -> String {
        let release = &project.releases[&version.parse().unwrap()];
        match &release.wheel {
            Ok(wheel) => wheel.filename.clone(),
            Err(unusable) => unusable.to_string(),
        }
    }

    #[test]
    fn the_best_wheel_of_a_release_is_taken() {
        let yanked = Listed {
            yanked: Some("bad".into()),
            ..file("a-1-cp312-cp312-wasi_wasm32.whl")
        };
        let files = [
            file("a-1-py3-none-any.whl"),
            file("a-1-2-py3-none-any.whl"),
            yanked,
            file("a-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
            file("a-1.tar.gz"),
            file("b-1-py3-none-any.whl"),
            file("rubbish"),
        ];
        let project = project(&files, &filter());
        assert_eq!(told(&project, "1"), "a-1-2-py3-none-any.whl");
        assert_eq!(project.releases.len(), 1);
    }

    #[test]
    fn why_a_release_is_of_no_use() {
        let newer = Listed {
            requires_python: Some(">=3.13".into()),
            ..file("a-4-py3-none-any.whl")
        };
        let files = [
            file("a-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
            file("a-1-cp312-cp312-macosx_11_0_arm64.whl"),
            file("a-1-cp312-cp312-win_amd64.whl"),
            file("a-1.tar.gz"),
            file("a-2.tar.gz"),
            file("a-3-cp313-cp313-wasi_wasm32.whl"),
            newer,
            file("a-5-cp313-cp313-pyemscripten_2025_0_wasm32.whl"),
        ];
        let project = project(&files, &filter());
        for (version, why) in [
            ("1", "has only wheels for Linux, macOS and Windows"),
            ("2", "is only there as source, which pyw cannot build yet"),
            ("3", "has wheels for this platform only for Python 3.13"),
            ("4", "needs Python >=3.13"),
            ("5", "has only wheels for Emscripten"),
        ] {
            assert_eq!(told(&project, version), why);
        }
    }

    #[test]
    fn dates_and_hashes_are_kept_to() {
        let digest = Sha256::of(b"x");
        let at = |time: &'static str, name: &'static str| Listed {
            upload_time: Some(time.into()),
            sha256: Some(digest),
            ..file(name)
        };
        let files = [
            at("2024-01-01T10:00:00.123456Z", "a-1-py3-none-any.whl"),
            at("2024-06-01T10:00:00Z", "a-2-py3-none-any.whl"),
            file("a-3-py3-none-any.whl"),
        ];
        let mut filter = filter();
        filter.upload_before = Some(humantime::parse_rfc3339("2024-03-01T00:00:00Z").unwrap());
        let late = "was uploaded too late for --upload-before";
        let of_date = project(&files, &filter);
        for (version, expected) in [("1", "a-1-py3-none-any.whl"), ("2", late), ("3", late)] {
            assert_eq!(told(&of_date, version), expected);
        }
        filter.upload_before = None;
        filter.hashes = [(PackageName::new("a").unwrap(), [digest].into())].into();
        let of_hash = project(&files, &filter);
        assert!(told(&of_hash, "2").ends_with(".whl"));
        assert!(told(&of_hash, "3").contains("hash"));
    }
}
