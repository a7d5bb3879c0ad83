//! Importing: any layout becomes a tree in the store that starts fast and says what it is.
//!
//! The interpreter is asked by running it, never by trusting names: it unpacks the standard
//! library that is inside the module, takes pyw's bootstrap into its start-up, byte-compiles the
//! library, and tells its version, markers, paths and platform. All of that happens in a sandbox
//! that can write nothing but the tree being made.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::catalog::{self, Entry};
use super::error::InterpreterError;
use super::pybi::{self, read::Verified};
use super::wasm::{self, ModuleInfo};
use super::{INFO_FILE, Info, Interpreter, MODULE, ORIGINALS, Platform, embedded, layout};
use crate::sandbox::{Access, Mount, Purpose};
use crate::store::fetch::{Expected, Fetcher};
use crate::store::hash::Sha256;
use crate::store::{Kind, Store};
use crate::ui::progress::Progress;

/// Where the guest sees the scripts, and where it leaves what it is asked for.
const IN: &str = "/.pyw/in";
const OUT: &str = "/.pyw/out";
/// So many guests compile a library. Not as many as there are processors: byte code depends on what
/// the same process compiled before, and a library is to come out the same on every machine.
const SHARDS: usize = 4;

/// Something that can run a module in a sandbox. Implemented where plans are made and launched,
/// which this module knows nothing of.
pub trait Guest: Sync {
    /// Runs `module` with these mounts and arguments, calling `progress` for each dot on stdout.
    ///
    /// # Errors
    /// What the guest wrote to stderr, when it ended otherwise than with 0.
    fn run(
        &self,
        module: &Utf8Path,
        mounts: Vec<Mount>,
        args: Vec<String>,
        progress: &(dyn Fn() + Sync),
    ) -> Result<(), String>;
}

/// Imports a catalog entry, unless it is in the store.
///
/// # Errors
/// It cannot be downloaded or is not what was expected; the interpreter does not work.
pub fn from_catalog(
    entry: &Entry,
    store: &Store,
    fetcher: &Fetcher,
    guest: &dyn Guest,
) -> Result<Interpreter, InterpreterError> {
    let folder =
        store.get_or_create::<InterpreterError>(Kind::Interpreter, &entry.key(), |staging| {
            let file = staging.join(format!(".{}", entry.file));
            let expected = Expected {
                sha256: entry.sha256,
                size: entry.size,
            };
            fetcher.fetch_first(&entry.name, &entry.sources, expected, &file)?;
            convert(&file, &entry.file, &entry.name, staging, guest)?;
            let _ = std::fs::remove_file(&file);
            Ok(())
        })?;
    Interpreter::open(&folder)
}

/// Imports a file or folder, unless the same content is in the store. Messages name it `shown`.
///
/// # Errors
/// It isn't there or isn't an interpreter that pyw can run.
pub fn from_path(
    path: &Utf8Path,
    shown: &str,
    store: &Store,
    guest: &dyn Guest,
) -> Result<Interpreter, InterpreterError> {
    let key = layout::key(path)?;
    let folder = store.get_or_create::<InterpreterError>(Kind::Interpreter, &key, |staging| {
        let file = path.file_name().unwrap_or_default();
        convert(path, file, shown, staging, guest)
    })?;
    Interpreter::open(&folder)
}

fn convert(
    path: &Utf8Path,
    file: &str,
    shown: &str,
    staging: &Utf8Path,
    guest: &dyn Guest,
) -> Result<(), InterpreterError> {
    let brought = Brought::new(path, file, shown, staging, guest)?;
    let session = &brought.session;
    let at = brought.libraries();
    let start = format!("{IN}/start.py");
    let keep = format!("{OUT}/{ORIGINALS}");
    session.run(
        "taking in the bootstrap",
        &at,
        &["hook", &brought.first.stdlib, &start, &keep],
    )?;
    session.compile(&at, &brought.first.stdlib)?;
    let info = Info {
        source: shown.to_owned(),
        ..brought.info()?
    };
    let originals = staging.join(ORIGINALS);
    std::fs::rename(staging.join(".out").join(ORIGINALS), &originals)
        .map_err(io("move", &originals))?;
    let file = staging.join(INFO_FILE);
    let text = serde_json::to_string_pretty(&info).map_err(|e| InterpreterError::Record {
        path: file.clone(),
        reason: e.to_string(),
    })?;
    std::fs::write(&file, text).map_err(io("write", &file))?;
    brought.clean()
}

fn io<'a>(
    action: &'static str,
    path: &'a Utf8Path,
) -> impl FnOnce(std::io::Error) -> InterpreterError + 'a {
    move |source| InterpreterError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// An interpreter in a staging folder, in pyw's own layout, with its standard library on disk, not
/// compiled, and not changed.
pub(super) struct Brought<'a> {
    session: Session<'a>,
    module: ModuleInfo,
    /// What a pybi says of itself.
    pub(super) stated: Option<Verified>,
    /// What it says of itself, by which it is known where it looks for its library.
    first: Info,
}

impl<'a> Brought<'a> {
    /// Brings the interpreter at `path` in. An archive goes by the name `file`, and messages name it
    /// `shown`.
    ///
    /// # Errors
    /// It is none, or does not work.
    pub(super) fn new(
        path: &Utf8Path,
        file: &str,
        shown: &'a str,
        staging: &'a Utf8Path,
        guest: &'a dyn Guest,
    ) -> Result<Self, InterpreterError> {
        if let Some(reason) = catalog::known_bad(file)? {
            let file = file.to_owned();
            return Err(InterpreterError::KnownBad { file, reason });
        }
        // A file that isn't an archive has to be a module; say so before anything is run.
        let layout::Brought { library, stated } = layout::bring(path, file, staging)?;
        let module = staging.join(MODULE);
        let described = wasm::inspect_file(&module).map_err(|e| e.at(shown))?;
        let platform = Platform::of_module(&module);
        described
            .require_interpreter(platform)
            .map_err(|e| e.at(shown))?;
        let scripts = staging.join(".in");
        let out = staging.join(".out");
        for folder in [&scripts, &out, &staging.join("lib")] {
            std::fs::create_dir_all(folder).map_err(io("make", folder))?;
        }
        for (name, text) in [
            ("import.py", crate::guest::IMPORT),
            ("start.py", crate::guest::START),
        ] {
            let file = scripts.join(name);
            std::fs::write(&file, text).map_err(io("write", &file))?;
        }
        let session = Session {
            guest,
            platform,
            staging,
            shown,
        };

        let spinner = Progress::spinner(&format!("importing {shown}"));
        let told_place = stated.as_ref().and_then(|s| s.pybi.wasm.library.clone());
        // Without a library of its own on disk, the build has to have one inside.
        let first = match (library, told_place) {
            (true, Some(place)) => session.describe_at(place)?,
            (true, None) => session.describe_at_first_of(&session.candidates()?)?,
            (false, _) => session.unpack_library()?,
        };
        drop(spinner);

        if platform == Platform::Wasi {
            let dynload = staging
                .join("lib")
                .join(basename(&first.stdlib))
                .join("lib-dynload");
            std::fs::create_dir_all(&dynload).map_err(io("make", &dynload))?;
        }
        Ok(Self {
            session,
            module: described,
            stated,
            first,
        })
    }

    /// Where the guest has to see its library.
    pub(super) fn libraries(&self) -> Vec<String> {
        vec![super::parent(&self.first.stdlib).to_owned()]
    }

    /// Byte-compiles the library, as far as that is not done.
    pub(super) fn compile(&self) -> Result<(), InterpreterError> {
        self.session.compile(&self.libraries(), &self.first.stdlib)
    }

    /// Asks it what it is, with its library in place, and compares that with what a pybi said.
    pub(super) fn info(&self) -> Result<Info, InterpreterError> {
        let told = self.session.describe(&self.libraries())?;
        let staging = self.session.staging;
        let info = Info {
            module_sha256: Sha256::of_file(&staging.join(MODULE))?.to_string(),
            module_memory: self
                .module
                .memory
                .map_or(0, |memory| memory.minimum * 65536),
            imports: match self.session.platform {
                Platform::Wasi => self.module.special_imports(),
                // The JavaScript that comes with it provides them.
                Platform::Emscripten => BTreeSet::new(),
            },
            features: self.module.features.clone(),
            packages: packages(&staging.join("lib")),
            ..told
        };
        match self
            .stated
            .as_ref()
            .and_then(|stated| contradiction(stated, &info))
        {
            Some(fault) => Err(fault.of(self.session.shown).into()),
            None => Ok(info),
        }
    }

    /// Removes what was only needed for the work.
    pub(super) fn clean(&self) -> Result<(), InterpreterError> {
        for folder in [".in", ".out"] {
            let folder = self.session.staging.join(folder);
            std::fs::remove_dir_all(&folder).map_err(io("remove", &folder))?;
        }
        Ok(())
    }
}

/// Where a pybi says another thing than its interpreter.
fn contradiction(stated: &Verified, info: &Info) -> Option<pybi::Fault> {
    for (name, said) in &stated.metadata.markers {
        if let Some(true_one) = info.markers.get(name)
            && true_one != said
        {
            return Some(pybi::Fault::contradiction(
                format!("the marker {name} in METADATA, {said:?},"),
                format!("what the interpreter itself says, {true_one:?},"),
            ));
        }
    }
    let said = &stated.pybi.wasm.builtin_modules;
    let wrong = info
        .builtin_modules
        .iter()
        .find(|name| !said.contains(*name));
    let more = said
        .iter()
        .find(|name| !info.builtin_modules.contains(name));
    match wrong.or(more) {
        Some(name) if !said.is_empty() => Some(pybi::Fault::contradiction(
            "Wasm-Builtin-Modules in PYBI",
            format!("what the interpreter itself says of its module {name}"),
        )),
        _ => None,
    }
}

/// The packages in a library, by their `.dist-info` folders.
fn packages(library: &Utf8Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(library).max_depth(3);
    let mut found: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?;
            name.strip_suffix(".dist-info").map(str::to_owned)
        })
        .collect();
    found.sort();
    found
}

struct Session<'a> {
    guest: &'a dyn Guest,
    platform: Platform,
    staging: &'a Utf8Path,
    shown: &'a str,
}

impl Session<'_> {
    /// Takes the library out of the module, and the module's copy of it out of the way.
    fn unpack_library(&self) -> Result<Info, InterpreterError> {
        let module = self.staging.join(MODULE);
        let told = self.describe(&[])?;
        self.run("unpacking its standard library", &[], &["unpack", OUT])?;
        let from = self.staging.join(".out").join(basename(&told.stdlib));
        let to = self.staging.join("lib").join(basename(&told.stdlib));
        std::fs::rename(&from, &to).map_err(io("move", &from))?;
        let mut bytes = std::fs::read(&module).map_err(io("read", &module))?;
        let hidden = embedded::hide(&mut bytes, embedded::top(&told.stdlib));
        std::fs::write(&module, bytes).map_err(io("write", &module))?;
        // The proof: without the mount there is no library any more.
        if !hidden || self.describe(&[]).is_ok() {
            return Err(InterpreterError::Import {
                origin: self.shown.to_owned(),
                step: "unpacking its standard library",
                reason: "the library inside the module cannot be moved out of the way".into(),
            });
        }
        Ok(told)
    }

    /// Runs the import script with the library at each of `libraries`.
    fn run(
        &self,
        step: &'static str,
        libraries: &[String],
        args: &[&str],
    ) -> Result<(), InterpreterError> {
        self.run_counting(step, libraries, args, &|| {})
    }

    fn run_counting(
        &self,
        step: &'static str,
        libraries: &[String],
        args: &[&str],
        progress: &(dyn Fn() + Sync),
    ) -> Result<(), InterpreterError> {
        let mount = |host: Utf8PathBuf, guest: &str, access| Mount {
            host,
            guest: guest.to_owned(),
            access,
            purpose: Purpose::Interpreter,
        };
        let mut mounts = vec![
            mount(self.staging.join(".in"), IN, Access::Read),
            mount(self.staging.join(".out"), OUT, Access::Write),
        ];
        for library in libraries {
            mounts.push(mount(self.staging.join("lib"), library, Access::Write));
        }
        let script = format!("{IN}/import.py");
        let fixed = ["-I", "-S", "-B", script.as_str()];
        let args = fixed.iter().chain(args).map(|s| (*s).to_owned()).collect();
        self.guest
            .run(&self.staging.join(MODULE), mounts, args, progress)
            .map_err(|reason| InterpreterError::Import {
                origin: self.shown.to_owned(),
                step,
                reason,
            })
    }

    fn describe(&self, libraries: &[String]) -> Result<Info, InterpreterError> {
        let file = format!("{OUT}/told.json");
        self.run("asking what it is", libraries, &["describe", &file])?;
        let path = self.staging.join(".out/told.json");
        let broken = |reason: String| InterpreterError::Import {
            origin: self.shown.to_owned(),
            step: "asking what it is",
            reason,
        };
        let text = std::fs::read_to_string(&path).map_err(|e| broken(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| broken(e.to_string()))
    }

    /// Describes it with its library at the place that its pybi names, where it has to find it.
    fn describe_at(&self, place: String) -> Result<Info, InterpreterError> {
        let told = self.describe(std::slice::from_ref(&place))?;
        let found = super::parent(&told.stdlib);
        if found != place {
            let fault = pybi::Fault::contradiction(
                format!("Wasm-Library {place} in PYBI"),
                format!("its module, which finds its library at {found},"),
            );
            return Err(fault.of(self.shown).into());
        }
        Ok(told)
    }

    /// Describes it with its library at the first of these places where it finds it.
    ///
    /// One at a time: CPython looks near its own executable first and at the prefix that it was
    /// configured with last, and what it takes for its executable depends on the runtime. Offered
    /// several places, it would take another one on another runtime.
    fn describe_at_first_of(&self, libraries: &[String]) -> Result<Info, InterpreterError> {
        let mut first_error = None;
        for library in libraries {
            match self.describe(std::slice::from_ref(library)) {
                Ok(told) => return Ok(told),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| InterpreterError::Import {
            origin: self.shown.to_owned(),
            step: "asking what it is",
            reason: "there is no place for its library".into(),
        }))
    }

    /// Where this build may look for `lib`: below the prefix that it was configured with, as
    /// `_sysconfigdata` tells, below the usual one, or at the root.
    fn candidates(&self) -> Result<Vec<String>, InterpreterError> {
        let mut found: Vec<String> = Vec::new();
        if self.platform == Platform::Emscripten {
            // Built in; no variable of the build tells it.
            return Ok(vec!["/lib".to_owned()]);
        }
        for entry in walkdir::WalkDir::new(self.staging.join("lib")).max_depth(2) {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().to_string_lossy();
            if name.starts_with("_sysconfigdata_")
                && name.ends_with(".py")
                && let Ok(text) = std::fs::read_to_string(entry.path())
                && let Some(prefix) = configured_prefix(&text)
            {
                found.push(format!("{}/lib", prefix.trim_end_matches('/')));
            }
        }
        for usual in ["/usr/local/lib", "/lib"] {
            if !found.iter().any(|f| f == usual) {
                found.push(usual.to_owned());
            }
        }
        Ok(found)
    }

    fn compile(&self, libraries: &[String], stdlib: &str) -> Result<(), InterpreterError> {
        let library = self.staging.join("lib");
        let total = walkdir::WalkDir::new(&library)
            .into_iter()
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "py"))
            .count();
        if total == 0 {
            return Ok(());
        }
        let bar = Progress::steps(&format!("byte-compiling {}", self.shown), total as u64);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..SHARDS)
                .map(|shard| {
                    let bar = &bar;
                    scope.spawn(move || {
                        let (first, step) = (shard.to_string(), SHARDS.to_string());
                        self.run_counting(
                            "byte-compiling its standard library",
                            libraries,
                            &["compile", stdlib, &first, &step],
                            &|| bar.inc(1),
                        )
                    })
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })
    }
}

fn basename(guest: &str) -> &str {
    guest.rsplit('/').next().unwrap_or(guest)
}

/// The `'prefix': '…'` of a `_sysconfigdata` module.
fn configured_prefix(text: &str) -> Option<&str> {
    layout::build_variable(text, "prefix").filter(|prefix| prefix.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_read_from_build_variables() {
        let text = "build_time_vars = {'prefix': '/opt/py',\n 'x': 1}";
        assert_eq!(configured_prefix(text), Some("/opt/py"));
        assert_eq!(configured_prefix("build_time_vars = {}"), None);
    }
}
