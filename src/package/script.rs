//! The PEP 723 header of a script: what it needs, as comments between `# /// script` and `# ///`.
//!
//! Read by the words of the specification, which differ from its regular expression in one way:
//! a block without any line between its marks is a block. A block that is not closed is none, as
//! the specification demands; [`Scan::unclosed`] lets it be said.

use std::io::Read;
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use toml::Spanned;

use crate::config::excerpt::Excerpt;
use crate::error::Code;

/// Only so much of a script is looked at: a header stands near the top, and what is called a
/// script may be an archive of any size.
const LOOKED_AT: u64 = 1 << 20;

const OPENING: &str = "# /// ";
const CLOSING: &str = "# ///";

/// What a script says it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The Python versions that it runs on, as written.
    pub requires_python: Option<Item>,
    /// The requirements, as written. `None`: the key is not there, which means none as well.
    pub dependencies: Option<Vec<Item>>,
    /// The TOML of the block at the very place where it stands in the script: all else is blank. So
    /// what another reader finds in it can be shown in the script.
    pub toml: String,
    /// Keys that the specification does not know.
    pub unknown: Vec<String>,
    /// The bytes of the block in the script, both marks included.
    pub span: Range<usize>,
}

/// A text in a header and the bytes in the script where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The text.
    pub text: String,
    /// Where it stands, with its quotes.
    pub span: Range<usize>,
}

/// What was found in a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Its header, if it has one.
    pub header: Option<Header>,
    /// The line, counted from 1, of a `# /// script` that nothing closes.
    pub unclosed: Option<usize>,
    /// The text that the spans of the header point into: the part of the script that was read,
    /// where it has a header.
    pub text: String,
}

/// A script whose header cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The script cannot be read.
    #[error("cannot read the script `{path}`: {source}")]
    Read {
        /// Which script.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More than one block.
    #[error(
        "{path} has {} `# /// script` blocks, at the lines {}; one is allowed",
        lines.len(),
        list(lines)
    )]
    Twice {
        /// Which script.
        path: Utf8PathBuf,
        /// Where the blocks begin.
        lines: Vec<usize>,
    },
    /// The block is no TOML, or its keys have values of another kind.
    #[error("{}", shown(excerpt, message))]
    Toml {
        /// The place.
        excerpt: Box<Excerpt>,
        /// What is wrong there.
        message: String,
    },
}

impl ScriptError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code::NotFound,
            Self::Twice { .. } | Self::Toml { .. } => Code::Usage,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Twice { .. } => Some("merge them into the first one".into()),
            Self::Toml { .. } => Some(
                "a header holds `requires-python`, `dependencies` and `[tool]`; see PEP 723".into(),
            ),
        }
    }
}

fn list(lines: &[usize]) -> String {
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    lines.join(", ")
}

fn shown(excerpt: &Excerpt, message: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = excerpt.write(&mut text, message);
    text
}

/// Looks for the header of the script at `path`.
///
/// # Errors
/// It cannot be read, has two headers, or one that is wrong.
pub fn read(path: &Utf8Path) -> Result<Scan, ScriptError> {
    let failed = |source| ScriptError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    // One more than is looked at, to know whether the last line is whole.
    let mut bytes = Vec::new();
    file.take(LOOKED_AT + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LOOKED_AT {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(whole.map_or(0, |at| at + 1));
    }
    scan(path, &bytes)
}

/// Looks for the header in the bytes of a script; `path` is for messages.
///
/// # Errors
/// There are two headers, or one that is wrong.
pub fn scan(path: &Utf8Path, bytes: &[u8]) -> Result<Scan, ScriptError> {
    // Most scripts have none, and shall pay nothing for it.
    let mark = b"# /// script";
    if !bytes.windows(mark.len()).any(|window| window == mark) {
        return Ok(Scan::default());
    }
    let text = decode(bytes);
    let (blocks, unclosed) = blocks(&text);
    let scripts: Vec<&Block> = blocks.iter().filter(|b| b.kind == "script").collect();
    let header = match scripts[..] {
        [] => None,
        [block] => Some(parse(path, &text, block)?),
        _ => {
            return Err(ScriptError::Twice {
                path: path.to_owned(),
                lines: scripts.iter().map(|block| block.line).collect(),
            });
        }
    };
    Ok(Scan {
        header,
        unclosed,
        text,
    })
}

/// The text of a script. Headers are ASCII but for names, so any encoding that extends ASCII does.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if is_latin1(bytes) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Whether a cookie (PEP 263) in the first two lines says Latin-1.
fn is_latin1(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').take(2).any(|line| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        let Some((_, rest)) = line.split_once("coding") else {
            return false;
        };
        let name = rest.trim_start_matches([':', '=', ' ', '\t']);
        line.trim_start().starts_with('#')
            && ["latin-1", "latin1", "iso-8859-1", "iso8859-1", "l1"]
                .iter()
                .any(|latin| name.starts_with(latin))
    })
}

/// A block of comments.
struct Block {
    kind: String,
    /// Where it begins, counted from 1.
    line: usize,
    /// The content, and for each of its lines where it begins in the content and in the script.
    content: String,
    starts: Vec<(usize, usize)>,
    span: Range<usize>,
}

/// The lines of a text without their ends, each with the place where it begins.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut start = 0;
    // A byte order mark is no part of the first line.
    if text.starts_with('\u{feff}') {
        start = '\u{feff}'.len_utf8();
    }
    while start < text.len() {
        let end = text[start..].find('\n').map_or(text.len(), |n| start + n);
        let line = &text[start..end];
        lines.push((start, line.strip_suffix('\r').unwrap_or(line)));
        start = end + 1;
    }
    lines
}

fn opening(line: &str) -> Option<&str> {
    let kind = line.strip_prefix(OPENING)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!kind.is_empty() && kind.bytes().all(valid)).then_some(kind)
}

fn is_content(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

/// All closed blocks, and the line of the first `script` block that is not closed.
fn blocks(text: &str) -> (Vec<Block>, Option<usize>) {
    let lines = lines(text);
    let mut blocks = Vec::new();
    let mut unclosed = None;
    let mut at = 0;
    while at < lines.len() {
        let (start, line) = lines[at];
        let Some(kind) = opening(line) else {
            at += 1;
            continue;
        };
        let run = lines[at + 1..]
            .iter()
            .take_while(|(_, line)| is_content(line))
            .count();
        // Of several lines that could close it, the last one does.
        let closing = (at + 1..=at + run).rev().find(|n| lines[*n].1 == CLOSING);
        let Some(closing) = closing else {
            if kind == "script" {
                unclosed.get_or_insert(at + 1);
            }
            at += 1;
            continue;
        };
        let mut content = String::new();
        let mut starts = Vec::new();
        for (from, line) in &lines[at + 1..closing] {
            let body = line.get(2..).unwrap_or_default();
            starts.push((content.len(), from + line.len() - body.len()));
            content.push_str(body);
            content.push('\n');
        }
        let (last, line) = lines[closing];
        blocks.push(Block {
            kind: kind.to_owned(),
            line: at + 1,
            content,
            starts,
            span: start..last + line.len(),
        });
        at = closing + 1;
    }
    (blocks, unclosed)
}

impl Block {
    /// The place in the script of a place in the content.
    fn place(&self, at: usize) -> usize {
        let line = self.starts.partition_point(|(start, _)| *start <= at);
        match line.checked_sub(1).and_then(|n| self.starts.get(n)) {
            Some((start, place)) => place + (at - start),
            None => self.span.start,
        }
    }

    /// The content where it stands in the script, with blanks for all else.
    fn in_place(&self, text: &str) -> String {
        let keep = |byte: u8| if byte == b'\n' { byte } else { b' ' };
        let mut out: Vec<u8> = text.bytes().map(keep).collect();
        for (line, (_, place)) in self.content.lines().zip(&self.starts) {
            out[*place..place + line.len()].copy_from_slice(line.as_bytes());
        }
        // Blanks and whole lines of a text are text.
        String::from_utf8(out).unwrap_or_default()
    }

    fn span(&self, span: Range<usize>) -> Range<usize> {
        let start = self.place(span.start);
        // Of the last byte, since what follows it may be on another line.
        let end = match span.end.checked_sub(1) {
            Some(last) if span.end > span.start => self.place(last) + 1,
            _ => start,
        };
        start..end
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    requires_python: Option<Spanned<String>>,
    dependencies: Option<Vec<Spanned<String>>>,
}

fn parse(path: &Utf8Path, text: &str, block: &Block) -> Result<Header, ScriptError> {
    let raw: Raw = toml::from_str(&block.content).map_err(|error| {
        // Without a span it is about the document, so the block's beginning is shown.
        let span = match error.span() {
            Some(span) => block.span(span),
            None => block.span.start..block.span.start + OPENING.len() + block.kind.len(),
        };
        ScriptError::Toml {
            excerpt: Box::new(Excerpt::new(path, text, span)),
            message: error.message().to_owned(),
        }
    })?;
    // It was read once already, so this does not fail.
    let table: toml::Table = toml::from_str(&block.content).unwrap_or_default();
    let known = ["requires-python", "dependencies", "tool"];
    let item = |value: Spanned<String>| Item {
        span: block.span(value.span()),
        text: value.into_inner(),
    };
    Ok(Header {
        requires_python: raw.requires_python.map(item),
        dependencies: raw
            .dependencies
            .map(|all| all.into_iter().map(item).collect()),
        toml: block.in_place(text),
        unknown: table
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
            .cloned()
            .collect(),
        span: block.span.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<Header> {
        scan(Utf8Path::new("app.py"), text.as_bytes())
            .unwrap()
            .header
    }

    fn error(text: &str) -> String {
        let error = scan(Utf8Path::new("app.py"), text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
        assert!(error.hint().is_some());
        error.to_string()
    }

    fn dependencies(text: &str) -> Vec<String> {
        let all = header(text).and_then(|header| header.dependencies);
        all.unwrap_or_default()
            .into_iter()
            .map(|item| item.text)
            .collect()
    }

    const WHOLE: &str = "#!/usr/bin/env pyw\n\
        # /// script\n\
        # requires-python = \">=3.12\"\n\
        # dependencies = [\n\
        #   \"rich\",\n\
        #\n\
        #   \"httpx>=0.27\",\n\
        # ]\n\
        #\n\
        # [tool.pyw]\n\
        # memory = \"64M\"\n\
        # ///\n\
        import rich\n";

    #[test]
    fn a_whole_header() {
        let found = header(WHOLE).unwrap();
        let python = found.requires_python.clone().unwrap();
        assert_eq!(python.text, ">=3.12");
        assert_eq!(&WHOLE[python.span], "\">=3.12\"");
        let items = found.dependencies.clone().unwrap();
        assert_eq!(items[1].text, "httpx>=0.27");
        assert_eq!(&WHOLE[items[1].span.clone()], "\"httpx>=0.27\"");
        let at = WHOLE.find("memory").unwrap();
        assert_eq!(&found.toml[at..at + 14], "memory = \"64M\"");
        assert_eq!(found.toml.len(), WHOLE.len());
        let table: toml::Table = toml::from_str(&found.toml).unwrap();
        assert_eq!(table["tool"]["pyw"]["memory"].as_str(), Some("64M"));
        assert!(WHOLE[found.span.clone()].starts_with("# /// script\n"));
        assert!(WHOLE[found.span].ends_with("# ]\n#\n# [tool.pyw]\n# memory = \"64M\"\n# ///"));
    }

    #[test]
    fn line_ends_marks_and_encodings() {
        assert_eq!(
            dependencies(&WHOLE.replace('\n', "\r\n")),
            ["rich", "httpx>=0.27"]
        );
        let marked = format!("\u{feff}{}", &WHOLE["#!/usr/bin/env pyw\n".len()..]);
        let found = header(&marked).unwrap();
        assert_eq!(&marked[found.requires_python.unwrap().span], "\">=3.12\"");
        let mut latin = b"# -*- coding: latin-1 -*-\n# \xe9\n".to_vec();
        latin.extend(WHOLE.bytes());
        let found = scan(Utf8Path::new("a"), &latin).unwrap();
        assert_eq!(found.header.unwrap().dependencies.unwrap().len(), 2);
        let mut unknown = b"# coding: koi8-r\n# \xe9\n".to_vec();
        unknown.extend(WHOLE.bytes());
        let found = scan(Utf8Path::new("a"), &unknown).unwrap();
        assert_eq!(found.header.unwrap().dependencies.unwrap().len(), 2);
        // Without a newline at the very end.
        assert_eq!(
            dependencies("# /// script\n# dependencies = ['a']\n# ///"),
            ["a"]
        );
    }

    #[test]
    fn what_is_no_header() {
        for text in [
            "",
            "import os\n",
            "#/// script\n# ///\n",
            "# /// script\n# dependencies = []\n",
            "# /// script \n# dependencies = []\n# ///\n",
            " # /// script\n # ///\n",
            "# ///script\n# ///\n",
            "# /// scripts\n# dependencies = 1\n# ///\n",
            "# /// script\nimport os\n# ///\n",
            "# /// script\n#dependencies = []\n# ///\n",
            "# /// script\n# dependencies = []\n# /// \n",
            "# /// script\n\n# ///\n",
            "x = '''# /// script'''\n",
        ] {
            assert_eq!(header(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_block_that_nothing_closes_is_told() {
        let scan = |text: &str| scan(Utf8Path::new("a"), text.as_bytes()).unwrap().unclosed;
        assert_eq!(scan("\n# /// script\n# dependencies = []\n\n"), Some(2));
        assert_eq!(scan(WHOLE), None);
    }

    #[test]
    fn the_last_mark_closes() {
        // The first one is a comment of the TOML, since content follows it.
        let text = "# /// script\n# a = 1\n# ///\n# dependencies = ['a']\n# ///\n# more\n";
        let text = error(text);
        assert!(text.starts_with("app.py:3:6: "), "{text}");
        assert!(text.contains("\n3 | # ///\n  |      ^"), "{text}");
        assert_eq!(
            dependencies("# /// script\n# dependencies = ['a']\n# ///\n# trailing\n"),
            ["a"]
        );
    }

    #[test]
    fn an_empty_block_is_a_header() {
        let found = header("# /// script\n# ///\n").unwrap();
        assert_eq!((found.dependencies, found.requires_python), (None, None));
    }

    #[test]
    fn other_blocks_are_left_alone() {
        let text = "# /// other\n# ] broken [\n# ///\n\n# /// script\n# dependencies = ['b']\n\
                    # ///\n\n# /// other\n# x\n# ///\n";
        assert_eq!(dependencies(text), ["b"]);
        // A script's mark inside another block is content of that one.
        let text = "# /// other\n# /// script\n# dependencies = 1\n# ///\n";
        assert_eq!(header(text), None);
    }

    #[test]
    fn two_headers_are_an_error() {
        let text = "# /// script\n# ///\n\n# /// script\n# dependencies = []\n# ///\n";
        assert_eq!(
            error(text),
            "app.py has 2 `# /// script` blocks, at the lines 1, 4; one is allowed"
        );
    }

    #[test]
    fn errors_point_into_the_script() {
        assert_eq!(
            error("#!x\n# /// script\n# dependencies = [\"a\", 1]\n# ///\n"),
            "app.py:3:24: invalid type: integer `1`, expected a string\n  |\n\
             3 | # dependencies = [\"a\", 1]\n  |                        ^"
        );
        let text = error("# /// script\n#\n# requires-python = >=3\n# ///\n");
        assert!(text.starts_with("app.py:3:22: "), "{text}");
        let text = error("# /// script\n# dependencies = [\"a\"\n# ///\n");
        assert!(text.starts_with("app.py:2:"), "{text}");
    }

    #[test]
    fn keys_that_nobody_knows_are_told() {
        let found = header("# /// script\n# dependancies = ['a']\n# ///\n").unwrap();
        assert_eq!(found.unknown, ["dependancies"]);
        assert_eq!(found.dependencies, None);
    }

    #[test]
    fn only_the_beginning_of_a_script_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("a.py")).unwrap();
        let line = format!("# {}\n", "x".repeat(97));
        std::fs::write(&path, line.repeat(10_480) + WHOLE).unwrap();
        assert!(read(&path).unwrap().header.is_some());
        std::fs::write(&path, line.repeat(10_486) + WHOLE).unwrap();
        assert_eq!(read(&path).unwrap(), Scan::default());
        assert!(matches!(
            read(Utf8Path::new("/no/such")),
            Err(ScriptError::Read { .. })
        ));
    }

    #[test]
    fn any_text_is_read_without_panic() {
        let pieces = [
            "# /// script",
            "# ///",
            "#",
            "# a=1",
            "é",
            "",
            "# 日='",
            "\r",
        ];
        let mut state = 1_usize;
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..6 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push_str(pieces[(state >> 33) % pieces.len()]);
                text.push('\n');
            }
            let _ = scan(Utf8Path::new("a"), text.as_bytes());
        }
    }
}
