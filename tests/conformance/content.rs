//! Bytes as a case writes them: text, hex, repeated, or parts of these one after the other.

use serde::Deserialize;

use crate::place::Names;

/// Bytes in a case: a file's, standard input's, or those expected of a stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// UTF-8 text in which `{work}` and its like are filled in.
    Text(String),
    /// Bytes that text cannot hold.
    Hex(Hex),
    /// Content that is too big to stand in the case.
    Repeat(Repeat),
    /// Parts, one after the other.
    Parts(Vec<Content>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hex {
    hex: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    repeat: Box<Content>,
    times: usize,
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Content {
    /// The bytes, with the names of this trial's directories filled in.
    pub fn bytes(&self, names: &Names) -> Result<Vec<u8>, String> {
        Ok(match self {
            Self::Text(text) => names.fill(text).into_bytes(),
            Self::Hex(Hex { hex }) => from_hex(hex)?,
            Self::Repeat(Repeat { repeat, times }) => repeat.bytes(names)?.repeat(*times),
            Self::Parts(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.bytes(names)?);
                }
                all
            }
        })
    }
}

/// Decodes hexadecimal digits; blanks between bytes are for the reader.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.split_whitespace().collect();
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return Err(format!("not hexadecimal bytes: {text:?}"));
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("not hexadecimal bytes: {text:?}: {e}"))
}

/// What a stream must hold when the program has ended.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// Not a byte more or less.
    Exact(Content),
    /// For messages whose wording is not the program's.
    Part(Part),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Starts(Content),
    Ends(Content),
}

impl Default for Expected {
    fn default() -> Self {
        Self::Exact(Content::default())
    }
}

impl Expected {
    /// What is wrong with `got`, if anything.
    pub fn mismatch(
        &self,
        stream: &str,
        got: &[u8],
        names: &Names,
    ) -> Result<Option<String>, String> {
        let (content, kind) = match self {
            Self::Exact(content) => (content, "expected"),
            Self::Part(Part::Starts(content)) => (content, "expected to start with"),
            Self::Part(Part::Ends(content)) => (content, "expected to end with"),
        };
        let wanted = content.bytes(names)?;
        let fits = match self {
            Self::Exact(_) => got == wanted,
            Self::Part(Part::Starts(_)) => got.starts_with(&wanted),
            Self::Part(Part::Ends(_)) => got.ends_with(&wanted),
        };
        if fits {
            return Ok(None);
        }
        let same = wanted.iter().zip(got).take_while(|(a, b)| a == b).count();
        Ok(Some(format!(
            "{stream} differs at byte {same}\n    {kind}: {}\n    got:      {}",
            excerpt(&wanted, same),
            excerpt(got, same),
        )))
    }
}

/// The bytes as a quoted string, cut around `at` when there are many.
pub fn excerpt(bytes: &[u8], at: usize) -> String {
    const AROUND: usize = 1500;
    let from = at.saturating_sub(AROUND);
    let to = bytes.len().min(at + AROUND);
    let cut = |hidden: usize| {
        if hidden == 0 {
            String::new()
        } else {
            format!("… {hidden} bytes … ")
        }
    };
    format!(
        "{}\"{}\" {}({} bytes)",
        cut(from),
        bytes[from..to.max(from)]
            .utf8_chunks()
            .map(|chunk| {
                let valid = chunk.valid().escape_debug().to_string();
                let invalid: String = chunk
                    .invalid()
                    .iter()
                    .map(|b| format!("\\x{b:02x}"))
                    .collect();
                valid + &invalid
            })
            .collect::<String>(),
        cut(bytes.len() - to.max(from)),
        bytes.len(),
    )
}
