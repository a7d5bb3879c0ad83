//! What the texts of a `pybi-info` folder say.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;
use serde::Serialize;

use super::fault::Fault;
use super::headers::Headers;
use super::{METADATA, PYBI};
use crate::interpreter::imports::Import;
use crate::interpreter::wasm::PREVIEW1;

/// What PEP 711 allows no METADATA to have.
const FORBIDDEN: [&str; 3] = ["Requires-Dist", "Provides-Extra", "Requires-Python"];
/// The markers that installers need; a static one more or less does no harm.
const MARKERS: [&str; 7] = [
    "implementation_name",
    "os_name",
    "platform_python_implementation",
    "platform_system",
    "python_full_version",
    "python_version",
    "sys_platform",
];
/// The paths that installing wheels needs.
const PATHS: [&str; 6] = [
    "stdlib",
    "platstdlib",
    "purelib",
    "platlib",
    "scripts",
    "data",
];

/// What PYBI says of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pybi {
    /// What made it.
    pub generator: String,
    /// The platform tags, at least one.
    pub tags: Vec<String>,
    /// The build tag.
    pub build: Option<String>,
    /// What a WebAssembly build says beyond PEP 711.
    pub wasm: Wasm,
}

/// The keys that pyw's convention adds to PYBI, all of them optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wasm {
    /// `Wasm-Module`: the module that takes the place of the executable.
    pub module: Option<String>,
    /// `Wasm-ABI`: the import module with the functions that its system promises.
    pub abi: Option<String>,
    /// `Wasm-Import`: each function that it imports beyond its ABI.
    pub imports: BTreeSet<Import>,
    /// `Wasm-Feature`: each feature beyond the first version of WebAssembly that it uses.
    pub features: BTreeSet<String>,
    /// `Wasm-Library`: where the guest has to see the archive's `lib`, and for where its byte code
    /// was compiled.
    pub library: Option<String>,
    /// `Wasm-Builtin-Modules`: the Python modules that are linked in.
    pub builtin_modules: BTreeSet<String>,
}

/// What METADATA says of the interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The distribution, such as `cpython`.
    pub name: String,
    /// Its version.
    #[serde(serialize_with = "as_text")]
    pub version: Version,
    /// One line about it.
    pub summary: Option<String>,
    /// The files in `pybi-info/licenses`.
    pub license_files: Vec<String>,
    /// The markers that are the same wherever it runs.
    pub markers: BTreeMap<String, String>,
    /// The installation scheme, relative to the archive's root.
    pub paths: BTreeMap<String, String>,
    /// The wheels that it can use, the best first, with `PLATFORM` for its platform tags.
    pub wheel_tags: Vec<String>,
}

fn as_text<S: serde::Serializer>(version: &Version, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(version)
}

fn malformed(path: &str) -> impl Fn(String) -> Fault {
    let path = path.to_owned();
    move |reason| Fault::Malformed {
        path: path.clone(),
        reason,
    }
}

impl Pybi {
    /// Reads PYBI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = malformed(PYBI);
        let headers = Headers::parse(text).map_err(&wrong)?;
        let version = headers.required("Pybi-Version").map_err(&wrong)?;
        if version.split('.').next() != Some("1") {
            return Err(Fault::Version {
                version: version.chars().take(40).collect(),
            });
        }
        let tags = headers.all("Tag");
        if tags.is_empty() {
            return Err(wrong("it has no Tag".to_owned()));
        }
        let mut wasm = Wasm::default();
        for name in headers.names() {
            let Some(rest) = name
                .to_ascii_lowercase()
                .strip_prefix("wasm-")
                .map(str::to_owned)
            else {
                // Keys of later versions 1.x mean nothing to us.
                continue;
            };
            let one = || headers.one(name).map_err(&wrong);
            match rest.as_str() {
                "module" => wasm.module = one()?,
                "abi" => wasm.abi = one()?,
                "library" => wasm.library = one()?,
                "import" => {
                    let all = headers.all(name);
                    let all = all.iter().map(|text| text.parse::<Import>());
                    wasm.imports = all.collect::<Result<_, _>>().map_err(&wrong)?;
                }
                "feature" => wasm.features = headers.all(name).into_iter().collect(),
                "builtin-modules" => {
                    let all = one()?.unwrap_or_default();
                    wasm.builtin_modules = all.split_whitespace().map(str::to_owned).collect();
                }
                _ => {
                    return Err(Fault::UnknownKey {
                        key: name.to_owned(),
                    });
                }
            }
        }
        if let Some(abi) = wasm.abi.as_deref()
            && ![PREVIEW1, EMSCRIPTEN].contains(&abi)
        {
            return Err(wrong(format!(
                "its Wasm-ABI is {abi:?}; known are {PREVIEW1} and {EMSCRIPTEN}"
            )));
        }
        if let Some(library) = wasm.library.as_deref()
            && !is_guest_folder(library)
        {
            return Err(wrong(format!(
                "its Wasm-Library is {library:?}, which is not the path of a folder of its own"
            )));
        }
        Ok(Self {
            generator: headers
                .one("Generator")
                .map_err(&wrong)?
                .unwrap_or_default(),
            tags,
            build: headers.one("Build").map_err(&wrong)?,
            wasm,
        })
    }

    /// The text of PYBI.
    #[must_use]
    pub fn text(&self) -> String {
        let mut headers = Headers::default();
        headers.push("Pybi-Version", "1.0");
        headers.push("Generator", &self.generator);
        for tag in &self.tags {
            headers.push("Tag", tag);
        }
        let wasm = &self.wasm;
        let single = [
            ("Build", &self.build),
            ("Wasm-Module", &wasm.module),
            ("Wasm-ABI", &wasm.abi),
            ("Wasm-Library", &wasm.library),
        ];
        for (name, value) in single {
            if let Some(value) = value {
                headers.push(name, value);
            }
        }
        for import in &wasm.imports {
            headers.push("Wasm-Import", import.to_string());
        }
        for feature in &wasm.features {
            headers.push("Wasm-Feature", feature);
        }
        if !wasm.builtin_modules.is_empty() {
            let all: Vec<&str> = wasm.builtin_modules.iter().map(String::as_str).collect();
            headers.push("Wasm-Builtin-Modules", all.join(" "));
        }
        headers.text()
    }
}

/// Whether a path can be that of a library in a guest: absolute and plain, and no place that a
/// sandbox has for other things.
fn is_guest_folder(path: &str) -> bool {
    let Some(inside) = path.strip_prefix('/') else {
        return false;
    };
    let mut parts = inside.split('/');
    let plain = parts.clone().all(|part| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        !matches!(part, "" | "." | "..") && part.chars().all(known)
    });
    plain && !matches!(parts.next(), Some(".pyw" | "tmp" | "dev"))
}

/// The `Wasm-ABI` of builds with a JavaScript host of their own.
pub const EMSCRIPTEN: &str = "emscripten";

impl Metadata {
    /// Reads METADATA.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = malformed(METADATA);
        let headers = Headers::parse(text).map_err(&wrong)?;
        for key in FORBIDDEN {
            if !headers.all(key).is_empty() {
                return Err(Fault::ForbiddenKey {
                    key: key.to_owned(),
                });
            }
        }
        headers.required("Metadata-Version").map_err(&wrong)?;
        let version = headers.required("Version").map_err(&wrong)?;
        let table = |key: &str| -> Result<BTreeMap<String, String>, Fault> {
            let text = headers.required(key).map_err(&wrong)?;
            serde_json::from_str(&text)
                .map_err(|e| wrong(format!("{key} is not a JSON object of texts: {e}")))
        };
        let metadata = Self {
            name: headers.required("Name").map_err(&wrong)?,
            version: parse_version(&version)
                .ok_or_else(|| wrong(format!("{version:?} is not a version of PEP 440")))?,
            summary: headers.one("Summary").map_err(&wrong)?,
            license_files: headers.all("License-File"),
            markers: table("Pybi-Environment-Marker-Variables")?,
            paths: table("Pybi-Paths")?,
            wheel_tags: headers.all("Pybi-Wheel-Tag"),
        };
        metadata.check()?;
        Ok(metadata)
    }

    /// Whether it is whole and does not contradict itself.
    fn check(&self) -> Result<(), Fault> {
        let wrong = malformed(METADATA);
        for marker in MARKERS {
            if !self.markers.contains_key(marker) {
                return Err(wrong(format!(
                    "Pybi-Environment-Marker-Variables has no {marker}"
                )));
            }
        }
        for key in PATHS {
            if !self.paths.contains_key(key) {
                return Err(wrong(format!("Pybi-Paths has no {key}")));
            }
        }
        for (key, path) in &self.paths {
            let inside = !path.starts_with('/')
                && !path.contains(['\\', ':'])
                && path.split('/').all(|part| part != "..");
            if !inside {
                return Err(wrong(format!(
                    "the path {key} of Pybi-Paths, {path:?}, is not a relative one inside"
                )));
            }
        }
        let full = &self.markers["python_full_version"];
        let short = &self.markers["python_version"];
        let release = self.version.release();
        if parse_version(full).as_ref() != Some(&self.version) {
            return Err(Fault::contradiction(
                format!("Version {} in METADATA", self.version),
                format!("its marker python_full_version, {full:?},"),
            ));
        }
        let own = match release {
            [major, minor, ..] => format!("{major}.{minor}"),
            _ => self.version.to_string(),
        };
        if *short != own {
            return Err(Fault::contradiction(
                format!("Version {} in METADATA", self.version),
                format!("its marker python_version, {short:?},"),
            ));
        }
        self.check_tags(release)
    }

    fn check_tags(&self, release: &[u64]) -> Result<(), Fault> {
        let wrong = malformed(METADATA);
        if self.wheel_tags.is_empty() {
            return Err(wrong("it has no Pybi-Wheel-Tag".to_owned()));
        }
        let minor = release.get(1).copied().unwrap_or(0);
        for tag in &self.wheel_tags {
            let parts: Vec<&str> = tag.split('-').collect();
            let [python, abi, platform] = parts.as_slice() else {
                return Err(wrong(format!("{tag:?} is not a wheel tag")));
            };
            if !["any", "PLATFORM"].contains(platform) {
                return Err(wrong(format!(
                    "the wheel tag {tag:?} names a platform; `PLATFORM` stands for it"
                )));
            }
            let of = |text: &str| -> Option<u64> {
                let digits = text
                    .strip_prefix("cp3")
                    .or_else(|| text.strip_prefix("py3"))?;
                digits.trim_end_matches('t').parse().ok()
            };
            if [python, abi]
                .into_iter()
                .any(|p| of(p).is_some_and(|v| v > minor))
            {
                return Err(Fault::contradiction(
                    format!("the wheel tag {tag}"),
                    format!("Version {} in METADATA", self.version),
                ));
            }
        }
        Ok(())
    }

    /// The text of METADATA.
    #[must_use]
    pub fn text(&self) -> String {
        let mut headers = Headers::default();
        headers.push("Metadata-Version", "2.4");
        headers.push("Name", &self.name);
        headers.push("Version", self.version.to_string());
        if let Some(summary) = &self.summary {
            headers.push("Summary", summary);
        }
        for file in &self.license_files {
            headers.push("License-File", file);
        }
        let json = |table: &BTreeMap<String, String>| {
            let pairs: serde_json::Map<String, serde_json::Value> = table
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            serde_json::Value::Object(pairs).to_string()
        };
        headers.push("Pybi-Environment-Marker-Variables", json(&self.markers));
        headers.push("Pybi-Paths", json(&self.paths));
        for tag in &self.wheel_tags {
            headers.push("Pybi-Wheel-Tag", tag);
        }
        headers.text()
    }
}

fn parse_version(text: &str) -> Option<Version> {
    (text.len() <= 100).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a sound build says.
    pub fn metadata() -> Metadata {
        let table = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        Metadata {
            name: "cpython".into(),
            version: "3.13.5".parse().unwrap(),
            summary: None,
            license_files: Vec::new(),
            markers: table(&[
                ("implementation_name", "cpython"),
                ("os_name", "posix"),
                ("platform_python_implementation", "CPython"),
                ("platform_system", "wasi"),
                ("python_full_version", "3.13.5"),
                ("python_version", "3.13"),
                ("sys_platform", "wasi"),
            ]),
            paths: PATHS
                .iter()
                .map(|p| ((*p).to_owned(), "lib".to_owned()))
                .collect(),
            wheel_tags: vec!["cp313-cp313-PLATFORM".into(), "py3-none-any".into()],
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        let metadata = metadata();
        assert_eq!(Metadata::parse(&metadata.text()).unwrap(), metadata);
        let pybi = Pybi {
            generator: "pyw 1".into(),
            tags: vec!["wasi_wasm32".into()],
            build: Some("2".into()),
            wasm: Wasm {
                module: Some("bin/python.wasm".into()),
                abi: Some(PREVIEW1.into()),
                imports: ["wasi_snapshot_preview1 sock_open".parse().unwrap()].into(),
                features: ["sign-ext".to_owned()].into(),
                library: Some("/usr/local/lib".into()),
                builtin_modules: ["sys".to_owned(), "zlib".to_owned()].into(),
            },
        };
        assert_eq!(Pybi::parse(&pybi.text()).unwrap(), pybi);
    }

    #[test]
    fn what_metadata_must_not_say() {
        let text = metadata().text();
        let error = |text: &str| Metadata::parse(text).unwrap_err().to_string();
        for key in FORBIDDEN {
            let found = error(&format!("{}: x\n{text}", key.to_lowercase()));
            assert_eq!(
                found,
                format!("its METADATA has {key}, which PEP 711 forbids")
            );
        }
        for (from, to, message) in [
            ("Name: cpython\n", "", "it has no Name"),
            ("Version: 3.13.5", "Version: 3", "contradict each other"),
            ("Version: 3.13.5", "Version: new", "not a version"),
            (
                "\"python_version\":\"3.13\"",
                "\"python_version\":\"3.12\"",
                "python_version",
            ),
            (
                "\"sys_platform\":\"wasi\"",
                "\"x\":\"wasi\"",
                "has no sys_platform",
            ),
            (
                "\"sys_platform\":\"wasi\"",
                "\"sys_platform\":1",
                "not a JSON object of texts",
            ),
            ("\"data\":\"lib\"", "\"data\":\"../x\"", "the path data"),
            ("\"data\":\"lib\"", "\"data\":\"/x\"", "the path data"),
            ("\"data\":\"lib\",", "", "Pybi-Paths has no data"),
            (
                "cp313-cp313-PLATFORM",
                "cp314-cp314-PLATFORM",
                "the wheel tag cp314-cp314-PLATFORM and",
            ),
            ("py3-none-any", "py3-none-wasi_wasm32", "names a platform"),
            ("py3-none-any", "py3", "is not a wheel tag"),
        ] {
            assert!(text.contains(from), "{from}");
            let found = error(&text.replace(from, to));
            assert!(found.contains(message), "{found}");
        }
    }

    #[test]
    fn what_pybi_must_not_say() {
        for (text, message) in [
            ("Tag: wasi_wasm32\n", "it has no Pybi-Version"),
            (
                "Pybi-Version: 2.0\nTag: x\n",
                "it is of pybi version \"2.0\"",
            ),
            ("Pybi-Version: 1.0\n", "it has no Tag"),
            (
                "Pybi-Version: 1.0\nTag: x\nWasm-Modul: y\n",
                "Wasm-Modul, which is no key",
            ),
            (
                "Pybi-Version: 1.0\nTag: x\nWasm-ABI: wasip9\n",
                "its Wasm-ABI is \"wasip9\"",
            ),
            (
                "Pybi-Version: 1.0\nTag: x\nWasm-Import: one\n",
                "not `MODULE FUNCTION`",
            ),
            (
                "Pybi-Version: 1.0\nTag: x\nwhat\n",
                "line 3 is not `NAME: VALUE`",
            ),
        ] {
            let found = Pybi::parse(text).unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
        // A key of a later version 1.x.
        assert!(Pybi::parse("Pybi-Version: 1.7\nTag: x\nColour: red\n").is_ok());
    }
}
