//! The long options of a run, and the management commands. Types only: what they mean is decided
//! in [`crate::request`] and in one file per command.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::interpreter::Platform;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For tools.
    Json,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Print for people (text, the default) or for tools
    #[arg(
        long,
        value_enum,
        value_name = "text|json",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub format: Format,
}

impl PackageOptions {
    /// Whether they name files or folders of this machine.
    #[must_use]
    pub fn names_files(&self) -> bool {
        let lists = [&self.with_requirements, &self.constraints, &self.find_links];
        self.project.is_some() || lists.into_iter().any(|list| !list.is_empty())
    }
}

/// Which packages a program gets beside what its header or project asks for, and from where.
#[derive(Clone, Debug, Default, Args)]
pub struct PackageOptions {
    /// A package that it gets, as pip spells it: 'rich', 'httpx>=0.27', ./x-1.0-py3-none-any.whl,
    /// a URL, or the folder of a project
    #[arg(
        long = "with",
        value_name = "REQUIREMENT",
        help_heading = "What packages it gets"
    )]
    pub with: Vec<String>,

    /// The packages in a requirements file or a pylock.toml
    #[arg(long, value_name = "FILE", help_heading = "What packages it gets")]
    pub with_requirements: Vec<String>,

    /// Limits on packages, in a file such as pip's -c reads
    #[arg(long, value_name = "FILE", help_heading = "What packages it gets")]
    pub constraints: Vec<String>,

    /// The project of a folder: what its pyproject.toml asks for, and its own modules. Without
    /// it -m and --entry use the project of the current folder
    #[arg(long, value_name = "DIR", help_heading = "What packages it gets")]
    pub project: Option<String>,

    /// No project, whatever folder this is
    #[arg(
        long,
        conflicts_with = "project",
        help_heading = "What packages it gets"
    )]
    pub no_project: bool,

    /// What the project needs for one of its extras
    #[arg(long, value_name = "NAME", help_heading = "What packages it gets")]
    pub extra: Vec<String>,

    /// What is in one of the project's dependency groups
    #[arg(long, value_name = "NAME", help_heading = "What packages it gets")]
    pub group: Vec<String>,

    /// Take the versions in the lock, or fail
    #[arg(long, help_heading = "What packages it gets")]
    pub locked: bool,

    /// Look for newer versions of everything
    #[arg(long, help_heading = "What packages it gets")]
    pub upgrade: bool,

    /// Look for a newer version of one package
    #[arg(long, value_name = "NAME", help_heading = "What packages it gets")]
    pub upgrade_package: Vec<String>,

    /// Take pre-releases, too
    #[arg(long, help_heading = "What packages it gets")]
    pub pre: bool,

    /// Only files that were uploaded before that day (2026-01-31) or time (RFC 3339)
    #[arg(long, value_name = "DATE", help_heading = "What packages it gets")]
    pub upload_before: Option<String>,

    /// The index of packages, in place of the one that the environment or pip's configuration
    /// names, or PyPI
    #[arg(long, value_name = "URL", help_heading = "What packages it gets")]
    pub index_url: Option<String>,

    /// An index that is asked before the others
    #[arg(long, value_name = "URL", help_heading = "What packages it gets")]
    pub extra_index_url: Vec<String>,

    /// A folder with wheels, or a page that links to some
    #[arg(long, value_name = "DIR|URL", help_heading = "What packages it gets")]
    pub find_links: Vec<String>,

    /// Ask no index at all
    #[arg(long, help_heading = "What packages it gets")]
    pub no_index: bool,

    /// Where the packages of Pyodide's own distribution are, in place of its CDN
    #[arg(long, value_name = "DIR|URL", help_heading = "What packages it gets")]
    pub pyodide_packages: Option<String>,
}

/// Whose packages a management command is about.
#[derive(Clone, Debug, Args)]
pub struct Subject {
    /// A script, or a project's folder; the project of the current folder if nothing is named
    #[arg(value_name = "SCRIPT|PROJECT")]
    pub target: Option<String>,

    /// The interpreter that it is for, as `pyw --python` takes it
    #[arg(long, value_name = "WHICH")]
    pub python: Option<String>,

    /// What that interpreter was built for: wasi or emscripten
    #[arg(long, value_name = "NAME")]
    pub platform: Option<String>,

    #[command(flatten)]
    pub packages: PackageOptions,
}

/// `pyw [OPTIONS] PROGRAM [ARGS…]`: all that stands before the program.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "pyw",
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    no_binary_name = true
)]
pub struct RunOptions {
    /// Runtime to use: auto, wasmtime, wasmedge, wasmer, node, deno, node-wasi, or one of your own
    #[arg(long, value_name = "NAME", help_heading = "What runs it")]
    pub runtime: Option<String>,

    /// Interpreter: a version (3.14), a specifier (>=3.13), a name from `pyw python list`, or the
    /// path of a .wasm, a folder, a release zip or a .pybi
    #[arg(long, value_name = "WHICH", help_heading = "What runs it")]
    pub python: Option<String>,

    /// What the interpreter was built for: wasi or emscripten
    #[arg(long, value_name = "NAME", help_heading = "What runs it")]
    pub platform: Option<String>,

    /// Download nothing
    #[arg(long, help_heading = "What runs it")]
    pub offline: bool,

    /// Let Python start from its beginning, not from a snapshot
    #[arg(long, help_heading = "What runs it")]
    pub no_snapshot: bool,

    /// Run on a version that is known to have security holes (`pyw doctor` lists them)
    #[arg(long, help_heading = "What runs it")]
    pub allow_vulnerable_runtime: bool,

    /// Run a command that one of its packages brings; everything behind it is the command's
    #[arg(long, value_name = "NAME", help_heading = "What runs it")]
    pub entry: Option<String>,

    #[command(flatten)]
    pub packages: PackageOptions,

    /// Let the program see a folder or file of the host, read-only unless :rw is said; at its own
    /// path unless GUEST is given
    #[arg(
        long = "mount",
        value_name = "HOST[:GUEST][:ro|rw]",
        help_heading = "What it may touch"
    )]
    pub mounts: Vec<String>,

    /// Set a variable for the program, or pass on the caller's
    #[arg(
        long = "env",
        value_name = "NAME[=VALUE]",
        help_heading = "What it may touch"
    )]
    pub env: Vec<String>,

    /// Set variables from a file with a NAME=VALUE a line
    #[arg(
        long = "env-file",
        value_name = "FILE",
        help_heading = "What it may touch"
    )]
    pub env_files: Vec<String>,

    /// Start in this folder instead of the current one
    #[arg(long, value_name = "DIR", help_heading = "What it may touch")]
    pub cwd: Option<String>,

    /// Network: none (the default) or host
    #[arg(long, value_name = "none|host", help_heading = "What it may touch")]
    pub network: Option<String>,

    /// Let it reach one TCP port of one host and nothing else of the network. Refused so far:
    /// nothing can hold that
    #[arg(
        long,
        value_name = "HOST:PORT",
        conflicts_with = "network",
        help_heading = "What it may touch"
    )]
    pub allow_net: Vec<String>,

    /// Give it the JavaScript of a runtime that has one (node, deno), with all that this can reach in
    /// the runtime's process
    #[arg(long, help_heading = "What it may touch")]
    pub js: bool,

    /// Give it no private /tmp
    #[arg(long, help_heading = "What it may touch")]
    pub no_tmp: bool,

    /// Run only with this isolation or more: strong, runtime, process, none (`pyw help isolation`)
    #[arg(long, value_name = "LEVEL", help_heading = "What it may touch")]
    pub require_isolation: Option<String>,

    /// Most linear memory it may use, such as 256M
    #[arg(long, value_name = "SIZE", help_heading = "What it may use up")]
    pub memory: Option<String>,

    /// Longest time it may run, such as 30s or 2m
    #[arg(long, value_name = "DURATION", help_heading = "What it may use up")]
    pub timeout: Option<String>,

    /// Longest time that its runtime may keep processors busy, such as 10s
    #[arg(long, value_name = "DURATION", help_heading = "What it may use up")]
    pub cpu_time: Option<String>,

    /// Most that it may write to stdout and stderr together, such as 10M; both are pipes then
    #[arg(long, value_name = "SIZE", help_heading = "What it may use up")]
    pub output_size: Option<String>,

    /// Most that may lie in its private /tmp, such as 100M
    #[arg(long, value_name = "SIZE", help_heading = "What it may use up")]
    pub tmp_size: Option<String>,

    /// Most files that its runtime may have open at once, its own among them (64 or more)
    #[arg(long, value_name = "NUMBER", help_heading = "What it may use up")]
    pub open_files: Option<String>,

    /// Size of its wasm stack, such as 8M
    #[arg(long, value_name = "SIZE", help_heading = "What it may use up")]
    pub stack: Option<String>,

    /// Print the exact command and who enforces each grant; run nothing
    #[arg(long, help_heading = "Looking closer")]
    pub dry_run: bool,

    /// How --dry-run prints: for people (text, the default) or for tools
    #[arg(
        long,
        value_enum,
        value_name = "text|json",
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Looking closer"
    )]
    pub format: Format,

    /// Say what is chosen and why; -v does so too, and goes to Python
    #[arg(long, help_heading = "Looking closer")]
    pub verbose: bool,

    /// No progress messages; -q does so too, and goes to Python
    #[arg(long, help_heading = "Looking closer")]
    pub quiet: bool,

    /// Print this help, as -h does
    #[arg(long, help_heading = "Looking closer")]
    pub help: bool,

    /// Print pyw's version (-V prints Python's)
    #[arg(long, help_heading = "Looking closer")]
    pub version: bool,
}

impl RunOptions {
    /// What `--platform` says.
    ///
    /// # Errors
    /// It is no platform.
    pub fn platform(&self) -> Result<Option<Platform>, Error> {
        platform(self.platform.as_deref())
    }
}

fn platform(text: Option<&str>) -> Result<Option<Platform>, Error> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|message: String| Error::usage(format!("--platform: {message}")))
}

impl Subject {
    /// What `--platform` says.
    ///
    /// # Errors
    /// It is no platform.
    pub fn platform(&self) -> Result<Option<Platform>, Error> {
        platform(self.platform.as_deref())
    }
}

/// The management commands.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "pyw",
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub struct Manage {
    #[command(flatten)]
    pub common: Common,

    #[command(subcommand)]
    pub command: Command,
}

/// Options that every management command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Download nothing
    #[arg(long, global = true)]
    pub offline: bool,

    /// Say more about what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// No progress messages
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// A management command. A script that bears such a name is run as `./NAME`.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List, find, check, install and remove runtimes
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// List, install, remove, inspect, pack and verify interpreters
    #[command(subcommand)]
    Python(PythonCommand),
    /// Show the configuration and where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write down the exact packages of a script or project, as PEP 751 says
    Lock {
        #[command(flatten)]
        subject: Subject,
        /// Write to this file; the default is pylock.NAME.toml beside a script and pylock.toml in
        /// a project. `-` is stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<String>,
        /// Write nothing; fail if the lock is missing or does not match any more
        #[arg(long, conflicts_with_all = ["output", "upgrade", "upgrade_package"])]
        check: bool,
    },
    /// Print the packages of a script, a project or a lock as a requirements file with hashes
    Export {
        #[command(flatten)]
        subject: Subject,
        /// Write to this file instead of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<String>,
    },
    /// Show the packages of a script or project, and who asks for each
    Tree {
        #[command(flatten)]
        subject: Subject,
        #[command(flatten)]
        output: Output,
    },
    /// Show, measure and clean up the folder in which pyw keeps what it fetched and made
    #[command(
        subcommand,
        after_help = "Interpreters, runtimes, wheels and environments are kept in one folder, \
                      the store, so that they are fetched and made once. All of it can be had \
                      again, and what a running pyw uses is never removed. PYW_STORE, or `store` \
                      in the configuration, puts the store elsewhere."
    )]
    Cache(CacheCommand),
    /// Tell what there is to run with, how well it isolates, and what could be better
    Doctor {
        #[command(flatten)]
        output: Output,
    },
    /// Agree to what a script or project asks for, as it asks for it now
    Trust {
        /// The script, or the project's folder; the current one if nothing is named
        #[arg(value_name = "SCRIPT|PROJECT", conflicts_with = "list")]
        target: Option<String>,
        /// Show what was agreed to
        #[arg(long)]
        list: bool,
        /// Take it back
        #[arg(long, conflicts_with = "list")]
        forget: bool,
    },
    /// Make ready what a later start needs: packages, byte code, a compiled interpreter
    #[command(
        disable_help_flag = true,
        after_help = "What stands behind `pyw warm` is a command line as it would stand behind `pyw`: \
                      options, and a program, which is not run. Without a program only the \
                      interpreter is made ready. Most of it happens by itself when a program is run; \
                      what takes minutes, as compiling for WasmEdge, happens only here."
    )]
    Warm {
        /// Options of a run, and the program with its arguments
        #[arg(
            value_name = "OPTIONS|PROGRAM",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        args: Vec<String>,
    },
    /// Explain a topic: run, isolation, exit-codes, config
    Help {
        /// The topic
        topic: Option<String>,
    },
}

/// `pyw runtime …`
#[derive(Clone, Debug, Subcommand)]
pub enum RuntimeCommand {
    /// List the known runtimes, where they are and what they can hold
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Print the path of a runtime's executable
    Which {
        /// wasmtime, wasmedge, wasmer, or one of your own
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Try on this machine what a runtime's descriptor claims, by probes and by attacks
    Check {
        /// Their names; all that are found if none is given
        names: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Install a runtime into pyw's store
    Install {
        /// A runtime that pyw can install; `pyw runtime list` tells
        name: String,
    },
    /// Remove a runtime that pyw installed
    Remove {
        /// Its name
        name: String,
    },
}

/// `pyw python …`
#[derive(Clone, Debug, Subcommand)]
pub enum PythonCommand {
    /// List the installed and the known interpreters
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Install an interpreter
    Install {
        /// A version, a specifier, a name from `pyw python list`, a path, or an address (with
        /// #sha256=… it has to have that hash); with --index a requirement such as cpython>=3.13
        which: String,
        /// Take it from a folder of pybis, or from a simple index that has them
        #[arg(long, value_name = "URL|DIR")]
        index: Option<String>,
    },
    /// Make a pybi of an interpreter in any layout that pyw can import
    Pack {
        /// A .wasm, a folder, a release zip or tarball, a .pybi, or what --python takes
        source: String,
        /// Where the pybi goes
        #[arg(short, long, value_name = "DIR")]
        output: String,
    },
    /// Check a pybi: its structure, its RECORD, its links, and what it says of its module
    Verify {
        /// A .pybi
        file: String,
    },
    /// Remove an installed interpreter
    Remove {
        /// Its name, as `pyw python list` shows it
        name: String,
    },
    /// Show what a module, a pybi or an installed interpreter is
    Inspect {
        /// A .wasm or .pybi file, or what --python takes
        which: String,
        #[command(flatten)]
        output: Output,
    },
}

/// `pyw config …`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show each value and where it comes from
    Show {
        #[command(flatten)]
        output: Output,
    },
}

/// `pyw cache …`
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Print the store's folder
    Dir,
    /// Show how much space each part of it takes
    Size {
        #[command(flatten)]
        output: Output,
    },
    /// Remove what was not used for a while
    #[command(
        after_help = "Also removed are entries that only another release of pyw can use, \
                      environments that have been replaced by ones with bytecode, and what killed \
                      processes left. A wheel stays as long as an environment that is made of it."
    )]
    Prune {
        /// Remove what was not used for so long, such as 12h or 90d
        #[arg(long, value_name = "DURATION", default_value = "30d")]
        unused: String,
        /// Tell what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove everything but what a running pyw uses
    #[command(
        after_help = "Nothing is asked first. The next run downloads and prepares again what it \
                      needs."
    )]
    Clear,
}
