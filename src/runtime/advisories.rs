//! Known security holes of runtimes: `runtimes/advisories.toml`, and which of them hit a version on
//! this machine.

use std::sync::LazyLock;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

/// One hole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advisory {
    /// Its name, as `RUSTSEC-2026-0269`.
    pub id: String,
    /// The runtime's name.
    pub runtime: String,
    /// What can go wrong, in a sentence.
    pub what: String,
    /// The versions that have it: any of these ranges.
    pub affected: Vec<VersionReq>,
    /// The releases without it, for people.
    pub fixed: String,
    /// Where it counts; everywhere without it.
    #[serde(default)]
    pub only: Only,
    /// The Linux kernel, as `5.6`, from which on it cannot be exploited.
    pub since_linux_safe: Option<String>,
    /// Whether it breaks what pyw promises, so that nothing is run on such a version.
    pub refuse: bool,
    /// Why it is only shown.
    pub because: Option<String>,
}

/// The machines on which a hole counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// As [`std::env::consts::OS`].
    pub os: Option<String>,
    /// As [`std::env::consts::ARCH`].
    pub arch: Option<String>,
}

/// The machine at hand, as far as holes depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// As [`std::env::consts::OS`].
    pub os: String,
    /// As [`std::env::consts::ARCH`].
    pub arch: String,
    /// Major and minor version of its Linux kernel, if it has one and tells.
    pub linux: Option<(u64, u64)>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn here() -> Machine {
        #[cfg(target_os = "linux")]
        let linux = numbers(&rustix::system::uname().release().to_string_lossy());
        #[cfg(not(target_os = "linux"))]
        let linux = None;
        Machine {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            linux,
        }
    }
}

impl Advisory {
    /// Whether it hits this version on this machine.
    #[must_use]
    pub fn hits(&self, version: &Version, machine: &Machine) -> bool {
        let counts = |only: &Option<String>, here: &str| only.as_deref().is_none_or(|o| o == here);
        // What precedes a release has its holes.
        let version = Version::new(version.major, version.minor, version.patch);
        let safe_since = self.since_linux_safe.as_deref().and_then(numbers);
        counts(&self.only.os, &machine.os)
            && counts(&self.only.arch, &machine.arch)
            && self.affected.iter().any(|range| range.matches(&version))
            && safe_since.is_none_or(|since| machine.linux.is_none_or(|here| here < since))
    }
}

/// The first two numbers of a version, as of `6.18.3-cloud`.
fn numbers(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split(['.', '-', '+']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// All known holes.
#[must_use]
pub fn all() -> &'static [Advisory] {
    #[derive(Deserialize)]
    struct File {
        advisory: Vec<Advisory>,
    }
    static ALL: LazyLock<Vec<Advisory>> = LazyLock::new(|| {
        // The file is part of pyw, and a test reads it.
        toml::from_str::<File>(include_str!("../../runtimes/advisories.toml"))
            .map(|file| file.advisory)
            .unwrap_or_default()
    });
    &ALL
}

/// The holes that a version of a runtime has on this machine. One that did not tell its version
/// is believed to have none: nothing can be said of it.
#[must_use]
pub fn of(runtime: &str, version: Option<&Version>, machine: &Machine) -> Vec<&'static Advisory> {
    let Some(version) = version else {
        return Vec::new();
    };
    let all = all().iter();
    all.filter(|one| one.runtime == runtime && one.hits(version, machine))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(linux: Option<(u64, u64)>) -> Machine {
        Machine {
            os: "linux".into(),
            arch: "x86_64".into(),
            linux,
        }
    }

    fn ids(runtime: &str, version: &str, machine: &Machine) -> Vec<&'static str> {
        let version = Version::parse(version).unwrap();
        of(runtime, Some(&version), machine)
            .into_iter()
            .filter(|one| one.refuse)
            .map(|one| one.id.as_str())
            .collect()
    }

    #[test]
    fn the_file_is_read_whole() {
        let text = include_str!("../../runtimes/advisories.toml");
        let written = text.lines().filter(|line| *line == "[[advisory]]").count();
        assert_eq!(all().len(), written);
        for one in all() {
            assert_eq!(one.refuse, one.because.is_none(), "{}", one.id);
            let kernel = one.since_linux_safe.as_deref();
            assert!(kernel.is_none_or(|k| numbers(k).is_some()), "{}", one.id);
        }
    }

    #[test]
    fn versions_hit_and_miss() {
        let old = machine(Some((5, 4)));
        let new = machine(Some((6, 18)));
        const SLASH: &str = "RUSTSEC-2026-0269";
        for (version, hit) in [
            ("46.0.2", true),
            ("46.0.3", false),
            ("47.0.3", true),
            ("47.0.4", false),
            ("36.0.13", true),
            ("36.0.14", false),
            ("48.0.0", false),
        ] {
            assert_eq!(
                ids("wasmtime", version, &old).contains(&SLASH),
                hit,
                "{version}"
            );
            assert!(
                !ids("wasmtime", version, &new).contains(&SLASH),
                "{version}"
            );
        }
        assert!(ids("wasmtime", "49.0.1", &new)[0].contains("RUSTSEC-2026-0325"));
        for clean in ["49.0.2", "49.0.3", "48.0.5", "36.0.15"] {
            assert_eq!(ids("wasmtime", clean, &new), [""; 0], "{clean}");
        }
        // Another machine.
        let arm = Machine {
            arch: "aarch64".into(),
            ..new.clone()
        };
        assert!(ids("wasmtime", "42.0.1", &arm).contains(&"RUSTSEC-2026-0096"));
        assert!(!ids("wasmtime", "42.0.1", &new).contains(&"RUSTSEC-2026-0096"));
        // A pre-release has what its release has.
        assert_eq!(ids("wasmtime", "49.0.1-rc.1", &new).len(), 1);
        assert_eq!(ids("wasmedge", "0.17.1", &new), [""; 0]);
        assert!(of("wasmtime", None, &new).is_empty());
    }

    #[test]
    fn kernels_are_read() {
        assert_eq!(numbers("6.18.3-cloud-amd64"), Some((6, 18)));
        assert_eq!(numbers("5.6"), Some((5, 6)));
        assert_eq!(numbers("unknown"), None);
    }
}
