//! Byte-compiling wheels, in the sandbox, once for each wheel and interpreter.
//!
//! The code objects carry the path at which the guest will see the module, and the .pyc files are
//! unchecked: the trees they belong to never change. Starting a guest costs a tenth of a second,
//! so that many wheels are compiled in few starts, spread over the processors.

use camino::{Utf8Path, Utf8PathBuf};

use super::wheel::Wheel;
use crate::interpreter::Interpreter;
use crate::interpreter::convert::Guest;
use crate::sandbox::{Access, Mount, Purpose};
use crate::store::{Built, Kind, Sha256, Store, StoreError};
use crate::ui::progress::{self, Progress};

/// Changes whenever modules are compiled differently.
const FORMAT: u32 = 1;

/// Fewer bytes of source than this are not worth a start of their own.
const WORTH_A_START: u64 = 256 << 10;

const IN: &str = "/.pyw/in";
const OUT: &str = "/.pyw/out";
const WHEELS: &str = "/.pyw/wheels";

/// Modules could not be compiled at all.
#[derive(Debug, thiserror::Error)]
pub enum BytecodeError {
    /// The guest did not come to compile anything.
    #[error("byte-compiling packages failed: {reason}")]
    Guest {
        /// What it wrote.
        reason: String,
    },
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One module to compile.
struct Module {
    /// Where the guest reads it, where it will be, and the path to which the .pyc belongs.
    job: [String; 3],
    size: u64,
}

/// The name in the store of what was compiled of a wheel.
#[must_use]
pub fn key(wheel: &Wheel, interpreter: &Interpreter) -> String {
    // The path is part of the code, and what is compiled depends on the build.
    let of = format!(
        "{}\n{}\n{}",
        interpreter.key,
        interpreter.info.module_sha256,
        interpreter.site_guest()
    );
    let interpreter = Sha256::of(of.as_bytes()).to_string();
    format!("{}-{}-{FORMAT}", wheel.key, &interpreter[..16])
}

/// Whether this pyw can use bytecode of that name.
#[must_use]
pub fn is_current(key: &str) -> bool {
    key.ends_with(&format!("-{FORMAT}"))
}

/// The name of the wheel that the bytecode of that name belongs to.
#[must_use]
pub fn wheel_of(key: &str) -> &str {
    key.rsplitn(3, '-').last().unwrap_or(key)
}

/// The compiled trees of these wheels, in the same order; each looks like the wheel's `site` with
/// nothing but `__pycache__` folders in it.
///
/// A module that the interpreter cannot compile is left out, as natively.
///
/// # Errors
/// The interpreter cannot be run, or the store cannot be written.
pub fn provide(
    wheels: &[Wheel],
    interpreter: &Interpreter,
    store: &Store,
    guest: &dyn Guest,
) -> Result<Vec<Utf8PathBuf>, BytecodeError> {
    let keys: Vec<String> = wheels.iter().map(|wheel| key(wheel, interpreter)).collect();
    store.get_or_create_all::<BytecodeError>(Kind::Bytecode, &keys, |tree, missing| {
        let wanted: Vec<(&Wheel, &String)> = wheels
            .iter()
            .zip(&keys)
            .filter(|(_, key)| missing.contains(key))
            .collect();
        let batch = Batch {
            tree,
            interpreter,
            guest,
            wheels: store.root().join(Kind::Wheel.folder()),
        };
        Built {
            finished: Vec::new(),
            result: batch.run(&wanted),
        }
    })
}

struct Batch<'a> {
    tree: &'a Utf8Path,
    interpreter: &'a Interpreter,
    guest: &'a dyn Guest,
    /// The folder of all wheels.
    wheels: Utf8PathBuf,
}

impl Batch<'_> {
    fn run(&self, wanted: &[(&Wheel, &String)]) -> Result<(), BytecodeError> {
        let scripts = self.tree.join("in");
        for folder in wanted
            .iter()
            .map(|(_, key)| self.tree.join(key))
            .chain([scripts.clone()])
        {
            match std::fs::create_dir(&folder) {
                // The same wheel may be wanted twice.
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::io("creating the folder", &folder, error).into());
                }
                _ => {}
            }
        }
        write(&scripts.join("import.py"), crate::guest::IMPORT.as_bytes())?;
        let shards = self.shards(self.modules(wanted));
        let total: usize = shards.iter().map(Vec::len).sum();
        let what = match wanted.len() {
            1 => "byte-compiling 1 package, once".to_owned(),
            many => format!("byte-compiling {many} packages, once"),
        };
        let bar = Progress::steps(&what, total as u64);
        std::thread::scope(|scope| {
            let workers: Vec<_> = shards
                .iter()
                .enumerate()
                .map(|(number, shard)| {
                    let (bar, scripts) = (&bar, &scripts);
                    scope.spawn(move || self.compile(number, shard, scripts, bar))
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })?;
        std::fs::remove_dir_all(&scripts)
            .map_err(|cause| StoreError::io("removing", &scripts, cause))?;
        Ok(())
    }

    fn modules(&self, wanted: &[(&Wheel, &String)]) -> Vec<Module> {
        let site = self.interpreter.site_guest();
        let mut modules = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (wheel, key) in wanted {
            if !seen.insert(*key) {
                continue;
            }
            for (path, file) in &wheel.info.files {
                if !path.ends_with(".py") {
                    continue;
                }
                modules.push(Module {
                    job: [
                        format!("{WHEELS}/{}/site/{path}", wheel.key),
                        format!("{site}/{path}"),
                        format!("{OUT}/{key}/{path}"),
                    ],
                    size: file.size,
                });
            }
        }
        modules
    }

    /// Spreads modules evenly over as many guests as are worth it.
    fn shards(&self, mut modules: Vec<Module>) -> Vec<Vec<Module>> {
        if modules.is_empty() {
            return Vec::new();
        }
        let bytes: u64 = modules.iter().map(|module| module.size).sum();
        let most = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        let worth = usize::try_from(bytes / WORTH_A_START).unwrap_or(most);
        let count = worth.clamp(1, most);
        modules.sort_by_key(|module| std::cmp::Reverse(module.size));
        let mut shards: Vec<(u64, Vec<Module>)> = (0..count).map(|_| (0, Vec::new())).collect();
        for module in modules {
            if let Some(shard) = shards.iter_mut().min_by_key(|(size, _)| *size) {
                // A small file is not for nothing either.
                shard.0 += module.size + 512;
                shard.1.push(module);
            }
        }
        shards.into_iter().map(|(_, shard)| shard).collect()
    }

    /// Compiles one shard. A module on which the whole interpreter dies (its compiler recurses,
    /// and the stack is what the build made it) is left out.
    fn compile(
        &self,
        number: usize,
        shard: &[Module],
        scripts: &Utf8Path,
        bar: &Progress,
    ) -> Result<(), BytecodeError> {
        let mut from = 0;
        let mut deaths_at_once = 0;
        while from < shard.len() {
            let file = format!("list-{number}.json");
            let jobs: Vec<&[String; 3]> = shard[from..].iter().map(|module| &module.job).collect();
            let list = serde_json::to_vec(&jobs).unwrap_or_default();
            write(&scripts.join(&file), &list)?;
            let done = std::sync::atomic::AtomicUsize::new(0);
            let result = self.start(&format!("{IN}/{file}"), &|| {
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                bar.inc(1);
            });
            let Err(reason) = result else {
                return Ok(());
            };
            // The guest can only say it in words, and in those of its own C library.
            if reason.contains("No space left on device") {
                return Err(BytecodeError::Store(StoreError::io(
                    "byte-compiling in",
                    self.tree,
                    std::io::ErrorKind::StorageFull.into(),
                )));
            }
            let done = done.into_inner();
            deaths_at_once = if done == 0 { deaths_at_once + 1 } else { 0 };
            // Twice without having done anything, it is not the module's fault.
            if deaths_at_once == 2 || done >= jobs.len() {
                return Err(BytecodeError::Guest { reason });
            }
            let module = &shard[from + done];
            progress::verbose(&format!(
                "{} is left without bytecode: {}",
                module.job[1],
                reason.lines().last().unwrap_or_default()
            ));
            bar.inc(1);
            from += done + 1;
        }
        Ok(())
    }

    fn start(&self, list: &str, progress: &(dyn Fn() + Sync)) -> Result<(), String> {
        let mount = |host: Utf8PathBuf, guest: &str, access| Mount {
            host,
            guest: guest.to_owned(),
            access,
            purpose: Purpose::Interpreter,
        };
        let mounts = vec![
            mount(self.tree.join("in"), IN, Access::Read),
            mount(self.tree.to_owned(), OUT, Access::Write),
            mount(self.wheels.clone(), WHEELS, Access::Read),
            mount(
                self.interpreter.library(),
                self.interpreter.library_guest(),
                Access::Read,
            ),
        ];
        let script = format!("{IN}/import.py");
        // Authors' warnings about their own sources are not for users.
        let fixed = ["-I", "-S", "-B", "-W", "ignore", script.as_str()];
        let args = fixed
            .iter()
            .chain(&["compile-list", list])
            .map(|s| (*s).to_owned())
            .collect();
        self.guest
            .run(&self.interpreter.module(), mounts, args, progress)
    }
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), StoreError> {
    std::fs::write(path, bytes).map_err(|cause| StoreError::io("writing", path, cause))
}
