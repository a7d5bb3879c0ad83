//! Whether a run can begin from a snapshot, or what it asks for needs CPython's own start-up.
//!
//! A snapshot's start-up is over: options, variables and the locale that it looks at can no longer
//! change anything. What `guest/resume.py` can make up for is allowed here, and nothing else.

use super::{Program, Request};
use crate::interpreter::snapshot::SLOTS;
use crate::sandbox::Sandbox;

/// Python's options that a snapshot's start can make up for.
const OPTIONS: &str = "BEIPqsucm";

/// Variables of Python's own that it can make up for.
const VARIABLES: [&str; 2] = ["PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"];

/// What the variables are that choose the locale, the first one first.
const LOCALE: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// Preopens that a plan may add to the sandbox's mounts.
const SPARE_SLOTS: usize = 2;

/// The most that the guest paths of all mounts may take, in bytes.
const PATHS: usize = 16 * 1024;

/// Why a run cannot begin from a snapshot; `None` if it can. Looks at what was asked for only.
#[must_use]
pub fn unfit(request: &Request, sandbox: &Sandbox) -> Option<String> {
    for cluster in &request.python_options {
        let letters = cluster.strip_prefix('-').unwrap_or(cluster);
        if let Some(letter) = letters.chars().find(|letter| !OPTIONS.contains(*letter)) {
            return Some(format!("-{letter} changes how Python starts"));
        }
    }
    match request.program {
        Program::Prompt | Program::Stdin if request.terminals.stdin => {
            return Some("the prompt is CPython's own".into());
        }
        _ => {}
    }
    let python = |name: &&String| name.starts_with("PYTHON") && !VARIABLES.contains(&name.as_str());
    if let Some(name) = sandbox.env.keys().find(python) {
        return Some(format!("{name} changes how Python starts"));
    }
    let chosen = LOCALE
        .iter()
        .find_map(|name| Some((name, sandbox.env.get(*name).filter(|v| !v.is_empty())?)));
    if let Some((name, value)) = chosen.filter(|(_, value)| matches!(value.as_str(), "C" | "POSIX"))
    {
        return Some(format!("{name}={value} changes how Python starts"));
    }
    if sandbox.mounts.len() + SPARE_SLOTS > SLOTS {
        return Some(format!(
            "a snapshot has room for {} mounts, and these are {}",
            SLOTS - SPARE_SLOTS,
            sandbox.mounts.len()
        ));
    }
    if sandbox.mounts.iter().map(|m| m.guest.len()).sum::<usize>() > PATHS {
        return Some("the paths of the mounts are too long for a snapshot".into());
    }
    None
}
