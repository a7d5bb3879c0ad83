//! Learning from a run which modules its program imports, so that a snapshot has them ready.
//!
//! A program's text names some of them ([`preload`]). Others are imported by what a plugin is called,
//! or by a function of a package once it is needed: those show in a run only. One that nothing is
//! known of yet is watched by the bootstrap in the guest, which tells what was imported from the
//! library and the packages, and how long that took. What it tells is a program's word and decides
//! nothing but what is tried out, in a sandbox of its own, when a snapshot is made.

use std::time::Duration;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::interpreter::snapshot::preload;
use crate::launch::left;
use crate::request::{Program, Request};
use crate::store::{Sha256, Store};
use crate::ui::progress;

/// The cache of what was learned.
const CACHE: &str = "imports";

/// The most programs that something is known of, roughly.
const MOST: usize = 1000;

/// The most that a guest may tell, in bytes.
const LONGEST: u64 = 65536;

/// A module that a program imported while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its absolute name.
    pub name: String,
    /// How long the import took with all that it brought along, in microseconds.
    micros: u32,
}

impl Import {
    /// How long the import took with all that it brought along.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.micros.into())
    }

    /// A line as the guest writes it.
    fn parse(line: &str) -> Option<Self> {
        let (micros, name) = line.split_once(' ')?;
        Some(Self {
            name: preload::module(name)?.to_owned(),
            micros: micros.parse().ok()?,
        })
    }
}

/// Where it is kept what was learned of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    key: String,
}

impl Lesson {
    /// That of a request's program. `packages` names the interpreter with its packages, `own` is what
    /// the program's text imports: another text may import something else while it runs, too.
    #[must_use]
    pub fn of(packages: &str, request: &Request, own: &[String]) -> Self {
        let program = match &request.program {
            Program::Script(path) => format!("script {}", request.caller_cwd.join(path)),
            Program::Module(name) => format!("module {name}"),
            Program::Command(name) => format!("command {name}"),
            // Each text is another one.
            Program::Code(_) | Program::Stdin | Program::Prompt => String::new(),
        };
        let text = format!("{packages} {program:?} {own:?}");
        Self {
            key: Sha256::of(text.as_bytes()).to_string(),
        }
    }

    /// What was learned; `None` where no run was watched yet.
    #[must_use]
    pub fn known(&self, store: &Store) -> Option<Vec<Import>> {
        store.note(CACHE, &self.key)
    }

    /// Takes in what a run has told in `file`. A run that told nothing, as it was killed, say, taught
    /// that; it would not be worth it to watch all further ones.
    pub fn learn(&self, store: &Store, file: &Utf8Path) {
        let told = left::read(file, LONGEST).unwrap_or_default();
        let told = String::from_utf8(told).unwrap_or_default();
        let mut imports: Vec<Import> = told.lines().filter_map(Import::parse).collect();
        imports.truncate(preload::MOST);
        for import in &imports {
            progress::verbose(&format!(
                "learned that the program imports {} ({:.1} ms)",
                import.name,
                import.took().as_secs_f64() * 1e3
            ));
        }
        store.put_note(CACHE, &self.key, &imports);
        // Every now and then.
        if self.key.starts_with("00") {
            store.keep_newest(CACHE, MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_tells_is_taken_as_names_and_times_only() {
        let import = |name: &str, micros| Import {
            name: name.to_owned(),
            micros,
        };
        assert_eq!(Import::parse("1500 a.b_c"), Some(import("a.b_c", 1500)));
        for line in [
            "",
            "a",
            "1",
            "1 ",
            "1 a b",
            "1 ../a",
            "1 a=b",
            "1 a;b",
            "-1 a",
            "99999999999 a",
        ] {
            assert_eq!(Import::parse(line), None, "{line}");
        }
    }
}
