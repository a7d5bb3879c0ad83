//! The file name of a pybi, and which platform tags mean the same platform.

use std::fmt;

use pep440_rs::Version;

use crate::interpreter::Platform;

/// What `{distribution}-{version}[-{build}]-{platform}.pybi` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PybiName {
    /// The distribution, such as `cpython`, in lower case.
    pub distribution: String,
    /// Its version.
    pub version: Version,
    /// The build tag: its number, then the rest. An archive without one is older.
    pub build: Option<(u64, String)>,
    /// The platform tag.
    pub platform: String,
}

impl PybiName {
    /// Reads a file name. `None`: it is not the name of a pybi.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        if file.len() > 200 {
            return None;
        }
        let stem = file.strip_suffix(".pybi")?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (distribution, version, build, platform) = match parts.as_slice() {
            [distribution, version, platform] => (*distribution, *version, None, *platform),
            [distribution, version, build, platform] => {
                (*distribution, *version, Some(*build), *platform)
            }
            _ => return None,
        };
        let build = match build {
            None => None,
            Some(build) => Some(parse_build(build)?),
        };
        let word = |text: &str, more: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(known)
        };
        if !word(distribution, "._") || !word(platform, "._") {
            return None;
        }
        Some(Self {
            distribution: distribution.to_ascii_lowercase(),
            version: version.replace('_', "-").parse().ok()?,
            build,
            platform: platform.to_owned(),
        })
    }

    /// The build tag as it is written.
    #[must_use]
    pub fn build_text(&self) -> Option<String> {
        let (number, rest) = self.build.as_ref()?;
        Some(format!("{number}{rest}"))
    }
}

impl fmt::Display for PybiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.to_string().replace('-', "_");
        write!(f, "{}-{version}", self.distribution)?;
        if let Some(build) = self.build_text() {
            write!(f, "-{build}")?;
        }
        write!(f, "-{}.pybi", self.platform)
    }
}

/// Reads a build tag: a number, and perhaps more.
#[must_use]
pub fn parse_build(text: &str) -> Option<(u64, String)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest.to_owned()))
}

/// The name by which pybis call a platform: WASI's is `wasi_wasm32`, where tools inside compute
/// `wasi_0_0_0_wasm32` from a `uname` that tells no version.
#[must_use]
pub fn canonical(platform: &str) -> String {
    let platform = platform.replace(['-', '.'], "_");
    match platform.as_str() {
        "wasi_0_0_0_wasm32" => "wasi_wasm32".to_owned(),
        _ => match platform.strip_prefix("pyodide_") {
            // PEP 783's name of what Pyodide called so before it.
            Some(rest) => format!("pyemscripten_{rest}"),
            None => platform,
        },
    }
}

/// What a platform tag asks of a runtime; `None` for those that need no WebAssembly.
#[must_use]
pub fn platform_of(tag: &str) -> Option<Platform> {
    let tag = canonical(tag);
    // Not every tag that begins so: WASIX is another system.
    let begins = |prefix: &str| tag.starts_with(prefix) && tag.ends_with("_wasm32");
    if begins("wasi_") {
        Some(Platform::Wasi)
    } else if begins("pyemscripten_") || begins("emscripten_") {
        Some(Platform::Emscripten)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in [
            "cpython-3.13.5-wasi_wasm32.pybi",
            "cpython-3.15.0rc1-2a-pyemscripten_2026_5_wasm32.pybi",
        ] {
            assert_eq!(PybiName::parse(text).unwrap().to_string(), text);
        }
        let built = |text| PybiName::parse(text).unwrap().build;
        assert!(built("a-1-2-x.pybi") > built("a-1-x.pybi"));
        assert!(built("a-1-10-x.pybi") > built("a-1-2-x.pybi"));
        for wrong in [
            "cpython-3.13.5-wasi_wasm32.zip",
            "cpython-3.13.5.pybi",
            "cpython-x-wasi_wasm32.pybi",
            "cpython-3.13.5-b1-wasi_wasm32.pybi",
            "-3.13.5-wasi_wasm32.pybi",
            "cpython-3.13.5-wasi/wasm32.pybi",
            "cpython-3.13.5-.pybi",
        ] {
            assert_eq!(PybiName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn platforms_have_one_name() {
        assert_eq!(canonical("wasi-0.0.0-wasm32"), "wasi_wasm32");
        assert_eq!(
            canonical("pyodide_2025_0_wasm32"),
            "pyemscripten_2025_0_wasm32"
        );
        assert_eq!(platform_of("wasi_0_0_0_wasm32"), Some(Platform::Wasi));
        assert_eq!(platform_of("wasix_wasm32"), None);
        assert_eq!(platform_of("manylinux_2_17_x86_64"), None);
        assert_eq!(
            platform_of("emscripten_4_0_9_wasm32"),
            Some(Platform::Emscripten)
        );
    }
}
