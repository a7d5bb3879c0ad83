//! Modules compiled ahead of a start, each for one build of one runtime on one kind of processor.
//!
//! What is found here is native code that the runtime executes as it is, so it counts only if
//! nobody else could have written it: it belongs to this user, nobody else may write it, and it is
//! what was recorded when it was made. No sandbox is ever given the store for writing.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::Runtime;
use crate::guest::TRAINING;
use crate::interpreter::{Compiled, LOADER, Module};
use crate::paths::is_ours;
use crate::store::stamp::Stamp;
use crate::store::{Kind, Sha256, Store, StoreError};

/// The file, beside the compiled module, that holds its [`Record`].
const RECORD: &str = "pyw.json";

/// A failed attempt is repeated after this time.
const RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of an attempt to compile a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the attempt came to.
    pub result: Attempt,
    /// What was compiled, for people.
    pub module: Utf8PathBuf,
}

/// What an attempt to compile came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempt {
    /// There is a compiled module.
    Made {
        /// It is for the runtime's lean executable.
        lean: bool,
        /// Of the compiled module.
        sha256: Sha256,
        /// Its size and modification time, which spare it from being read at every start.
        content: String,
    },
    /// The runtime did not make one, or does not run it.
    Failed {
        /// What it said.
        reason: String,
    },
}

/// The name, in the store, of a module compiled for a runtime; `None` where it doesn't compile.
///
/// It says everything that decides what comes out: the module, the runtime's build, the command
/// and the processor's abilities; for a host script its text, the JavaScript that loads the module, and
/// what is run meanwhile. So a runtime never meets code that it would have to refuse.
#[must_use]
pub fn key(runtime: &Runtime, module: &Module) -> Option<String> {
    let compile = runtime.descriptor.compile.as_ref()?;
    let mut all = format!(
        "{}\n{:?}\n{:?}\n{compile:?}\n{}",
        module.identity,
        runtime.version,
        runtime.build,
        processor()
    );
    if let Some(script) = &runtime.host_script {
        // By content: an interpreter from elsewhere with the same module must not compile for this one.
        let hash = |file: &Utf8Path| Sha256::of_file(file).ok().map(|hash| hash.to_string());
        let loader = hash(&module.path.with_file_name(LOADER));
        let first = &runtime.descriptor.command.first;
        all += &format!("\n{:?}\n{loader:?}\n{first:?}\n{TRAINING}", hash(script));
    }
    let hash = Sha256::of(all.as_bytes()).to_string();
    Some(format!("{}-{}", runtime.descriptor.name, &hash[..32]))
}

/// The compiled module, if there is one that can be trusted.
///
/// # Errors
/// The reason for which it is not compiled, where that was tried and failed.
pub fn find(runtime: &Runtime, module: &Module, store: &Store) -> Result<Option<Compiled>, String> {
    let (Some(key), Some(compile)) = (key(runtime, module), &runtime.descriptor.compile) else {
        return Ok(None);
    };
    let Some(folder) = store.get(Kind::Compiled, &key) else {
        return Ok(None);
    };
    match verify(&folder, &compile.file) {
        Some(Ok(file)) => Ok(Some(file)),
        Some(Err(reason)) => Err(reason),
        None => {
            // Whatever it is, pyw did not make it so. It is made anew.
            let _ = store.remove(Kind::Compiled, &key);
            Ok(None)
        }
    }
}

fn verify(folder: &Utf8Path, name: &str) -> Option<Result<Compiled, String>> {
    let file = folder.join(name);
    let record: Record = serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()?;
    let (lean, sha256, content) = match record.result {
        Attempt::Made {
            lean,
            sha256,
            content,
        } => (lean, sha256, content),
        Attempt::Failed { reason } => {
            let made = std::fs::metadata(folder).and_then(|seen| seen.modified());
            let age = made.ok().and_then(|made| made.elapsed().ok());
            // Want of memory or of room passes.
            return age.is_some_and(|age| age < RETRY).then_some(Err(reason));
        }
    };
    let seen = std::fs::symlink_metadata(&file).ok()?;
    if !seen.is_file() || !is_ours(&seen) || !is_ours(&std::fs::metadata(folder).ok()?) {
        return None;
    }
    let same = Stamp::from(&seen).content() == content
        // A copy of a store may have lost its times.
        || Sha256::of_file(&file).is_ok_and(|now| now == sha256);
    same.then_some(Ok(Compiled { file, lean }))
}

/// Compiles a module, unless that was tried, and answers as [`find`].
///
/// `make` is given the output and runs the runtime's compiler; `start` is given the same and sees
/// whether the runtime accepts it. What the lean executable does not accept is made for the other one.
///
/// # Errors
/// The store cannot be written.
pub fn make(
    runtime: &Runtime,
    module: &Module,
    store: &Store,
    make: impl Fn(&Compiled) -> Result<(), String>,
    start: impl Fn(&Compiled) -> Result<(), String>,
) -> Result<Result<Option<Compiled>, String>, StoreError> {
    let (Some(key), Some(compile)) = (key(runtime, module), &runtime.descriptor.compile) else {
        return Ok(Ok(None));
    };
    store.get_or_create::<StoreError>(Kind::Compiled, &key, |staging| {
        let file = staging.join(&compile.file);
        let io = |action: &'static str, path: &Utf8Path| {
            let path = path.to_owned();
            move |cause| StoreError::io(action, &path, cause)
        };
        let attempt = |lean: bool| {
            let _ = std::fs::remove_file(&file);
            let output = Compiled {
                file: file.clone(),
                lean,
            };
            make(&output).and_then(|()| start(&output)).map(|()| lean)
        };
        let made = match runtime.lean {
            Some(_) => attempt(true).or_else(|_| attempt(false)),
            None => attempt(false),
        };
        let result = match made {
            Ok(lean) => {
                protect(&file).map_err(io("protecting", &file))?;
                let seen = std::fs::metadata(&file).map_err(io("looking at", &file))?;
                Attempt::Made {
                    lean,
                    sha256: Sha256::of_file(&file)?,
                    content: Stamp::from(&seen).content(),
                }
            }
            Err(reason) => {
                let _ = std::fs::remove_file(&file);
                Attempt::Failed { reason }
            }
        };
        let record = Record {
            result,
            module: module.path.clone(),
        };
        let path = staging.join(RECORD);
        let text = serde_json::to_vec(&record)
            .map_err(|error| StoreError::io("writing", &path, std::io::Error::other(error)))?;
        std::fs::write(&path, text).map_err(io("writing", &path))
    })?;
    Ok(find(runtime, module, store))
}

/// Forgets what came of an attempt, so that the next one is made.
///
/// # Errors
/// The store cannot be written.
pub fn forget(runtime: &Runtime, module: &Module, store: &Store) -> Result<(), StoreError> {
    match key(runtime, module) {
        Some(key) => store.remove(Kind::Compiled, &key).map(drop),
        None => Ok(()),
    }
}

/// Lets nobody change it by accident.
fn protect(file: &Utf8Path) -> std::io::Result<()> {
    #[cfg(unix)]
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    #[cfg(not(unix))]
    let rights = {
        let mut rights = std::fs::metadata(file)?.permissions();
        rights.set_readonly(true);
        rights
    };
    std::fs::set_permissions(file, rights)
}

/// What compilers look at of this machine's processor.
fn processor() -> String {
    let mut known = std::env::consts::ARCH.to_owned();
    macro_rules! add {
        ($test:ident: $($feature:tt)*) => {
            $(if std::arch::$test!($feature) {
                known.push(' ');
                known.push_str($feature);
            })*
        };
    }
    #[cfg(target_arch = "x86_64")]
    add!(is_x86_feature_detected: "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1"
        "bmi2" "lzcnt" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx512vbmi"
        "avx512bitalg" "aes" "pclmulqdq" "sha" "f16c" "adx" "movbe" "gfni" "vaes" "vpclmulqdq"
        "rdrand" "rdseed" "xsave" "xsaveopt" "fxsr" "cmpxchg16b");
    #[cfg(target_arch = "aarch64")]
    add!(is_aarch64_feature_detected: "lse" "paca" "pacg" "fp16" "dotprod" "i8mm" "sve" "sve2" "bti"
        "aes" "sha2" "sha3" "crc" "rcpc" "rdm" "fhm" "flagm" "frintts" "jsconv" "sb" "ssbs");
    #[allow(unused_mut, reason = "other processors add nothing")]
    known
}
