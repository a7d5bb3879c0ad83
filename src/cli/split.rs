//! Splitting the command line the way CPython does.
//!
//! Single letters are Python's and may be clustered (`-Im pytest`, `-uBc CODE`); long options are
//! pyw's; the first of `-c CODE`, `-m MODULE`, `-` or a word is the program, and nothing behind it
//! is looked at. clap can't be told this, so it is given only pyw's own options.

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file, a folder with `__main__.py`, or a zip.
    Script(String),
    /// `-c CODE`
    Code(String),
    /// `-m MODULE`
    Module(String),
    /// `-`: the program comes from stdin.
    Stdin,
    /// Nothing: the interactive prompt, or stdin when that is no terminal.
    Prompt,
}

/// A command line, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// pyw's own long options with their values.
    pub own: Vec<String>,
    /// Python's options as they were written, with `-c` or `-m` as the last letter of the last
    /// one where the program is of that kind.
    pub python: Vec<String>,
    pub program: Program,
    /// Everything behind the program.
    pub args: Vec<String>,
    /// `-v` was among Python's options.
    pub verbose: bool,
    /// `-q` was among Python's options.
    pub quiet: bool,
    /// `-h` or `-?` was asked for.
    pub help: bool,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("Python has no option `-{letter}` (in `{cluster}`)")]
    UnknownLetter { letter: char, cluster: String },
    #[error("`-{letter}` needs a value")]
    LetterWithoutValue { letter: char },
    #[error("pyw has no option `{option}`")]
    UnknownOption {
        option: String,
        similar: Option<String>,
    },
    #[error("`{option}` needs a value")]
    OptionWithoutValue { option: String },
}

impl SplitError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownLetter { .. } => {
                "single letters are Python's, long options pyw's: see `pyw --help`".into()
            }
            Self::UnknownOption {
                similar: Some(name),
                ..
            } => format!("did you mean `{name}`?"),
            Self::UnknownOption { .. } => {
                "options of the program's own stand behind it; pyw's are in `pyw --help`".into()
            }
            Self::LetterWithoutValue { letter: 'c' } => "such as: pyw -c 'print(1)'".into(),
            Self::LetterWithoutValue { letter: 'm' } => "such as: pyw -m http.server".into(),
            _ => return None,
        })
    }
}

/// The long option that names the program, as `-m` does. It stays among pyw's own, since clap knows
/// it, and ends them.
const ENTRY: &str = "--entry";

/// CPython's letters without a value.
const FLAGS: &str = "bBdEiIOPqRsStuvVx";

/// pyw's long options with a value, and those without: what clap knows, but without the time that
/// it takes to build clap's parser, which a recorded start does not need. A test compares them.
const VALUED: [&str; 31] = [
    "allow-net",
    "constraints",
    "cpu-time",
    "cwd",
    "entry",
    "env",
    "env-file",
    "extra",
    "extra-index-url",
    "find-links",
    "format",
    "group",
    "index-url",
    "memory",
    "mount",
    "network",
    "open-files",
    "output-size",
    "platform",
    "project",
    "pyodide-packages",
    "python",
    "require-isolation",
    "runtime",
    "stack",
    "timeout",
    "tmp-size",
    "upgrade-package",
    "upload-before",
    "with",
    "with-requirements",
];
const SWITCHES: [&str; 15] = [
    "allow-vulnerable-runtime",
    "dry-run",
    "help",
    "js",
    "locked",
    "no-index",
    "no-project",
    "no-snapshot",
    "no-tmp",
    "offline",
    "pre",
    "quiet",
    "upgrade",
    "verbose",
    "version",
];

/// Splits the arguments behind `pyw`.
///
/// # Errors
/// An option that neither Python nor pyw has, or one without its value.
pub fn split(args: Vec<String>) -> Result<Split, SplitError> {
    let mut out = Split {
        own: Vec::new(),
        python: Vec::new(),
        program: Program::Prompt,
        args: Vec::new(),
        verbose: false,
        quiet: false,
        help: false,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            if let Some(script) = args.next() {
                out.program = script_or_stdin(script);
            }
            break;
        }
        if arg == "-" || !arg.starts_with('-') {
            out.program = script_or_stdin(arg);
            break;
        }
        if arg.starts_with("--") {
            let is_program = arg == ENTRY || arg.starts_with(&format!("{ENTRY}="));
            own_option(arg, &mut args, &mut out.own)?;
            if is_program {
                break;
            }
            continue;
        }
        if let Some(program) = cluster(&arg, &mut args, &mut out)? {
            out.program = program;
            break;
        }
    }
    out.args = args.collect();
    Ok(out)
}

fn script_or_stdin(word: String) -> Program {
    if word == "-" {
        Program::Stdin
    } else {
        Program::Script(word)
    }
}

fn own_option(
    arg: String,
    rest: &mut impl Iterator<Item = String>,
    own: &mut Vec<String>,
) -> Result<(), SplitError> {
    let (name, inline) = match arg.split_once('=') {
        Some((name, _)) => (name, true),
        None => (arg.as_str(), false),
    };
    let bare = name.trim_start_matches("--");
    let takes_value = VALUED.contains(&bare);
    if !takes_value && !SWITCHES.contains(&bare) {
        let similar = VALUED
            .iter()
            .chain(&SWITCHES)
            .map(|long| (distance(bare, long), long))
            .filter(|(d, _)| *d <= 2)
            .min()
            .map(|(_, long)| format!("--{long}"));
        return Err(SplitError::UnknownOption {
            option: name.to_owned(),
            similar,
        });
    }
    if !takes_value || inline {
        own.push(arg);
        return Ok(());
    }
    let Some(value) = rest.next() else {
        return Err(SplitError::OptionWithoutValue { option: arg });
    };
    // In one piece, so that a value such as `-1` is never taken for an option.
    own.push(format!("{arg}={value}"));
    Ok(())
}

fn cluster(
    arg: &str,
    rest: &mut impl Iterator<Item = String>,
    out: &mut Split,
) -> Result<Option<Program>, SplitError> {
    for (at, letter) in arg.char_indices().skip(1) {
        let behind = &arg[at + letter.len_utf8()..];
        match letter {
            'c' | 'm' => {
                out.python.push(arg[..=at].to_owned());
                let value = if behind.is_empty() {
                    rest.next()
                        .ok_or(SplitError::LetterWithoutValue { letter })?
                } else {
                    behind.to_owned()
                };
                return Ok(Some(if letter == 'c' {
                    Program::Code(value)
                } else {
                    Program::Module(value)
                }));
            }
            'W' | 'X' => {
                out.python.push(arg.to_owned());
                if behind.is_empty() {
                    out.python.push(
                        rest.next()
                            .ok_or(SplitError::LetterWithoutValue { letter })?,
                    );
                }
                return Ok(None);
            }
            'h' | '?' => out.help = true,
            letter if FLAGS.contains(letter) => {
                out.verbose |= letter == 'v';
                out.quiet |= letter == 'q';
            }
            letter => {
                return Err(SplitError::UnknownLetter {
                    letter,
                    cluster: arg.to_owned(),
                });
            }
        }
    }
    out.python.push(arg.to_owned());
    Ok(None)
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::RunOptions;
    use clap::CommandFactory as _;

    #[test]
    fn the_options_are_those_of_clap() {
        let command = RunOptions::command();
        for (takes_values, list) in [(true, VALUED.as_slice()), (false, &SWITCHES)] {
            let mut known: Vec<&str> = command
                .get_arguments()
                .filter(|option| option.get_action().takes_values() == takes_values)
                .filter_map(clap::Arg::get_long)
                .collect();
            known.sort_unstable();
            assert_eq!(known, list);
        }
    }

    fn of(args: &[&str]) -> Split {
        split(args.iter().map(|s| (*s).to_owned()).collect()).unwrap()
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn nothing_behind_the_program_is_looked_at() {
        let tail = [
            "--help",
            "-h",
            "--",
            "--dir",
            "",
            "a b",
            "\n",
            "-c",
            "--runtime=x",
        ];
        for (head, program) in [
            (vec!["app.py"], Program::Script("app.py".into())),
            (vec!["-"], Program::Stdin),
            (vec!["-c", "pass"], Program::Code("pass".into())),
            (vec!["-m", "mod"], Program::Module("mod".into())),
            (vec!["--", "-odd.py"], Program::Script("-odd.py".into())),
        ] {
            let split = of(&[head.as_slice(), &tail].concat());
            assert_eq!(split.program, program);
            assert_eq!(split.args, strings(&tail));
        }
    }

    #[test]
    fn clusters_end_where_cpython_ends_them() {
        let split = of(&["-Im", "pytest", "-q"]);
        assert_eq!(
            (split.python, split.program),
            (strings(&["-Im"]), Program::Module("pytest".into()))
        );
        assert_eq!(split.args, strings(&["-q"]));

        let split = of(&["-uBcprint(1)", "x"]);
        assert_eq!(split.python, strings(&["-uBc"]));
        assert_eq!(split.program, Program::Code("print(1)".into()));

        let split = of(&["-W", "error", "-Xutf8", "-BX", "dev", "a.py"]);
        assert_eq!(
            split.python,
            strings(&["-W", "error", "-Xutf8", "-BX", "dev"])
        );
        assert_eq!(split.program, Program::Script("a.py".into()));
    }

    #[test]
    fn long_options_are_pyws() {
        let split = of(&[
            "--runtime",
            "wasmer",
            "-u",
            "--mount=a:/b",
            "--dry-run",
            "x.py",
        ]);
        assert_eq!(
            split.own,
            strings(&["--runtime=wasmer", "--mount=a:/b", "--dry-run"])
        );
        assert_eq!(split.python, strings(&["-u"]));
    }

    #[test]
    fn a_command_is_the_program() {
        for head in [vec!["--entry", "black"], vec!["--entry=black"]] {
            let split = of(&[head.as_slice(), &["--with", "-c", "--check"]].concat());
            assert_eq!(split.own, strings(&["--entry=black"]));
            assert_eq!(split.program, Program::Prompt);
            assert_eq!(split.args, strings(&["--with", "-c", "--check"]));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |args: &[&str]| split(strings(args)).unwrap_err();
        let unknown = wrong(&["--runtme", "x"]);
        assert_eq!(unknown.to_string(), "pyw has no option `--runtme`");
        assert_eq!(unknown.hint().unwrap(), "did you mean `--runtime`?");
        assert_eq!(
            wrong(&["-uz"]).to_string(),
            "Python has no option `-z` (in `-uz`)"
        );
        assert_eq!(wrong(&["-c"]).to_string(), "`-c` needs a value");
        assert_eq!(wrong(&["--mount"]).to_string(), "`--mount` needs a value");
    }
}
