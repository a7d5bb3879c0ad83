//! Where a run begins: at a snapshot, or at CPython's own start-up.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::compile::{self, Subject};
use super::context::Context;
use super::learn::{Import, Lesson};
use crate::error::Error;
use crate::interpreter::adapt::Adaptation;
use crate::interpreter::snapshot::{Found, Snapshot, SnapshotError, Wanted, preload};
use crate::interpreter::{Interpreter, InterpreterError, Module, Platform};
use crate::launch;
use crate::package::environment::Environment;
use crate::plan::Beginning;
use crate::request::{Program, Request, snapshot};
use crate::runtime::{Runtime, compiled};
use crate::sandbox::limits::format_size;
use crate::sandbox::{IsolationLevel, Mount, Sandbox};
use crate::store::usage::Use;
use crate::store::{Kind, Sha256};
use crate::ui::progress::{self, Progress};

/// The cache of notes on which starts were seen, and which snapshots work where.
const NOTES: &str = "snapshots";

/// How long modules must take to import that a snapshot lacks, for another one to be made with them.
const WORTH_ANOTHER: Duration = Duration::from_millis(5);

/// How far a run goes to have a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// It takes one that is there.
    Look,
    /// The second start of the same kind makes one.
    SecondRun,
    /// It is made now, also if that failed before.
    Now,
}

/// A program that could begin from a snapshot.
pub struct Candidate<'a> {
    pub context: &'a Context,
    pub request: &'a Request,
    pub sandbox: &'a Sandbox,
    pub interpreter: &'a Interpreter,
    pub environment: Option<&'a Environment>,
    pub runtime: &'a Runtime,
}

/// What is known of a program's imports.
struct Imports {
    /// By its text.
    named: Vec<String>,
    /// By a run.
    learned: Vec<Import>,
    /// What there is to be learned, as no run was watched yet.
    lesson: Option<Lesson>,
}

/// How a snapshot did on a runtime, as it is noted.
#[derive(Serialize, Deserialize)]
struct Tried {
    /// None: it works.
    wrong: Option<String>,
}

/// The module to begin with, and what the plan says of it.
pub struct Start {
    pub module: Module,
    /// The snapshot was made with the packages of this run.
    knows_packages: bool,
    pub beginning: Beginning,
    /// What is to be learned from this run.
    pub lesson: Option<Lesson>,
    /// The next start would begin in the same way.
    pub is_settled: bool,
    /// Nobody prunes the snapshot, and what is made from it, before it is run.
    pub held: Option<Use>,
}

impl Candidate<'_> {
    /// Finds or makes the snapshot that this run begins from; without one, the interpreter's own
    /// module.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn start(&self, effort: Effort) -> Result<Start, Error> {
        let plain = |reason: String| {
            let adaptations = &self.runtime.descriptor.quirks.adaptations;
            Start {
                module: self
                    .interpreter
                    .adapted_module(adaptations, &self.context.store),
                knows_packages: false,
                beginning: Beginning::Plain { reason },
                lesson: None,
                is_settled: true,
                held: None,
            }
        };
        if self.interpreter.info.system() != Platform::Wasi {
            return Ok(plain(
                "snapshots are made of interpreters for WASI only".into(),
            ));
        }
        if !self.context.config.snapshots.value {
            return Ok(plain(format!(
                "snapshots are switched off ({})",
                self.context.config.snapshots.origin
            )));
        }
        if let Some(reason) = snapshot::unfit(self.request, self.sandbox) {
            return Ok(plain(reason));
        }
        if self.odd_source() {
            return Ok(plain(
                "the script's text is not UTF-8, which Python tells of in its own way".into(),
            ));
        }
        if let Some(reason) = self.better_compiled(effort) {
            return Ok(plain(reason));
        }
        let mounts = self.packages();
        let packages = self
            .environment
            .map(|environment| environment.key.as_str())
            .zip(mounts.as_deref());
        let names_key = self.names_key(packages.map(|(key, _)| key));
        let before: Option<Vec<String>> = self.context.store.note(NOTES, &names_key);
        let imports = self.imports(&names_key);
        let lesson = imports
            .lesson
            .clone()
            .filter(|_| effort == Effort::SecondRun);
        let for_now = |reason| Start {
            is_settled: false,
            lesson: lesson.clone(),
            ..plain(reason)
        };
        let (names, is_settled) = match self.names(&names_key, before.clone(), &imports, effort) {
            Ok(names) => names,
            Err(reason) => return Ok(for_now(reason)),
        };
        let wanted = Wanted {
            interpreter: self.interpreter,
            packages,
            names: &names,
        };
        let held = self
            .context
            .store
            .reserve(Kind::Snapshot, &wanted.key())
            .map_err(SnapshotError::from)
            .map_err(failed)?;
        let found = match self.snapshot(&wanted, effort)? {
            Ok(found) => found,
            Err(reason) => return Ok(for_now(reason)),
        };
        if let Some(reason) = self.too_large(&found) {
            return Ok(plain(reason));
        }
        let module = self.module(&found);
        if let Some(reason) = self.trial(&found, &module, effort)? {
            return Ok(for_now(reason));
        }
        if let Some(before) = before.filter(|before| *before != names) {
            self.replace(&Wanted {
                names: &before,
                ..wanted
            })?;
        }
        Ok(Start {
            module,
            knows_packages: packages.is_some(),
            beginning: Beginning::Snapshot {
                modules: found.modules.len(),
            },
            is_settled: is_settled && lesson.is_none(),
            lesson,
            held: Some(held),
        })
    }

    /// Why the compiled interpreter is better than a snapshot, where compiling takes minutes, so that
    /// a snapshot is interpreted. WasmEdge 0.17 takes for `pass` 0.20 s of CPU from the one and 0.56 s
    /// from the other, for six imports 0.44 and 0.65, and computes 40 times faster in the first. A
    /// compiled snapshot would save some tenths, and take minutes again for each set of packages.
    fn better_compiled(&self, effort: Effort) -> Option<String> {
        let compile = self.runtime.descriptor.compile.as_ref()?;
        if !compile.slow {
            return None;
        }
        let module = self
            .interpreter
            .adapted_module(self.adaptations(), &self.context.store);
        let compiled =
            effort == Effort::Now || compile::known(self.context, self.runtime, &module).is_some();
        compiled.then(|| {
            let name = self.runtime.label();
            format!("{name} starts the compiled interpreter sooner than it interprets a snapshot")
        })
    }

    /// The packages' mounts, if a snapshot can be made with them: what their folder has Python do at
    /// every start cannot be done in advance.
    fn packages(&self) -> Option<Vec<Mount>> {
        let environment = self.environment?;
        let listing = environment.site_packages().read_dir_utf8().ok()?;
        for entry in listing.flatten() {
            let name = entry.file_name();
            let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
            if ending.ends_with("pth") || matches!(stem, "sitecustomize" | "usercustomize") {
                return None;
            }
        }
        Some(environment.mounts(self.interpreter, false))
    }

    /// Under which note the names of [`Self::names`] are kept.
    fn names_key(&self, packages: Option<&str>) -> String {
        let text = format!("{} {packages:?}", self.interpreter.key);
        Sha256::of(text.as_bytes()).to_string()
    }

    /// Removes a snapshot that a larger one has taken the place of, unless it is in use.
    fn replace(&self, old: &Wanted<'_>) -> Result<(), Error> {
        let store = &self.context.store;
        let Found::Ready(snapshot) = old.find(store) else {
            return Ok(());
        };
        let module = self.module(&snapshot);
        let compiled = compiled::key(self.runtime, &module);
        let (key, mut pruning) = (old.key(), store.pruning(false));
        pruning.entries(Kind::Snapshot, |one, _| one == key)?;
        if pruning.done().removed.is_empty() {
            // A start that has found it is about to take the others.
            return Ok(());
        }
        pruning.entries(Kind::Module, |one, _| one == module.identity)?;
        pruning.entries(Kind::Compiled, |one, _| Some(one) == compiled.as_deref())?;
        Ok(())
    }

    /// Whether a module is one of the packages'. The others are the library's, of which those that
    /// take time are imported in advance anyway, and the program's own, which never are.
    fn is_packaged(&self, name: &str) -> bool {
        let top = name.split('.').next().unwrap_or(name);
        self.environment.is_some_and(|environment| {
            let site = environment.site_packages();
            site.join(top).is_dir() || site.join(format!("{top}.py")).is_file()
        })
    }

    /// What the program imports, as far as that is known.
    fn imports(&self, packages: &str) -> Imports {
        let builtin = &self.interpreter.info.builtin_modules;
        let mut named = preload::imports_of_all(&self.text(), |name| self.local(name));
        named.retain(|name| !builtin.contains(name));
        let lesson = Lesson::of(packages, self.request, &named);
        let known = lesson.known(&self.context.store);
        Imports {
            named,
            lesson: known.is_none().then_some(lesson),
            learned: known.unwrap_or_default(),
        }
    }

    /// The modules that the snapshot is made of: one snapshot serves all programs with the same
    /// packages, and grows by what a new one imports of these. Also whether the next start would be
    /// given the same.
    fn names(
        &self,
        key: &str,
        current: Option<Vec<String>>,
        imports: &Imports,
        effort: Effort,
    ) -> Result<(Vec<String>, bool), String> {
        let store = &self.context.store;
        let Imports { named, learned, .. } = imports;
        let lacks = |names: &[String]| {
            let is_missing = |name: &String| !names.contains(name);
            let late = learned.iter().filter(|import| is_missing(&import.name));
            let mut missing = named.iter().filter(|name| is_missing(name));
            missing.any(|name| self.is_packaged(name))
                || late.map(Import::took).sum::<Duration>() >= WORTH_ANOTHER
        };
        if let Some(names) = &current
            && (effort == Effort::Look || !lacks(names))
        {
            return Ok((names.clone(), !lacks(names)));
        }
        if effort == Effort::SecondRun {
            let text = format!("{key} {named:?}");
            let seen = Sha256::of(text.as_bytes()).to_string();
            if store.note::<bool>(NOTES, &seen).is_none() {
                store.put_note(NOTES, &seen, &true);
                return match current {
                    Some(names) => Ok((names, false)),
                    None => Err("the second start makes a snapshot".into()),
                };
            }
        }
        if effort == Effort::Look {
            return Err("no snapshot was made yet".into());
        }
        let mut names = current.unwrap_or_default();
        if names.len() + named.len() + learned.len() > preload::MOST {
            names.clear();
        }
        names.extend(preload::COMMON.map(str::to_owned));
        names.extend(named.iter().cloned());
        names.extend(learned.iter().map(|import| import.name.clone()));
        names.sort();
        names.dedup();
        store.put_note(NOTES, key, &names);
        Ok((names, true))
    }

    /// The program's text, as far as it can be had.
    fn text(&self) -> String {
        let read = |path: &Utf8Path| std::fs::read_to_string(path).unwrap_or_default();
        match &self.request.program {
            Program::Code(code) => code.clone(),
            Program::Module(name) => format!("import {name}"),
            Program::Script(written) => {
                let path = self.request.caller_cwd.join(written);
                match path.is_dir() {
                    true => read(&path.join("__main__.py")),
                    false => read(&path),
                }
            }
            Program::Command(name) => {
                let script = self.environment.map(|e| e.folder.join("bin").join(name));
                script.map_or_else(String::new, |path| read(&path))
            }
            Program::Stdin | Program::Prompt => String::new(),
        }
    }

    /// The text of a module that lies beside the script.
    fn local(&self, name: &str) -> Option<String> {
        /// More is data rather than a program.
        const LARGEST: u64 = 1 << 20;
        let Program::Script(written) = &self.request.program else {
            return None;
        };
        let script = self.request.caller_cwd.join(written);
        let folder = match script.is_dir() {
            true => script.as_path(),
            false => script.parent()?,
        };
        let path = folder.join(name.replace('.', "/"));
        let files = [format!("{path}.py").into(), path.join("__init__.py")];
        let file = files
            .into_iter()
            .find(|file: &Utf8PathBuf| file.is_file())?;
        let is_small = file.metadata().is_ok_and(|seen| seen.len() <= LARGEST);
        is_small
            .then(|| std::fs::read_to_string(file).ok())
            .flatten()
    }

    /// Whether the script is text that CPython reads otherwise from a file than from memory: not
    /// UTF-8, of another encoding, or with NUL bytes.
    fn odd_source(&self) -> bool {
        let Program::Script(written) = &self.request.program else {
            return false;
        };
        let path = self.request.caller_cwd.join(written);
        if path.extension() == Some("pyc") || path.is_dir() {
            return false;
        }
        let Ok(bytes) = std::fs::read(&path) else {
            return false;
        };
        let text = std::str::from_utf8(&bytes);
        let odd = bytes.contains(&0) || text.is_err() || text.is_ok_and(names_encoding);
        // Of a zip, the end tells.
        let zip = || bytes.windows(4).any(|window| window == b"PK\x05\x06");
        odd && !zip()
    }

    /// The sandbox as a snapshot begins in it.
    #[must_use]
    pub fn from_snapshot(&self, start: &Start) -> Sandbox {
        let mut sandbox = self.sandbox.clone();
        if !start.knows_packages
            && let (Some(start), Some(_)) = (&mut sandbox.start, self.environment)
        {
            start.site = Some(self.interpreter.site_guest());
        }
        sandbox
    }

    /// The snapshot, or why there is none.
    fn snapshot(
        &self,
        wanted: &Wanted<'_>,
        effort: Effort,
    ) -> Result<Result<Snapshot, String>, Error> {
        let store = &self.context.store;
        let mut found = wanted.find(store);
        let whole = match &found {
            Found::Ready(snapshot) => effort != Effort::Now || snapshot.is_whole(),
            Found::SetAside(_) => effort != Effort::Now,
            Found::Missing => true,
        };
        if !whole {
            wanted.forget(store).map_err(failed)?;
            found = Found::Missing;
        }
        if found == Found::Missing {
            if effort == Effort::Look {
                return Ok(Err("no snapshot was made yet".into()));
            }
            let version = &self.interpreter.info.version;
            let what = format!("taking a snapshot of CPython {version}, once");
            let spinner = Progress::spinner(&what);
            found = wanted.make(store, &self.context.guest()).map_err(failed)?;
            drop(spinner);
            if let Found::Ready(snapshot) = &found {
                for (name, reason) in &snapshot.left_out {
                    progress::verbose(&format!("not imported in advance: {name}: {reason}"));
                }
            }
        }
        Ok(match found {
            Found::Ready(snapshot) => Ok(snapshot),
            Found::SetAside(reason) => Err(reason),
            Found::Missing => Err("it is not there".into()),
        })
    }

    /// Why a snapshot is too large for the limit on memory, if it is. Its modules were imported in
    /// advance and take memory that a plain start leaves to the program; some tenths of what it
    /// begins with.
    fn too_large(&self, found: &Snapshot) -> Option<String> {
        let limit = self.sandbox.limits.memory?;
        (limit < 2 * found.memory).then(|| {
            format!(
                "--memory leaves too little beside the {} that a snapshot begins with",
                format_size(found.memory)
            )
        })
    }

    fn adaptations(&self) -> &BTreeSet<Adaptation> {
        &self.runtime.descriptor.quirks.adaptations
    }

    fn module(&self, found: &Snapshot) -> Module {
        found.adapted_module(self.interpreter, self.adaptations(), &self.context.store)
    }

    /// Tries a snapshot on this runtime, unless that was done. Answers with what is wrong with it
    /// there; other runtimes may do well by it.
    fn trial(
        &self,
        found: &Snapshot,
        module: &Module,
        effort: Effort,
    ) -> Result<Option<String>, Error> {
        let store = &self.context.store;
        let text = format!(
            "{} {} {:?} {:?}",
            module.identity, self.runtime.descriptor.name, self.runtime.version, self.runtime.build
        );
        let key = Sha256::of(text.as_bytes()).to_string();
        let before: Option<Tried> = store.note(NOTES, &key);
        match (before, effort) {
            (Some(Tried { wrong: None }), _) => return Ok(None),
            (Some(Tried { wrong }), Effort::Look | Effort::SecondRun) => return Ok(wrong),
            (None, Effort::Look) => {
                let reason = "the snapshot was not tried on this runtime yet";
                return Ok(Some(reason.into()));
            }
            _ => {}
        }
        let wrong = match found.adapted(self.adaptations(), store) {
            Ok(()) => {
                let module = self.compiled(module, effort)?;
                self.try_out(&module).err()
            }
            Err(InterpreterError::Wasm(error)) => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let wrong = wrong.map(|why| {
            let why = format!("{}: {why}", self.runtime.label());
            SnapshotError::Trial(why).to_string()
        });
        if let Some(why) = &wrong {
            progress::note(why);
        }
        store.put_note(
            NOTES,
            &key,
            &Tried {
                wrong: wrong.clone(),
            },
        );
        Ok(wrong)
    }

    /// The snapshot as this run has it compiled.
    fn compiled(&self, module: &Module, effort: Effort) -> Result<Module, Error> {
        let mut module = module.clone();
        let what = format!("a snapshot of CPython {}", self.interpreter.info.version);
        module.compiled = compile::known(self.context, self.runtime, &module);
        if module.compiled.is_none() {
            let subject = Subject {
                module: &module,
                what: &what,
                library: &[self.interpreter.library_mount()],
            };
            module.compiled = match effort {
                Effort::Now => compile::on_purpose(self.context, self.runtime, &subject)?,
                _ => compile::before_run(self.context, self.runtime, &subject)?,
            };
        }
        Ok(module)
    }

    fn try_out(&self, module: &Module) -> Result<(), String> {
        let mut sandbox = compile::alone(&["-c", crate::guest::TRIAL, "one", "two words", ""]);
        sandbox.mounts.push(self.interpreter.library_mount());
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let output = folder.path().join("output");
        let output = Utf8Path::from_path(&output).ok_or("a path that is not UTF-8")?;
        let mut plan = self
            .context
            .plan(&sandbox, self.runtime, module, IsolationLevel::None)
            .map_err(|error| error.to_string())?;
        plan.watch.timeout = Some(compile::patience(self.runtime, module));
        launch::capture_into(&plan, output)?;
        let printed = std::fs::read_to_string(output).map_err(|error| error.to_string())?;
        match printed == crate::guest::TRIAL_OUTPUT {
            true => Ok(()),
            false => Err(format!("it printed {printed:?}")),
        }
    }
}

/// Whether one of the first two lines is a comment that names an encoding (PEP 263) other than
/// UTF-8.
fn names_encoding(text: &str) -> bool {
    text.lines().take(2).any(|line| {
        let line = line.trim_start_matches(['\u{feff}', ' ', '\t', '\x0c']);
        let Some((_, name)) = line
            .strip_prefix('#')
            .and_then(|comment| comment.split_once("coding"))
        else {
            return false;
        };
        let Some(name) = name.strip_prefix([':', '=']) else {
            return false;
        };
        let name = name.trim_start().to_ascii_lowercase();
        !name.starts_with("utf-8") && !name.starts_with("utf8")
    })
}

fn failed(error: SnapshotError) -> Error {
    Error::Interpreter(InterpreterError::Snapshot(error))
}
