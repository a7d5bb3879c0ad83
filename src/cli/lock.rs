//! `pyw lock`: the exact packages of a script or project, written down.

use std::io::Write as _;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use super::context::Context;
use super::options::{Common, Subject};
use super::packages;
use crate::config::Partial;
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::package::lock::{Lock, LockError};
use crate::package::{Brief, blueprint};

/// Carries the command out.
///
/// # Errors
/// The packages cannot be had together, or the lock cannot be written; with `check`, the lock is
/// missing or does not match.
pub fn execute(
    subject: &Subject,
    output: Option<&str>,
    check: bool,
    common: &Common,
) -> Result<ExitCode, Error> {
    if subject.packages.locked {
        return Err(Error::Usage {
            message: "`pyw lock` writes the lock; to see whether it still matches, say --check"
                .into(),
            see: "pyw help lock".into(),
        });
    }
    let (context, brief) = load(subject, common)?;
    let interpreter = context.interpreter_for(&brief, subject.platform()?)?;
    let path = place(&brief, output, &context)?;
    if check {
        return check_lock(&brief, &interpreter, &path);
    }
    let old = blueprint::read_lock(&path)?;
    let lock = make(&context, &brief, &interpreter, old.as_ref(), &path)?;
    if output == Some("-") {
        anstream::print!("{}", lock.to_toml());
        return Ok(ExitCode::SUCCESS);
    }
    let text = lock.to_toml();
    let shown = path.strip_prefix(&context.cwd).unwrap_or(&path);
    if std::fs::read_to_string(&path).is_ok_and(|before| before == text) {
        anstream::println!("{shown} is as it should be ({})", count(&lock));
        return Ok(ExitCode::SUCCESS);
    }
    write(&path, &text)?;
    anstream::println!("wrote {shown} ({})", count(&lock));
    for line in changes(old.as_ref(), &lock) {
        anstream::println!("  {line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The context of a command about a script or project, and what that is to have.
///
/// # Errors
/// The configuration, the script or the project is wrong.
pub fn load(subject: &Subject, common: &Common) -> Result<(Context, Brief), Error> {
    let partial = Partial {
        offline: common.offline.then_some(true),
        python: subject.python.clone(),
        ..Partial::default()
    };
    let cwd = super::context::current_folder()?;
    let script = match &subject.target {
        Some(target) => packages::header(&cwd.join(target))?,
        None => None,
    };
    let context = Context::load_for(partial, script.as_ref())?;
    let brief = packages::brief_of_subject(subject, script.as_ref(), &context)?;
    Ok((context, brief))
}

/// The lock for a brief, near the old one.
///
/// # Errors
/// The packages cannot be had together.
pub fn make(
    context: &Context,
    brief: &Brief,
    interpreter: &Interpreter,
    old: Option<&Lock>,
    path: &Utf8Path,
) -> Result<Lock, Error> {
    let index = packages::index(context, brief, interpreter)?;
    let preferences = old.map(blueprint::versions_of).unwrap_or_default();
    let store = &context.store;
    let resolution = blueprint::resolve_anew(brief, interpreter, &index, store, preferences)?;
    let folder = path.parent().unwrap_or(&context.cwd);
    Ok(Lock::of(
        &resolution,
        &interpreter.info,
        &interpreter.key,
        brief.inputs(),
        brief.requires_python(),
        folder,
    )?)
}

/// Where the lock goes.
fn place(brief: &Brief, output: Option<&str>, context: &Context) -> Result<Utf8PathBuf, Error> {
    if brief.lock.is_some() && brief.has_more_than_its_own() && brief.constraints.is_empty() {
        return Err(Error::Usage {
            message: "a lock has what the script or project itself asks for, so --with is of no \
                      use here; to lock other packages, say --no-project and -o FILE"
                .into(),
            see: "pyw help lock".into(),
        });
    }
    match (output, &brief.lock) {
        (Some("-"), _) => Ok(context.cwd.join("pylock.toml")),
        (Some(file), _) if crate::package::lock::is_lock(Utf8Path::new(file)) => {
            Ok(context.cwd.join(file))
        }
        (Some(file), _) => Err(Error::Usage {
            message: format!(
                "`{file}` is no name of a lock, which is pylock.toml or pylock.NAME.toml"
            ),
            see: "pyw help lock".into(),
        }),
        (None, Some(path)) => Ok(path.clone()),
        (None, None) if !brief.is_empty() => Ok(context.cwd.join("pylock.toml")),
        (None, None) => Err(nothing(context)),
    }
}

/// The failure of a command that needs a script or project and finds none.
#[must_use]
pub fn nothing(context: &Context) -> Error {
    Error::Usage {
        message: format!(
            "there is no pyproject.toml in {} or above it; name a script or a project's folder",
            context.cwd
        ),
        see: "pyw help lock".into(),
    }
}

fn check_lock(
    brief: &Brief,
    interpreter: &Interpreter,
    path: &Utf8Path,
) -> Result<ExitCode, Error> {
    let path = path.to_owned();
    let Some(lock) = blueprint::read_lock(&path)? else {
        return Err(LockError::Missing { path }.into());
    };
    if let Err(why) = lock.still_matches(brief.inputs(), &interpreter.info) {
        return Err(LockError::Stale { path, why }.into());
    }
    anstream::println!("{path} matches ({})", count(&lock));
    Ok(ExitCode::SUCCESS)
}

fn count(lock: &Lock) -> String {
    match lock.packages.len() {
        1 => "1 package".to_owned(),
        n => format!("{n} packages"),
    }
}

/// What is new, gone or of another version, one a line.
fn changes(old: Option<&Lock>, new: &Lock) -> Vec<String> {
    let Some(old) = old else { return Vec::new() };
    let before = blueprint::versions_of(old);
    let after = blueprint::versions_of(new);
    let mut lines = Vec::new();
    for (name, version) in &after {
        match before.get(name) {
            None => lines.push(format!("+ {name} {version}")),
            Some(was) if was != version => lines.push(format!("~ {name} {was} → {version}")),
            Some(_) => {}
        }
    }
    for (name, version) in &before {
        if !after.contains_key(name) {
            lines.push(format!("- {name} {version}"));
        }
    }
    lines
}

/// Writes a file that appears whole or not at all, with the rights that the user's files have.
///
/// # Errors
/// The folder cannot be written.
pub fn write(path: &Utf8Path, text: &str) -> Result<(), LockError> {
    // A link stays one: what it leads to is replaced.
    let path = crate::paths::real(path);
    let failed = |source| LockError::Io {
        action: "write",
        path: path.clone(),
        source,
    };
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The user's mask narrows it, as for any other file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder
        .tempfile_in(folder.unwrap_or(Utf8Path::new(".")))
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}
