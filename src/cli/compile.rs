//! Having a runtime compile modules, so that no start has to.

use std::time::Duration;

use super::context::Context;
use crate::error::Error;
use crate::interpreter::{Compiled, Module};
use crate::launch;
use crate::plan;
use crate::runtime::{Runtime, RuntimeError, compiled};
use crate::sandbox::{IsolationLevel, Sandbox};
use crate::ui::progress::{self, Progress};

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
    module: &Module,
    what: &str,
) -> Result<Option<Compiled>, Error> {
    match &runtime.descriptor.compile {
        None => Ok(None),
        Some(compile) if compile.slow => {
            progress::verbose(&format!(
                "{} interprets {what}; compiling it takes minutes, once: pyw warm --runtime {}",
                runtime.label(),
                runtime.descriptor.name
            ));
            Ok(None)
        }
        // One that failed was told of before.
        Some(_) if compiled::find(runtime, module, &context.store).is_err() => Ok(None),
        Some(_) => match compile(context, runtime, module, what)? {
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
    module: &Module,
    what: &str,
) -> Result<Option<Compiled>, Error> {
    if compiled::find(runtime, module, &context.store).is_err() {
        compiled::forget(runtime, module, &context.store)?;
    }
    compile(context, runtime, module, what)?.map_err(|reason| {
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
    module: &Module,
    what: &str,
) -> Result<Result<Option<Compiled>, String>, Error> {
    if runtime.descriptor.compile.is_none() {
        return Ok(Ok(None));
    }
    let _spinner = Progress::spinner(&format!("{} compiles {what}, once", runtime.label()));
    let make = |output: &Compiled| match plan::compiling(runtime, &context.fence, module, output) {
        Some(plan) => launch::capture(&plan, &|| {}),
        None => Err(format!("{} does not compile", runtime.label())),
    };
    let start = |output: &Compiled| {
        let module = Module {
            compiled: Some(output.clone()),
            ..module.clone()
        };
        // Answered before anything is read.
        let sandbox = Sandbox::bare(vec!["-V".to_owned()]);
        let plan = context.plan(&sandbox, runtime, &module, IsolationLevel::None);
        launch::capture(&plan.map_err(|error| error.to_string())?, &|| {})
    };
    let store = &context.store;
    Ok(compiled::make(runtime, module, store, make, start)?)
}

fn refused(runtime: &Runtime, reason: &str) -> String {
    format!(
        "{} could not compile the interpreter ahead, so that every start is slow: {reason}",
        runtime.label()
    )
}
