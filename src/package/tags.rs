//! Wheel tags: which wheels an interpreter can use, the best first.

use std::collections::HashMap;
use std::fmt;

use crate::interpreter::Info;

/// How many Python versions below the interpreter's own its tags go down to; 3.0 is the end.
const OLDEST_ABI3: u32 = 2;

/// The tags of an interpreter, in order of preference.
///
/// The order is that of `packaging.tags`: the interpreter's own ABI on each of its platforms, the
/// stable ABI from new to old, wheels without an ABI, then pure wheels from specific to general.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    ordered: Vec<String>,
    ranks: HashMap<String, usize>,
    platforms: Vec<String>,
    minor: u32,
}

/// A wheel's tag set, as its file name has it: every combination of the parts is a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelTags {
    /// As `py2.py3`.
    pub python: String,
    /// As `abi3` or `none`.
    pub abi: String,
    /// As `any` or `manylinux_2_17_x86_64.manylinux2014_x86_64`.
    pub platform: String,
}

/// What kind of machine a wheel's platform tag stands for, as it is told to people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// `any`.
    Any,
    /// manylinux, musllinux, linux.
    Linux,
    /// macosx.
    MacOs,
    /// win.
    Windows,
    /// android.
    Android,
    /// ios.
    Ios,
    /// WASI.
    Wasi,
    /// Emscripten, under any of its names.
    Emscripten,
    /// Anything else, under its own name.
    Other(String),
}

impl Platform {
    /// The kind that a platform tag stands for.
    #[must_use]
    pub fn of(tag: &str) -> Platform {
        const KINDS: [(&str, Platform); 11] = [
            ("manylinux", Platform::Linux),
            ("musllinux", Platform::Linux),
            ("linux", Platform::Linux),
            ("macosx", Platform::MacOs),
            ("win", Platform::Windows),
            ("android", Platform::Android),
            ("ios", Platform::Ios),
            ("wasi", Platform::Wasi),
            ("pyemscripten", Platform::Emscripten),
            ("pyodide", Platform::Emscripten),
            ("emscripten", Platform::Emscripten),
        ];
        if tag == "any" {
            return Platform::Any;
        }
        // WASIX is another system than WASI.
        let kind = KINDS
            .iter()
            .find(|(prefix, _)| tag.starts_with(prefix) && !tag.starts_with("wasix"));
        kind.map_or_else(|| Platform::Other(tag.to_owned()), |(_, kind)| kind.clone())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Any => "any platform",
            Platform::Linux => "Linux",
            Platform::MacOs => "macOS",
            Platform::Windows => "Windows",
            Platform::Android => "Android",
            Platform::Ios => "iOS",
            Platform::Wasi => "WASI",
            Platform::Emscripten => "Emscripten",
            Platform::Other(tag) => tag,
        })
    }
}

impl Tags {
    /// The tags of an interpreter.
    #[must_use]
    pub fn of(info: &Info) -> Tags {
        let mut platforms = platforms(&info.platform);
        platforms.extend(info.aliases.iter().cloned());
        Tags::new(minor(info), free_threaded(info), &platforms)
    }

    /// The tags of CPython 3.`minor` on these platforms, the preferred one first.
    #[must_use]
    pub fn new(minor: u32, free_threaded: bool, platforms: &[String]) -> Tags {
        let mut ordered = Vec::new();
        let own = format!("cp3{minor}");
        let abi = format!("{own}{}", if free_threaded { "t" } else { "" });
        let mut native = |python: &str, abi: &str| {
            for platform in platforms {
                ordered.push(format!("{python}-{abi}-{platform}"));
            }
        };
        native(&own, &abi);
        // The stable ABI is not there without the GIL.
        if !free_threaded {
            native(&own, "abi3");
        }
        native(&own, "none");
        if !free_threaded {
            for older in (OLDEST_ABI3..minor).rev() {
                native(&format!("cp3{older}"), "abi3");
            }
        }
        let pythons: Vec<String> = std::iter::once(format!("py3{minor}"))
            .chain(std::iter::once("py3".to_owned()))
            .chain((0..minor).rev().map(|older| format!("py3{older}")))
            .collect();
        for python in &pythons {
            for platform in platforms {
                ordered.push(format!("{python}-none-{platform}"));
            }
        }
        ordered.push(format!("{own}-none-any"));
        ordered.extend(pythons.iter().map(|python| format!("{python}-none-any")));
        let ranks = ordered
            .iter()
            .enumerate()
            .map(|(rank, tag)| (tag.clone(), rank))
            .collect();
        Tags {
            ordered,
            ranks,
            platforms: platforms.to_vec(),
            minor,
        }
    }

    /// The tags of an interpreter as a pybi has them: `PLATFORM` stands for its platforms
    /// (PEP 711).
    #[must_use]
    pub fn of_pybi(info: &Info) -> Tags {
        Tags::new(minor(info), free_threaded(info), &["PLATFORM".to_owned()])
    }

    /// All tags, the preferred one first.
    #[must_use]
    pub fn ordered(&self) -> &[String] {
        &self.ordered
    }

    /// How good a wheel is, 0 being the best; `None` if the interpreter cannot use it.
    #[must_use]
    pub fn rank(&self, wheel: &WheelTags) -> Option<usize> {
        // The most frequent ones need no text to be built.
        let tags = wheel.python.split('.').flat_map(|python| {
            wheel.abi.split('.').flat_map(move |abi| {
                let platforms = wheel.platform.split('.');
                platforms.filter_map(move |platform| {
                    self.ranks.get(&format!("{python}-{abi}-{platform}"))
                })
            })
        });
        tags.min().copied()
    }

    /// Whether the wheel is for this platform, if perhaps for another Python.
    #[must_use]
    pub fn fits_platform(&self, wheel: &WheelTags) -> bool {
        wheel
            .platform
            .split('.')
            .any(|tag| self.platforms.iter().any(|own| own == tag))
    }

    /// The system that the interpreter runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.platforms
            .first()
            .map_or(Platform::Any, |tag| Platform::of(tag))
    }

    /// The interpreter's own platform tag.
    #[must_use]
    pub fn own(&self) -> &str {
        self.platforms.first().map_or("", String::as_str)
    }

    /// The interpreter's minor version.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.minor
    }
}

impl WheelTags {
    /// The systems that the wheel is for, each once, in a fixed order.
    #[must_use]
    pub fn systems(&self) -> std::collections::BTreeSet<Platform> {
        self.platform.split('.').map(Platform::of).collect()
    }

    /// Whether the wheel needs no compiled code.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.platform.split('.').any(|tag| tag == "any")
    }
}

/// Of 3.13's free-threaded build the ABI is `cp313t`; `SOABI` is `cpython-313t-…`.
fn free_threaded(info: &Info) -> bool {
    info.soabi
        .strip_prefix("cpython-")
        .and_then(|rest| rest.split('-').next())
        .is_some_and(|abi| abi.ends_with('t'))
}

/// The minor version of an interpreter.
fn minor(info: &Info) -> u32 {
    let version = info
        .markers
        .get("python_version")
        .map_or(info.version.as_str(), String::as_str);
    let minor = version.split('.').nth(1).unwrap_or("0");
    let digits = minor.find(|c: char| !c.is_ascii_digit());
    let digits = digits.map_or(minor, |end| &minor[..end]);
    // Every minor makes a few tags, so a nonsensical one must not make billions.
    digits.parse().unwrap_or(0).min(999)
}

/// The platform tags that mean the same platform, the preferred one first.
fn platforms(own: &str) -> Vec<String> {
    let own = own.replace(['-', '.'], "_");
    let mut all = vec![own.clone()];
    let mut also = |tag: String| {
        if !all.contains(&tag) {
            all.push(tag);
        }
    };
    if Platform::of(&own) == Platform::Wasi {
        also("wasi_0_0_0_wasm32".to_owned());
        also("wasi_wasm32".to_owned());
    }
    // PEP 783's name, and the one that Pyodide used before it.
    if let Some(rest) = own.strip_prefix("pyemscripten_") {
        also(format!("pyodide_{rest}"));
    } else if let Some(rest) = own.strip_prefix("pyodide_") {
        also(format!("pyemscripten_{rest}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(text: &str) -> WheelTags {
        let parts: Vec<&str> = text.split('-').collect();
        WheelTags {
            python: parts[0].into(),
            abi: parts[1].into(),
            platform: parts[2].into(),
        }
    }

    #[test]
    fn the_order_is_that_of_packaging() {
        let tags = Tags::new(4, false, &platforms("wasi-0.0.0-wasm32"));
        assert_eq!(
            tags.ordered().join(" "),
            "cp34-cp34-wasi_0_0_0_wasm32 cp34-cp34-wasi_wasm32 cp34-abi3-wasi_0_0_0_wasm32 \
             cp34-abi3-wasi_wasm32 cp34-none-wasi_0_0_0_wasm32 cp34-none-wasi_wasm32 \
             cp33-abi3-wasi_0_0_0_wasm32 cp33-abi3-wasi_wasm32 cp32-abi3-wasi_0_0_0_wasm32 \
             cp32-abi3-wasi_wasm32 py34-none-wasi_0_0_0_wasm32 py34-none-wasi_wasm32 \
             py3-none-wasi_0_0_0_wasm32 py3-none-wasi_wasm32 py33-none-wasi_0_0_0_wasm32 \
             py33-none-wasi_wasm32 py32-none-wasi_0_0_0_wasm32 py32-none-wasi_wasm32 \
             py31-none-wasi_0_0_0_wasm32 py31-none-wasi_wasm32 py30-none-wasi_0_0_0_wasm32 \
             py30-none-wasi_wasm32 cp34-none-any py34-none-any py3-none-any py33-none-any \
             py32-none-any py31-none-any py30-none-any"
        );
    }

    #[test]
    fn the_best_tag_of_a_wheel_counts() {
        let tags = Tags::new(12, false, &platforms("wasi_0_0_0_wasm32"));
        let rank = |text| tags.rank(&wheel(text));
        let better = [
            "cp312-cp312-wasi_0_0_0_wasm32",
            "cp312-cp312-wasi_wasm32",
            "cp312-abi3-wasi_wasm32",
            "cp39-abi3-wasi_wasm32",
            "py3-none-wasi_wasm32",
            "cp312-none-any",
            "py312-none-any",
            "py2.py3-none-any",
            "py311-none-any",
        ];
        for pair in better.windows(2) {
            assert!(rank(pair[0]).unwrap() < rank(pair[1]).unwrap(), "{pair:?}");
        }
        for unusable in [
            "cp311-cp311-wasi_wasm32",
            "cp313-abi3-wasi_wasm32",
            "py2-none-any",
            "py313-none-any",
            "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp312-cp312-wasix_wasm32",
            "cp312-cp312-pyemscripten_2024_0_wasm32",
        ] {
            assert_eq!(rank(unusable), None, "{unusable}");
        }
        assert!(tags.fits_platform(&wheel("cp311-cp311-wasi_wasm32")));
        assert!(!tags.fits_platform(&wheel("cp311-cp311-win32")));
    }

    #[test]
    fn emscripten_is_known_by_both_its_names() {
        let tags = Tags::new(14, false, &platforms("pyemscripten_2026_0_wasm32"));
        assert!(
            tags.rank(&wheel("cp314-cp314-pyodide_2026_0_wasm32"))
                .is_some()
        );
        assert!(
            tags.rank(&wheel("cp314-cp314-pyodide_2025_0_wasm32"))
                .is_none()
        );
        assert_eq!(tags.platform(), Platform::Emscripten);
    }

    #[test]
    fn without_the_gil_there_is_no_stable_abi() {
        let tags = Tags::new(14, true, &platforms("wasi_wasm32"));
        assert!(tags.rank(&wheel("cp314-cp314t-wasi_wasm32")).is_some());
        assert!(tags.rank(&wheel("cp314-cp314-wasi_wasm32")).is_none());
        assert!(tags.rank(&wheel("cp39-abi3-wasi_wasm32")).is_none());
    }

    #[test]
    fn platforms_have_names() {
        let systems = wheel("cp312-cp312-win_amd64.macosx_11_0_arm64.wasix_wasm32").systems();
        let names: Vec<String> = systems.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["macOS", "Windows", "wasix_wasm32"]);
    }
}
