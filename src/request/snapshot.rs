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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Access, Limits, Mount, Network, Purpose, Terminals};

    fn request(program: Program, options: &[&str], prompt: bool) -> Request {
        Request {
            program,
            python_options: options.iter().map(|text| (*text).to_owned()).collect(),
            args: Vec::new(),
            mounts: Vec::new(),
            roots: Vec::new(),
            env: [].into(),
            cwd: None,
            network: Network::None,
            endpoints: Vec::new(),
            limits: Limits::default(),
            terminals: Terminals {
                stdin: prompt,
                ..Terminals::default()
            },
            private_tmp: true,
            javascript: false,
            caller_cwd: "/".into(),
            home: None,
        }
    }

    fn code() -> Program {
        Program::Code("pass".into())
    }

    /// The reason for a run with these options of Python's and variables; none is an empty one.
    fn reason(options: &[&str], env: &[(&str, &str)]) -> String {
        let mut sandbox = Sandbox::bare(Vec::new());
        for (name, value) in env {
            sandbox.env.insert((*name).to_owned(), (*value).to_owned());
        }
        unfit(&request(code(), options, true), &sandbox).unwrap_or_default()
    }

    #[test]
    fn options_and_variables_that_change_the_start_need_it() {
        for options in [
            &["-c"][..],
            &["-u", "-B", "-c"],
            &["-EIsPq", "-m"],
            &["-Bc"],
        ] {
            assert_eq!(reason(options, &[]), "", "{options:?}");
        }
        for (options, letter) in [
            (&["-O", "-c"][..], 'O'),
            (&["-Bv", "-c"], 'v'),
            (&["-Werror", "-c"], 'W'),
            (&["-Xdev", "-c"], 'X'),
            (&["-bb"], 'b'),
            (&["-ic"], 'i'),
        ] {
            let expected = format!("-{letter} changes how Python starts");
            assert_eq!(reason(options, &[]), expected);
        }
        for env in [
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("LANG", "C.UTF-8"),
            ("PATH", "/bin"),
        ] {
            assert_eq!(reason(&[], &[env]), "", "{env:?}");
        }
        for name in ["PYTHONHASHSEED", "PYTHONPATH", "PYTHON_GIL"] {
            let expected = format!("{name} changes how Python starts");
            assert_eq!(reason(&[], &[(name, "0")]), expected);
        }
    }

    #[test]
    fn the_first_variable_that_is_set_chooses_the_locale() {
        let odd = |name| format!("{name}=POSIX changes how Python starts");
        let both = |all| reason(&[], &[("LC_ALL", all), ("LANG", "POSIX")]);
        assert_eq!(both("POSIX"), odd("LC_ALL"));
        assert_eq!(both("C.UTF-8"), "");
        assert_eq!(both(""), odd("LANG"));
        assert_eq!(reason(&[], &[("LC_TIME", "C")]), "");
    }

    #[test]
    fn the_prompt_is_cpythons_own() {
        for (program, terminal, own) in [
            (Program::Prompt, true, true),
            (Program::Stdin, true, true),
            (Program::Stdin, false, false),
            (Program::Module("m".into()), true, false),
        ] {
            let request = request(program, &[], terminal);
            let reason = unfit(&request, &Sandbox::bare(Vec::new()));
            assert_eq!(reason.is_some(), own, "{reason:?}");
        }
    }

    #[test]
    fn mounts_have_to_fit() {
        let with = |guests: Vec<String>| {
            let mut sandbox = Sandbox::bare(Vec::new());
            sandbox.mounts.extend(guests.into_iter().map(|guest| Mount {
                host: "/".into(),
                guest,
                access: Access::Read,
                purpose: Purpose::Grant,
            }));
            unfit(&request(code(), &[], false), &sandbox)
        };
        let many = |count| (0..count).map(|i| format!("/{i}")).collect();
        assert_eq!(with(many(SLOTS - SPARE_SLOTS)), None);
        assert_eq!(
            with(many(SLOTS - SPARE_SLOTS + 1)).unwrap(),
            "a snapshot has room for 62 mounts, and these are 63"
        );
        let long = |length| "x".repeat(length);
        assert_eq!(with(vec![long(PATHS)]), None);
        assert_eq!(
            with(vec![long(PATHS - 10), long(11)]).unwrap(),
            "the paths of the mounts are too long for a snapshot"
        );
    }
}
