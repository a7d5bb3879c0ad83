//! The planner: a sandbox, a runtime and a fence become the exact command, or refusals.
//!
//! Pure: nothing is read, created or started here, so a plan can be built in a test, printed by
//! `--dry-run`, and compared. What has to exist on disk before the command runs is part of the
//! plan ([`Plan::scratch`]) and is made by [`crate::launch`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::interpreter::adapt::{
    Adaptation, EXIT_CODE_FILE, EXIT_CODE_MOUNT, MEMORY_VAR, MOUNTS_VAR, TTY_VAR,
};
use crate::interpreter::imports;
use crate::interpreter::{Compiled, Module, Platform};
use crate::runtime::descriptor::Isolation;
use crate::runtime::template::{Template, fill_all};
use crate::runtime::{Descriptor, Runtime};
use crate::sandbox::limits::{FEWEST_OPEN_FILES, format_duration, format_size};
use crate::sandbox::{Access, IsolationLevel, Mount, Network, Purpose, Sandbox, Scratch, Start};

/// Tells the bootstrap in the guest what it needs; it removes the variable before any program
/// could see it.
pub const START_VARIABLE: &str = "PYW_START";

/// The file, in the scratch folder, that a host script reads.
const TOLD_FILE: &str = "sandbox.json";

/// What a runtime may need in memory besides the guest's, in bytes.
const RUNTIME_MEMORY: u64 = 256 << 20;

/// The file, in the channel, that tells of a MemoryError.
const MEMORY_FILE: &str = "memory";

/// The file, in the channel, that tells what the program imported.
const LEARN_FILE: &str = "imports";

/// Room for what is told, in bytes, where what may be written has a size.
const CHANNEL_SIZE: u64 = 65536;

/// What a host script is told; `runtimes/README.md` describes it.
#[derive(Serialize)]
struct Told<'a> {
    module: &'a Utf8Path,
    /// The file in which the module is compiled.
    compiled: Option<&'a Utf8Path>,
    /// The file into which it is to be compiled.
    compile: Option<&'a Utf8Path>,
    args: &'a [String],
    env: &'a BTreeMap<String, String>,
    mounts: Vec<ToldMount<'a>>,
    /// In bytes.
    memory: Option<u64>,
    terminal: Option<(u16, u16)>,
    js: bool,
}

#[derive(Serialize)]
struct ToldMount<'a> {
    host: &'a Utf8Path,
    guest: &'a str,
    access: Access,
}

/// What pyw can hold from outside the runtime on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Confining the runtime's process to chosen paths: the layer that does it, or why none can.
    pub paths: Abilities,
    /// Keeping the runtime's process from system calls: the network, other processes.
    pub calls: Abilities,
    /// Folders with a size, by mounts of pyw's own. They have no part in the isolation.
    pub mounts: Abilities,
    /// Host folders that the process needs besides its grants, such as system libraries.
    pub system: Vec<Utf8PathBuf>,
}

impl Fence {
    /// Why it is not whole; `None` if it is.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        [&self.paths, &self.calls]
            .into_iter()
            .find_map(|layer| match layer {
                Abilities::Available(_) => None,
                Abilities::Missing(why) => Some(why.as_str()),
            })
    }
}

/// The isolation that a runtime reaches inside this fence, where all that is withheld is held.
#[must_use]
pub fn reached(runtime: &Descriptor, fence: &Fence) -> IsolationLevel {
    match (runtime.isolation, fence.missing()) {
        (Isolation::Runtime, None) => IsolationLevel::Strong,
        (Isolation::Runtime, Some(_)) => IsolationLevel::Runtime,
        (Isolation::Process, None) => IsolationLevel::Process,
        (Isolation::Process, Some(_)) => IsolationLevel::None,
    }
}

/// Whether a layer of the fence is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abilities {
    /// Its name, for people.
    Available(String),
    /// Why not.
    Missing(String),
}

impl Default for Abilities {
    fn default() -> Self {
        Self::Missing("this system has none".into())
    }
}

/// A grant that nothing can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was asked for, as the user would say it.
    pub grant: String,
    pub reason: String,
    /// What the user can do, one way a line.
    pub choices: Vec<String>,
}

/// A row of the table that tells who enforces what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub grant: String,
    pub enforced_by: String,
}

/// Confinement of the runtime's process to these paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// May be read, and executed where they are programs or libraries.
    pub execute: Vec<Utf8PathBuf>,
    pub read: Vec<Utf8PathBuf>,
    pub write: Vec<Utf8PathBuf>,
    /// System calls that reach the network or other processes fail.
    pub calls: bool,
    /// But for the network, which is granted.
    pub network: bool,
    /// So do those that change modes, owners, times and attributes of files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metadata: bool,
}

/// Why pyw stays as the parent instead of becoming the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The file that holds an exit code which the runtime couldn't carry.
    pub exit_code: Option<Utf8PathBuf>,
    /// The file that is there when the program ended by a MemoryError, and how many bytes it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<(Utf8PathBuf, u64)>,
    /// The file that tells which modules the program imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imports: Option<Utf8PathBuf>,
    #[serde(with = "seconds")]
    pub timeout: Option<Duration>,
    #[serde(with = "seconds")]
    pub cpu_time: Option<Duration>,
    /// Of standard output and standard error together, in bytes. They are pipes then.
    pub output_size: Option<u64>,
}

/// Durations as seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        value.map(|duration| duration.as_secs_f64()).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(d)?;
        seconds
            .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// What a run begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    /// CPython's own start-up.
    Plain {
        /// Why not a snapshot.
        reason: String,
    },
    /// An interpreter that was captured after its start-up.
    Snapshot {
        /// How many modules were imported in advance.
        modules: usize,
    },
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { reason } => write!(f, "without a snapshot: {reason}"),
            Self::Snapshot { modules: 0 } => f.write_str("from a snapshot"),
            Self::Snapshot { modules: 1 } => f.write_str("from a snapshot with 1 module"),
            Self::Snapshot { modules } => write!(f, "from a snapshot with {modules} modules"),
        }
    }
}

/// Exactly what will be executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The runtime's name.
    pub runtime: String,
    /// Its version, when it told one.
    pub version: Option<String>,
    /// How much stands between the program and the host.
    pub isolation: IsolationLevel,
    pub program: Utf8PathBuf,
    pub args: Vec<String>,
    /// The whole environment of the runtime's process.
    pub env: BTreeMap<String, String>,
    /// The limit on the stack of the runtime's process, in bytes, where it needs more than usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_stack: Option<u64>,
    /// The limit on the memory that it does not share, in bytes, where the runtime has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<u64>,
    /// The limit on its descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    pub fence: Option<Confinement>,
    pub scratch: Option<Scratch>,
    pub watch: Watch,
    pub grants: Vec<Row>,
}

impl Plan {
    /// Whether pyw can become the runtime, with nothing to do afterwards.
    #[must_use]
    pub fn can_exec(&self) -> bool {
        self.watch == Watch::default() && self.scratch.is_none()
    }
}

/// Everything that planning depends on besides the sandbox.
pub struct Context<'a> {
    pub runtime: &'a Runtime,
    pub fence: &'a Fence,
    /// The interpreter's module with this runtime's adaptations.
    pub module: &'a Module,
    /// Where a host script is to write the module compiled by what it runs, in a folder that nothing
    /// else is in.
    pub compile: Option<&'a Utf8Path>,
    /// pyw's own folders, which no program may write.
    pub own: &'a [Utf8PathBuf],
    /// All runtimes, to name one that could.
    pub known: &'a dyn Fn() -> Vec<Descriptor>,
    /// The least isolation to run with. With [`IsolationLevel::None`] what is withheld need not be
    /// held, so that a read-only mount may be one in name only.
    pub required: IsolationLevel,
}

/// Makes the plan.
///
/// # Errors
/// All the grants and limits that neither the runtime nor the fence can hold.
pub fn plan(sandbox: &Sandbox, context: &Context<'_>) -> Result<Plan, Vec<Refusal>> {
    Planner {
        sandbox,
        context,
        refusals: Vec::new(),
        rows: Vec::new(),
        links: Vec::new(),
        preopens: String::new(),
        unheld: false,
    }
    .run()
}

/// The plan to compile a module for a runtime, into a file of a folder that nothing else is in.
/// `None` where the runtime doesn't compile. A host script is planned for as for a program, with
/// [`Context::compile`].
///
/// The module is no program of the user's, but may come from anybody, so its compiler reaches
/// nothing else where that can be held.
#[must_use]
pub fn compiling(
    runtime: &Runtime,
    fence: &Fence,
    module: &Module,
    output: &Compiled,
) -> Option<Plan> {
    let descriptor = &runtime.descriptor;
    let compile = descriptor.compile.as_ref()?;
    let cache = [("cache", runtime.cache.as_str())];
    let confinement = Confinement {
        execute: executed(fence, runtime, &runtime.executable),
        read: vec![module.path.clone()],
        write: output
            .file
            .parent()
            .map(Utf8Path::to_owned)
            .into_iter()
            .collect(),
        calls: matches!(fence.calls, Abilities::Available(_)),
        ..Confinement::default()
    };
    let files = [
        ("module", module.path.as_str()),
        ("output", output.file.as_str()),
    ];
    let args = match (output.lean, &compile.lean) {
        (true, Some(lean)) => &lean.args,
        _ => &compile.args,
    };
    let env = descriptor.command.env.iter();
    Some(Plan {
        runtime: descriptor.name.clone(),
        version: runtime.version.as_ref().map(ToString::to_string),
        isolation: reached(descriptor, fence),
        program: runtime.executable.clone(),
        args: fill_all(args, &files),
        env: env
            .map(|(name, value)| (name.clone(), value.fill(&cache)))
            .collect(),
        process_stack: None,
        data: None,
        open_files: None,
        fence: fence.missing().is_none().then_some(confinement),
        scratch: None,
        watch: Watch::default(),
        grants: Vec::new(),
    })
}

/// What a process needs to become `program`, one of the runtime's executables.
fn executed(fence: &Fence, runtime: &Runtime, program: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut paths = [fence.system.as_slice(), &runtime.libraries].concat();
    paths.push(program.to_owned());
    paths
}

struct Planner<'a> {
    sandbox: &'a Sandbox,
    context: &'a Context<'a>,
    refusals: Vec<Refusal>,
    rows: Vec<Row>,
    links: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    /// The value of [`MOUNTS_VAR`].
    preopens: String,
    /// Something that is withheld is held by nobody.
    unheld: bool,
}

impl Planner<'_> {
    /// The executable that runs the module.
    fn program(&self) -> &Utf8Path {
        let runtime = self.context.runtime;
        match (&self.context.module.compiled, &runtime.lean) {
            (Some(Compiled { lean: true, .. }), Some(lean)) => lean,
            _ => &runtime.executable,
        }
    }

    fn run(mut self) -> Result<Plan, Vec<Refusal>> {
        let runtime = self.context.runtime;
        let descriptor = &runtime.descriptor;
        let cache = [("cache", runtime.cache.as_str())];
        let fenced = self.fenced();
        let channel = self.channel();

        let process = descriptor.isolation == Isolation::Process;
        if process {
            self.isolation();
        }

        let mut args = fill_all(&descriptor.command.first, &cache);
        if let (Some(compile), Some(_)) = (&descriptor.compile, &self.context.module.compiled) {
            args.extend(fill_all(&compile.run, &[]));
        }
        let mut mounts: Vec<Mount> = self.sandbox.mounts.clone();
        mounts.extend(channel.clone());
        // A spelling that this runtime cannot have is done without.
        let excludes = descriptor.mount.guest_excludes.clone();
        let unspellable = |m: &Mount| {
            m.purpose == Purpose::Spelling
                && excludes.iter().any(|bad| m.guest.contains(bad.as_str()))
        };
        let mut guest_args = self.sandbox.args.clone();
        if mounts.iter().any(unspellable)
            && let Some((at, plain)) = &self.sandbox.plain_script
        {
            guest_args[*at].clone_from(plain);
        }
        mounts.retain(|mount| !unspellable(mount));
        self.check_overlaps(&mounts);
        for mount in &mounts {
            args.extend(self.mount(mount));
        }
        args.extend(self.env());
        args.extend(self.limits());
        self.own_limits();
        self.tmp_size();
        args.extend(self.network());
        self.endpoints();
        self.processes();
        self.check_imports();
        args.extend(self.javascript());
        let told = match &runtime.host_script {
            None => {
                args.extend(fill_all(
                    &descriptor.command.module,
                    &[("module", self.context.module.file().as_str())],
                ));
                args.extend(descriptor.command.separator.iter().cloned());
                args.extend(guest_args);
                None
            }
            Some(script) => {
                let file = self.sandbox.scratch.as_ref().map_or_else(
                    || Utf8PathBuf::from(TOLD_FILE),
                    |scratch| scratch.root.join(TOLD_FILE),
                );
                args.extend(fill_all(
                    &descriptor.command.module,
                    &[("script", script.as_str()), ("sandbox", file.as_str())],
                ));
                Some((file, self.told(&mounts, &guest_args)))
            }
        };

        if let Abilities::Missing(why) = &self.context.fence.paths
            && descriptor.mount.escapes
        {
            let choices = self.others(|d| !d.mount.escapes && d.isolation == Isolation::Runtime);
            self.refuse(
                "confinement to the mounts",
                format!(
                    "guests of {} can leave them, and the fence can't help: {why}",
                    descriptor.name
                ),
                choices,
            );
        }
        if fenced && runtime.script {
            self.refuse(
                "confinement of the runtime",
                format!(
                    "{} is a script, and what it starts is not known",
                    runtime.executable
                ),
                vec![format!(
                    "name the real executable: {}=PATH",
                    crate::config::runtime_path_variable(&descriptor.name)
                )],
            );
        }
        let isolation = self.level();
        if !self.refusals.is_empty() {
            return Err(self.refusals);
        }
        let carried = self.has(Adaptation::ExitCode);
        let watch = Watch {
            exit_code: channel
                .as_ref()
                .filter(|_| carried)
                .map(|mount| mount.host.join(EXIT_CODE_FILE)),
            memory: channel
                .as_ref()
                .zip(self.sandbox.limits.memory)
                .map(|(mount, limit)| (mount.host.join(MEMORY_FILE), limit)),
            imports: channel
                .as_ref()
                .filter(|_| self.sandbox.teaches)
                .map(|mount| mount.host.join(LEARN_FILE)),
            timeout: self.sandbox.limits.timeout,
            cpu_time: self.sandbox.limits.cpu_time,
            output_size: self.sandbox.limits.output_size,
        };
        let mut fence = fenced.then(|| self.confinement(&mounts));
        if let (Some(fence), Some((file, _))) = (&mut fence, &told) {
            fence.read.push(file.clone());
        }
        let scratch = self.scratch(channel.as_ref(), told);
        Ok(Plan {
            runtime: descriptor.name.clone(),
            version: runtime.version.as_ref().map(ToString::to_string),
            isolation,
            program: self.program().to_owned(),
            args,
            env: descriptor
                .command
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.fill(&cache)))
                .collect(),
            process_stack: descriptor.limits.process_stack,
            data: self.data(),
            open_files: self.sandbox.limits.open_files,
            fence,
            scratch,
            watch,
            grants: self.rows,
        })
    }

    /// The isolation that comes out; refused where it is less than what is required.
    fn level(&mut self) -> IsolationLevel {
        let descriptor = &self.context.runtime.descriptor;
        let fence = self.context.fence;
        let required = self.context.required;
        let level = match self.unheld {
            true => IsolationLevel::None,
            false => reached(descriptor, fence),
        };
        // Where more is wrong, the rest of it says why.
        if level < required && self.refusals.is_empty() {
            let name = &descriptor.name;
            let reason = match (descriptor.isolation, fence.missing()) {
                (Isolation::Process, _) => format!("{name} is no sandbox by itself"),
                (Isolation::Runtime, Some(why)) => format!("there is no whole fence: {why}"),
                (Isolation::Runtime, None) => "not all that is withheld is held".to_owned(),
            };
            let mut choices = self.others(|d| reached(d, fence) >= required);
            if descriptor.platform == Platform::Emscripten
                && fence.missing().is_none()
                && required > IsolationLevel::Process
            {
                choices.push("use an interpreter built for WASI: --platform wasi".into());
            }
            choices.push(format!("accept less: --require-isolation {level}"));
            self.refuse(
                &format!("isolation `{required}`"),
                format!("{reason}, so that this reaches `{level}`"),
                choices,
            );
        }
        level
    }

    /// Only the fence stands between what runs in such a runtime's process and the host.
    fn isolation(&mut self) {
        let name = self.context.runtime.descriptor.name.clone();
        let fence = self.context.fence;
        let mut layers = Vec::new();
        for (what, ability) in [
            ("confinement to the mounts", &fence.paths),
            ("no network", &fence.calls),
        ] {
            match ability {
                Abilities::Available(layer) => layers.push(layer.clone()),
                Abilities::Missing(why) => {
                    let mut choices = self.others(|d| d.isolation == Isolation::Runtime);
                    if self.context.runtime.descriptor.platform == Platform::Emscripten {
                        choices.push("use an interpreter built for WASI: --platform wasi".into());
                    }
                    self.refuse(
                        what,
                        format!("{name} is no sandbox by itself, and the fence can't help: {why}"),
                        choices,
                    );
                }
            }
        }
        self.row(
            "isolation of the process",
            format!("{} ({name} itself is no sandbox)", layers.join(", ")),
        );
    }

    /// Whether the runtime's process is confined. Without Landlock there is no fence at all: a filter
    /// of calls alone keeps no file.
    fn fenced(&self) -> bool {
        matches!(self.context.fence.paths, Abilities::Available(_))
    }

    /// What is withheld besides: other processes, the terminal's controls, the kernel's settings.
    fn processes(&mut self) {
        let name = &self.context.runtime.descriptor.name;
        let by = match &self.context.fence.calls {
            Abilities::Available(layer) if self.fenced() => format!("{name}, {layer}"),
            _ => name.clone(),
        };
        self.row("no other processes", by);
    }

    fn javascript(&mut self) -> Vec<String> {
        let descriptor = &self.context.runtime.descriptor;
        let name = descriptor.name.clone();
        if !self.sandbox.javascript {
            let grant = descriptor.javascript.as_ref();
            return grant.map_or_else(Vec::new, |grant| fill_all(&grant.withheld, &[]));
        }
        if descriptor.javascript.is_some() {
            self.row(
                "JavaScript",
                format!("nobody: granted; only the fence holds what {name}'s process does"),
            );
        } else {
            let mut choices = Vec::new();
            if descriptor.platform != Platform::Emscripten {
                choices
                    .push("use an interpreter built for Emscripten: --platform emscripten".into());
            }
            choices.push("run without --js".into());
            self.refuse("JavaScript", format!("{name} has none to give"), choices);
        }
        Vec::new()
    }

    /// What the host script reads.
    fn told(&self, mounts: &[Mount], args: &[String]) -> String {
        let env = self.variables().into_iter().collect();
        let told = Told {
            module: &self.context.module.path,
            compiled: self
                .context
                .module
                .compiled
                .as_ref()
                .map(|c| c.file.as_path()),
            compile: self.context.compile,
            args,
            env: &env,
            mounts: mounts
                .iter()
                .map(|mount| ToldMount {
                    host: &mount.host,
                    guest: &mount.guest,
                    access: mount.access,
                })
                .collect(),
            memory: self.sandbox.limits.memory,
            terminal: self.sandbox.terminals.size,
            js: self.sandbox.javascript,
        };
        // Plain text and numbers: nothing in it can fail to be written.
        serde_json::to_string(&told).unwrap_or_default()
    }

    /// What the bootstrap is told, with what only the plan knows.
    fn start(&self) -> Option<Start> {
        let channel = self.channel();
        let file = |wanted: bool, name| {
            let told = wanted && channel.is_some();
            told.then(|| format!("{EXIT_CODE_MOUNT}/{name}"))
        };
        Some(Start {
            memory: file(self.sandbox.limits.memory.is_some(), MEMORY_FILE),
            learn: file(self.sandbox.teaches, LEARN_FILE),
            ..self.sandbox.start.clone()?
        })
    }

    fn has(&self, adaptation: Adaptation) -> bool {
        self.context
            .runtime
            .descriptor
            .quirks
            .adaptations
            .contains(&adaptation)
    }

    fn row(&mut self, grant: impl Into<String>, by: impl Into<String>) {
        self.rows.push(Row {
            grant: grant.into(),
            enforced_by: by.into(),
        });
    }

    fn refuse(&mut self, grant: &str, reason: String, choices: Vec<String>) {
        let known = self
            .refusals
            .iter()
            .any(|r| r.grant == grant && r.reason == reason);
        if !known {
            self.refusals.push(Refusal {
                grant: grant.to_owned(),
                reason,
                choices,
            });
        }
    }

    /// `--runtime NAME` for each other runtime for the same interpreters that passes the test.
    fn others(&self, can: impl Fn(&Descriptor) -> bool) -> Vec<String> {
        let own = &self.context.runtime.descriptor;
        let known = (self.context.known)();
        let names: Vec<&str> = known
            .iter()
            .filter(|d| d.name != own.name && d.platform == own.platform)
            .filter(|d| !d.by_name_only && can(d))
            .map(|d| d.name.as_str())
            .collect();
        match names.as_slice() {
            [] => Vec::new(),
            names => vec![format!(
                "use a runtime that can: --runtime {}",
                names.join(", ")
            )],
        }
    }

    fn channel(&self) -> Option<Mount> {
        let scratch = self.sandbox.scratch.as_ref()?;
        let wanted = self.has(Adaptation::ExitCode)
            || self.sandbox.limits.memory.is_some()
            || self.sandbox.teaches;
        wanted.then(|| Mount {
            host: scratch.root.join("rc"),
            guest: EXIT_CODE_MOUNT.to_owned(),
            access: Access::Write,
            purpose: Purpose::Channel,
        })
    }

    /// A runtime cannot load a module that imports what it does not provide.
    fn check_imports(&mut self) {
        let name = self.context.runtime.descriptor.name.clone();
        let imports = &self.context.module.imports;
        let lacking = self.context.runtime.descriptor.lacking(imports);
        if lacking.is_empty() {
            return;
        }
        let mut choices = self.others(|d| d.lacking(imports).is_empty());
        choices.push("use another interpreter: --python".into());
        self.refuse(
            "what the interpreter's module imports",
            format!("{name} does not provide {}", imports::list(&lacking)),
            choices,
        );
    }

    /// Neither Landlock nor a preopen can take back below a folder what was granted above it.
    fn check_overlaps(&mut self, mounts: &[Mount]) {
        for inner in mounts.iter().filter(|m| m.access == Access::Read) {
            for outer in mounts.iter().filter(|m| m.access == Access::Write) {
                if inner.purpose == Purpose::Grant && inner.host.starts_with(&outer.host) {
                    self.refuse(
                        &format!("read-only {}", inner.host),
                        format!("it lies in {}, which is granted for writing", outer.host),
                        vec![
                            format!("grant {} for writing as well", inner.host),
                            format!("grant less of {}", outer.host),
                        ],
                    );
                }
            }
        }
        for mount in mounts.iter().filter(|m| m.purpose == Purpose::Grant) {
            for own in self.context.own {
                if mount.access == Access::Write
                    && (own.starts_with(&mount.host) || mount.host.starts_with(own))
                {
                    self.refuse(
                        &format!("writing {}", mount.host),
                        format!("pyw keeps runtimes and interpreters in {own}, which a program could then replace"),
                        vec!["grant a folder that does not hold it".into()],
                    );
                }
            }
        }
    }

    fn mount(&mut self, mount: &Mount) -> Vec<String> {
        let descriptor = &self.context.runtime.descriptor;
        let name = &descriptor.name;
        let verb = match mount.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let shown = match mount.purpose {
            Purpose::Spelling => format!("{verb} {} spelt {}", mount.host, mount.guest),
            Purpose::Grant if mount.host == mount.guest => format!("{verb} {}", mount.host),
            Purpose::Grant => format!("{verb} {} as {}", mount.host, mount.guest),
            Purpose::Interpreter => format!("{verb} the standard library ({})", mount.guest),
            Purpose::Packages => format!("{verb} the packages ({})", mount.guest),
            Purpose::Root => format!("{verb} / (only the folders that lead to the mounts)"),
            Purpose::Private => format!("{verb} a private {}, removed afterwards", mount.guest),
            Purpose::Channel => "pyw's own channel for how it ends".to_owned(),
        };
        for bad in &descriptor.mount.guest_excludes {
            if mount.guest.contains(bad.as_str()) {
                let mut choices = self.others(|d| {
                    !d.mount
                        .guest_excludes
                        .iter()
                        .any(|b| mount.guest.contains(b.as_str()))
                });
                choices.push(format!("use a folder without `{bad}` in its path"));
                self.refuse(
                    &shown,
                    format!("{name} cannot spell a guest path with `{bad}`"),
                    choices,
                );
            }
        }
        let layer = match &self.context.fence.paths {
            Abilities::Available(layer) => Some(layer.clone()),
            Abilities::Missing(_) => None,
        };
        let own_read = descriptor.holds_read_only();
        // Whom the row names, besides others, for what neither Landlock nor some runtimes hold.
        let module_holds = self.has(Adaptation::ReadOnlyTimes) || self.has(Adaptation::OpenedTimes);
        let times = if module_holds { ", module (times)" } else { "" };
        let mut writable = mount.access == Access::Write;
        let by = match (mount.access, own_read, layer) {
            (Access::Write, _, Some(layer)) => format!("{name}, {layer}"),
            (Access::Write, _, None) => name.clone(),
            (Access::Read, true, Some(layer)) => format!("{name}, {layer}{times}"),
            (Access::Read, true, None) => format!("{name}{times}"),
            (Access::Read, false, Some(layer)) => {
                format!("{layer}{times} ({name} alone does not)")
            }
            (Access::Read, false, None) if self.context.required == IsolationLevel::None => {
                writable = true;
                self.unheld = true;
                "nobody: writable, as you accepted".to_owned()
            }
            (Access::Read, false, None) => {
                self.refuse_read_only(mount);
                return Vec::new();
            }
        };
        let templates = match mount.access {
            Access::Read => descriptor
                .mount
                .read
                .as_ref()
                .or(descriptor.mount.write.as_ref()),
            Access::Write => descriptor.mount.write.as_ref(),
        };
        let Some(templates) = templates else {
            let choices = self.others(|d| d.mount.write.is_some());
            self.refuse(
                &shown,
                format!("{name} cannot mount a folder for this"),
                choices,
            );
            return Vec::new();
        };
        let templates: Vec<Template> = templates.clone();
        let host = self.spell(&mount.host);
        self.preopens.push(if writable { 'w' } else { 'r' });
        self.row(shown, by);
        fill_all(&templates, &[("host", &host), ("guest", &mount.guest)])
    }

    fn refuse_read_only(&mut self, mount: &Mount) {
        let name = self.context.runtime.descriptor.name.clone();
        let missing = match &self.context.fence.paths {
            Abilities::Missing(why) => why.clone(),
            Abilities::Available(_) => String::new(),
        };
        let mut choices = self.others(Descriptor::holds_read_only);
        if mount.purpose == Purpose::Grant {
            choices.push(format!("grant it for writing: --mount {}:rw", mount.host));
        }
        choices.push("accept that such mounts can be written: --require-isolation none".into());
        let what = match mount.purpose {
            Purpose::Grant => format!("read-only {}", mount.host),
            Purpose::Packages => "packages that programs cannot change".to_owned(),
            _ => "a standard library that programs cannot change".to_owned(),
        };
        self.refuse(
            &what,
            format!("{name} cannot mount read-only, and the fence can't help: {missing}"),
            choices,
        );
    }

    /// The host path as it can stand on the command line: itself, or a private link to it.
    fn spell(&mut self, host: &Utf8Path) -> String {
        let excluded = self.context.runtime.descriptor.mount.host_excludes.clone();
        if !excluded
            .iter()
            .any(|bad| host.as_str().contains(bad.as_str()))
        {
            return host.to_string();
        }
        let Some(scratch) = &self.sandbox.scratch else {
            return host.to_string();
        };
        let root = scratch.root.clone();
        if let Some(bad) = excluded
            .iter()
            .find(|bad| root.as_str().contains(bad.as_str()))
        {
            let reason = format!("`{bad}` stands in {root} too, where a link to it would be made");
            self.refuse(
                &format!("mounting {host}"),
                reason,
                vec!["name a temporary folder without it: TMPDIR".into()],
            );
        }
        let link = root.join(format!("link-{}", self.links.len()));
        self.links.push((link.clone(), host.to_owned()));
        // The trailing `/.` makes runtimes that look at the link itself follow it.
        format!("{link}/.")
    }

    /// All that the guest finds in its environment at first: the program's variables, then pyw's own.
    fn variables(&self) -> Vec<(String, String)> {
        let trims = self.context.runtime.descriptor.env.trims;
        let bare = |value: &str| trims && (value.is_empty() || value.trim() != value);
        let all = self.sandbox.env.clone().into_iter();
        let (late, env): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(_, value)| bare(value));
        let mut env: Vec<(String, String)> = env.into_iter().collect();
        let mut own = |name: &str, value| env.push((name.to_owned(), value));
        if self.has(Adaptation::Tty) {
            own(TTY_VAR, self.sandbox.terminals.mask().to_string());
        }
        if self.has(Adaptation::ReadOnlyTimes) {
            // With an end mark, for not every runtime carries an empty value.
            own(MOUNTS_VAR, format!("{}-", self.preopens));
        }
        let limits = &self.context.runtime.descriptor.limits;
        if let Some(bytes) = self.sandbox.limits.memory
            && limits.memory.is_none()
            && self.has(Adaptation::MemoryLimit)
        {
            own(MEMORY_VAR, (bytes / 65536).to_string());
        }
        if let Some(start) = self.start() {
            own(START_VARIABLE, start.encode(&late));
        }
        env
    }

    fn env(&mut self) -> Vec<String> {
        let descriptor = &self.context.runtime.descriptor;
        let mut args = Vec::new();
        for (name, value) in self.variables() {
            let values = [("name", name.as_str()), ("value", value.as_str())];
            args.extend(fill_all(&descriptor.env.set, &values));
        }
        let names: Vec<&str> = self.sandbox.env.keys().map(String::as_str).collect();
        let shown = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(" ")
        };
        let by = descriptor.name.clone();
        self.row(format!("environment: {shown}"), by);
        args
    }

    fn limits(&mut self) -> Vec<String> {
        let descriptor = &self.context.runtime.descriptor;
        let name = descriptor.name.clone();
        let limits = self.sandbox.limits;
        let mut args = Vec::new();
        if let Some(bytes) = limits.memory {
            let shown = format!("at most {} of memory", format_size(bytes));
            if bytes < self.context.module.memory {
                let least = format_size(self.context.module.memory);
                self.refuse(
                    &shown,
                    format!("the interpreter itself needs {least} to start"),
                    vec![format!("allow more than {least}: --memory")],
                );
            }
            match descriptor.limits.memory.clone() {
                Some(templates) => {
                    args.extend(size(&templates, bytes));
                    self.row(shown, &name);
                }
                None if self.has(Adaptation::MemoryLimit) => {
                    self.row(
                        shown,
                        match self.data() {
                            Some(_) => "module, fence (rlimit)",
                            None => "module",
                        },
                    );
                }
                None => {
                    let mut choices = self.others(Descriptor::limits_memory);
                    choices.push("run without --memory".into());
                    self.refuse(&shown, format!("{name} has no limit on memory"), choices);
                }
            }
        }
        if let Some(bytes) = limits.stack {
            let shown = format!("a stack of {}", format_size(bytes));
            match descriptor.limits.stack.clone() {
                Some(templates) => {
                    args.extend(size(&templates, bytes));
                    self.row(shown, &name);
                }
                None => {
                    let mut choices = self.others(|d| d.limits.stack.is_some());
                    choices.push("run without --stack".into());
                    self.refuse(&shown, format!("{name} cannot set the stack"), choices);
                }
            }
        }
        if let (None, Some(bytes), Some(templates)) = (
            limits.stack,
            descriptor.limits.default_stack,
            &descriptor.limits.stack,
        ) {
            args.extend(size(templates, bytes));
        }
        if let Some(timeout) = limits.timeout {
            self.row(
                format!("at most {} of time", format_duration(timeout)),
                "pyw (kills it)",
            );
        }
        args
    }

    /// Where the module holds the limit on memory, it cannot know what the runtime itself keeps in
    /// memory for it, such as files.
    fn data(&self) -> Option<u64> {
        let limits = &self.context.runtime.descriptor.limits;
        let module = limits.memory.is_none() && self.has(Adaptation::MemoryLimit);
        let bytes = self.sandbox.limits.memory.filter(|_| module)?;
        cfg!(target_os = "linux").then(|| bytes.saturating_add(RUNTIME_MEMORY))
    }

    /// Limits that pyw holds itself, on each runtime alike.
    fn own_limits(&mut self) {
        let limits = self.sandbox.limits;
        let cpu = limits
            .cpu_time
            .map(|limit| format!("at most {} of processor time", format_duration(limit)));
        let output = limits
            .output_size
            .map(|limit| format!("at most {} of output", format_size(limit)));
        let files = limits
            .open_files
            .map(|limit| format!("at most {limit} open files, the runtime's own among them"));
        for (shown, flag, by) in [
            (cpu, "--cpu-time", "pyw (kills it)"),
            (
                output,
                "--output-size",
                "pyw (kills it; the output is a pipe)",
            ),
            (files, "--open-files", "fence (rlimit)"),
        ] {
            let Some(shown) = shown else { continue };
            if cfg!(unix) {
                self.row(shown, by);
            } else {
                let reason = format!("pyw cannot hold it on {} yet", std::env::consts::OS);
                self.refuse(&shown, reason, vec![format!("run without {flag}")]);
            }
        }
        if let Some(few) = limits.open_files.filter(|n| *n < FEWEST_OPEN_FILES) {
            self.refuse(
                &format!("at most {few} open files"),
                format!("the runtime and its mounts need up to {FEWEST_OPEN_FILES}"),
                vec![format!(
                    "allow at least so many: --open-files {FEWEST_OPEN_FILES}"
                )],
            );
        }
    }

    /// The size of what is made for one run and can be written. A `/tmp` of the host's is not made.
    fn tmp_size(&mut self) {
        let Some(bytes) = self.sandbox.limits.tmp_size else {
            return;
        };
        let shown = format!("at most {} in the private /tmp", format_size(bytes));
        let without = "run without --tmp-size".to_owned();
        let granted = self.sandbox.mounts.iter().find(|mount| {
            mount.guest == "/tmp"
                && mount.access == Access::Write
                && mount.purpose == Purpose::Grant
        });
        if let Some(mount) = granted {
            let reason = format!("/tmp is {} here, which has no size of its own", mount.host);
            let choices = vec!["mount that elsewhere than at /tmp".into(), without];
            self.refuse(&shown, reason, choices);
            return;
        }
        match &self.context.fence.mounts {
            Abilities::Available(layer) => self.row(shown, layer.clone()),
            Abilities::Missing(why) => {
                self.refuse(&shown, why.clone(), vec![without]);
            }
        }
    }

    fn network(&mut self) -> Vec<String> {
        let descriptor = &self.context.runtime.descriptor;
        let name = descriptor.name.clone();
        match (self.sandbox.network, descriptor.network.host.clone()) {
            (Network::None, _) => {
                let by = match &self.context.fence.calls {
                    Abilities::Available(layer) if self.fenced() => {
                        format!("{name}, {layer}")
                    }
                    _ => name,
                };
                self.row("no network", by);
                Vec::new()
            }
            (Network::Host, Some(templates)) => {
                self.row("the host's network", "nobody: granted");
                fill_all(&templates, &[])
            }
            (Network::Host, None) => {
                let mut choices = self.others(|d| d.network.host.is_some());
                choices.push("run without it: --network none".into());
                let reason = no_network(descriptor);
                self.refuse("the host's network", reason, choices);
                Vec::new()
            }
        }
    }

    /// Single hosts. Runtimes give the whole network or none, and Landlock knows ports but no hosts,
    /// so nobody holds that there is nothing else.
    fn endpoints(&mut self) {
        let descriptor = &self.context.runtime.descriptor;
        for endpoint in &self.sandbox.endpoints {
            let without = "run without it: --network none".to_owned();
            let (reason, choices) = match &descriptor.network.host {
                None => (no_network(descriptor), vec![without]),
                Some(_) => (
                    format!(
                        "{} gives the whole network or none, and the fence cannot tell one host \
                         from another",
                        descriptor.name
                    ),
                    vec!["grant the whole network: --network host".into(), without],
                ),
            };
            self.refuse(&format!("the network at {endpoint}"), reason, choices);
        }
    }

    fn confinement(&self, mounts: &[Mount]) -> Confinement {
        let runtime = self.context.runtime;
        let cache = [("cache", runtime.cache.as_str())];
        let paths = |templates: &[Template]| {
            fill_all(templates, &cache)
                .into_iter()
                .map(Utf8PathBuf::from)
                .collect::<Vec<_>>()
        };
        let mut out = Confinement {
            execute: executed(self.context.fence, runtime, self.program()),
            read: paths(&runtime.descriptor.fence.read),
            write: paths(&runtime.descriptor.fence.write),
            calls: matches!(self.context.fence.calls, Abilities::Available(_)),
            network: self.sandbox.network == Network::Host,
            metadata: self.sandbox.javascript || runtime.descriptor.fence.metadata,
        };
        out.read.push(self.context.module.file().to_owned());
        if let Some(script) = &runtime.host_script {
            out.read.push(script.clone());
            // What loads the module lies beside it.
            out.read
                .extend(self.context.module.path.parent().map(Utf8Path::to_owned));
        }
        let output = self.context.compile.and_then(Utf8Path::parent);
        out.write.extend(output.map(Utf8Path::to_owned));
        for mount in mounts {
            match mount.access {
                Access::Read => out.read.push(mount.host.clone()),
                // Its `null` is written, but no file is made beside it.
                Access::Write if mount.guest == "/dev" && mount.purpose == Purpose::Private => {
                    out.read.push(mount.host.clone());
                    out.write.push(mount.host.join("null"));
                }
                Access::Write => out.write.push(mount.host.clone()),
            }
        }
        out
    }

    fn scratch(
        &self,
        channel: Option<&Mount>,
        told: Option<(Utf8PathBuf, String)>,
    ) -> Option<Scratch> {
        let mut scratch = self.sandbox.scratch.clone()?;
        if let Some(channel) = channel.map(|mount| mount.host.clone()) {
            // Apart, so that a full /tmp leaves room for the code.
            if !scratch.sizes.is_empty() {
                scratch.sizes.push((channel.clone(), CHANNEL_SIZE));
            }
            scratch.folders.push(channel);
        }
        scratch.links.clone_from(&self.links);
        scratch.texts.extend(told);
        (!scratch.is_empty()).then_some(scratch)
    }
}

/// Why a runtime cannot grant the network.
fn no_network(runtime: &Descriptor) -> String {
    let program = match runtime.platform {
        Platform::Wasi => "a WASI preview 1 program",
        Platform::Emscripten => "a program for Emscripten",
    };
    format!("{} has no way to give it to {program}", runtime.name)
}

fn size(templates: &[Template], bytes: u64) -> Vec<String> {
    let pages = (bytes / 65536).to_string();
    fill_all(
        templates,
        &[("bytes", &bytes.to_string()), ("pages", &pages)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_as_it_was_written() {
        let plan = Plan {
            runtime: "wasmtime".into(),
            version: Some("49.0.3".into()),
            isolation: IsolationLevel::Strong,
            program: "/bin/wasmtime".into(),
            args: vec!["run".into(), "-c\n\"".into()],
            env: [("A".to_owned(), "ü".to_owned())].into(),
            process_stack: Some(1),
            data: None,
            open_files: Some(7),
            fence: Some(Confinement {
                read: vec!["/usr".into()],
                metadata: true,
                ..Confinement::default()
            }),
            scratch: Some(Scratch {
                root: "/tmp/x".into(),
                sizes: vec![("/tmp/x/own".into(), 5)],
                ..Scratch::default()
            }),
            watch: Watch {
                memory: Some(("/tmp/x/memory".into(), 64 << 20)),
                timeout: Some(Duration::from_millis(1500)),
                cpu_time: Some(Duration::from_secs(3)),
                ..Watch::default()
            },
            grants: vec![Row {
                grant: "write /a".into(),
                enforced_by: "nobody".into(),
            }],
        };
        for plan in [
            Plan {
                scratch: None,
                fence: None,
                ..plan.clone()
            },
            plan,
        ] {
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        }
        let bad = r#"{"exit_code":null,"timeout":-1.0,"cpu_time":null,"output_size":null}"#;
        assert!(serde_json::from_str::<Watch>(bad).is_err());
    }
}
