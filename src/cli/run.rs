//! `pyw [OPTIONS] PROGRAM [ARGS…]`: running a program, or showing how it would be run.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use super::compile::{self, Subject};
use super::context::{Context, current_folder};
use super::learn::Lesson;
use super::options::{Format, RunOptions};
use super::packages::{self, Provided};
use super::split::{Program, Split};
use super::start::{Candidate, Effort};
use super::{record, trust};
use camino::{Utf8Path, Utf8PathBuf};

use crate::config::{Partial, RuntimeChoice};
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::interpreter::choose::Wanted;
use crate::launch::{self, LaunchError};
use crate::package::Brief;
use crate::package::environment::{self, Bytecode, Environment};
use crate::plan::{Beginning, Plan};
use crate::request::{self, Request};
use crate::runtime::descriptor::Compile;
use crate::runtime::{Runtime, compiled};
use crate::sandbox::limits::{parse_count, parse_duration, parse_size};
use crate::sandbox::{
    Endpoint, EnvSpec, IsolationLevel, Limits, MountSpec, Network, Purpose, Sandbox, Terminals, env,
};
use crate::store::usage::Use;
use crate::store::{Kind, Store, StoreError};
use crate::ui::{dry_run, progress};

/// What a program is made ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// To be run now, with what is there or soon made.
    Run,
    /// Only to be shown.
    Show,
    /// To be run later, as quickly as it can be.
    Warm,
}

/// A program that is ready to be run.
struct Ready {
    context: Context,
    interpreter: Interpreter,
    provided: Option<Provided>,
    runtime: Runtime,
    plan: Plan,
    beginning: Beginning,
    lesson: Option<Lesson>,
    /// What of the host the plan needs.
    needs: Vec<Utf8PathBuf>,
    /// What else the next start of this kind depends on, and whether it would be the same.
    recorded: Recorded,
    // Nobody prunes the interpreter and the snapshot meanwhile.
    _held: Vec<Use>,
}

/// What a launch record needs to know besides the plan.
struct Recorded {
    brief: Brief,
    is_settled: bool,
    files: Vec<Utf8PathBuf>,
    places: Vec<Utf8PathBuf>,
}

/// Runs a program, and ends with its code.
///
/// # Errors
/// Whatever keeps the program from being run as it was asked for.
pub fn run(split: Split, options: RunOptions, key: Option<record::Key>) -> Result<ExitCode, Error> {
    let goal = match options.dry_run {
        true => Goal::Show,
        false => Goal::Run,
    };
    let Ready {
        context,
        interpreter,
        provided,
        runtime,
        plan,
        beginning,
        lesson,
        needs,
        recorded,
        _held,
    } = ready(split, &options, goal)?;
    if goal == Goal::Show {
        let environment = provided.as_ref().map(|provided| &provided.environment);
        match options.format {
            Format::Text => dry_run::print(&plan, &beginning, &runtime, &interpreter, environment),
            Format::Json => super::print_json(&dry_run::json(
                &plan,
                &beginning,
                &runtime,
                &interpreter,
                environment,
            ))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    progress::verbose(&format!(
        "using {} ({}, from {}) and CPython {} ({}), isolation {}: {}",
        runtime.label(),
        runtime.executable,
        runtime.found,
        interpreter.info.version,
        interpreter.key,
        plan.isolation,
        plan.isolation.meaning(),
    ));
    progress::verbose(&format!("starting {beginning}"));
    if let Some(key) = key {
        key.record(&record::Start {
            context: &context,
            options: &options,
            brief: &recorded.brief,
            plan: &plan,
            needs: &needs,
            is_settled: recorded.is_settled,
            files: recorded.files,
            places: recorded.places,
            resolution: provided.as_ref().and_then(|p| p.resolution.clone()),
        });
    }
    let held = context
        .store
        .hold_all(needs.iter().map(Utf8PathBuf::as_path))?;
    drop(provided);
    carry_out(&plan, held, || {
        if let (Some(lesson), Some(file)) = (&lesson, &plan.watch.imports) {
            lesson.learn(&context.store, file);
        }
    })
}

/// Runs a program as it was run before, if all that this takes is still there.
///
/// # Errors
/// As [`run`].
pub fn again(found: record::Found) -> Result<Option<ExitCode>, Error> {
    let needs = || found.needs.iter().map(Utf8PathBuf::as_path);
    let held = found.store.hold_all(needs())?;
    if !needs().all(Utf8Path::exists) {
        return Ok(None);
    }
    carry_out(&found.plan, held, || {}).map(Some)
}

/// Launches a plan. Nothing of the store that the program needs is pruned while it runs. `look` is
/// called before what the run left is removed.
fn carry_out(plan: &Plan, held: Vec<Use>, look: impl FnOnce()) -> Result<ExitCode, Error> {
    launch::process::close_on_exec().map_err(|source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    })?;
    held.iter().for_each(Use::pass_on);
    let outcome = launch::run(plan, look)?;
    drop(held);
    Ok(launch::finish(outcome))
}

/// Makes all that a later run of a program needs, and does not run it.
///
/// # Errors
/// As [`run`]; the runtime cannot compile the interpreter.
pub fn warm(split: Split, options: RunOptions) -> Result<ExitCode, Error> {
    let Ready {
        interpreter,
        runtime,
        provided,
        ..
    } = ready(split, &options, Goal::Warm)?;
    let compiled = match runtime.descriptor.compile {
        Some(_) => "compiled",
        // There is nothing to be done for it.
        None => "ready",
    };
    progress::note(&format!(
        "CPython {} is {compiled} for {}{}",
        interpreter.info.version,
        runtime.label(),
        match provided.map_or(0, |provided| provided.environment.info.packages.len()) {
            0 => String::new(),
            1 => ", and 1 package for CPython".to_owned(),
            many => format!(", and {many} packages for CPython"),
        }
    ));
    Ok(ExitCode::SUCCESS)
}

fn ready(split: Split, options: &RunOptions, goal: Goal) -> Result<Ready, Error> {
    progress::init(split.verbosity(options));
    let script = match &split.program {
        Program::Script(path) => packages::header(&current_folder()?.join(path))?,
        _ => None,
    };
    let mut context = Context::load_for(partial(options)?, script.as_ref())?;
    if context.config.tmp_size.value.is_some() {
        // Here, where there are no other threads yet.
        context.fence.mounts = launch::fence::own_mounts();
    }
    // What was agreed to may be agreed to for once, or taken back.
    let asks_nothing = context.config.asks.is_empty();
    trust::settle(&mut context, script.as_ref().map(|script| &*script.path))?;
    context.allow_vulnerable = options.allow_vulnerable_runtime;
    let is_command = options.entry.is_some();
    let brief = packages::brief_of_run(
        &split.program,
        script.as_ref(),
        is_command,
        &options.packages,
        &context,
    )?;
    let mut request = request(split, options, &context)?;
    let (interpreter, held) = context.held_interpreter(&brief, options.platform()?)?;
    let bytecode = match goal {
        Goal::Warm => Bytecode::Now,
        Goal::Run | Goal::Show => Bytecode::SecondRun,
    };
    let provided = packages::provide(&context, &brief, &interpreter, bytecode)?;
    if let Some(provided) = &provided {
        request.roots.clone_from(&provided.roots);
    }
    let environment = provided.as_ref().map(|provided| &provided.environment);
    let Chosen {
        runtime,
        plan,
        beginning,
        lesson,
        needs,
        is_settled,
        mut files,
        held: snapshot,
    } = choose(&context, &request, &interpreter, environment, options, goal)?;
    files.extend(provided.iter().flat_map(|p| p.looked_for.clone()));
    let recorded = Recorded {
        is_settled: is_settled
            && asks_nothing
            && is_recordable(&context, &request, &brief, provided.as_ref()),
        brief,
        files,
        places: places(&request),
    };
    Ok(Ready {
        context,
        interpreter,
        provided,
        runtime,
        plan,
        beginning,
        lesson,
        needs,
        recorded,
        _held: held.into_iter().chain(snapshot).collect(),
    })
}

/// Whether the choice of interpreter and packages is one that the next start would make again.
fn is_recordable(
    context: &Context,
    request: &Request,
    brief: &Brief,
    provided: Option<&Provided>,
) -> bool {
    let names_python = context.config.python.value.as_deref();
    let is_path = |text| matches!(Wanted::parse(text), Ok(Wanted::Path(_)));
    // A project's files are many.
    let may_have_project = matches!(
        request.program,
        request::Program::Module(_) | request::Program::Command(_)
    );
    let has_packages = match provided {
        None => brief.is_empty(),
        Some(provided) => {
            provided.resolution.is_some()
                && environment::compiled_key(&provided.environment.key).is_none()
        }
    };
    has_packages
        && !names_python.is_some_and(is_path)
        && !(may_have_project && brief.lock.is_some())
}

/// The paths that a request names, as they are written.
fn places(request: &Request) -> Vec<Utf8PathBuf> {
    let mut places: Vec<_> = request
        .mounts
        .iter()
        .map(|spec| spec.host.clone())
        .collect();
    if let request::Program::Script(written) = &request.program {
        places.push(request.caller_cwd.join(written));
    }
    places
}

/// What a program is run on, and how.
struct Chosen {
    runtime: Runtime,
    plan: Plan,
    beginning: Beginning,
    /// What is to be learned from it.
    lesson: Option<Lesson>,
    needs: Vec<Utf8PathBuf>,
    /// There is nothing that would make the next start a better one.
    is_settled: bool,
    /// What was looked at for it.
    files: Vec<Utf8PathBuf>,
    held: Option<Use>,
}

/// The first runtime that can hold the sandbox, with the plan and all that it needs of the host.
fn choose(
    context: &Context,
    request: &Request,
    interpreter: &Interpreter,
    environment: Option<&Environment>,
    options: &RunOptions,
    goal: Goal,
) -> Result<Chosen, Error> {
    let platform = options.platform()?;
    let scratch = match goal {
        Goal::Show => launch::scratch::choose_apart(),
        Goal::Run | Goal::Warm => launch::scratch::choose(),
    };
    let mut sandbox = request::grants::sandbox(request, interpreter, environment, &scratch)?;
    // Only where nothing is left to remove, or a fence keeps programs from changing it.
    let is_held = context.fence.missing().is_none() && goal != Goal::Show;
    if !request.private_tmp || is_held {
        keep_root(&mut sandbox, &context.store)?;
    }
    let mut first_error = None;
    for runtime in context.candidates(interpreter.info.system())? {
        let adaptations = &runtime.descriptor.quirks.adaptations;
        let mut module = interpreter.adapted_module(adaptations, &context.store);
        module.compiled = compile::known(context, &runtime, &module);
        let required = context.required(&runtime, platform);
        match context.plan(&sandbox, &runtime, &module, required) {
            Ok(mut plan) => {
                let candidate = Candidate {
                    context,
                    request,
                    sandbox: &sandbox,
                    interpreter,
                    environment,
                    runtime: &runtime,
                };
                let effort = match goal {
                    Goal::Show => Effort::Look,
                    Goal::Run => Effort::SecondRun,
                    Goal::Warm => Effort::Now,
                };
                let start = candidate.start(effort)?;
                let is_snapshot = matches!(start.beginning, Beginning::Snapshot { .. });
                if is_snapshot {
                    module = start.module.clone();
                    module.compiled = compile::known(context, &runtime, &module);
                    sandbox = candidate.from_snapshot(&start);
                }
                if is_snapshot || start.lesson.is_some() {
                    sandbox.teaches = start.lesson.is_some();
                    plan = context.plan(&sandbox, &runtime, &module, required)?;
                }
                interpreter.adapted(adaptations, &context.store)?;
                if module.compiled.is_none() {
                    let subject = Subject {
                        module: &module,
                        what: &format!("CPython {}", interpreter.info.version),
                        library: &[interpreter.library_mount()],
                    };
                    module.compiled = match goal {
                        Goal::Show => None,
                        Goal::Run => compile::before_run(context, &runtime, &subject)?,
                        Goal::Warm => compile::on_purpose(context, &runtime, &subject)?,
                    };
                    if module.compiled.is_some() {
                        plan = context.plan(&sandbox, &runtime, &module, required)?;
                    }
                }
                let mut needs = vec![
                    plan.program.clone(),
                    module.file().to_owned(),
                    interpreter.folder.clone(),
                ];
                needs.extend(runtime.host_script.clone());
                needs.extend(sandbox.mounts.iter().map(|mount| mount.host.clone()));
                let mut files = vec![module.file().to_owned(), runtime.executable.clone()];
                // One that comes later is to be found.
                let lean = runtime.descriptor.compile.as_ref();
                let lean = lean.and_then(|compile| compile.lean.as_ref());
                files.extend(lean.map(|lean| lean.beside(&runtime.executable)));
                let key = compiled::key(&runtime, &module);
                if let (Some(key), None) = (&key, &module.compiled) {
                    files.push(context.store.place(Kind::Compiled, key));
                }
                if let request::Program::Script(written) = &request.program {
                    files.push(request.caller_cwd.join(written));
                }
                if let request::Program::Module(_) = &request.program {
                    let folders = request.caller_cwd.ancestors();
                    files.extend(folders.map(|folder| folder.join("pyproject.toml")));
                }
                let is_slow = |compile: &Compile| compile.slow;
                return Ok(Chosen {
                    is_settled: start.is_settled
                        && (module.compiled.is_some()
                            || runtime.descriptor.compile.as_ref().is_none_or(is_slow)),
                    runtime,
                    plan,
                    beginning: start.beginning,
                    lesson: start.lesson,
                    held: start.held,
                    needs,
                    files,
                });
            }
            Err(error @ Error::Refused { .. }) => {
                progress::verbose(&format!("passing over {}: {error}", runtime.label()));
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first_error.unwrap_or(Error::Internal {
        message: "no runtime to choose from".into(),
    }))
}

/// Takes the skeleton of `/` from the store instead of making it for this run, which takes less
/// time. With nothing else left to remove, pyw can become the runtime.
fn keep_root(sandbox: &mut Sandbox, store: &Store) -> Result<(), Error> {
    let Some(scratch) = &mut sandbox.scratch else {
        return Ok(());
    };
    let root = sandbox
        .mounts
        .iter_mut()
        .find(|mount| mount.purpose == Purpose::Root);
    let Some(root) = root else { return Ok(()) };
    let inside = |path: &Utf8PathBuf| path.strip_prefix(&root.host).ok().map(Utf8Path::to_owned);
    let folders: Vec<Utf8PathBuf> = scratch.folders.iter().filter_map(inside).collect();
    let files: Vec<Utf8PathBuf> = scratch.files.iter().filter_map(inside).collect();
    let key = crate::store::hash::Sha256::of(format!("{folders:?}{files:?}").as_bytes());
    let kept = store.get_or_create::<StoreError>(Kind::Root, &key.to_string(), |staging| {
        for folder in &folders {
            let path = staging.join(folder);
            std::fs::create_dir_all(&path)
                .map_err(|e| StoreError::io("make the folder", &path, e))?;
        }
        for file in &files {
            let path = staging.join(file);
            std::fs::write(&path, b"").map_err(|e| StoreError::io("write", &path, e))?;
        }
        Ok(())
    })?;
    let old = std::mem::replace(&mut root.host, kept);
    scratch.folders.retain(|path| !path.starts_with(&old));
    scratch.files.retain(|path| !path.starts_with(&old));
    Ok(())
}

/// What the command line says about settings.
fn partial(options: &RunOptions) -> Result<Partial, Error> {
    let wrong = |flag: &str| {
        let flag = flag.to_owned();
        move |message: String| Error::usage(format!("{flag}: {message}"))
    };
    let runtime = options
        .runtime
        .as_deref()
        .map(RuntimeChoice::parse)
        .transpose();
    let memory = options.memory.as_deref().map(parse_size).transpose();
    let stack = options.stack.as_deref().map(parse_size).transpose();
    let timeout = options.timeout.as_deref().map(parse_duration).transpose();
    let cpu_time = options.cpu_time.as_deref().map(parse_duration).transpose();
    let output_size = options.output_size.as_deref().map(parse_size).transpose();
    let tmp_size = options.tmp_size.as_deref().map(parse_size).transpose();
    let open_files = options.open_files.as_deref().map(parse_count).transpose();
    let isolation = options.require_isolation.as_deref();
    let isolation = isolation.map(str::parse::<IsolationLevel>).transpose();
    let network = match options.network.as_deref() {
        None => None,
        Some("none") => Some(Network::None),
        Some("host") => Some(Network::Host),
        Some(other) => {
            return Err(wrong("--network")(format!(
                "`{other}` is not a network; write `none` or `host`"
            )));
        }
    };
    let mounts = options
        .mounts
        .iter()
        .map(|text| MountSpec::parse(text).map_err(|e| e.to_string()));
    let specs = options
        .env
        .iter()
        .map(|text| EnvSpec::parse(text).map_err(|e| e.to_string()));
    let mut env_files = Vec::new();
    for file in &options.env_files {
        let read = env::read_file(camino::Utf8Path::new(file));
        env_files.extend(read.map_err(|e| wrong("--env-file")(e.to_string()))?);
    }
    Ok(Partial {
        runtime: runtime.map_err(wrong("--runtime"))?,
        runtimes: None,
        python: options.python.clone(),
        store: None,
        offline: options.offline.then_some(true),
        snapshots: options.no_snapshot.then_some(false),
        network,
        memory: memory.map_err(wrong("--memory"))?,
        stack: stack.map_err(wrong("--stack"))?,
        timeout: timeout.map_err(wrong("--timeout"))?,
        cpu_time: cpu_time.map_err(wrong("--cpu-time"))?,
        output_size: output_size.map_err(wrong("--output-size"))?,
        tmp_size: tmp_size.map_err(wrong("--tmp-size"))?,
        open_files: open_files.map_err(wrong("--open-files"))?,
        isolation: isolation.map_err(wrong("--require-isolation"))?,
        cwd: options.cwd.clone(),
        mounts: mounts.collect::<Result<_, _>>().map_err(wrong("--mount"))?,
        env_files,
        env: specs.collect::<Result<_, _>>().map_err(wrong("--env"))?,
    })
}

fn endpoints(options: &RunOptions) -> Result<Vec<Endpoint>, Error> {
    let texts = options.allow_net.iter();
    texts
        .map(|text| text.parse())
        .collect::<Result<_, String>>()
        .map_err(|message| Error::usage(format!("--allow-net: {message}")))
}

fn request(split: Split, options: &RunOptions, context: &Context) -> Result<Request, Error> {
    let config = &context.config;
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && request::inherited(name)
        {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    let specs = config.env.iter().map(|setting| &setting.value);
    env::apply(specs, |name| std::env::var_os(name), &mut variables)
        .map_err(|e| Error::usage(e.to_string()))?;
    Ok(Request {
        program: match &options.entry {
            Some(name) => request::Program::Command(name.clone()),
            None => split.program.into(),
        },
        python_options: split.python,
        args: split.args,
        mounts: config
            .mounts
            .iter()
            .map(|setting| setting.value.clone())
            .collect(),
        roots: Vec::new(),
        env: variables,
        cwd: config.cwd.value.clone(),
        network: config.network.value,
        endpoints: endpoints(options)?,
        limits: Limits {
            memory: config.memory.value,
            stack: config.stack.value,
            timeout: config.timeout.value,
            cpu_time: config.cpu_time.value,
            output_size: config.output_size.value,
            tmp_size: config.tmp_size.value,
            open_files: config.open_files.value,
        },
        terminals: Terminals {
            stdin: std::io::stdin().is_terminal(),
            // What is counted goes through a pipe.
            stdout: config.output_size.value.is_none() && std::io::stdout().is_terminal(),
            stderr: config.output_size.value.is_none() && std::io::stderr().is_terminal(),
            size: launch::terminal_size(),
        },
        private_tmp: !options.no_tmp,
        javascript: options.js,
        caller_cwd: current_folder()?,
        home: context.home.clone(),
    })
}
