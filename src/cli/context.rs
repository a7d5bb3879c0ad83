//! What every command starts from: configuration, store, catalogs, and the ways to get a runtime
//! and an interpreter ready.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::{Config, Inputs, Partial, Places, RuntimeChoice};
use crate::error::Error;
use crate::interpreter::choose::{Choice, Wanted};
use crate::interpreter::convert::Guest;
use crate::interpreter::imports::{self, Import};
use crate::interpreter::{self, Interpreter, Module};
use crate::launch;
use crate::plan::{self, Fence, Plan};
use crate::request::RequestError;
use crate::runtime::catalog::{Catalog, DEFAULT};
use crate::runtime::{Descriptor, Found, Runtime, RuntimeError, install, locate};
use crate::sandbox::{Limits, Mount, Network, Purpose, Sandbox, Scratch, Terminals};
use crate::store::Store;
use crate::store::fetch::Fetcher;
use crate::ui::progress::{self, Verbosity};

/// Configuration, store and catalogs.
pub struct Context {
    pub config: Config,
    pub store: Store,
    pub catalog: Catalog,
    pub fetcher: Fetcher,
    pub fence: Fence,
    /// Where pyw was started.
    pub cwd: Utf8PathBuf,
    pub home: Option<Utf8PathBuf>,
    /// pyw's own folders: the store, and the user's configuration with its descriptors.
    own: Vec<Utf8PathBuf>,
}

/// The verbosity that `-v` and `-q` ask for.
#[must_use]
pub fn verbosity(verbose: bool, quiet: bool) -> Verbosity {
    match (verbose, quiet) {
        (true, _) => Verbosity::Verbose,
        (false, true) => Verbosity::Quiet,
        (false, false) => Verbosity::Normal,
    }
}

/// The current folder, absolute and without links.
///
/// # Errors
/// It is gone, or not UTF-8.
pub fn current_folder() -> Result<Utf8PathBuf, RequestError> {
    let cwd = std::env::current_dir().map_err(|source| RequestError::CurrentFolder { source })?;
    Utf8PathBuf::from_path_buf(cwd).map_err(|path| RequestError::NotUtf8 {
        what: path.display().to_string(),
    })
}

/// The path without links, where it exists.
fn real(path: Utf8PathBuf) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or(path)
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Context {
    /// Reads the configuration and the descriptors.
    ///
    /// # Errors
    /// A configuration file or descriptor is wrong.
    pub fn load(cli: Partial) -> Result<Self, Error> {
        let cwd = current_folder()?;
        let places = Places::of_platform();
        let config = Config::load(&Inputs {
            cwd: &cwd,
            home: places.home.as_deref(),
            user_config_dir: places.user_config_dir.as_deref(),
            env: &variable,
            cli,
        })?;
        let root = match &config.store.value {
            Some(root) => root.clone(),
            None => Store::default_root()?,
        };
        let descriptors = places
            .user_config_dir
            .as_ref()
            .map(|dir| dir.join("runtimes"));
        let store = Store::at(root);
        let fetcher = Fetcher::new(config.offline.value).with_store(&store);
        let own = [Some(store.root().to_owned()), places.user_config_dir];
        Ok(Self {
            own: own.into_iter().flatten().map(real).collect(),
            store,
            catalog: Catalog::load(descriptors.as_deref())?,
            fetcher,
            fence: launch::fence::abilities(),
            home: places.home.map(real),
            config,
            cwd,
        })
    }

    /// Looks up and probes a runtime; `None` when it is nowhere.
    ///
    /// # Errors
    /// It is unknown, or found and unusable.
    pub fn find(&self, name: &str) -> Result<Option<Runtime>, RuntimeError> {
        let paths = self.paths();
        locate::runtime(self.catalog.get(name)?, &self.places(&paths))
    }

    /// Where a runtime's executable is, without starting it.
    ///
    /// # Errors
    /// It is unknown, or a path that the user named is wrong.
    pub fn executable(&self, name: &str) -> Result<Option<(Utf8PathBuf, Found)>, RuntimeError> {
        let paths = self.paths();
        locate::executable(self.catalog.get(name)?, &self.places(&paths))
    }

    fn paths(&self) -> std::collections::BTreeMap<String, Utf8PathBuf> {
        self.config
            .paths
            .iter()
            .map(|(name, set)| (name.clone(), set.value.clone()))
            .collect()
    }

    fn places<'a>(
        &'a self,
        configured: &'a std::collections::BTreeMap<String, Utf8PathBuf>,
    ) -> locate::Places<'a> {
        locate::Places {
            variable: &|name| std::env::var(name).ok(),
            configured,
            store: &self.store,
        }
    }

    /// Installs a runtime and probes it.
    ///
    /// # Errors
    /// It cannot be installed here, or does not work.
    pub fn install(&self, name: &str) -> Result<Runtime, RuntimeError> {
        let entry = self.catalog.get(name)?;
        let descriptor = self.descriptor(name)?;
        let executable = install::install(&descriptor, &self.store, &self.fetcher)?;
        locate::ready(entry, executable, Found::Store, &self.store)
    }

    /// A descriptor as it stands without a version.
    ///
    /// # Errors
    /// It is unknown.
    pub fn descriptor(&self, name: &str) -> Result<Descriptor, RuntimeError> {
        let entry = self.catalog.get(name)?;
        entry
            .text
            .for_version(None)
            .map_err(|message| RuntimeError::Descriptor {
                path: entry.file.clone().unwrap_or_else(|| entry.name.clone()),
                message,
            })
    }

    /// All descriptors, in the order in which `auto` tries them.
    ///
    /// # Errors
    /// The configured order names a runtime that is unknown.
    pub fn descriptors(&self) -> Result<Vec<Descriptor>, RuntimeError> {
        self.order()?
            .iter()
            .map(|name| self.descriptor(name))
            .collect()
    }

    fn order(&self) -> Result<Vec<String>, RuntimeError> {
        let configured = &self.config.runtimes.value;
        if configured.is_empty() {
            return Ok(self
                .catalog
                .entries()
                .iter()
                .map(|e| e.name.clone())
                .collect());
        }
        for name in configured {
            self.catalog.get(name)?;
        }
        Ok(configured.clone())
    }

    /// The runtimes that the request allows, ready to run, best first: the named one, or all that
    /// are found, or the default one, installed.
    ///
    /// # Errors
    /// The named one is missing or unusable; none is found and none can be installed.
    pub fn candidates(&self) -> Result<Vec<Runtime>, Error> {
        if let RuntimeChoice::Named(name) = &self.config.runtime.value {
            if let Some(runtime) = self.find(name)? {
                return Ok(vec![runtime]);
            }
            let descriptor = self.descriptor(name)?;
            if name == DEFAULT && install::installable(&descriptor) {
                return Ok(vec![self.install(name)?]);
            }
            return Err(Error::Runtime(RuntimeError::NotFound {
                name: name.clone(),
                variable: crate::config::runtime_path_variable(name),
                installable: install::installable(&descriptor),
            }));
        }
        let mut found = Vec::new();
        let mut unusable = None;
        for name in self.order()? {
            match self.find(&name) {
                Ok(Some(runtime)) => found.push(runtime),
                Ok(None) => {}
                // A path that the user named himself is never passed over in silence.
                Err(error @ RuntimeError::BadOverride { .. }) => return Err(error.into()),
                Err(error) => {
                    progress::verbose(&format!("passing over {name}: {error}"));
                    unusable.get_or_insert(error);
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match self.install(DEFAULT) {
            Ok(runtime) => Ok(vec![runtime]),
            Err(error) => Err(unusable.unwrap_or(error).into()),
        }
    }

    /// What runs Python for pyw itself: to import an interpreter, to byte-compile packages.
    #[must_use]
    pub fn guest(&self) -> Importer<'_> {
        Importer {
            context: self,
            runtime: OnceLock::new(),
        }
    }

    /// The interpreter that is wanted, imported if need be.
    ///
    /// # Errors
    /// None fits; it cannot be downloaded or imported.
    pub fn interpreter(&self, wanted: &Wanted) -> Result<Interpreter, Error> {
        let catalog = interpreter::catalog::entries()?;
        let installed = Interpreter::installed(&self.store);
        let importer = self.guest();
        Ok(
            match interpreter::choose::choose(wanted, &installed, &catalog)? {
                Choice::Installed(found) => found.clone(),
                Choice::Catalog(entry) => interpreter::convert::from_catalog(
                    entry,
                    &self.store,
                    &self.fetcher,
                    &importer,
                )?,
                Choice::Path(path) => {
                    // Without the `.` of `./python.wasm`, which would stand in messages.
                    let path: Utf8PathBuf = self.cwd.join(path).components().collect();
                    interpreter::convert::from_path(&path, path.as_str(), &self.store, &importer)?
                }
            },
        )
    }

    /// What `--python` or the configuration wants.
    ///
    /// # Errors
    /// It is neither a version nor a name nor a path.
    pub fn wanted(&self) -> Result<Wanted, Error> {
        match &self.config.python.value {
            None => Ok(Wanted::Default),
            Some(text) => Ok(Wanted::parse(text)?),
        }
    }

    /// Plans a sandbox on a runtime.
    ///
    /// # Errors
    /// Refusals, as [`plan::plan`] says.
    pub fn plan(
        &self,
        sandbox: &Sandbox,
        runtime: &Runtime,
        module: &Module,
        accept_writable: bool,
    ) -> Result<Plan, Error> {
        let known = self.descriptors()?;
        plan::plan(
            sandbox,
            &plan::Context {
                runtime,
                fence: &self.fence,
                module,
                own: &self.own,
                known: &known,
                accept_writable,
            },
        )
        .map_err(|refusals| Error::Refused {
            runtime: runtime.label(),
            refusals,
        })
    }
}

/// Runs modules that are being imported, and Python for pyw's own ends.
pub struct Importer<'a> {
    context: &'a Context,
    runtime: OnceLock<Result<Runtime, String>>,
}

impl Importer<'_> {
    /// The first usable runtime in the order of `auto` that provides these imports, whichever the
    /// program itself is to run on: what comes out is the same, and byte-compiling takes minutes on
    /// an interpreting one. An importer serves one interpreter, whose imports don't change.
    fn runtime(&self, imports: &BTreeSet<Import>) -> Result<&Runtime, String> {
        let choose = || {
            let order = self.context.order().map_err(|e| e.to_string())?;
            let mut found = order
                .iter()
                .filter_map(|name| self.context.find(name).ok().flatten());
            if let Some(runtime) = found.find(|r| r.descriptor.lacking(imports).is_empty()) {
                return Ok(runtime);
            }
            // One that will refuse, with its reason, is better than to know none.
            let mut all = self.context.candidates().map_err(|e| e.to_string())?;
            Ok(all.remove(0))
        };
        self.runtime
            .get_or_init(choose)
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl Guest for Importer<'_> {
    fn run(
        &self,
        module: &Utf8Path,
        mounts: Vec<Mount>,
        args: Vec<String>,
        progress: &(dyn Fn() + Sync),
    ) -> Result<(), String> {
        let module = Module {
            path: module.to_owned(),
            memory: 0,
            imports: imports::special_imports(module).map_err(|error| error.to_string())?,
        };
        let runtime = self.runtime(&module.imports)?;
        let lacking = runtime.descriptor.lacking(&module.imports);
        if !lacking.is_empty() {
            let known = self.context.descriptors().map_err(|e| e.to_string())?;
            let can = known
                .iter()
                .filter(|d| d.lacking(&module.imports).is_empty());
            let can: Vec<&str> = can.map(|d| d.name.as_str()).collect();
            return Err(format!(
                "{} does not provide {}, which {} does",
                runtime.label(),
                imports::list(&lacking),
                match can.as_slice() {
                    [] => "no runtime that pyw knows".to_owned(),
                    names => names.join(", "),
                }
            ));
        }
        let root = launch::scratch::choose();
        let skeleton = root.join("root");
        let tmp = root.join("tmp");
        let mut scratch = Scratch {
            root: root.clone(),
            ..Scratch::default()
        };
        scratch.folders.push(skeleton.clone());
        scratch.folders.push(tmp.clone());
        let private = |host, guest: &str, access, purpose| Mount {
            host,
            guest: guest.to_owned(),
            access,
            purpose,
        };
        let mut all = vec![
            private(
                skeleton.clone(),
                "/",
                crate::sandbox::Access::Read,
                Purpose::Root,
            ),
            private(tmp, "/tmp", crate::sandbox::Access::Write, Purpose::Private),
        ];
        all.extend(mounts);
        for mount in &all {
            scratch
                .folders
                .push(skeleton.join(mount.guest.trim_start_matches('/')));
        }
        let sandbox = Sandbox {
            args,
            plain_script: None,
            env: std::collections::BTreeMap::new(),
            start: None,
            mounts: all,
            network: Network::None,
            limits: Limits::default(),
            terminals: Terminals::default(),
            scratch: Some(scratch),
        };
        // What is imported here was pinned or named by the user, and nothing of it is the
        // program's yet, so a runtime without read-only mounts will do.
        let plan = self
            .context
            .plan(&sandbox, runtime, &module, true)
            .map_err(|error| error.to_string())?;
        launch::capture(&plan, progress)
    }
}
