//! How a script is granted, and how the guest is told of it.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::grants::{Builder, no_nul};
use super::{Program, RequestError};
use crate::sandbox::mount::guest_path_of;
use crate::sandbox::{Access, Mount, Purpose};

/// The script as the guest is given it.
pub(super) struct Spelling {
    /// Absolute.
    pub path: String,
    /// The folder that natively comes first in `sys.path`, where the guest would find another.
    pub path0: Option<String>,
}

impl Builder<'_> {
    /// Grants the script's folder. Answers with how the guest is to be given the script.
    pub(super) fn script(&mut self) -> Result<Option<Spelling>, RequestError> {
        let Program::Script(written) = &self.request.program else {
            return Ok(None);
        };
        no_nul("the script's name", written)?;
        let wrong = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => RequestError::NoScript {
                path: written.clone(),
            },
            _ => RequestError::Script {
                path: written.clone(),
                source,
            },
        };
        let typed = self.request.caller_cwd.join(written);
        // Opening a pipe would wait for whoever writes into it, and a shell's `<(…)` is a name that
        // leads to one, but to no path.
        if std::fs::metadata(&typed).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            return Err(RequestError::ScriptKind {
                path: written.clone(),
            });
        }
        let real = typed.canonicalize_utf8().map_err(wrong)?;
        if std::fs::metadata(&real).map_err(wrong)?.is_dir() {
            if !real.join("__main__.py").is_file() && !real.join("__main__.pyc").is_file() {
                return Err(RequestError::NoMain {
                    path: written.clone(),
                });
            }
            return self.folder(&typed, &real).map(Some);
        }
        // Told here with the host's own words; inside, it would look like the sandbox's doing.
        std::fs::File::open(&real).map_err(wrong)?;
        let folder = real.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        if self.private_folder(&folder) && !self.sees(&real) {
            let guest = guest_path_of(&real);
            self.single(&real, &guest, Access::Read)?;
            return Ok(Some(Spelling {
                path: guest,
                path0: None,
            }));
        }
        self.file(&typed, &real, &folder).map(Some)
    }

    /// A folder that is run, as it was written if it can be.
    fn folder(&mut self, typed: &Utf8Path, real: &Utf8Path) -> Result<Spelling, RequestError> {
        if !cfg!(unix) {
            self.show(real, guest_path_of(real))?;
            return Ok(Spelling {
                path: guest_path_of(real),
                path0: None,
            });
        }
        self.show_as_typed(typed, real)?;
        Ok(Spelling {
            path: typed.to_string(),
            path0: None,
        })
    }

    /// A file that is run, as it was written if it can be, so that `__file__` and tracebacks are
    /// what they are natively.
    fn file(
        &mut self,
        typed: &Utf8Path,
        real: &Utf8Path,
        folder: &Utf8Path,
    ) -> Result<Spelling, RequestError> {
        let typed_folder = typed.parent().unwrap_or(folder);
        let same = typed_folder
            .canonicalize_utf8()
            .is_ok_and(|typed| typed == folder)
            && typed.file_name() == real.file_name();
        let path0 = guest_path_of(folder);
        if cfg!(unix) && (same || self.link_stays(typed, real)) {
            let real_typed = typed_folder.canonicalize_utf8();
            self.show_as_typed(
                typed_folder,
                &real_typed.unwrap_or_else(|_| folder.to_owned()),
            )?;
            self.show(folder, path0.clone())?;
            // A guest's libc cannot resolve paths, so that CPython takes the folder as it stands.
            let odd = typed_folder.as_str() != path0;
            return Ok(Spelling {
                path: typed.to_string(),
                path0: odd.then_some(path0),
            });
        }
        // A link that leads out of its folder is not followed in a sandbox.
        self.show(folder, path0)?;
        Ok(Spelling {
            path: guest_path_of(real),
            path0: None,
        })
    }

    /// Whether a script that is a link can be reached through it: the link is relative, leads
    /// straight to the file, and does not leave the mount that it lies in.
    fn link_stays(&self, typed: &Utf8Path, real: &Utf8Path) -> bool {
        let (Ok(target), Some(folder)) = (typed.read_link_utf8(), typed.parent()) else {
            return false;
        };
        let lexical = Utf8PathBuf::from(guest_path_of(&folder.join(&target)));
        let cwd = &self.request.caller_cwd;
        let mount = if typed.starts_with(cwd) {
            cwd.as_path()
        } else {
            folder
        };
        target.is_relative() && lexical == real && lexical.starts_with(mount)
    }

    /// Grants `real` where `typed` leads to.
    fn show_as_typed(&mut self, typed: &Utf8Path, real: &Utf8Path) -> Result<(), RequestError> {
        if typed
            .components()
            .any(|c| matches!(c, Utf8Component::ParentDir))
        {
            // A guest's libc joins paths as text, so that `..` would leave every mount but one
            // that is spelt the same.
            self.push(Mount {
                host: real.to_owned(),
                guest: typed.as_str().trim_end_matches('/').to_owned(),
                access: Access::Read,
                purpose: Purpose::Spelling,
            });
        }
        self.show(real, guest_path_of(typed))
    }
}
