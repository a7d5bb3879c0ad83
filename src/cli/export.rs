//! `pyw export`: packages as a requirements file with hashes, for tools that read nothing else.

use std::process::ExitCode;

use camino::Utf8Path;

use super::lock;
use super::options::{Common, Subject};
use crate::error::Error;
use crate::package::blueprint;
use crate::package::lock::{Lock, is_lock};

/// Carries the command out.
///
/// # Errors
/// The lock cannot be read, the packages cannot be had together, or the file cannot be written.
pub fn execute(
    subject: &Subject,
    output: Option<&str>,
    common: &Common,
) -> Result<ExitCode, Error> {
    let text = requirements(subject, common)?;
    match output {
        None | Some("-") => anstream::print!("{text}"),
        Some(file) => lock::write(&super::context::current_folder()?.join(file), &text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn requirements(subject: &Subject, common: &Common) -> Result<String, Error> {
    if let Some(target) = subject.target.as_deref().map(Utf8Path::new)
        && is_lock(target)
    {
        let path = super::context::current_folder()?.join(target);
        return Ok(Lock::read(&path)?.to_requirements(&path)?);
    }
    let (context, brief) = lock::load(subject, common)?;
    if brief.is_empty() && brief.lock.is_none() {
        return Err(lock::nothing(&context));
    }
    let interpreter = context.interpreter_for(&brief, subject.platform()?)?;
    let found = blueprint::own_lock(&brief)?;
    let here = context.cwd.join("pylock.toml");
    if let Some((path, found)) = &found {
        match found.still_matches(brief.inputs(), &interpreter.info) {
            Ok(()) => return Ok(found.to_requirements(path)?),
            Err(why) if brief.locked => {
                let path = path.clone();
                return Err(crate::package::lock::LockError::Stale { path, why }.into());
            }
            Err(_) => {}
        }
    }
    let old = found.as_ref().map(|(_, lock)| lock);
    let made = lock::make(&context, &brief, &interpreter, old, &here)?;
    Ok(made.to_requirements(&here)?)
}
