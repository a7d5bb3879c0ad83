//! What every command starts from: configuration, store, catalogs, and the ways to get a runtime
//! and an interpreter ready.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::Version;

use super::compile::{self, Subject};
use crate::config::{Config, Inputs, Partial, Places, RuntimeChoice, ScriptHeader};
use crate::error::Error;
use crate::interpreter::choose::{Choice, Wanted};
use crate::interpreter::convert::Guest;
use crate::interpreter::imports::{self, Import};
use crate::interpreter::snapshot::{Again, Capture};
use crate::interpreter::{self, Interpreter, InterpreterError, Module, Platform};
use crate::launch;
use crate::package::brief::PythonWanted;
use crate::package::script::Scan;
use crate::package::{Brief, PackageError};
use crate::paths::real;
use crate::plan::{self, Fence, Plan};
use crate::request::RequestError;
use crate::runtime::advisories::{self, Machine};
use crate::runtime::catalog::{Catalog, default_for};
use crate::runtime::descriptor::Isolation;
use crate::runtime::{Descriptor, Found, Runtime, RuntimeError, install, locate};
use crate::sandbox::{IsolationLevel, Mount, Purpose, Sandbox, Scratch};
use crate::store::fetch::Fetcher;
use crate::store::usage::Use;
use crate::store::{Kind, Sha256, Store};
use crate::ui::progress::{self, Verbosity};

/// Configuration, store and catalogs.
pub struct Context {
    pub config: Config,
    pub store: Store,
    pub catalog: Catalog,
    pub fetcher: Arc<Fetcher>,
    pub fence: Fence,
    /// Where pyw was started.
    pub cwd: Utf8PathBuf,
    pub home: Option<Utf8PathBuf>,
    /// Whether runtimes with known holes may be started.
    pub allow_vulnerable: bool,
    config_folder: Option<Utf8PathBuf>,
    /// pyw's own folders: the store, and the user's configuration with its descriptors.
    own: Vec<Utf8PathBuf>,
}

/// A script with a header, and where it is.
#[derive(Clone, Debug)]
pub struct HeaderOf {
    /// The script, absolute.
    pub path: Utf8PathBuf,
    /// What was found in it.
    pub scan: Scan,
}

impl HeaderOf {
    fn as_input(&self) -> ScriptHeader<'_> {
        ScriptHeader {
            path: &self.path,
            toml: self.scan.header.as_ref().map_or("", |header| &header.toml),
            text: &self.scan.text,
        }
    }
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

/// Who asks for versions of Python.
fn origins(wanted: &[PythonWanted]) -> String {
    let all: Vec<&str> = wanted.iter().map(|w| w.origin.as_str()).collect();
    all.join(" and ")
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
        Self::load_for(cli, None)
    }

    /// The same for a script with a header.
    ///
    /// # Errors
    /// As [`Self::load`]; the header is wrong.
    pub fn load_for(cli: Partial, script: Option<&HeaderOf>) -> Result<Self, Error> {
        let cwd = current_folder()?;
        let places = Places::of_platform();
        let config = Config::load(&Inputs {
            cwd: &cwd,
            home: places.home.as_deref(),
            user_config_dir: places.user_config_dir.as_deref(),
            env: &variable,
            script: script.map(HeaderOf::as_input),
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
        let fetcher = Arc::new(Fetcher::new(config.offline.value).with_store(&store));
        let config_folder = places.user_config_dir;
        let own = [Some(store.root().to_owned()), config_folder.clone()];
        Ok(Self {
            own: own.into_iter().flatten().map(|path| real(&path)).collect(),
            config_folder,
            store,
            catalog: Catalog::load(descriptors.as_deref())?,
            fetcher,
            fence: launch::fence::abilities(),
            home: places.home.map(|path| real(&path)),
            config,
            cwd,
            allow_vulnerable: false,
        })
    }

    /// The user's folder of configuration files, whether or not it is there.
    #[must_use]
    pub fn config_folder(&self) -> Option<&Utf8Path> {
        self.config_folder.as_deref()
    }

    /// Looks up and probes a runtime; `None` when it is nowhere.
    ///
    /// # Errors
    /// It is unknown, or found and unusable.
    pub fn find(&self, name: &str) -> Result<Option<Runtime>, RuntimeError> {
        let paths = self.paths();
        locate::runtime(&self.catalog, name, &self.places(&paths))
    }

    /// A runtime as [`Self::find`] finds it, if it may be started: without known holes, unless they
    /// were accepted.
    ///
    /// # Errors
    /// As [`Self::find`]; it has holes.
    fn safe(&self, name: &str) -> Result<Option<Runtime>, RuntimeError> {
        self.find(name)?
            .map(|found| self.refuse_holes(found))
            .transpose()
    }

    fn refuse_holes(&self, runtime: Runtime) -> Result<Runtime, RuntimeError> {
        let executable = runtime.descriptor.executable_name();
        let mut holes = advisories::of(executable, runtime.version.as_ref(), &Machine::here());
        holes.retain(|one| one.refuse);
        if holes.is_empty() || self.allow_vulnerable {
            return Ok(runtime);
        }
        Err(RuntimeError::Vulnerable {
            name: runtime.label(),
            advisories: holes,
        })
    }

    /// Where a runtime's executable is, without starting it.
    ///
    /// # Errors
    /// It is unknown, or a path that the user named is wrong.
    pub fn executable(&self, name: &str) -> Result<Option<(Utf8PathBuf, Found)>, RuntimeError> {
        let paths = self.paths();
        locate::executable(&self.catalog, name, &self.places(&paths))
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
        let recipe = self.installed_as(name)?;
        let executable = install::install(&recipe, &self.store, &self.fetcher)?;
        locate::ready(entry, executable, Found::Store, &self.store)
    }

    /// The descriptor that tells how the runtime's executable is installed: its own, or that of the
    /// runtime whose executable it is.
    ///
    /// # Errors
    /// One of the two is unknown.
    pub fn installed_as(&self, name: &str) -> Result<Descriptor, RuntimeError> {
        self.catalog.executable_of(name)?.describe(None)
    }

    /// That a runtime is nowhere, and what to do about it.
    #[must_use]
    pub fn not_found(&self, name: &str) -> RuntimeError {
        RuntimeError::NotFound {
            name: name.to_owned(),
            variable: crate::config::runtime_path_variable(name),
            installable: self
                .installed_as(name)
                .is_ok_and(|recipe| install::installable(&recipe)),
        }
    }

    /// A descriptor as it stands without a version.
    ///
    /// # Errors
    /// It is unknown.
    pub fn descriptor(&self, name: &str) -> Result<Descriptor, RuntimeError> {
        self.catalog.get(name)?.describe(None)
    }

    /// All descriptors, in the order in which `auto` tries them.
    ///
    /// # Errors
    /// The configured order names a runtime that is unknown, or that `auto` doesn't choose.
    pub fn descriptors(&self) -> Result<Vec<Descriptor>, RuntimeError> {
        let configured = &self.config.runtimes.value;
        if configured.is_empty() {
            let all = self.catalog.entries().iter().map(|e| e.describe(None));
            let chosen = |d: &Result<Descriptor, _>| !d.as_ref().is_ok_and(|d| d.by_name_only);
            return all.filter(chosen).collect();
        }
        let named = configured.iter().map(|name| self.descriptor(name));
        named
            .map(|found| match found {
                Ok(one) if one.by_name_only => Err(RuntimeError::ByNameOnly { name: one.name }),
                found => found,
            })
            .collect()
    }

    /// The names of the runtimes for a platform, in the order in which `auto` tries them.
    fn order_for(&self, platform: Platform) -> Result<Vec<String>, RuntimeError> {
        let descriptors = self.descriptors()?.into_iter();
        Ok(descriptors
            .filter(|descriptor| descriptor.platform == platform)
            .map(|descriptor| descriptor.name)
            .collect())
    }

    /// The runtimes that the request allows and that run interpreters for this platform, ready to
    /// run, best first: the named one, or all that are found, or the default one, installed.
    ///
    /// # Errors
    /// The named one is missing, unusable or for another platform; none is found and none can be
    /// installed.
    pub fn candidates(&self, platform: Platform) -> Result<Vec<Runtime>, Error> {
        if let RuntimeChoice::Named(name) = &self.config.runtime.value {
            let descriptor = self.descriptor(name)?;
            if descriptor.platform != platform {
                return Err(Error::Runtime(RuntimeError::OtherPlatform {
                    name: name.clone(),
                    runs: descriptor.platform,
                    wanted: platform,
                }));
            }
            if let Some(runtime) = self.safe(name)? {
                return Ok(vec![runtime]);
            }
            if name == default_for(platform) && install::installable(&descriptor) {
                return Ok(vec![self.install(name)?]);
            }
            return Err(self.not_found(name).into());
        }
        let mut found = Vec::new();
        let mut unusable = None;
        for name in self.order_for(platform)? {
            match self.safe(&name) {
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
        match self.install(default_for(platform)) {
            Ok(runtime) => Ok(vec![runtime]),
            Err(error) => Err(unusable.unwrap_or(error).into()),
        }
    }

    /// What runs Python for pyw itself: to import an interpreter, to byte-compile packages.
    #[must_use]
    pub fn guest(&self) -> Importer<'_> {
        Importer {
            context: self,
            runtimes: [OnceLock::new(), OnceLock::new()],
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
        let found = match interpreter::choose::choose(wanted, &installed, &catalog)? {
            Choice::Installed(found) => found.clone(),
            Choice::Catalog(entry) => {
                interpreter::convert::from_catalog(entry, &self.store, &self.fetcher, &importer)?
            }
            Choice::Path(path) => {
                // Without the `.` of `./python.wasm`, which would stand in messages.
                let path: Utf8PathBuf = self.cwd.join(path).components().collect();
                interpreter::convert::from_path(&path, path.as_str(), &self.store, &importer)?
            }
        };
        // What a path or a name leads to is known only now.
        match wanted {
            Wanted::On(platform, _) if found.info.system() != *platform => {
                Err(Error::Interpreter(InterpreterError::OtherPlatform {
                    name: found.key,
                    built_for: found.info.system(),
                    wanted: *platform,
                }))
            }
            _ => Ok(found),
        }
    }

    /// The same for one platform. Where neither it nor `--platform` says which, it is that of the
    /// runtime which was named, or WASI.
    ///
    /// # Errors
    /// The two contradict each other; a runtime is named that does not exist.
    fn on(&self, wanted: Wanted, platform: Option<Platform>) -> Result<Wanted, Error> {
        match platform {
            Some(platform) => match &wanted {
                Wanted::On(other, _) if *other != platform => Err(Error::usage(format!(
                    "--platform {platform} contradicts --python, which asks for {wanted}"
                ))),
                _ => Ok(wanted.on(platform)),
            },
            None if wanted.leaves_platform_open() => {
                let platform = match &self.config.runtime.value {
                    RuntimeChoice::Named(name) => self.descriptor(name)?.platform,
                    RuntimeChoice::Auto => Platform::default(),
                };
                Ok(wanted.on(platform))
            }
            None => Ok(wanted),
        }
    }

    /// The interpreter for what a script or project asks for, held so that nobody prunes it before
    /// it is used.
    ///
    /// # Errors
    /// As [`Self::interpreter_for`].
    pub fn held_interpreter(
        &self,
        brief: &Brief,
        platform: Option<Platform>,
    ) -> Result<(Interpreter, Option<Use>), Error> {
        let found = self.interpreter_for(brief, platform)?;
        match self.store.hold(Kind::Interpreter, &found.key)? {
            Some(held) => Ok((found, Some(held))),
            // It was pruned in between, and is made again.
            None => {
                let again = self.interpreter_for(brief, platform)?;
                let held = self.store.hold(Kind::Interpreter, &again.key)?;
                Ok((again, held))
            }
        }
    }

    /// The interpreter for what a script or project asks for: the one that `--python` or the
    /// configuration names, which must then do for everybody, or one that does.
    ///
    /// # Errors
    /// As [`Self::interpreter`]; the one that was named is of the wrong version.
    pub fn interpreter_for(
        &self,
        brief: &Brief,
        platform: Option<Platform>,
    ) -> Result<Interpreter, Error> {
        let setting = &self.config.python;
        let Some(text) = &setting.value else {
            let wanted = match brief.python.as_slice() {
                [] => Wanted::Default,
                all => Wanted::Fitting {
                    versions: all
                        .iter()
                        .flat_map(|w| w.versions.iter().cloned())
                        .collect(),
                    origin: origins(all),
                },
            };
            return self.interpreter(&self.on(wanted, platform)?);
        };
        let found = self.interpreter(&self.on(Wanted::parse(text)?, platform)?)?;
        let version: Option<Version> = found.info.version.parse().ok();
        let unmet: Vec<PythonWanted> = brief
            .python
            .iter()
            .filter(|wanted| {
                version
                    .as_ref()
                    .is_some_and(|v| !wanted.versions.contains(v))
            })
            .cloned()
            .collect();
        if unmet.is_empty() {
            return Ok(found);
        }
        let versions: Vec<String> = unmet.iter().map(|w| w.versions.to_string()).collect();
        Err(PackageError::Python {
            wanted: format!("{} needs Python {}", origins(&unmet), versions.join(", ")),
            python: format!("`{text}` ({})", setting.origin),
            version: found.info.version,
        }
        .into())
    }

    /// The least isolation that a program runs with on a runtime: what was asked for, or what the
    /// system allows.
    ///
    /// A runtime that is no sandbox the user gets by naming it, or by naming an interpreter for
    /// Emscripten, which runs on no other. A project or a script that names it is not obeyed so far.
    #[must_use]
    pub fn required(&self, runtime: &Runtime, platform: Option<Platform>) -> IsolationLevel {
        let usual = match runtime.descriptor.isolation {
            Isolation::Process if self.names_process(runtime, platform) => IsolationLevel::Process,
            _ if self.fence.missing().is_none() => IsolationLevel::Strong,
            _ => IsolationLevel::Runtime,
        };
        let setting = &self.config.isolation;
        match setting.value {
            None => usual,
            Some(level) if setting.origin.is_users() => level,
            // A project may only ask for more.
            Some(level) => level.max(usual),
        }
    }

    /// Whether the user named a runtime that is no sandbox, or an interpreter that needs one.
    fn names_process(&self, runtime: &Runtime, platform: Option<Platform>) -> bool {
        let (chosen, python) = (&self.config.runtime, &self.config.python);
        let open = |text: &str| Wanted::parse(text).is_ok_and(|w| w.leaves_platform_open());
        if chosen.origin.is_users() && chosen.value != RuntimeChoice::Auto {
            return true;
        }
        runtime.descriptor.platform == Platform::Emscripten
            && (platform == Some(Platform::Emscripten)
                || (python.origin.is_users()
                    && python.value.as_deref().is_some_and(|text| !open(text))))
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
        required: IsolationLevel,
    ) -> Result<Plan, Error> {
        self.plan_to(sandbox, runtime, module, required, None)
    }

    /// As [`Self::plan`], with a file into which a host script is to compile the module.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn plan_to(
        &self,
        sandbox: &Sandbox,
        runtime: &Runtime,
        module: &Module,
        required: IsolationLevel,
        compile: Option<&Utf8Path>,
    ) -> Result<Plan, Error> {
        // Only a refusal names other runtimes.
        let known = || self.descriptors().unwrap_or_default();
        plan::plan(
            sandbox,
            &plan::Context {
                runtime,
                fence: &self.fence,
                module,
                compile,
                own: &self.own,
                known: &known,
                required,
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
    /// By platform, in the order of [`Platform::ALL`].
    runtimes: [OnceLock<Result<Runtime, String>>; 2],
}

impl Importer<'_> {
    /// The first usable runtime in the order of `auto` that provides these imports, whichever the
    /// program itself is to run on: what comes out is the same, and byte-compiling takes minutes on
    /// an interpreting one. An importer serves one interpreter, whose imports don't change.
    fn runtime(&self, platform: Platform, imports: &BTreeSet<Import>) -> Result<&Runtime, String> {
        let choose = || {
            let order = self.context.order_for(platform);
            let order = order.map_err(|e| e.to_string())?;
            let mut found = order
                .iter()
                .filter_map(|name| self.context.safe(name).ok().flatten())
                .peekable();
            // One that will refuse, with its reason, is better than to know none.
            let first = found.peek().cloned();
            let provides = |r: &Runtime| r.descriptor.lacking(imports).is_empty();
            match found.find(provides).or(first) {
                Some(runtime) => Ok(runtime),
                None => {
                    let of_another = match &self.context.config.runtime.value {
                        RuntimeChoice::Named(name) => self
                            .context
                            .descriptor(name)
                            .is_ok_and(|descriptor| descriptor.platform != platform),
                        RuntimeChoice::Auto => false,
                    };
                    if of_another {
                        let name = default_for(platform);
                        return self.context.install(name).map_err(|e| e.to_string());
                    }
                    let candidates = self.context.candidates(platform);
                    let mut all = candidates.map_err(|e| e.to_string())?;
                    Ok(all.remove(0))
                }
            }
        };
        let slot = match platform {
            Platform::Wasi => &self.runtimes[0],
            Platform::Emscripten => &self.runtimes[1],
        };
        slot.get_or_init(choose).as_ref().map_err(Clone::clone)
    }
}

impl Importer<'_> {
    fn plan(
        &self,
        module: &Utf8Path,
        mounts: Vec<Mount>,
        args: Vec<String>,
        again: Again,
    ) -> Result<Plan, String> {
        let platform = Platform::of_module(module);
        let imports = match platform {
            Platform::Wasi => {
                imports::special_imports(module).map_err(|error| error.to_string())?
            }
            // The JavaScript that comes with a module provides what it imports.
            Platform::Emscripten => BTreeSet::new(),
        };
        let runtime = self.runtime(platform, &imports)?;
        let lacking = runtime.descriptor.lacking(&imports);
        if !lacking.is_empty() {
            let known = self.context.descriptors().map_err(|e| e.to_string())?;
            let can = known.iter().filter(|d| d.provides_all(platform, &imports));
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
        let none = BTreeSet::new();
        let adaptations = match again {
            Again::Yes => &runtime.descriptor.quirks.adaptations,
            Again::No => &none,
        };
        let sha256 = Sha256::of_file(module).map_err(|error| error.to_string())?;
        let made = interpreter::adapted(
            module,
            &sha256.to_string(),
            adaptations,
            &self.context.store,
        );
        // The module that programs will be run with, so that it is compiled once for both.
        let (path, identity) = made.map_err(|error| error.to_string())?;
        let mut module = Module {
            path,
            identity,
            compiled: None,
            memory: 0,
            imports,
        };
        let store = &self.context.store;
        let _held = store
            .hold_all([module.path.as_path()])
            .map_err(|error| error.to_string())?;
        if again == Again::Yes {
            let subject = Subject {
                module: &module,
                what: "CPython",
                library: &mounts,
            };
            module.compiled = compile::before_run(self.context, runtime, &subject)
                .map_err(|error| error.to_string())?;
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
            mounts: all,
            scratch: Some(scratch),
            ..Sandbox::bare(args)
        };
        // What is imported here was pinned or named by the user, and nothing of it is the
        // program's yet, so a runtime without read-only mounts will do.
        let mut plan = self
            .context
            .plan(&sandbox, runtime, &module, IsolationLevel::None)
            .map_err(|error| error.to_string())?;
        plan.watch.timeout = Some(compile::patience(runtime, &module));
        Ok(plan)
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
        let mut plan = self.plan(module, mounts, args, Again::Yes)?;
        // Nothing of the guest's choice runs, and byte-compiling takes as long as the library is
        // large.
        plan.watch.timeout = None;
        launch::capture(&plan, progress)
    }
}

impl Capture for Importer<'_> {
    fn capture(
        &self,
        module: &Utf8Path,
        again: Again,
        mounts: Vec<Mount>,
        args: Vec<String>,
        output: &Utf8Path,
    ) -> Result<(), String> {
        launch::capture_into(&self.plan(module, mounts, args, again)?, output)
    }
}
