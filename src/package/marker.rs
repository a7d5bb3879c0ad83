//! Environment markers: what an interpreter says of itself where a requirement asks.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use crate::interpreter::Info;

/// The markers of an interpreter.
///
/// # Errors
/// A sentence, if one of its versions is none.
pub fn environment(info: &Info) -> Result<MarkerEnvironment, String> {
    let marker = |name: &str, default: &'static str| -> &str {
        info.markers.get(name).map_or(default, String::as_str)
    };
    let full = match marker("python_full_version", "") {
        "" => info.version.as_str(),
        full => full,
    };
    let minor = match marker("python_version", "") {
        "" => minor_of(full),
        minor => minor.to_owned(),
    };
    let implementation = match marker("implementation_version", "") {
        "" => full,
        version => version,
    };
    // A build from a checkout says `3.14.0+`, which is no version of PEP 440.
    let full = full.trim_end_matches('+');
    let implementation = implementation.trim_end_matches('+');
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: marker("implementation_name", "cpython"),
        implementation_version: implementation,
        os_name: marker("os_name", "posix"),
        platform_machine: marker("platform_machine", "wasm32"),
        platform_python_implementation: marker("platform_python_implementation", "CPython"),
        platform_release: marker("platform_release", ""),
        platform_system: marker("platform_system", ""),
        platform_version: marker("platform_version", ""),
        python_full_version: full,
        python_version: &minor,
        sys_platform: marker("sys_platform", "wasi"),
    })
    .map_err(|error| format!("the interpreter's version cannot be read: {error}"))
}

fn minor_of(full: &str) -> String {
    let mut parts = full.splitn(3, '.');
    let major = parts.next().unwrap_or("3");
    match parts.next() {
        Some(minor) => format!("{major}.{minor}"),
        None => major.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {

    use super::*;

    /// CPython 3.12.0 for WASI.
    pub fn info() -> Info {
        let markers = [
            ("implementation_name", "cpython"),
            ("implementation_version", "3.12.0"),
            ("os_name", "posix"),
            ("platform_machine", "wasm32"),
            ("platform_python_implementation", "CPython"),
            ("platform_release", "0.0.0"),
            ("platform_system", "wasi"),
            ("platform_version", "0.0.0"),
            ("python_full_version", "3.12.0"),
            ("python_version", "3.12"),
            ("sys_platform", "wasi"),
        ];
        Info {
            version: "3.12.0".into(),
            banner: String::new(),
            stdlib: String::new(),
            prefix: String::new(),
            markers: markers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            platform: "wasi_0_0_0_wasm32".into(),
            aliases: Vec::new(),
            site: String::new(),
            soabi: "cpython-312-wasm32-wasi".into(),
            ..Info::default()
        }
    }

    #[test]
    fn an_interpreter_without_markers_has_them_from_its_version() {
        let mut info = info();
        info.markers.clear();
        info.version = "3.14.0rc1+".into();
        let environment = environment(&info).unwrap();
        assert_eq!(environment.python_version().string, "3.14");
        assert_eq!(environment.python_full_version().string, "3.14.0rc1");
        assert_eq!(environment.sys_platform(), "wasi");
        info.version = "three".into();
        assert!(super::environment(&info).is_err());
    }
}
