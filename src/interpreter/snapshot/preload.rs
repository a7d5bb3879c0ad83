//! Which modules are worth importing in advance: what most programs import, and what a program's
//! text names.
//!
//! A name too many costs memory and nothing else: a module that was imported in advance is seen by
//! a program only once it imports it. Names that lead nowhere, as those of the program's own
//! modules, are found out when a snapshot is made.

/// Modules of the standard library that programs often import.
pub const COMMON: [&str; 44] = [
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "bisect",
    "collections",
    "concurrent.futures",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email.message",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "glob",
    "hashlib",
    "html",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "pickle",
    "pprint",
    "random",
    "re",
    "shlex",
    "shutil",
    "statistics",
    "string",
    "tempfile",
    "textwrap",
    "traceback",
    "typing",
    "unittest",
    "urllib.parse",
    "uuid",
    "zipfile",
];

/// The most names that a snapshot is made of.
pub const MOST: usize = 400;

/// The names of modules that the text of a program imports, wherever in it: `a.b` for `import a.b`,
/// and `a` and `a.b` for `from a import b`, which may be a module. Lines that only look like imports
/// do no harm.
#[must_use]
pub fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Simple statements may share a line.
    let statements = text.lines().flat_map(|line| line.split(';'));
    for statement in statements {
        let statement = statement.trim_start();
        if let Some(rest) = statement.strip_prefix("import ") {
            names.extend(listed(rest));
        } else if let Some(rest) = statement.strip_prefix("from ")
            && let Some((from, what)) = rest.split_once(" import")
            && let Some(from) = module(from)
        {
            let what = what.trim_start_matches([' ', '(']);
            names.extend(listed(what).map(|name| format!("{from}.{name}")));
            names.push(from.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The same of a program in several files: `local` has the text of a module that is the program's own.
#[must_use]
pub fn imports_of_all(text: &str, local: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut names = imports(text);
    let mut at = 0;
    while at < names.len().min(MOST) {
        for name in local(&names[at]).iter().flat_map(|text| imports(text)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        at += 1;
    }
    names.sort();
    names
}

/// The names in `a.b as c, d`.
fn listed(text: &str) -> impl Iterator<Item = String> {
    let code = text.split('#').next().unwrap_or_default();
    code.split(',').filter_map(|part| {
        let name = part.trim().split([' ', ')']).next()?;
        module(name).map(str::to_owned)
    })
}

/// A name, if it can be an absolute one of a module.
#[must_use]
pub fn module(name: &str) -> Option<&str> {
    let name = name.trim();
    let word = |part: &str| {
        !part.is_empty()
            && part.len() < 100
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    (name != "__future__" && name.split('.').all(word)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_the_programs_own_modules_are_found() {
        let local = |name: &str| match name {
            "near" => Some("import far, wave\n".to_owned()),
            "far" => Some("import near\nfrom rich import print\n".to_owned()),
            _ => None,
        };
        assert_eq!(
            imports_of_all("import near\nimport os\n", local),
            ["far", "near", "os", "rich", "rich.print", "wave"]
        );
    }

    #[test]
    fn imports_are_found_in_text() {
        let text = "\
#!/usr/bin/env pyw
from __future__ import annotations
import os, sys as system  # , no
from rich.console import (Console,
    Group)
from . import near
from .near import far
if True:
    import json; import xml.dom.minidom as dom
    from a import *
print('import nothing')
imports = 1
from = 2
import 3
";
        assert_eq!(
            imports(text),
            [
                "a",
                "json",
                "os",
                "rich.console",
                "rich.console.Console",
                "sys",
                "xml.dom.minidom"
            ]
        );
        assert_eq!(imports(""), [] as [&str; 0]);
    }

    #[test]
    fn common_names_are_sorted() {
        assert!(COMMON.is_sorted());
    }
}
