//! `entry_points.txt`: the commands that a package offers, and the Python that runs one.

use serde::{Deserialize, Serialize};

/// A command of a package (`console_scripts` and `gui_scripts`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryPoint {
    /// The command's name.
    pub name: String,
    /// The module that is imported.
    pub module: String,
    /// What is called in it, which may be an attribute of an attribute.
    pub attribute: String,
    /// Whether it is a `gui_scripts` one, which a sandbox runs like the others.
    #[serde(default)]
    pub gui: bool,
}

/// Reads the commands out of an `entry_points.txt`, by name.
///
/// Groups for plugins are none of pyw's business: `importlib.metadata` reads them in the guest.
///
/// # Errors
/// A sentence that says which command cannot be one.
pub fn parse(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut found: Vec<EntryPoint> = Vec::new();
    let mut group = String::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            group = name.trim().to_owned();
            continue;
        }
        let gui = match group.as_str() {
            "console_scripts" => false,
            "gui_scripts" => true,
            _ => continue,
        };
        let entry = parse_line(line, gui)
            .ok_or_else(|| format!("its entry point {line:?} is not `NAME = MODULE:ATTRIBUTE`"))?;
        // As importlib.metadata and installers do, the last one of a name counts.
        found.retain(|other| other.name != entry.name);
        found.push(entry);
    }
    found.sort();
    Ok(found)
}

fn parse_line(line: &str, gui: bool) -> Option<EntryPoint> {
    let (name, object) = line.split_once('=')?;
    let name = name.trim();
    // Extras behind the object are from the days of eggs and mean nothing here.
    let object = object.split('[').next()?.trim();
    let (module, attribute) = object.split_once(':')?;
    let (module, attribute) = (module.trim(), attribute.trim());
    // These go into Python's code, and the name becomes one of a file.
    let dotted = |text: &str| text.split('.').all(is_identifier);
    (is_command(name) && dotted(module) && dotted(attribute)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        attribute: attribute.to_owned(),
        gui,
    })
}

/// Whether a command may be called so: one plain file name.
#[must_use]
pub fn is_command(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['.', '-'])
        && name.trim() == name
        && name.chars().all(plain)
}

/// Whether Python could read it as a name. Letters beyond ASCII are left to Python itself.
fn is_identifier(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c == '_' || c.is_alphabetic())
        && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}

impl EntryPoint {
    /// A script that runs the command, the same that installers write.
    ///
    /// It is a file in the environment, at the guest's `bin`, so that `sys.argv[0]`, `sys.path[0]`
    /// and `__file__` are what a program finds natively.
    #[must_use]
    pub fn script(&self) -> String {
        let EntryPoint {
            module, attribute, ..
        } = self;
        let import = attribute.split('.').next().unwrap_or(attribute);
        format!(
            "import sys\n\
             from {module} import {import}\n\
             if __name__ == '__main__':\n    sys.exit({attribute}())\n"
        )
    }

    /// The same for `-c`, for who has no environment to put a script into.
    #[must_use]
    pub fn code(&self) -> String {
        let EntryPoint {
            name,
            module,
            attribute,
            ..
        } = self;
        let import = attribute.split('.').next().unwrap_or(attribute);
        format!(
            "import sys; sys.argv[0] = {}; from {module} import {import}; sys.exit({attribute}())",
            quoted(name)
        )
    }
}

/// A literal of Python's.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_plugins_are_not() {
        let found = parse(
            "# comment\r\n[console_scripts]\r\nblack = black:patched_main\r\n\
             blackd = blackd:patched_main [d]\nblack=black.main:cli.main\n\n\
             [ gui_scripts ]\n; another\nwin-dow = a.b:main\n[flask.commands]\nx = y\n",
        )
        .unwrap();
        let names: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.gui)).collect();
        assert_eq!(
            names,
            [("black", false), ("blackd", false), ("win-dow", true)]
        );
        assert_eq!(found[0].module, "black.main");
        assert_eq!(
            found[0].script(),
            "import sys\nfrom black.main import cli\nif __name__ == '__main__':\n    \
             sys.exit(cli.main())\n"
        );
        assert_eq!(
            found[0].code(),
            "import sys; sys.argv[0] = 'black'; from black.main import cli; sys.exit(cli.main())"
        );
    }

    #[test]
    fn what_could_be_code_or_a_path_is_refused() {
        for line in [
            "x",
            "x = y",
            "x = y:",
            "= y:z",
            "../x = y:z",
            "a/b = y:z",
            "a\\b = y:z",
            ".x = y:z",
            "-x = y:z",
            "x = y:z()",
            "x = y;import os:z",
            "x = y:z\u{7}",
            "x = 1y:z",
            "x = y..z:a",
            "x = y z:a",
        ] {
            let error = parse(&format!("[console_scripts]\n{line}\n")).unwrap_err();
            assert!(error.contains("NAME = MODULE:ATTRIBUTE"), "{line}");
        }
        let error = parse("[gui_scripts]\nx = y").unwrap_err();
        assert_eq!(
            error,
            "its entry point \"x = y\" is not `NAME = MODULE:ATTRIBUTE`"
        );
    }
}
