//! Having a runtime compile modules, so that no start has to.

use std::time::Duration;

use camino::Utf8Path;

use super::context::Context;
use crate::error::Error;
use crate::interpreter::{Compiled, Module};
use crate::launch;
use crate::plan::{self, Plan};
use crate::runtime::{Runtime, RuntimeError, compiled};
use crate::sandbox::{IsolationLevel, Mount, Sandbox, Scratch};
use crate::ui::progress::{self, Progress};

/// What is to be compiled.
pub struct Subject<'a> {
    pub module: &'a Module,
    /// For people.
    pub what: &'a str,
    /// The mounts with which its Python starts.
    pub library: &'a [Mount],
}

/// The module as it was compiled before. Why it could not be is told on request only: the program
/// runs all the same.
pub fn known(context: &Context, runtime: &Runtime, module: &Module) -> Option<Compiled> {
    match compiled::find(runtime, module, &context.store) {
        Ok(found) => found,
        Err(reason) => {
            progress::verbose(&refused(runtime, &reason));
            None
        }
    }
}

/// Compiles a module before it is run, where that takes seconds. Where it takes minutes, a run goes
/// without; [`on_purpose`] is for that.
///
/// # Errors
/// The store cannot be written. That the runtime can't compile it is no error.
pub fn before_run(
    context: &Context,
    runtime: &Runtime,
    subject: &Subject<'_>,
) -> Result<Option<Compiled>, Error> {
    match &runtime.descriptor.compile {
        None => Ok(None),
        Some(compile) if compile.slow => {
            progress::verbose(&format!(
                "{} interprets {}; compiling it takes minutes, once: pyw warm --runtime {}",
                runtime.label(),
                subject.what,
                runtime.descriptor.name
            ));
            Ok(None)
        }
        // One that failed was told of before.
        Some(_) if compiled::find(runtime, subject.module, &context.store).is_err() => Ok(None),
        Some(_) => match compile(context, runtime, subject)? {
            Ok(file) => Ok(file),
            Err(reason) => {
                progress::note(&refused(runtime, &reason));
                Ok(None)
            }
        },
    }
}

/// Compiles a module, however long it takes and whatever came of it before.
///
/// # Errors
/// The store cannot be written, or the runtime can't compile the module.
pub fn on_purpose(
    context: &Context,
    runtime: &Runtime,
    subject: &Subject<'_>,
) -> Result<Option<Compiled>, Error> {
    if compiled::find(runtime, subject.module, &context.store).is_err() {
        compiled::forget(runtime, subject.module, &context.store)?;
    }
    compile(context, runtime, subject)?.map_err(|reason| {
        let name = runtime.label();
        Error::Runtime(RuntimeError::NotCompiled { name, reason })
    })
}

/// How long a run that pyw makes for itself may take, for instance to take a snapshot. What is
/// imported there could wait for ever. Otherwise it takes a few seconds, and up to half a minute
/// where the runtime first compiles the module; one that interprets took a minute and a half for all
/// of it.
#[must_use]
pub fn patience(runtime: &Runtime, module: &Module) -> Duration {
    const COMPILED: Duration = Duration::from_secs(120);
    const INTERPRETED: Duration = Duration::from_secs(600);
    let slow = runtime.descriptor.compile.as_ref().is_some_and(|c| c.slow);
    match slow && module.compiled.is_none() {
        true => INTERPRETED,
        false => COMPILED,
    }
}

fn compile(
    context: &Context,
    runtime: &Runtime,
    subject: &Subject<'_>,
) -> Result<Result<Option<Compiled>, String>, Error> {
    if runtime.descriptor.compile.is_none() {
        return Ok(Ok(None));
    }
    let Subject {
        module,
        what,
        library,
    } = subject;
    let _spinner = Progress::spinner(&format!("{} compiles {what}, once", runtime.label()));
    let make = |output: &Compiled| match runtime.host_script {
        Some(_) => {
            let plan = training(context, runtime, module, library, &output.file);
            launch::capture(&plan.map_err(|error| error.to_string())?, &|| {})
        }
        None => match plan::compiling(runtime, &context.fence, module, output) {
            Some(plan) => launch::capture(&plan, &|| {}),
            None => Err(format!("{} does not compile", runtime.label())),
        },
    };
    let start = |output: &Compiled| {
        let module = Module {
            compiled: Some(output.clone()),
            ..Module::clone(module)
        };
        // Answered before anything is read.
        let sandbox = alone(&["-V"]);
        let plan = context.plan(&sandbox, runtime, &module, IsolationLevel::None);
        launch::capture(&plan.map_err(|error| error.to_string())?, &|| {})
    };
    let store = &context.store;
    Ok(compiled::make(runtime, module, store, make, start)?)
}

/// A run of Python's, of which a host script keeps what its runtime compiled.
fn training(
    context: &Context,
    runtime: &Runtime,
    module: &Module,
    library: &[Mount],
    output: &Utf8Path,
) -> Result<Plan, Error> {
    let mut sandbox = alone(&["-c", crate::guest::TRAINING]);
    sandbox.mounts = library.to_vec();
    let output = Some(output);
    let mut plan = context.plan_to(&sandbox, runtime, module, IsolationLevel::None, output)?;
    plan.watch.timeout = Some(patience(runtime, module));
    Ok(plan)
}

/// A sandbox in which pyw runs something for itself.
#[must_use]
pub fn alone(args: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::bare(args.iter().map(|arg| (*arg).to_owned()).collect());
    // For what a host script has to be told.
    sandbox.scratch = Some(Scratch {
        root: launch::scratch::choose(),
        ..Scratch::default()
    });
    sandbox
}

fn refused(runtime: &Runtime, reason: &str) -> String {
    format!(
        "{} could not compile the interpreter ahead, so that every start is slow: {reason}",
        runtime.label()
    )
}
