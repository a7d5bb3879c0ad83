//! The long options of a run, and the management commands. Types only: what they mean is decided
//! in [`crate::request`] and in one file per command.

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Runtime to use: auto, wasmtime, wasmedge, wasmer, or one of your own
    #[arg(long, value_name = "NAME", help_heading = "What runs it")]
    pub runtime: Option<String>,

    /// Interpreter: a version (3.14), a specifier (>=3.13), a name from `pyw python list`, or the
    /// path of a .wasm, a folder, a release zip or a .pybi
    #[arg(long, value_name = "WHICH", help_heading = "What runs it")]
    pub python: Option<String>,

    /// Download nothing
    #[arg(long, help_heading = "What runs it")]
    pub offline: bool,

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

    /// Give it no private /tmp
    #[arg(long, help_heading = "What it may touch")]
    pub no_tmp: bool,

    /// Accept that read-only mounts can be written, where neither runtime nor fence prevents it
    #[arg(long, help_heading = "What it may touch")]
    pub accept_writable_mounts: bool,

    /// Most linear memory it may use, such as 256M
    #[arg(long, value_name = "SIZE", help_heading = "What it may use up")]
    pub memory: Option<String>,

    /// Longest time it may run, such as 30s or 2m
    #[arg(long, value_name = "DURATION", help_heading = "What it may use up")]
    pub timeout: Option<String>,

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
    /// List, find, install and remove runtimes
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// List, install, remove, inspect, pack and verify interpreters
    #[command(subcommand)]
    Python(PythonCommand),
    /// Show the configuration and where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Explain a topic: run, exit-codes, config
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
