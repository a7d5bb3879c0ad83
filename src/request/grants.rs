//! From a request to a sandbox: which folders of the host are granted, and where the guest sees
//! them.
//!
//! By default that is the script's folder and the working directory, read-only, each at its own
//! path. A home directory and what lies above it are never granted unless they are named: of such
//! a folder the guest gets a stand-in that holds the script and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Program, Request, RequestError};
use crate::interpreter::{Interpreter, adapt, parent};
use crate::package::environment::Environment;
use crate::sandbox::mount::{covers, guest_path_of, normalize_guest};
use crate::sandbox::{Access, Mount, MountSpec, Placed, Purpose, Sandbox, Scratch, Start};

/// Builds the sandbox. `scratch` is the path of a folder that does not exist yet.
///
/// # Errors
/// The script or a mount's source does not exist; two grants contradict each other; no package
/// has the command.
pub fn sandbox(
    request: &Request,
    interpreter: &Interpreter,
    environment: Option<&Environment>,
    scratch: &Utf8Path,
) -> Result<Sandbox, RequestError> {
    for text in request.args.iter().chain(&request.python_options) {
        no_nul("an argument", text)?;
    }
    for (name, value) in &request.env {
        no_nul(&format!("the variable {name}"), value)?;
        if name == "PYW_START" || adapt::VARIABLES.contains(&name.as_str()) {
            return Err(RequestError::ReservedVariable { name: name.clone() });
        }
    }
    // The folder of what it may write has the size, and not what else is made for the run.
    let own = scratch.join("own");
    let size = request.limits.tmp_size;
    let mut builder = Builder {
        request,
        library: interpreter.library_guest(),
        packages: environment.map(|_| interpreter.site_guest()),
        scratch: Scratch {
            root: scratch.to_owned(),
            sizes: size.map(|bytes| (own.clone(), bytes)).into_iter().collect(),
            ..Scratch::default()
        },
        writable: size.map_or_else(|| scratch.to_owned(), |_| own.clone()),
        mounts: Vec::new(),
        stands_in: BTreeMap::new(),
        files_at: BTreeSet::new(),
    };
    builder.asked()?;
    builder.files_at = builder.stands_in.keys().cloned().collect();
    let script = builder.script()?;
    let cwd = builder.cwd()?;
    for root in &request.roots {
        builder.show(root, guest_path_of(root))?;
    }
    builder.drop_covered();
    builder.push(interpreter.library_mount());
    if let Some(environment) = environment {
        builder.packages(environment, interpreter)?;
    }
    builder.private();
    builder.root();

    let mut args = request.python_options.clone();
    let (mut argv0, mut path0, mut plain_script) = (None, None, None);
    match (&request.program, script) {
        (Program::Script(written), Some(script)) => {
            if script.path != *written {
                argv0 = Some(written.clone());
            }
            path0 = script.path0;
            let plain = guest_path_of(Utf8Path::new(&script.path));
            plain_script = (plain != script.path).then_some((args.len(), plain));
            args.push(script.path);
        }
        (Program::Script(_), None) | (Program::Prompt, _) => {}
        (Program::Module(name), _) => {
            args.push(name.clone());
            // The guest's libc cannot resolve `.`, which is what CPython would then put there.
            path0 = Some(cwd.clone());
        }
        (Program::Code(code), _) => args.push(code.clone()),
        (Program::Stdin, _) => args.push("-".to_owned()),
        (Program::Command(name), _) => match environment {
            Some(environment) => args.push(environment.command(name, interpreter)?),
            None => {
                return Err(RequestError::NoPackages {
                    command: name.clone(),
                });
            }
        },
    }
    args.extend(request.args.iter().cloned());
    Ok(Sandbox {
        args,
        plain_script,
        env: request.env.clone(),
        start: Some(Start {
            cwd,
            executable: interpreter.executable(),
            argv0,
            path0,
            memory: None,
            learn: None,
            site: None,
        }),
        mounts: builder.mounts,
        network: request.network,
        endpoints: request.endpoints.clone(),
        limits: request.limits,
        terminals: request.terminals,
        javascript: request.javascript,
        teaches: false,
        scratch: Some(builder.scratch),
    })
}

pub(super) fn no_nul(what: &str, text: &str) -> Result<(), RequestError> {
    if text.contains('\0') {
        return Err(RequestError::Nul {
            what: what.to_owned(),
        });
    }
    Ok(())
}

pub(super) struct Builder<'a> {
    pub(super) request: &'a Request,
    /// Where the interpreter's library goes.
    library: &'a str,
    /// Where the packages go, if there are any.
    packages: Option<String>,
    scratch: Scratch,
    /// Where in the scratch things are made that the program may write.
    writable: Utf8PathBuf,
    mounts: Vec<Mount>,
    /// Guest folders that are private stand-ins, with their folders in the scratch.
    stands_in: BTreeMap<String, Utf8PathBuf>,
    /// Those of them that hold files which the user mounted.
    files_at: BTreeSet<String>,
}

impl Builder<'_> {
    pub(super) fn push(&mut self, mount: Mount) {
        self.mounts.push(mount);
    }

    fn at(&self, guest: &str) -> Option<&Mount> {
        self.mounts.iter().find(|m| m.guest == guest)
    }

    /// A folder of the host can't appear where single files were mounted: the files would be all
    /// that there is.
    fn not_where_files_are(&self, host: &Utf8Path, guest: &str) -> Result<(), RequestError> {
        if !self.files_at.contains(guest) {
            return Ok(());
        }
        let file = self
            .scratch
            .placed
            .iter()
            .find(|p| p.to.parent() == Some(&self.stands_in[guest]));
        let from = file.map_or_else(|| host.to_owned(), |placed| placed.from.clone());
        Err(RequestError::FileInFolder {
            guest: format!(
                "{guest}/{}",
                file.and_then(|p| p.to.file_name()).unwrap_or_default()
            ),
            file: from,
            folder: host.to_owned(),
        })
    }

    /// Whether the guest sees this host path at its own place through a mount that is there.
    pub(super) fn sees(&self, host: &Utf8Path) -> bool {
        self.mounts
            .iter()
            .any(|m| m.guest == guest_path_of(&m.host) && host.starts_with(&m.host))
    }

    /// What a guest path is on the host, through the mounts that are there.
    fn behind(&self, guest: &str) -> Option<Utf8PathBuf> {
        let covering = self.mounts.iter().filter(|m| covers(&m.guest, guest));
        let mount = covering.max_by_key(|m| m.guest.len())?;
        let inside = guest.strip_prefix(mount.guest.as_str())?;
        Some(mount.host.join(inside.trim_start_matches('/')))
    }

    /// What the user named.
    fn asked(&mut self) -> Result<(), RequestError> {
        let mut seen: BTreeMap<(Utf8PathBuf, String), Access> = BTreeMap::new();
        for spec in &self.request.mounts {
            let MountSpec {
                host,
                guest,
                access,
            } = spec;
            let real = host
                .canonicalize_utf8()
                .map_err(|source| match source.kind() {
                    std::io::ErrorKind::NotFound => {
                        RequestError::NoMountSource { path: host.clone() }
                    }
                    _ => RequestError::MountSource {
                        path: host.clone(),
                        source,
                    },
                })?;
            let access = access.unwrap_or(Access::Read);
            let guest = match guest {
                Some(guest) => normalize_guest(guest)?,
                None => guest_path_of(host),
            };
            self.free(&guest)?;
            match seen.insert((real.clone(), guest.clone()), access) {
                None => {}
                Some(before) if before == access => continue,
                Some(_) => return Err(RequestError::MountedTwice { path: host.clone() }),
            }
            let metadata =
                std::fs::metadata(&real).map_err(|source| RequestError::MountSource {
                    path: host.clone(),
                    source,
                })?;
            if metadata.is_file() {
                self.single(&real, &guest, access)?;
            } else if metadata.is_dir() {
                if let Some(other) = self.at(&guest) {
                    return Err(RequestError::SameGuest {
                        guest,
                        first: other.host.clone(),
                        second: real,
                    });
                }
                self.push(Mount {
                    host: real,
                    guest,
                    access,
                    purpose: Purpose::Grant,
                });
            } else {
                return Err(RequestError::MountKind { path: host.clone() });
            }
        }
        Ok(())
    }

    /// Guest paths that pyw needs for itself.
    fn free(&self, guest: &str) -> Result<(), RequestError> {
        if guest == self.library
            || self.packages.as_deref() == Some(guest)
            || covers("/.pyw", guest)
            || guest == "/dev"
            || guest == "/"
        {
            return Err(RequestError::Reserved {
                guest: guest.to_owned(),
            });
        }
        Ok(())
    }

    /// One file. Runtimes mount folders only, so it gets a folder of its own; several files can
    /// share one, but none can appear inside a folder of the host.
    pub(super) fn single(
        &mut self,
        host: &Utf8Path,
        guest: &str,
        access: Access,
    ) -> Result<(), RequestError> {
        let folder = parent(guest).to_owned();
        if let Some(mount) = self.mounts.iter().find(|m| covers(&m.guest, guest)) {
            let inside = guest.strip_prefix(mount.guest.as_str()).unwrap_or(guest);
            let same = mount.host.join(inside.trim_start_matches('/')) == host;
            if same && mount.access == access {
                return Ok(());
            }
            if !self.stands_in.contains_key(&folder) || mount.access != access {
                return Err(RequestError::FileInFolder {
                    file: host.to_owned(),
                    guest: guest.to_owned(),
                    folder: mount.host.clone(),
                });
            }
        }
        let name = guest.rsplit('/').next().unwrap_or(guest);
        let stand_in = self.stand_in(&folder, access);
        self.scratch.placed.push(Placed {
            from: host.to_owned(),
            to: stand_in.join(name),
            access,
        });
        Ok(())
    }

    /// A private folder that the guest sees at `guest`.
    fn stand_in(&mut self, guest: &str, access: Access) -> Utf8PathBuf {
        if let Some(folder) = self.stands_in.get(guest) {
            return folder.clone();
        }
        let folder = self
            .scratch
            .root
            .join(format!("stand-in-{}", self.stands_in.len()));
        self.scratch.folders.push(folder.clone());
        self.stands_in.insert(guest.to_owned(), folder.clone());
        self.push(Mount {
            host: folder.clone(),
            guest: guest.to_owned(),
            access,
            purpose: Purpose::Grant,
        });
        folder
    }

    /// Grants a folder for reading at a guest path, unless something is there.
    pub(super) fn show(&mut self, host: &Utf8Path, guest: String) -> Result<(), RequestError> {
        self.not_where_files_are(host, &guest)?;
        if self.sees(host) {
            return Ok(());
        }
        if let Some(other) = self.at(&guest) {
            let first = other.host.clone();
            let second = host.to_owned();
            return Err(RequestError::SameGuest {
                guest,
                first,
                second,
            });
        }
        self.push(Mount {
            host: host.to_owned(),
            guest,
            access: Access::Read,
            purpose: Purpose::Grant,
        });
        Ok(())
    }

    /// Grants the working directory, and answers with its guest path.
    fn cwd(&mut self) -> Result<String, RequestError> {
        let (guest, host) = match &self.request.cwd {
            None => (
                guest_path_of(&self.request.caller_cwd),
                self.request.caller_cwd.clone(),
            ),
            Some(guest) => {
                if let Some(host) = self.behind(guest) {
                    // What is made for this run is not there yet.
                    if !host.starts_with(&self.scratch.root) && !host.is_dir() {
                        return Err(RequestError::NoCwd { cwd: guest.clone() });
                    }
                    return Ok(guest.clone());
                }
                // On Windows a guest path is not a host path; there it has to be in a mount.
                let host = Utf8PathBuf::from(guest);
                let found = host
                    .canonicalize_utf8()
                    .ok()
                    .filter(|h| h.is_dir() && cfg!(unix));
                match found {
                    Some(host) => (guest.clone(), host),
                    None => return Err(RequestError::NoCwd { cwd: guest.clone() }),
                }
            }
        };
        self.not_where_files_are(&host, &guest)?;
        if self.sees(&host) || self.at(&guest).is_some() {
            return Ok(guest);
        }
        self.free_cwd(&guest)?;
        if self.private_folder(&host) {
            self.stand_in(&guest, Access::Read);
        } else {
            self.push(Mount {
                host,
                guest: guest.clone(),
                access: Access::Read,
                purpose: Purpose::Grant,
            });
        }
        Ok(guest)
    }

    /// `/` is always there: its skeleton is what the guest starts in then.
    fn free_cwd(&self, guest: &str) -> Result<(), RequestError> {
        if guest == "/" {
            Ok(())
        } else {
            self.free(guest)
        }
    }

    /// A folder that is granted only when it is named.
    pub(super) fn private_folder(&self, host: &Utf8Path) -> bool {
        host.parent().is_none()
            || self
                .request
                .home
                .as_deref()
                .is_some_and(|home| home.starts_with(host))
    }

    /// Drops grants that another grant already gives: with two preopens, a guest's libc would
    /// take the inner one and `..` could not leave it.
    fn drop_covered(&mut self) {
        let all = self.mounts.clone();
        self.mounts.retain(|inner| {
            !all.iter().any(|outer| {
                outer != inner
                    && outer.access == inner.access
                    && covers(&outer.guest, &inner.guest)
                    && outer.host.join(
                        inner.guest[outer.guest.len()..].trim_start_matches('/'),
                    ) == inner.host
                    // Nothing else may lie between them.
                    && !all.iter().any(|between| {
                        between != outer
                            && between != inner
                            && covers(&outer.guest, &between.guest)
                            && covers(&between.guest, &inner.guest)
                    })
            })
        });
    }

    /// The packages, below the library, where the interpreter looks for them. What they bring for
    /// other folders gives way to what the user put there.
    fn packages(
        &mut self,
        environment: &Environment,
        interpreter: &Interpreter,
    ) -> Result<(), RequestError> {
        let commands = matches!(self.request.program, Program::Command(_));
        let bin = interpreter.below_prefix("bin");
        for mount in environment.mounts(interpreter, commands) {
            match self.at(&mount.guest) {
                None => self.push(mount),
                // The program itself is in there.
                Some(other) if mount.guest == bin => {
                    return Err(RequestError::SameGuest {
                        guest: bin,
                        first: other.host.clone(),
                        second: mount.host,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A writable `/tmp` of its own, and `/dev` with a `null` in it.
    fn private(&mut self) {
        if !self.request.private_tmp {
            return;
        }
        // Python looks for a temporary folder in these places, in this order.
        let tmp = ["/tmp", "/var/tmp", "/usr/tmp"]
            .into_iter()
            .find(|p| self.at(p).is_none());
        let granted = self
            .mounts
            .iter()
            .any(|m| m.guest == "/tmp" && m.access == Access::Write);
        if let Some(tmp) = tmp.filter(|_| !granted) {
            let host = self.writable.join("tmp");
            self.scratch.folders.push(host.clone());
            self.push(Mount {
                host,
                guest: tmp.to_owned(),
                access: Access::Write,
                purpose: Purpose::Private,
            });
        }
        let host = self.writable.join("dev");
        self.scratch.folders.push(host.clone());
        self.scratch.files.push(host.join("null"));
        self.push(Mount {
            host,
            guest: "/dev".to_owned(),
            access: Access::Write,
            purpose: Purpose::Private,
        });
    }

    /// The skeleton of `/`: empty folders down to each mount point. Without a `/` that can be
    /// looked at, `os.makedirs` fails everywhere.
    fn root(&mut self) {
        if let Some(at) = self.mounts.iter().position(|m| m.guest == "/") {
            // The stand-in of the working directory `/` becomes the skeleton.
            self.mounts[at].purpose = Purpose::Root;
            let host = self.mounts[at].host.clone();
            self.skeleton(&host);
            return;
        }
        let host = self.scratch.root.join("root");
        self.skeleton(&host);
        self.mounts.insert(
            0,
            Mount {
                host,
                guest: "/".to_owned(),
                access: Access::Read,
                purpose: Purpose::Root,
            },
        );
    }

    fn skeleton(&mut self, host: &Utf8Path) {
        self.scratch.folders.push(host.to_owned());
        if !self.request.private_tmp {
            // No /dev of its own is mounted then; this one can be read, not written.
            self.scratch.folders.push(host.join("dev"));
            self.scratch.files.push(host.join("dev/null"));
        }
        // A mount that is spelt with `..` leads to a place that another one leads to as well.
        for mount in self.mounts.iter().filter(|m| !m.guest.contains("/..")) {
            self.scratch
                .folders
                .push(host.join(mount.guest.trim_start_matches('/')));
        }
    }
}
