//! `pyw trust`, and the question that is asked where a script or project asks for more than it was
//! granted.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use super::context::Context;
use super::options::Common;
use super::packages;
use crate::config::Partial;
use crate::config::asks::Asks;
use crate::error::Error;
use crate::trust::{Trust, TrustError};
use crate::ui::progress;

/// Carries the command out.
///
/// # Errors
/// There is nothing to record or forget, or it cannot be written down.
pub fn execute(
    target: Option<&str>,
    list: bool,
    forget: bool,
    common: &Common,
) -> Result<ExitCode, Error> {
    let partial = Partial {
        offline: common.offline.then_some(true),
        ..Partial::default()
    };
    let cwd = super::context::current_folder()?;
    let path = cwd.join(target.unwrap_or("."));
    if list {
        for record in Trust::load(Context::load(partial)?.config_folder())?.records() {
            anstream::println!("{}", record.file);
            for what in &record.what {
                anstream::println!("  {what}");
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (context, file) = match path.is_dir() {
        true => {
            // Its file is looked for as a run in that folder would.
            std::env::set_current_dir(&path)
                .map_err(|source| crate::request::RequestError::CurrentFolder { source })?;
            (Context::load(partial)?, None)
        }
        false => {
            let header = packages::header(&path)?;
            let context = Context::load_for(partial, header.as_ref())?;
            (context, Some(path.clone()))
        }
    };
    let mut trust = Trust::load(context.config_folder())?;
    let is_meant = |asks: &&Asks| file.as_ref().is_none_or(|file| asks.file == *file);
    let asked: Vec<&Asks> = context.config.asks.iter().filter(is_meant).collect();
    if forget {
        let files = match (&file, asked.as_slice()) {
            (Some(file), _) => vec![file.clone()],
            (None, []) => vec![path],
            (None, asked) => asked.iter().map(|asks| asks.file.clone()).collect(),
        };
        for file in files {
            trust.forget(&file)?;
            anstream::println!("forgot {file}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if asked.is_empty() {
        return Err(TrustError::NothingAsked { file: path }.into());
    }
    for asks in asked {
        trust.record(asks)?;
        anstream::println!("{} may from now on", asks.file);
        for (what, _) in asks.rows() {
            anstream::println!("  {what}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Grants what the project and the script ask for, as far as the user has agreed to it, by the
/// command line, by `pyw trust`, or now.
///
/// # Errors
/// Something is asked for that nobody agreed to.
pub fn settle(context: &mut Context, script: Option<&Utf8Path>) -> Result<(), Error> {
    if context.config.asks.is_empty() {
        return Ok(());
    }
    let open = open_folders(context, script);
    for asks in std::mem::take(&mut context.config.asks) {
        let beyond = asks.beyond(&context.config, &open);
        if !beyond.is_empty() {
            let mut trust = Trust::load(context.config_folder())?;
            // A request is agreed to as a whole, so that what a command line grants today does not
            // make it another one tomorrow.
            if !trust.covers(&asks) {
                match ask(&beyond)? {
                    Answer::Once => {}
                    Answer::Always => trust.record(&asks)?,
                    Answer::No => return Err(Error::NotTrusted { asks: beyond }),
                }
            }
        }
        asks.grant(&mut context.config);
    }
    Ok(())
}

/// The folders that the program sees without asking.
fn open_folders(context: &Context, script: Option<&Utf8Path>) -> Vec<Utf8PathBuf> {
    let mut open = vec![context.cwd.clone()];
    open.extend(
        script
            .and_then(|script| context.cwd.join(script).canonicalize_utf8().ok())
            .and_then(|script| script.parent().map(Utf8Path::to_owned)),
    );
    let home = context.home.as_deref();
    open.retain(|folder| {
        folder.parent().is_some() && !home.is_some_and(|home| home.starts_with(folder))
    });
    open
}

enum Answer {
    Once,
    Always,
    No,
}

/// Asks the user, where there is one to ask.
fn ask(asks: &Asks) -> Result<Answer, Error> {
    let is_dialog = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !is_dialog || progress::is_quiet() {
        return Ok(Answer::No);
    }
    let mut text = format!("pyw: {} asks to\n", asks.file);
    for (what, _) in asks.rows() {
        text.push_str(&format!("  - {what}\n"));
    }
    text.push_str("Allow it? [y] this time, [a] always, [N] no: ");
    let mut stderr = std::io::stderr().lock();
    let mut answer = String::new();
    // Whoever cannot be asked has not agreed.
    if stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush())
        .is_err()
        || std::io::stdin().lock().read_line(&mut answer).is_err()
    {
        return Ok(Answer::No);
    }
    Ok(match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Once,
        "a" | "always" => Answer::Always,
        _ => Answer::No,
    })
}
