//! Configuration: where each setting comes from, and which one counts.
//!
//! In rising priority: the user's file, the project's file, the script's header, the environment,
//! the command line.
//!
//! * The **user's file** is `config.toml` in pyw's folder of the platform's configuration
//!   directory, or what `PYW_CONFIG` names (empty: none). It may say everything. Relative paths
//!   start at the file's folder, `~/` is the home directory.
//! * The **project's file** is `pyw.toml`, or else a `pyproject.toml` with a `[tool.pyw]`, in the
//!   nearest directory from the working directory upwards that has one. The search ends before the
//!   home directory and the root, which are no projects. It comes with code that nobody has read,
//!   so it may choose (`runtime`, `runtimes`, `python`, `snapshots`) and narrow (`memory`, `stack`, `timeout`, `cpu-time`,
//!   `output-size`, `tmp-size`, `open-files`, `isolation`,
//!   `network = "none"`, `offline = true`), set variables, and ask ([`asks`]) for what only the user
//!   can grant. Narrowing never loosens: the smaller of the user file's limit and the project's counts.
//! * The **script's header** may say in its `[tool.pyw]` what a project's file may.
//! * The **environment**: `PYW_RUNTIME`, `PYW_RUNTIMES` (separated by commas), `PYW_PYTHON`,
//!   `PYW_STORE`, `PYW_OFFLINE`, `PYW_SNAPSHOTS`, `PYW_NETWORK`, `PYW_MEMORY`, `PYW_STACK`, `PYW_TIMEOUT`,
//!   `PYW_CPU_TIME`, `PYW_OUTPUT_SIZE`, `PYW_OPEN_FILES`, `PYW_ISOLATION`. An empty one is as if unset, unknown ones are left alone.
//! * The **command line** is handed in as a [`Partial`].
//!
//! A later source replaces an earlier one, but `mounts` and `env` add up, the command line last.
//! All input is in [`Inputs`]: beside the files themselves nothing global is read.

pub mod asks;
pub mod excerpt;
mod file;
mod show;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Code;
use crate::sandbox::limits::{parse_count, parse_duration, parse_size};
use crate::sandbox::mount::{guest_path_of, normalize_guest};
use crate::sandbox::{EnvSpec, IsolationLevel, MountSpec, Network};
use asks::Asks;
use excerpt::Excerpt;
use file::{Owner, Source, Wanted};
pub use show::{Row, show_rows};

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// What counts.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

impl<T> Setting<T> {
    fn default_of(value: T) -> Setting<T> {
        let origin = Origin::Default;
        Setting { value, origin }
    }
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// pyw itself.
    Default,
    /// The user's file. Lines count from 1.
    UserFile { path: Utf8PathBuf, line: usize },
    /// The project's `pyw.toml` or `pyproject.toml`. Lines count from 1.
    ProjectFile { path: Utf8PathBuf, line: usize },
    /// An environment variable.
    Environment { name: String },
    /// A flag, with its dashes.
    CommandLine { flag: String },
}

impl Origin {
    /// Whether the user said so.
    #[must_use]
    pub fn is_users(&self) -> bool {
        matches!(
            self,
            Origin::UserFile { .. } | Origin::Environment { .. } | Origin::CommandLine { .. }
        )
    }
}

/// As `pyw config show` has it: `default`, `FILE:LINE`, `PYW_MEMORY` or `--memory`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::UserFile { path, line } | Origin::ProjectFile { path, line } => {
                write!(f, "{path}:{line}")
            }
            Origin::Environment { name } => f.write_str(name),
            Origin::CommandLine { flag } => f.write_str(flag),
        }
    }
}

/// Which runtime to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// The first that is there and can hold the sandbox.
    #[default]
    Auto,
    /// The one of this name, as [`runtime_name`] returns it.
    Named(String),
}

impl RuntimeChoice {
    /// Reads `auto` or the name of a runtime, in any case.
    ///
    /// # Errors
    ///
    /// As [`runtime_name`].
    pub fn parse(text: &str) -> Result<RuntimeChoice, String> {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Ok(RuntimeChoice::Auto);
        }
        runtime_name(text).map(RuntimeChoice::Named)
    }
}

impl FromStr for RuntimeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<RuntimeChoice, String> {
        RuntimeChoice::parse(text)
    }
}

impl fmt::Display for RuntimeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeChoice::Auto => f.write_str("auto"),
            RuntimeChoice::Named(name) => f.write_str(name),
        }
    }
}

/// Reads the name of one runtime and returns it in lower case.
///
/// Whether there is such a runtime is not looked up.
///
/// # Errors
///
/// When it is not made of ASCII letters, digits, `-` and `_` (so that a path is never taken for a
/// name), or is `auto`, with a sentence that quotes it.
pub fn runtime_name(text: &str) -> Result<String, String> {
    let name = text.trim().to_ascii_lowercase();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match name.as_str() {
        "" => Err("the name of the runtime is empty; write for example `wasmtime`".to_owned()),
        "auto" => Err("`auto` is not one runtime; write names, for example `wasmtime`".to_owned()),
        _ if name.contains(['/', '\\']) => Err(format!(
            "`{text}` is a path and not the name of a runtime; \
             paths stand under `[paths]` in the user's configuration file"
        )),
        _ if name.starts_with('-') || !name.chars().all(valid) => Err(format!(
            "`{text}` is not the name of a runtime; write for example `wasmtime`"
        )),
        _ => Ok(name),
    }
}

/// The environment variable that says where a runtime is: `PYW_RUNTIME_WASMTIME`.
///
/// The name is in upper case, with `_` for everything that is not a letter or a digit.
#[must_use]
pub fn runtime_path_variable(name: &str) -> String {
    let upper = |c: char| match c.to_ascii_uppercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    format!(
        "PYW_RUNTIME_{}",
        name.chars().map(upper).collect::<String>()
    )
}

/// Whether a `python` setting is a path rather than a version, a specifier or a catalog name: it is
/// not a URL, and has a separator or ends in `.wasm`, `.pybi` or `.zip`.
#[must_use]
pub fn python_is_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let file = [".wasm", ".pybi", ".zip"]
        .iter()
        .any(|end| lower.ends_with(end));
    !text.contains("://") && (text.contains(['/', '\\']) || file)
}

fn parse_network(text: &str) -> Result<Network, String> {
    match text.trim() {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(format!("`{text}` is not a network; write `none` or `host`")),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither on nor off; write `1` or `0`")),
    }
}

/// Turns a working directory into a guest path: one that begins with `/` is a guest path already,
/// any other is a host path (relative to `base`) and means the place where the guest sees it.
fn resolve_cwd(base: &Utf8Path, text: &str) -> Result<String, String> {
    match text {
        "" => Err("the working directory is empty; write for example `/work`".to_owned()),
        _ if text.contains('\0') => Err("the working directory has a NUL byte".to_owned()),
        _ if text.starts_with('/') => normalize_guest(text).map_err(|error| error.to_string()),
        _ => Ok(guest_path_of(&base.join(text))),
    }
}

/// What the command line says about settings. Values are validated already, by the parsers that
/// stand in each field's comment; paths may be relative to the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// `--runtime`, by [`RuntimeChoice::parse`].
    pub runtime: Option<RuntimeChoice>,
    /// `--runtimes`, each by [`runtime_name`].
    pub runtimes: Option<Vec<String>>,
    /// `--python`.
    pub python: Option<String>,
    /// `--store`.
    pub store: Option<Utf8PathBuf>,
    /// `--offline`.
    pub offline: Option<bool>,
    /// `--no-snapshot`.
    pub snapshots: Option<bool>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--memory` in bytes, by [`parse_size`].
    pub memory: Option<u64>,
    /// `--stack` in bytes, by [`parse_size`].
    pub stack: Option<u64>,
    /// `--timeout`, by [`parse_duration`].
    pub timeout: Option<Duration>,
    /// `--cpu-time`, by [`parse_duration`].
    pub cpu_time: Option<Duration>,
    /// `--output-size`, by [`parse_size`].
    pub output_size: Option<u64>,
    /// `--tmp-size`, by [`parse_size`].
    pub tmp_size: Option<u64>,
    /// `--open-files`, by [`parse_count`].
    pub open_files: Option<u64>,
    /// `--require-isolation`.
    pub isolation: Option<IsolationLevel>,
    /// `--cwd`: a guest path, or a host path that does not begin with `/`.
    pub cwd: Option<String>,
    /// Every `--mount`, by [`MountSpec::parse`].
    pub mounts: Vec<MountSpec>,
    /// What the `--env-file`s hold, in order. They come before every `--env`.
    pub env_files: Vec<EnvSpec>,
    /// Every `--env`, by [`EnvSpec::parse`].
    pub env: Vec<EnvSpec>,
}

/// All that a configuration is made from.
pub struct Inputs<'a> {
    /// The working directory, absolute.
    pub cwd: &'a Utf8Path,
    /// The home directory, absolute.
    pub home: Option<&'a Utf8Path>,
    /// The folder of the user's `config.toml`, absolute.
    pub user_config_dir: Option<&'a Utf8Path>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The header of the script that is to be run, if it has one.
    pub script: Option<ScriptHeader<'a>>,
    /// What the command line says.
    pub cli: Partial,
}

/// The `[tool.pyw]` of a script's header, which is to the script what `pyw.toml` is to a project.
#[derive(Clone, Copy, Debug)]
pub struct ScriptHeader<'a> {
    /// The script, absolute.
    pub path: &'a Utf8Path,
    /// The header's TOML, at the place where it stands in the script.
    pub toml: &'a str,
    /// The script.
    pub text: &'a str,
}

/// The platform's folders, for [`Inputs`]. One that is not UTF-8 counts as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The home directory.
    pub home: Option<Utf8PathBuf>,
    /// The folder of the user's `config.toml`, whether it exists or not.
    pub user_config_dir: Option<Utf8PathBuf>,
}

impl Places {
    /// Asks the platform, which on Unix means `HOME` and `XDG_CONFIG_HOME`.
    #[must_use]
    pub fn of_platform() -> Places {
        let utf8 = |path: &std::path::Path| Utf8PathBuf::from_path_buf(path.to_owned()).ok();
        Places {
            home: directories::BaseDirs::new().and_then(|dirs| utf8(dirs.home_dir())),
            user_config_dir: directories::ProjectDirs::from("", "", "pyw")
                .and_then(|dirs| utf8(dirs.config_dir())),
        }
    }
}

/// Every setting, with its origin. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The runtime to use.
    pub runtime: Setting<RuntimeChoice>,
    /// In which order `auto` tries runtimes; empty means pyw's own order.
    pub runtimes: Setting<Vec<String>>,
    /// A version, a specifier, a catalog name or a path (absolute; see [`python_is_path`]).
    pub python: Setting<Option<String>>,
    /// The store's folder; `None` means the platform's place.
    pub store: Setting<Option<Utf8PathBuf>>,
    /// Whether downloads are forbidden.
    pub offline: Setting<bool>,
    /// Whether runs begin from snapshots.
    pub snapshots: Setting<bool>,
    /// Whether the program may reach the network.
    pub network: Setting<Network>,
    /// Linear memory in bytes.
    pub memory: Setting<Option<u64>>,
    /// The wasm stack in bytes.
    pub stack: Setting<Option<u64>>,
    /// Wall time.
    pub timeout: Setting<Option<Duration>>,
    /// Processor time.
    pub cpu_time: Setting<Option<Duration>>,
    /// Output in bytes.
    pub output_size: Setting<Option<u64>>,
    /// The private `/tmp`, in bytes.
    pub tmp_size: Setting<Option<u64>>,
    /// Open files.
    pub open_files: Setting<Option<u64>>,
    /// The least isolation to run with; `None` means what the system allows.
    pub isolation: Setting<Option<IsolationLevel>>,
    /// The guest's working directory, a normalised guest path; `None` means the caller's.
    pub cwd: Setting<Option<String>>,
    /// Mounts of the user's file and then of the command line; hosts are absolute.
    pub mounts: Vec<Setting<MountSpec>>,
    /// Variables, for [`crate::sandbox::env::apply`]: the user's file, `--env-file`, `--env`.
    pub env: Vec<Setting<EnvSpec>>,
    /// Where runtimes are, by name. `PYW_RUNTIME_…` goes before it ([`runtime_path_variable`]).
    pub paths: BTreeMap<String, Setting<Utf8PathBuf>>,
    /// What the project and the script ask for; nothing of it is granted by that.
    pub asks: Vec<Asks>,
    /// Files that were read, the user's first.
    pub files: Vec<Utf8PathBuf>,
    /// All that were looked for, there or not.
    pub looked_for: Vec<Utf8PathBuf>,
}

impl Config {
    /// Reads and merges all sources.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is wrong anywhere, or when an environment variable or the
    /// working directory of the command line is wrong. A missing file is none.
    pub fn load(inputs: &Inputs) -> Result<Config, ConfigError> {
        let mut files = Vec::new();
        let user_file = UserFile::of(inputs)?;
        let mut looked_for: Vec<_> = user_file.iter().map(|file| file.path.clone()).collect();
        let mut layer = Layer::default();
        if let Some(UserFile { path, wanted }) = &user_file
            && let Some(text) = file::read(path, *wanted)?
        {
            let source = Source {
                owner: Owner::User,
                path,
                text: &text,
                shown: None,
                home: inputs.home,
                user_file: Some(path),
            };
            layer = source.layer()?;
            files.push(path.clone());
        }
        if let Some((path, project)) = project_layer(inputs, user_file.as_ref(), &mut looked_for)? {
            layer = project.narrowing(layer);
            files.push(path);
        }
        if let Some(script) = &inputs.script {
            let source = Source {
                owner: Owner::Script,
                path: script.path,
                text: script.toml,
                shown: Some(script.text),
                home: inputs.home,
                user_file: user_file.as_ref().map(|file| file.path.as_path()),
            };
            if let Some(script) = source.pyproject_layer()? {
                layer = script.narrowing(layer);
            }
        }
        let layer = Layer::of_environment(inputs)?.over(layer);
        let layer = Layer::of_command_line(inputs)?.over(layer);
        Ok(Config {
            looked_for,
            ..layer.settle(files)
        })
    }
}

/// The user's file and why it is looked for.
struct UserFile {
    path: Utf8PathBuf,
    wanted: Wanted,
}

impl UserFile {
    fn of(inputs: &Inputs) -> Result<Option<UserFile>, ConfigError> {
        Ok(match variable(inputs, "PYW_CONFIG")? {
            Some(named) if named.is_empty() => None,
            Some(named) => Some(UserFile {
                path: absolute(inputs.cwd, named.as_str().into()),
                wanted: Wanted::Named,
            }),
            None => inputs.user_config_dir.map(|dir| UserFile {
                path: dir.join("config.toml"),
                wanted: Wanted::Usual,
            }),
        })
    }
}

/// Looks for the project's file from the working directory upwards.
fn project_layer(
    inputs: &Inputs,
    user_file: Option<&UserFile>,
    looked_for: &mut Vec<Utf8PathBuf>,
) -> Result<Option<(Utf8PathBuf, Layer)>, ConfigError> {
    // The working directory comes without links, `HOME` perhaps with some.
    let real_home = inputs.home.and_then(|home| home.canonicalize_utf8().ok());
    for dir in inputs.cwd.ancestors() {
        if dir.parent().is_none() || Some(dir) == inputs.home || Some(dir) == real_home.as_deref() {
            break;
        }
        for name in ["pyw.toml", "pyproject.toml"] {
            let path = dir.join(name);
            looked_for.push(path.clone());
            let Some(text) = file::read(&path, Wanted::Met)? else {
                continue;
            };
            // `PYW_CONFIG=pyw.toml` says that this one is the user's: it was read as such.
            let is_users =
                |file: &UserFile| file.wanted == Wanted::Named && same_file(&file.path, &path);
            if user_file.is_some_and(is_users) {
                return Ok(None);
            }
            let source = Source {
                owner: Owner::Project,
                path: &path,
                text: &text,
                shown: None,
                home: inputs.home,
                user_file: user_file.map(|file| file.path.as_path()),
            };
            let layer = match name {
                "pyw.toml" => Some(source.layer()?),
                _ => source.pyproject_layer()?,
            };
            if let Some(layer) = layer {
                return Ok(Some((path, layer)));
            }
        }
    }
    Ok(None)
}

fn same_file(a: &Utf8Path, b: &Utf8Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// A variable as text. An empty one is `Some("")`.
fn variable(inputs: &Inputs, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(value) = (inputs.env)(name) else {
        return Ok(None);
    };
    value
        .into_string()
        .map(Some)
        .map_err(|_| ConfigError::Environment {
            name: name.to_owned(),
            message: "the value is not UTF-8".to_owned(),
        })
}

/// What one source says. Files, environment and command line all become one of these.
#[derive(Debug, Default)]
struct Layer {
    runtime: Option<Setting<RuntimeChoice>>,
    runtimes: Option<Setting<Vec<String>>>,
    python: Option<Setting<String>>,
    store: Option<Setting<Utf8PathBuf>>,
    offline: Option<Setting<bool>>,
    snapshots: Option<Setting<bool>>,
    network: Option<Setting<Network>>,
    memory: Option<Setting<u64>>,
    stack: Option<Setting<u64>>,
    timeout: Option<Setting<Duration>>,
    cpu_time: Option<Setting<Duration>>,
    output_size: Option<Setting<u64>>,
    tmp_size: Option<Setting<u64>>,
    open_files: Option<Setting<u64>>,
    isolation: Option<Setting<IsolationLevel>>,
    cwd: Option<Setting<String>>,
    mounts: Vec<Setting<MountSpec>>,
    env: Vec<Setting<EnvSpec>>,
    paths: BTreeMap<String, Setting<Utf8PathBuf>>,
    asks: Vec<Asks>,
}

impl Layer {
    fn of_environment(inputs: &Inputs) -> Result<Layer, ConfigError> {
        fn read<T>(
            inputs: &Inputs,
            name: &str,
            parse: impl FnOnce(&str) -> Result<T, String>,
        ) -> Result<Option<Setting<T>>, ConfigError> {
            let name = name.to_owned();
            match variable(inputs, &name)? {
                Some(text) if !text.trim().is_empty() => match parse(&text) {
                    Ok(value) => {
                        let origin = Origin::Environment { name };
                        Ok(Some(Setting { value, origin }))
                    }
                    Err(message) => Err(ConfigError::Environment { name, message }),
                },
                _ => Ok(None),
            }
        }
        Ok(Layer {
            runtime: read(inputs, "PYW_RUNTIME", RuntimeChoice::parse)?,
            runtimes: read(inputs, "PYW_RUNTIMES", |text| {
                text.split(',').map(runtime_name).collect()
            })?,
            python: read(inputs, "PYW_PYTHON", |text| {
                Ok(absolute_python(inputs.cwd, text))
            })?,
            store: read(inputs, "PYW_STORE", |text| {
                Ok(absolute(inputs.cwd, text.into()))
            })?,
            offline: read(inputs, "PYW_OFFLINE", parse_switch)?,
            snapshots: read(inputs, "PYW_SNAPSHOTS", parse_switch)?,
            network: read(inputs, "PYW_NETWORK", parse_network)?,
            memory: read(inputs, "PYW_MEMORY", parse_size)?,
            stack: read(inputs, "PYW_STACK", parse_size)?,
            timeout: read(inputs, "PYW_TIMEOUT", parse_duration)?,
            cpu_time: read(inputs, "PYW_CPU_TIME", parse_duration)?,
            output_size: read(inputs, "PYW_OUTPUT_SIZE", parse_size)?,
            tmp_size: read(inputs, "PYW_TMP_SIZE", parse_size)?,
            open_files: read(inputs, "PYW_OPEN_FILES", parse_count)?,
            isolation: read(inputs, "PYW_ISOLATION", str::parse)?,
            ..Layer::default()
        })
    }

    fn of_command_line(inputs: &Inputs) -> Result<Layer, ConfigError> {
        fn given<T>(flag: &str, value: T) -> Setting<T> {
            let flag = flag.to_owned();
            let origin = Origin::CommandLine { flag };
            Setting { value, origin }
        }
        fn from<T>(flag: &str, value: Option<T>) -> Option<Setting<T>> {
            value.map(|value| given(flag, value))
        }
        let cli = inputs.cli.clone();
        let cwd = match cli.cwd {
            Some(cwd) => match resolve_cwd(inputs.cwd, &cwd) {
                Ok(cwd) => Some(cwd),
                Err(message) => {
                    let flag = "--cwd".to_owned();
                    return Err(ConfigError::CommandLine { flag, message });
                }
            },
            None => None,
        };
        let mounts = cli.mounts.into_iter().map(|mut mount| {
            mount.host = absolute(inputs.cwd, &mount.host);
            given("--mount", mount)
        });
        let env_files = cli
            .env_files
            .into_iter()
            .map(|spec| given("--env-file", spec));
        let env = cli.env.into_iter().map(|spec| given("--env", spec));
        let python = cli.python.map(|text| absolute_python(inputs.cwd, &text));
        let store = cli.store.map(|path| absolute(inputs.cwd, &path));
        Ok(Layer {
            runtime: from("--runtime", cli.runtime),
            runtimes: from("--runtimes", cli.runtimes),
            python: from("--python", python),
            store: from("--store", store),
            offline: from("--offline", cli.offline),
            snapshots: from("--no-snapshot", cli.snapshots),
            network: from("--network", cli.network),
            memory: from("--memory", cli.memory),
            stack: from("--stack", cli.stack),
            timeout: from("--timeout", cli.timeout),
            cpu_time: from("--cpu-time", cli.cpu_time),
            output_size: from("--output-size", cli.output_size),
            tmp_size: from("--tmp-size", cli.tmp_size),
            open_files: from("--open-files", cli.open_files),
            isolation: from("--require-isolation", cli.isolation),
            cwd: from("--cwd", cwd),
            mounts: mounts.collect(),
            env: env_files.chain(env).collect(),
            paths: BTreeMap::new(),
            asks: Vec::new(),
        })
    }

    /// Puts this layer over a lower one.
    fn over(self, lower: Layer) -> Layer {
        let Layer {
            mut mounts,
            mut env,
            mut paths,
            mut asks,
            ..
        } = lower;
        asks.extend(self.asks);
        mounts.extend(self.mounts);
        env.extend(self.env);
        paths.extend(self.paths);
        Layer {
            runtime: self.runtime.or(lower.runtime),
            runtimes: self.runtimes.or(lower.runtimes),
            python: self.python.or(lower.python),
            store: self.store.or(lower.store),
            offline: self.offline.or(lower.offline),
            snapshots: self.snapshots.or(lower.snapshots),
            network: self.network.or(lower.network),
            memory: self.memory.or(lower.memory),
            stack: self.stack.or(lower.stack),
            timeout: self.timeout.or(lower.timeout),
            cpu_time: self.cpu_time.or(lower.cpu_time),
            output_size: self.output_size.or(lower.output_size),
            tmp_size: self.tmp_size.or(lower.tmp_size),
            open_files: self.open_files.or(lower.open_files),
            isolation: self.isolation.or(lower.isolation),
            cwd: self.cwd.or(lower.cwd),
            mounts,
            env,
            paths,
            asks,
        }
    }

    /// Puts a project's layer over the user's: limits of both hold, so the tighter one counts.
    fn narrowing(mut self, user: Layer) -> Layer {
        fn keep_tighter<T>(
            project: &mut Option<Setting<T>>,
            user: Option<&Setting<T>>,
            tighter: impl FnOnce(&T, &T) -> bool,
        ) {
            let loses =
                |ours: &Setting<T>| user.is_some_and(|theirs| !tighter(&ours.value, &theirs.value));
            project.take_if(|ours| loses(ours));
        }
        keep_tighter(&mut self.memory, user.memory.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.stack, user.stack.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.timeout, user.timeout.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.cpu_time, user.cpu_time.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.output_size, user.output_size.as_ref(), |a, b| {
            a < b
        });
        keep_tighter(&mut self.tmp_size, user.tmp_size.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.open_files, user.open_files.as_ref(), |a, b| a < b);
        keep_tighter(&mut self.isolation, user.isolation.as_ref(), |a, b| a > b);
        keep_tighter(&mut self.network, user.network.as_ref(), |_, theirs| {
            *theirs == Network::Host
        });
        keep_tighter(&mut self.offline, user.offline.as_ref(), |_, theirs| {
            !theirs
        });
        self.over(user)
    }

    /// Fills in the defaults.
    fn settle(self, files: Vec<Utf8PathBuf>) -> Config {
        fn or_default<T: Default>(setting: Option<Setting<T>>) -> Setting<T> {
            setting.unwrap_or_else(|| Setting::default_of(T::default()))
        }
        fn or_none<T>(setting: Option<Setting<T>>) -> Setting<Option<T>> {
            match setting {
                Some(Setting { value, origin }) => Setting {
                    value: Some(value),
                    origin,
                },
                None => Setting::default_of(None),
            }
        }
        Config {
            runtime: or_default(self.runtime),
            runtimes: or_default(self.runtimes),
            python: or_none(self.python),
            store: or_none(self.store),
            offline: or_default(self.offline),
            snapshots: self.snapshots.unwrap_or_else(|| Setting::default_of(true)),
            network: or_default(self.network),
            memory: or_none(self.memory),
            stack: or_none(self.stack),
            timeout: or_none(self.timeout),
            cpu_time: or_none(self.cpu_time),
            output_size: or_none(self.output_size),
            tmp_size: or_none(self.tmp_size),
            open_files: or_none(self.open_files),
            isolation: or_none(self.isolation),
            cwd: or_none(self.cwd),
            mounts: self.mounts,
            env: self.env,
            paths: self.paths,
            asks: self.asks,
            files,
            looked_for: Vec::new(),
        }
    }
}

/// The path below `base`, unless it is absolute, without needless `.` and slashes. Its `..` stay, for
/// what they mean depends on links.
fn absolute(base: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    base.join(path).components().collect()
}

fn absolute_python(base: &Utf8Path, text: &str) -> String {
    match text.trim() {
        python if python_is_path(python) => absolute(base, python.into()).into_string(),
        python => python.to_owned(),
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is not TOML, has an unknown key or a wrong value. Shown with its line and a caret.
    #[error("{0}")]
    Invalid(Box<Invalid>),
    /// A file exists but cannot be read.
    #[error("{path}: cannot read this configuration file: {source}")]
    Unreadable {
        path: Utf8PathBuf,
        source: std::io::Error,
    },
    /// A directory, a pipe or a device stands where a file is expected.
    #[error("{path}: this is {}, not a configuration file", if *.directory { "a directory" } else { "a pipe or a device" })]
    NotAFile { path: Utf8PathBuf, directory: bool },
    /// The byte at `offset` (counted from 0) is not part of UTF-8 text.
    #[error("{path}: a configuration file must be UTF-8, and is not at byte {offset}")]
    NotUtf8 { path: Utf8PathBuf, offset: usize },
    /// `PYW_CONFIG` names a file that does not exist.
    #[error("{path}: PYW_CONFIG names this file, and it does not exist")]
    Missing { path: Utf8PathBuf },
    /// An environment variable has a wrong value.
    #[error("{name}: {message}")]
    Environment { name: String, message: String },
    /// A flag has a value that is wrong where pyw runs.
    #[error("{flag}: {message}")]
    CommandLine { flag: String, message: String },
}

/// A mistake in a file, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where it is.
    pub place: Excerpt,
    /// What is wrong, on one line.
    pub message: String,
    /// What to do, where that does not follow from the message.
    pub hint: Option<String>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.write(f, &self.message)
    }
}

impl ConfigError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::Usage
    }

    /// What to do, where that does not follow from the message.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Invalid(invalid) => invalid.hint.clone(),
            ConfigError::Missing { .. } => {
                Some("an empty PYW_CONFIG means no configuration file".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
