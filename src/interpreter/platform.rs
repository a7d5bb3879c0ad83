//! The two systems that CPython is built for in wasm.

use std::fmt;
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::LOADER;

/// What an interpreter was built for, and a runtime can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// WASI preview 1.
    #[default]
    Wasi,
    /// Emscripten, which needs a JavaScript engine.
    Emscripten,
}

impl Platform {
    /// Both.
    pub const ALL: [Platform; 2] = [Platform::Wasi, Platform::Emscripten];

    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Platform::Wasi => "wasi",
            Platform::Emscripten => "emscripten",
        }
    }

    /// The platform that a wheel's or pybi's platform tag stands for.
    #[must_use]
    pub fn of_tag(tag: &str) -> Platform {
        let emscripten = ["pyemscripten_", "emscripten_", "pyodide_"];
        if emscripten.iter().any(|prefix| tag.starts_with(prefix)) {
            Platform::Emscripten
        } else {
            Platform::Wasi
        }
    }

    /// The platform of an imported interpreter, given its module: Emscripten's lies beside the
    /// JavaScript that loads it.
    #[must_use]
    pub fn of_module(module: &Utf8Path) -> Platform {
        match module.with_file_name(LOADER).is_file() {
            true => Platform::Emscripten,
            false => Platform::Wasi,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Platform::ALL
            .into_iter()
            .find(|platform| platform.name() == text)
            .ok_or_else(|| format!("`{text}` is not a platform; write `wasi` or `emscripten`"))
    }
}
