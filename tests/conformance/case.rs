//! The case format: what a TOML file under `cases/` may say. `README.md` beside this explains it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::content::{Content, Expected};

/// One program, the sandbox it is given, and exactly what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// What the case is about, in a sentence.
    pub about: String,
    /// Files to create, by path relative to `{work}` or beginning with `{outside}`.
    #[serde(default)]
    pub files: BTreeMap<String, Entry>,
    /// pyw's own long options. Native Python gets none of them.
    #[serde(default)]
    pub options: Vec<String>,
    /// What stands after the options: Python's options, the program and its arguments.
    pub program: Vec<Content>,
    /// The caller's environment, beyond the few variables that every trial has.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The caller's working directory, relative to `{work}`.
    #[serde(default)]
    pub cwd: String,
    /// Where `{work}` lies.
    #[serde(default)]
    pub place: Where,
    /// What is fed to standard input before `dialog`, which otherwise ends there.
    #[serde(default)]
    pub stdin: Content,
    /// What standard input is.
    #[serde(default)]
    pub stdin_is: StdinIs,
    /// What standard output is.
    #[serde(default)]
    pub stdout_is: StdoutIs,
    /// Which of `stdin`, `stdout` and `stderr` are the terminal.
    #[serde(default)]
    pub terminal: Vec<Stream>,
    /// What is done while the program runs, one step after the other.
    #[serde(default)]
    pub dialog: Vec<Step>,
    #[serde(default)]
    pub stdout: Expected,
    /// The program must write another thing each time, so it is run twice and `stdout` is not looked at.
    #[serde(default)]
    pub varies: bool,
    #[serde(default)]
    pub stderr: Expected,
    /// How the program ends.
    #[serde(default)]
    pub code: Code,
    /// What the host sees afterwards, by path as in `files`. Whatever is not named must be as it was before.
    #[serde(default)]
    pub after: BTreeMap<String, After>,
    /// Seconds until the trial is given up.
    #[serde(default = "two_minutes")]
    pub timeout: u64,
    /// How the case is run by native Python: `false`, or what is different there.
    #[serde(default)]
    pub native: NativeSwitch,
    /// Why a run that begins from a snapshot differs, and may.
    pub snapshot: Option<String>,
    /// Why native Python has no say, or another one.
    pub why: Option<String>,
}

fn two_minutes() -> u64 {
    120
}

/// Something to create in a directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    File(Content),
    Special(Special),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Special {
    /// `{ symlink = "where it points" }`
    Symlink(String),
    /// `{ dir = true }`
    Dir(True),
    /// `{ zip = { "member" = "content" } }`
    Zip(BTreeMap<String, Content>),
    /// `{ file = { content = "…", mode = 0o444 } }`
    File { content: Content, mode: u32 },
}

/// The word `true`, where only that has a meaning.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "bool")]
pub struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        value
            .then_some(Self)
            .ok_or("only `true` has a meaning here")
    }
}

/// Where the fresh directories of a trial lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// Under Cargo's target directory.
    #[default]
    Target,
    /// Under the host's `/tmp`, which is at odds with the guest's private one.
    Tmp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdinIs {
    #[default]
    Pipe,
    /// A file that holds what the case feeds.
    File,
    Null,
    Closed,
}

/// What standard output is. A case compares what it holds in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdoutIs {
    #[default]
    Pipe,
    /// A new file, as with the shell's `>`.
    File,
    /// A file that is added to, as with the shell's `>>`.
    Append,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// One step of a dialog with the running program.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Wait until standard output (or the terminal) shows this, after what earlier steps saw.
    See(Content),
    /// Write this to standard input (or type it on the terminal).
    Say(Content),
    /// Send this signal to the process that was started, not to its group.
    Signal(Signal),
    /// Close our end of this pipe.
    Close(Stream),
    /// Let this many milliseconds pass.
    Pause(u64),
}

/// A signal by its usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Signal {
    #[serde(rename = "SIGHUP")]
    Hup,
    #[serde(rename = "SIGINT")]
    Int,
    #[serde(rename = "SIGKILL")]
    Kill,
    #[serde(rename = "SIGQUIT")]
    Quit,
    #[serde(rename = "SIGTERM")]
    Term,
}

impl Signal {
    pub fn number(self) -> i32 {
        use rustix::process::Signal as S;
        match self {
            Self::Hup => S::HUP,
            Self::Int => S::INT,
            Self::Kill => S::KILL,
            Self::Quit => S::QUIT,
            Self::Term => S::TERM,
        }
        .as_raw()
    }
}

/// How a process ends: with an exit code, or by a signal as its parent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Code {
    Exit(i32),
    Signal(Signal),
}

impl Default for Code {
    fn default() -> Self {
        Self::Exit(0)
    }
}

/// What the host must see at a path.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum After {
    File(Content),
    /// `{ gone = true }`
    Special(AfterSpecial),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterSpecial {
    Gone(True),
    Dir(True),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum NativeSwitch {
    Run(bool),
    Different(Box<Native>),
}

impl Default for NativeSwitch {
    fn default() -> Self {
        Self::Run(true)
    }
}

/// How native Python is told the same thing, and where its answer has another form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Native {
    pub program: Option<Vec<Content>>,
    /// Instead of the case's.
    pub env: Option<BTreeMap<String, String>>,
    pub cwd: Option<String>,
    pub stdout: Option<Expected>,
    pub stderr: Option<Expected>,
    pub code: Option<Code>,
    /// The first minor version of Python 3 that behaves so.
    pub min: Option<u32>,
    /// The first minor version of Python 3 that no longer does.
    pub below: Option<u32>,
}

/// A case with the name by which tests and descriptors call it: `group/name`.
#[derive(Clone, Debug)]
pub struct Named {
    pub group: String,
    pub name: String,
    pub case: Case,
}

impl Named {
    pub fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

/// Reads every group: one TOML file each, one table per case.
pub fn load(dir: &Path) -> Result<Vec<Named>, String> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("{}: {e}", dir.display()))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let group = path.file_stem().unwrap().to_string_lossy().into_owned();
        let cases: BTreeMap<String, Case> =
            toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        for (name, case) in cases {
            check(&case).map_err(|e| format!("{}: [{name}]: {e}", path.display()))?;
            all.push(Named {
                group: group.clone(),
                name,
                case,
            });
        }
    }
    Ok(all)
}

/// What the types cannot say.
fn check(case: &Case) -> Result<(), String> {
    let differs = match &case.native {
        NativeSwitch::Run(run) => !run,
        NativeSwitch::Different(native) => {
            native.stdout.is_some() || native.stderr.is_some() || native.code.is_some()
        }
    };
    if differs && case.why.is_none() {
        return Err("native Python is left out or answers differently: say `why`".into());
    }
    if !case.terminal.is_empty() && case.stdin_is != StdinIs::Pipe {
        return Err("`stdin-is` has no meaning with a terminal".into());
    }
    Ok(())
}
