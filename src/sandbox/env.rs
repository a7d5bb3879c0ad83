//! The guest's environment: the syntax of `--env` and of environment files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

/// A variable as the user writes it: `NAME=VALUE`, or `NAME` to copy the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvSpec {
    /// Not empty, without `=` or NUL.
    pub name: String,
    /// Without NUL; it may be empty or hold newlines. `None` copies the host's variable; where the
    /// host has none the guest has none either, and that is no error (as in docker).
    pub value: Option<String>,
}

/// What is wrong with the text of a variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvSpecError {
    /// Nothing stands before the `=`, or the text is empty.
    #[error("`{text}` names no variable; write `NAME=VALUE`, or `NAME` to copy the host's")]
    EmptyName { text: String },
    /// A NUL byte, which no environment can hold.
    #[error("the variable `{name}` has a NUL byte")]
    Nul { name: String },
    /// The host's variable is to be copied, but is not UTF-8, and guests only take UTF-8.
    #[error("the host's variable `{name}` is not UTF-8 and cannot be copied")]
    NotUtf8 { name: String },
}

impl EnvSpec {
    /// Reads the text of an `--env`.
    ///
    /// The first `=` ends the name; what follows is the value, byte for byte.
    ///
    /// # Errors
    ///
    /// When the name is empty, or a NUL byte stands anywhere.
    pub fn parse(text: &str) -> Result<EnvSpec, EnvSpecError> {
        match text.split_once('=') {
            Some((name, value)) => EnvSpec::new(name, Some(value)),
            None => EnvSpec::new(text, None),
        }
        .map_err(|error| match error {
            EnvSpecError::EmptyName { .. } => EnvSpecError::EmptyName {
                text: text.to_owned(),
            },
            other => other,
        })
    }

    fn new(name: &str, value: Option<&str>) -> Result<EnvSpec, EnvSpecError> {
        if name.is_empty() {
            let text = String::new();
            return Err(EnvSpecError::EmptyName { text });
        }
        if name.contains('\0') || value.is_some_and(|value| value.contains('\0')) {
            let name = name.replace('\0', "\u{fffd}");
            return Err(EnvSpecError::Nul { name });
        }
        Ok(EnvSpec {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}

impl FromStr for EnvSpec {
    type Err = EnvSpecError;

    fn from_str(text: &str) -> Result<EnvSpec, EnvSpecError> {
        EnvSpec::parse(text)
    }
}

/// Text that [`EnvSpec::parse`] reads back as the same variable.
impl fmt::Display for EnvSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl serde::Serialize for EnvSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Carries out variables in order on `guest`, the later ones over the earlier ones.
///
/// `host` looks up the host's variables. One that is to be copied and that the host lacks is
/// absent afterwards, even when an earlier one had set it.
///
/// # Errors
///
/// When a variable to be copied is not UTF-8.
pub fn apply<'a>(
    specs: impl IntoIterator<Item = &'a EnvSpec>,
    host: impl Fn(&str) -> Option<OsString>,
    guest: &mut BTreeMap<String, String>,
) -> Result<(), EnvSpecError> {
    for spec in specs {
        let name = spec.name.clone();
        let value = match &spec.value {
            Some(value) => Some(value.clone()),
            None => match host(&name).map(OsString::into_string) {
                Some(Ok(value)) => Some(value),
                Some(Err(_)) => return Err(EnvSpecError::NotUtf8 { name }),
                None => None,
            },
        };
        match value {
            Some(value) => guest.insert(name, value),
            None => guest.remove(&name),
        };
    }
    Ok(())
}

/// Why an environment file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The file is missing or could not be read.
    #[error("{file}: cannot read this environment file: {source}")]
    Read {
        file: Utf8PathBuf,
        source: std::io::Error,
    },
    /// The byte at `offset` (counted from 0) is not part of UTF-8 text.
    #[error("{file}: not UTF-8 at byte {offset}")]
    NotUtf8 { file: Utf8PathBuf, offset: usize },
    /// A line is not a variable. Lines count from 1; an unclosed quote is told at its first line.
    #[error("{file}:{line}: {message}")]
    Line {
        file: Utf8PathBuf,
        line: usize,
        message: String,
    },
}

/// Reads an environment file; see [`parse_file`] for what it may hold.
///
/// # Errors
///
/// When the file cannot be read, is not UTF-8 or holds a line that is not a variable.
pub fn read_file(file: &Utf8Path) -> Result<Vec<EnvSpec>, EnvFileError> {
    let bytes = std::fs::read(file).map_err(|source| EnvFileError::Read {
        file: file.to_owned(),
        source,
    })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse_file(file, text),
        Err(error) => Err(EnvFileError::NotUtf8 {
            file: file.to_owned(),
            offset: error.valid_up_to(),
        }),
    }
}

/// Reads the text of an environment file; `file` is for messages only.
///
/// Each line is empty, a comment (`# …`), `NAME` to copy the host's variable, or `NAME=VALUE`; an
/// `export ` before the name is skipped, and so are spaces around the name and the value. Bare
/// values end at a `#` after a space. In single quotes everything stands for itself; in double
/// quotes `\n`, `\r`, `\t`, `\\`, `\"`, `\'` and `\$` are escapes and other backslashes stand for
/// themselves. Quoted values may span lines. Nothing is expanded.
///
/// # Errors
///
/// When a line is not one of these, with its number.
pub fn parse_file(file: &Utf8Path, text: &str) -> Result<Vec<EnvSpec>, EnvFileError> {
    let mut specs = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (spec, tail) = entry(rest).map_err(|message| EnvFileError::Line {
            file: file.to_owned(),
            line,
            message,
        })?;
        specs.extend(spec);
        let taken = &rest[..rest.len() - tail.len()];
        line += taken.bytes().filter(|&byte| byte == b'\n').count();
        rest = tail;
    }
    Ok(specs)
}

/// Reads one entry and returns what follows its last line.
fn entry(text: &str) -> Result<(Option<EnvSpec>, &str), String> {
    let (line, next) = text.split_once('\n').unwrap_or((text, ""));
    let (head, equals) = match line.find('=') {
        // In `NAME # a=b` the sign belongs to the comment.
        Some(at) if without_comment(&line[..at]).len() == at => (&line[..at], Some(at)),
        _ => (without_comment(line), None),
    };
    let mut name = head.trim();
    if let Some(exported) = name.strip_prefix("export")
        && exported.starts_with(char::is_whitespace)
    {
        name = exported.trim_start();
    }
    if name.is_empty() && equals.is_none() {
        return Ok((None, next));
    }
    if name.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')) {
        return Err(format!(
            "`{name}` is not the name of a variable; \
             write `NAME=VALUE`, or `NAME` to copy the host's"
        ));
    }
    let Some(equals) = equals else {
        let spec = EnvSpec::new(name, None).map_err(|error| error.to_string())?;
        return Ok((Some(spec), next));
    };
    let bare = line[equals + 1..].trim_start();
    let (value, next) = match bare.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            // A quoted value may go on after this line, so it is read from the whole text.
            let inside = &text[line.len() - bare.len() + 1..];
            let (value, after) = quoted(inside, quote).ok_or_else(|| {
                format!("the value of `{name}` begins with {quote} but does not end with it")
            })?;
            let (tail, next) = after.split_once('\n').unwrap_or((after, ""));
            let tail = tail.trim();
            if !tail.is_empty() && !tail.starts_with('#') {
                return Err(format!(
                    "`{tail}` stands after the quoted value of `{name}`; quote the whole value"
                ));
            }
            (value, next)
        }
        // What precedes the value counts as a space, so that `NAME= # none` is empty.
        _ => (without_comment(bare).trim_end().to_owned(), next),
    };
    let spec = EnvSpec::new(name, Some(&value)).map_err(|error| match error {
        EnvSpecError::EmptyName { .. } => {
            let text = line.trim().to_owned();
            EnvSpecError::EmptyName { text }.to_string()
        }
        other => other.to_string(),
    })?;
    Ok((Some(spec), next))
}

/// `text` up to a `#` that stands at its beginning or after a space.
fn without_comment(text: &str) -> &str {
    let mut after_space = true;
    for (at, c) in text.char_indices() {
        if c == '#' && after_space {
            return &text[..at];
        }
        after_space = c.is_whitespace();
    }
    text
}

/// Reads up to the closing quote; `text` begins after the opening one. Returns the value and what
/// follows the closing quote, or `None` when there is none.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((value, &text[at + 1..]));
        }
        if c != '\\' || quote == '\'' {
            value.push(c);
            continue;
        }
        match chars.next()?.1 {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            c @ ('\\' | '"' | '\'' | '$') => value.push(c),
            other => value.extend(['\\', other]),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        for (text, name, value) in [
            ("A=1", "A", Some("1")),
            ("A=", "A", Some("")),
            ("A", "A", None),
            ("A=b=c", "A", Some("b=c")),
            ("A==", "A", Some("=")),
            ("A= x ", "A", Some(" x ")),
            ("A=one\ntwo", "A", Some("one\ntwo")),
            ("ÄÖ=日本", "ÄÖ", Some("日本")),
            ("with space=x", "with space", Some("x")),
            ("A=\"q\"", "A", Some("\"q\"")),
        ] {
            let spec = EnvSpec::parse(text).unwrap();
            assert_eq!((spec.name.as_str(), spec.value.as_deref()), (name, value));
            assert_eq!(spec.to_string(), text);
        }
        for (text, message) in [
            (
                "",
                "`` names no variable; write `NAME=VALUE`, or `NAME` to copy the host's",
            ),
            (
                "=x",
                "`=x` names no variable; write `NAME=VALUE`, or `NAME` to copy the host's",
            ),
            ("A=\0", "the variable `A` has a NUL byte"),
            ("A\0", "the variable `A\u{fffd}` has a NUL byte"),
        ] {
            assert_eq!(EnvSpec::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn later_variables_win_and_absent_ones_are_absent() {
        let specs: Vec<_> = ["A=1", "B=1", "C", "A=2", "B", "D"]
            .map(|text| EnvSpec::parse(text).unwrap())
            .into();
        let host = |name: &str| (name == "C").then(|| OsString::from("host"));
        let mut guest = BTreeMap::from([("E".to_owned(), "kept".to_owned())]);
        apply(&specs, host, &mut guest).unwrap();
        let pairs: Vec<_> = guest.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["A=2", "C=host", "E=kept"]);
    }

    #[cfg(unix)]
    #[test]
    fn host_variables_must_be_utf8() {
        use std::os::unix::ffi::OsStringExt;
        let specs = [EnvSpec::parse("A").unwrap()];
        let host = |_: &str| Some(OsString::from_vec(vec![0xff]));
        let error = apply(&specs, host, &mut BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the host's variable `A` is not UTF-8 and cannot be copied"
        );
    }

    fn parsed(text: &str) -> Vec<String> {
        match parse_file(Utf8Path::new("x.env"), text) {
            Ok(specs) => specs.iter().map(EnvSpec::to_string).collect(),
            Err(error) => vec![format!("! {error}")],
        }
    }

    #[test]
    fn files() {
        for (text, specs) in [
            ("", &[] as &[&str]),
            ("\n\n# A=1\n  # B=1\n \t \n", &[]),
            ("A=1\nB=2", &["A=1", "B=2"]),
            ("A=1\r\nB=2\r\n", &["A=1", "B=2"]),
            ("\u{feff}A=1", &["A=1"]),
            ("A\n  B  \nC # why\nD # x=y\n", &["A", "B", "C", "D"]),
            (
                "export A=1\nexport\tB\nexport\nexportC=1",
                &["A=1", "B", "export", "exportC=1"],
            ),
            ("A =  some words  \nB=\nC=  ", &["A=some words", "B=", "C="]),
            (
                "A=1 # one\nB=a#b\nC=#c\nD= # none",
                &["A=1", "B=a#b", "C=", "D="],
            ),
            ("A=http://x/?a=b#c", &["A=http://x/?a=b#c"]),
            (r#"A='x # \n "y" '  # c"#, &[r#"A=x # \n "y" "#]),
            (r#"A="a\tb\"c\\d\$e\'f""#, &["A=a\tb\"c\\d$e'f"]),
            (r#"A="one\ntwo""#, &["A=one\ntwo"]),
            (r#"A="C:\path\x""#, &[r"A=C:\path\x"]),
            (
                "A=\"one\ntwo # 2\n\"\nB='x\n\ny'\nC=3",
                &["A=one\ntwo # 2\n", "B=x\n\ny", "C=3"],
            ),
            ("A=\"\"\nB=''", &["A=", "B="]),
            ("A=it's", &["A=it's"]),
            ("A=é日本\nÄ=x", &["A=é日本", "Ä=x"]),
        ] {
            assert_eq!(parsed(text), specs, "{text:?}");
        }
    }

    #[test]
    fn wrong_files() {
        for (text, message) in [
            (
                "A=1\n\n=x\n",
                "x.env:3: `=x` names no variable; write `NAME=VALUE`, or `NAME` to copy the host's",
            ),
            (
                "A B=1",
                "x.env:1: `A B` is not the name of a variable; \
                 write `NAME=VALUE`, or `NAME` to copy the host's",
            ),
            (
                "A='x\ny'\nB: 1",
                "x.env:3: `B: 1` is not the name of a variable; \
                 write `NAME=VALUE`, or `NAME` to copy the host's",
            ),
            (
                "\nA='x\n\n",
                "x.env:2: the value of `A` begins with ' but does not end with it",
            ),
            (
                "A=\"x\\\"",
                "x.env:1: the value of `A` begins with \" but does not end with it",
            ),
            (
                "A=\"x\\",
                "x.env:1: the value of `A` begins with \" but does not end with it",
            ),
            (
                "A='x' y",
                "x.env:1: `y` stands after the quoted value of `A`; quote the whole value",
            ),
            ("A=\0", "x.env:1: the variable `A` has a NUL byte"),
            ("A\0", "x.env:1: the variable `A\u{fffd}` has a NUL byte"),
        ] {
            assert_eq!(parsed(text), [format!("! {message}")], "{text:?}");
        }
    }

    #[test]
    fn any_short_file_is_read_without_panic() {
        let letters = ["A", "=", " ", "#", "\"", "'", "\\", "\n", "é", "export"];
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts
                .iter()
                .flat_map(|text| letters.iter().map(move |c| format!("{text}{c}")))
                .collect();
            for text in &texts {
                parsed(text);
            }
        }
    }

    #[test]
    fn unreadable_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let message = |name: &str| {
            let error = read_file(&dir.join(name)).unwrap_err().to_string();
            error.replace(dir.as_str(), "[dir]")
        };
        let missing = message("none.env");
        assert!(
            missing.starts_with("[dir]/none.env: cannot read this environment file: "),
            "{missing}"
        );
        std::fs::write(dir.join("bad.env"), b"A=1\nB=\xff").unwrap();
        assert_eq!(message("bad.env"), "[dir]/bad.env: not UTF-8 at byte 6");
        std::fs::write(dir.join("good.env"), "A=1").unwrap();
        assert_eq!(read_file(&dir.join("good.env")).unwrap().len(), 1);
    }
}
