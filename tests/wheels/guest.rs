//! A stand-in for an interpreter in its sandbox, that does on the host what the real one would do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use pyw::interpreter::convert::Guest;
use pyw::sandbox::{Access, Mount};

/// "Compiles" modules by writing down what it was asked to do.
#[derive(Default)]
pub struct Pretended {
    pub starts: AtomicUsize,
    /// Dies when it comes to a module whose path ends so.
    pub dies_at: Option<String>,
    pub compiled: Mutex<Vec<String>>,
}

impl Guest for Pretended {
    fn run(
        &self,
        _: &Utf8Path,
        mounts: Vec<Mount>,
        args: Vec<String>,
        progress: &(dyn Fn() + Sync),
    ) -> Result<(), String> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let host = |guest: &str, access: Access| -> Utf8PathBuf {
            let mount = mounts
                .iter()
                .find(|m| {
                    guest
                        .strip_prefix(&m.guest)
                        .is_some_and(|r| r.starts_with('/'))
                })
                .unwrap_or_else(|| panic!("{guest} is in no mount"));
            assert!(access == Access::Read || mount.access == Access::Write);
            mount.host.join(&guest[mount.guest.len() + 1..])
        };
        let [.., what, list] = args.as_slice() else {
            panic!("{args:?}");
        };
        assert_eq!(what, "compile-list");
        assert!(args.iter().any(|arg| arg == "-I"));
        let list = std::fs::read(host(list, Access::Read)).unwrap();
        let jobs: Vec<[String; 3]> = serde_json::from_slice(&list).unwrap();
        for [source, path, output] in jobs {
            if self.dies_at.as_ref().is_some_and(|end| path.ends_with(end)) {
                return Err("wasm trap: call stack exhausted".to_owned());
            }
            let text = std::fs::read_to_string(host(&source, Access::Read)).unwrap();
            let output = host(&output, Access::Write);
            let cache = output.parent().unwrap().join("__pycache__");
            let name = format!("{}.cpython-312.pyc", output.file_stem().unwrap());
            let write = || {
                std::fs::create_dir_all(&cache)?;
                std::fs::write(cache.join(name), format!("{path}\n{text}"))
            };
            write().map_err(|error| format!("Traceback …\nOSError: {error}"))?;
            self.compiled.lock().unwrap().push(path);
            progress();
        }
        Ok(())
    }
}
