//! File names on an index: wheels and sdists.

use pep440_rs::Version;

use super::name::PackageName;
use super::tags::WheelTags;

/// What the name of a wheel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: Version,
    /// The build tag: its number, then the rest of it. Wheels without one are older.
    pub build: Option<(u64, String)>,
    /// What it is for.
    pub tags: WheelTags,
}

/// What the name of an sdist says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdistName {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: Version,
}

/// Reads a version, refusing those that no one means.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_version(text: &str) -> Result<Version, String> {
    if !has_sane_numbers(text) || text.len() > 200 {
        return Err(format!("{text:?} is not a version: it is too long"));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is not a version of PEP 440"))
}

/// Whether all numbers fit where they are counted up by one: `==1.*` is `>=1,<2`.
pub(super) fn has_sane_numbers(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .all(|digits| digits.len() <= 15)
}

impl WheelName {
    /// Reads `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(file: &str) -> Result<WheelName, String> {
        let stem = file
            .strip_suffix(".whl")
            .ok_or_else(|| format!("{file:?} does not end in .whl"))?;
        let wrong = || format!("{file:?} is not NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl");
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match *parts.as_slice() {
            [name, version, python, abi, platform] => {
                (name, version, None, [python, abi, platform])
            }
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return Err(wrong()),
        };
        let is_tag = |tag: &str| {
            tag.split('.').all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            })
        };
        if !tags.into_iter().all(is_tag) {
            return Err(wrong());
        }
        let build = match build {
            None => None,
            Some(build) => {
                let end = build
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(build.len());
                let number = build[..end].parse().map_err(|_| wrong())?;
                Some((number, build[end..].to_owned()))
            }
        };
        // File names write a `-` of the version as `_`.
        let version = version.replace('_', "-");
        Ok(WheelName {
            name: PackageName::new(name).map_err(|error| error.to_string())?,
            version: parse_version(&version)?,
            build,
            tags: WheelTags {
                python: tags[0].to_ascii_lowercase(),
                abi: tags[1].to_ascii_lowercase(),
                platform: tags[2].to_ascii_lowercase(),
            },
        })
    }
}

impl SdistName {
    /// Reads `NAME-VERSION.tar.gz` or `.zip`, of the project `name`: only with it can be told
    /// where a name with dashes ends.
    #[must_use]
    pub fn parse(file: &str, name: &PackageName) -> Option<SdistName> {
        const ENDINGS: [&str; 6] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".tar"];
        let stem = ENDINGS.iter().find_map(|end| file.strip_suffix(end))?;
        // Every dash may be the one before the version.
        stem.match_indices('-').find_map(|(at, _)| {
            let found = PackageName::new(&stem[..at]).ok()?;
            if found != *name {
                return None;
            }
            let version = parse_version(&stem[at + 1..]).ok()?;
            Some(SdistName {
                name: found,
                version,
            })
        })
    }

    /// Whether a file is an sdist of any project.
    #[must_use]
    pub fn is_sdist(file: &str) -> bool {
        [".tar.gz", ".zip", ".tgz"]
            .iter()
            .any(|end| file.ends_with(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels() {
        let wheel = WheelName::parse("Foo_Bar-1.0.post1-py2.py3-none-any.whl").unwrap();
        assert_eq!(wheel.name, "foo-bar");
        assert_eq!(wheel.version.to_string(), "1.0.post1");
        assert_eq!(wheel.build, None);
        assert!(wheel.tags.is_pure());
        let wheel = WheelName::parse("a-1-12x-cp312-abi3-wasi_wasm32.whl").unwrap();
        assert_eq!(wheel.build, Some((12, "x".to_owned())));
        let wheel = WheelName::parse("a-1.0+ab.1-py3-none-any.whl").unwrap();
        assert_eq!(wheel.version.to_string(), "1.0+ab.1");
        for wrong in [
            "a-1-py3-none.whl",
            "a-1-py3-none-any.zip",
            "a-1-x-py3-none-any.whl",
            "a-1-1-2-py3-none-any.whl",
            "a-one-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "../a-1-py3-none-any.whl",
            "a-1-py3--any.whl",
            "a-1-py3-none-a/b.whl",
            "a-99999999999999999999-py3-none-any.whl",
        ] {
            assert!(WheelName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sdists_need_the_name_of_their_project() {
        let name = PackageName::new("foo-2-bar").unwrap();
        for file in ["foo-2-bar-1.0.tar.gz", "Foo_2.bar-1.0.zip"] {
            let sdist = SdistName::parse(file, &name).unwrap();
            assert_eq!(sdist.version.to_string(), "1.0");
        }
        for file in ["foo-2-bar-1.0.exe", "foo-2.tar.gz", "foo-2-bar-x.tar.gz"] {
            assert_eq!(SdistName::parse(file, &name), None, "{file}");
        }
    }
}
