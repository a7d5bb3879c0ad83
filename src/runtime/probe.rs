//! Asking an executable which version it is, once for each build of it.

use std::io::Read as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::descriptor::Probe;
use super::error::RuntimeError;
use crate::store::stamp::Stamp;
use crate::store::{Sha256, Store};

/// The cache of the store that holds what executables answered.
pub const CACHE: &str = "probes";

/// What an executable answered, kept so that it need not be started to be asked again.
#[derive(Serialize, Deserialize)]
struct Answer {
    stamp: Stamp,
    /// A changed descriptor asks anew.
    args: Vec<String>,
    text: String,
}

/// Longer than any working runtime takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first line that `executable` answers with, now or when it was asked before. `fixed` says that
/// its file alone decides what it answers, which is not so for a script that starts something else.
///
/// # Errors
/// It does not start, fails, hangs, or is another program.
pub fn answer(
    name: &str,
    executable: &Utf8Path,
    probe: &Probe,
    fixed: bool,
    store: &Store,
) -> Result<String, RuntimeError> {
    let key = Sha256::of(executable.as_str().as_bytes()).to_string();
    let stamp = Stamp::of(executable).filter(|_| fixed);
    let known = stamp
        .and_then(|_| store.note::<Answer>(CACHE, &key))
        .filter(|answer| Some(answer.stamp) == stamp && answer.args == probe.args);
    let answer = match known {
        Some(known) => known.text,
        None => {
            let text = ask(executable, &probe.args)?;
            // What is written while it is asked is found out the next time.
            if let Some(stamp) = stamp {
                let args = probe.args.clone();
                let text = text.clone();
                store.put_note(CACHE, &key, &Answer { stamp, args, text });
            }
            text
        }
    };
    let first = answer.lines().next().unwrap_or_default().trim();
    if !first.starts_with(&probe.prefix) || !first.contains(&probe.contains) {
        return Err(RuntimeError::ProbeOther {
            name: name.to_owned(),
            path: executable.to_owned(),
            args: probe.args.join(" "),
            answer: first.chars().take(80).collect(),
        });
    }
    Ok(first.to_owned())
}

/// The version that an [`answer`] tells; `None` where it tells none.
///
/// # Errors
/// It is older than the descriptor allows.
pub fn version(
    name: &str,
    executable: &Utf8Path,
    probe: &Probe,
    answer: &str,
) -> Result<Option<semver::Version>, RuntimeError> {
    let version = answer.split_whitespace().find_map(parse);
    if let (Some(version), Some(minimum)) = (&version, &probe.minimum)
        && version < minimum
    {
        return Err(RuntimeError::TooOld {
            name: name.to_owned(),
            path: executable.to_owned(),
            version: version.to_string(),
            minimum: minimum.to_string(),
        });
    }
    Ok(version)
}

/// A version as runtimes write it: `49.0.3`, `v24.1.0`, `0.17.1-rc.1`.
fn parse(word: &str) -> Option<semver::Version> {
    semver::Version::parse(word.strip_prefix('v').unwrap_or(word)).ok()
}

fn ask(executable: &Utf8Path, args: &[String]) -> Result<String, RuntimeError> {
    let failed = |reason: String| RuntimeError::ProbeFailed {
        path: executable.to_owned(),
        args: args.join(" "),
        reason,
    };
    let mut command = std::process::Command::new(executable);
    command
        .args(args)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    // The answer is short, so reading it after the end cannot block the child; a child that
    // fills both pipes is one that hangs.
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(RuntimeError::ProbeHung {
                path: executable.to_owned(),
                args: args.join(" "),
                seconds: PATIENCE.as_secs(),
            });
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    let mut out = String::new();
    let mut err = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(64 * 1024).read_to_end(&mut bytes);
        out = String::from_utf8_lossy(&bytes).into_owned();
    }
    if !status.success() {
        if let Some(pipe) = child.stderr.take() {
            let _ = pipe.take(4096).read_to_end(&mut err);
        }
        let err = String::from_utf8_lossy(&err);
        let said = err.lines().next().unwrap_or_default().trim();
        return Err(failed(if said.is_empty() {
            status.to_string()
        } else {
            format!("{status}: {said}")
        }));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_every_spelling() {
        let find = |line: &str| {
            line.split_whitespace()
                .find_map(parse)
                .map(|v| v.to_string())
        };
        assert_eq!(
            find("wasmtime 49.0.3 (f96eabaa1 2026-10-14)").as_deref(),
            Some("49.0.3")
        );
        assert_eq!(
            find("/usr/bin/wasmedge version 0.17.1").as_deref(),
            Some("0.17.1")
        );
        assert_eq!(find("v20.20.2").as_deref(), Some("20.20.2"));
        assert_eq!(find("dev"), None);
    }
}
