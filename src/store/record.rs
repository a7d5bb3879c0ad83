//! RECORD: the list of the files of a wheel or a pybi with their hashes and sizes.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::{Sha256, StoreError};

/// One line of a RECORD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file, relative to the folder that holds the `.dist-info` or the `pybi-info`.
    pub path: String,
    /// Its hash, unless the line has none.
    pub hash: Option<Hash>,
    /// Its size in bytes, unless the line has none.
    pub size: Option<u64>,
}

/// A hash as a RECORD writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hash {
    /// `sha256=`, by far the most usual one.
    Sha256(Sha256),
    /// `sha384=`, its 48 bytes.
    Sha384(Vec<u8>),
    /// `sha512=`, its 64 bytes.
    Sha512(Vec<u8>),
    /// `symlink=`, of pybis only: not a file but a link, with where it leads (PEP 711).
    Symlink(String),
}

impl Hash {
    /// Whether the file is the one that was meant; `sha256` is that of the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn holds(&self, sha256: Sha256, file: &Utf8Path) -> Result<bool, StoreError> {
        Ok(match self {
            Hash::Sha256(expected) => *expected == sha256,
            Hash::Sha384(digest) => digest_of::<sha2::Sha384>(file)? == *digest,
            Hash::Sha512(digest) => digest_of::<sha2::Sha512>(file)? == *digest,
            Hash::Symlink(_) => false,
        })
    }
}

fn digest_of<D: sha2::Digest>(path: &Utf8Path) -> Result<Vec<u8>, StoreError> {
    let bytes = std::fs::read(path).map_err(|cause| StoreError::io("reading", path, cause))?;
    Ok(D::digest(bytes).to_vec())
}

/// Reads a RECORD.
///
/// # Errors
/// A sentence that says what is wrong, with the number of the line.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (number, fields) in rows(text)? {
        let wrong = |what: &str| format!("line {number} {what}");
        let [path, hash, size] = fields.as_slice() else {
            return Err(wrong("has not the three fields path, hash and size"));
        };
        if path.is_empty() {
            return Err(wrong("names no file"));
        }
        let hash = match hash.as_str() {
            "" => None,
            text => Some(parse_hash(text).map_err(|what| wrong(&what))?),
        };
        let size = match size.trim() {
            "" => None,
            text => match text.parse() {
                Ok(size) => Some(size),
                Err(_) => return Err(wrong(&format!("has {text:?} for a size"))),
            },
        };
        lines.push(Line {
            path: path.clone(),
            hash,
            size,
        });
    }
    Ok(lines)
}

/// The rows of a CSV text, empty ones left out, each with the number of the line it begins on.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut rows = Vec::new();
    let mut fields = Vec::new();
    let mut field = String::new();
    let (mut line, mut first) = (1, 1);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    loop {
        match chars.next() {
            Some('"') if field.is_empty() => loop {
                match chars.next() {
                    Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
                    Some('"') => break,
                    Some(c) => {
                        line += usize::from(c == '\n');
                        field.push(c);
                    }
                    None => return Err(format!("line {first} has a quote that nothing closes")),
                }
            },
            Some(',') => fields.push(std::mem::take(&mut field)),
            end @ (Some('\n') | None) => {
                if field.ends_with('\r') {
                    field.pop();
                }
                if !(fields.is_empty() && field.is_empty()) {
                    fields.push(std::mem::take(&mut field));
                    rows.push((first, std::mem::take(&mut fields)));
                }
                line += 1;
                first = line;
                if end.is_none() {
                    return Ok(rows);
                }
            }
            Some(c) => field.push(c),
        }
    }
}

fn parse_hash(text: &str) -> Result<Hash, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("has {text:?} for a hash"))?;
    if name == "symlink" {
        return Ok(Hash::Symlink(value.to_owned()));
    }
    let bytes = decode(value).ok_or_else(|| format!("has a {name} that is not base64"))?;
    let wrong = || format!("has a {name} of {} bytes", bytes.len());
    match name {
        "sha256" => {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            hex.parse().map(Hash::Sha256).map_err(|_| wrong())
        }
        "sha384" if bytes.len() == 48 => Ok(Hash::Sha384(bytes)),
        "sha512" if bytes.len() == 64 => Ok(Hash::Sha512(bytes)),
        "sha384" | "sha512" => Err(wrong()),
        _ => Err(format!(
            "has a hash by {name:?}, which is not sha256 or better"
        )),
    }
}

impl Line {
    /// The line for a file with these contents.
    #[must_use]
    pub fn of(path: &str, sha256: Sha256, size: u64) -> Line {
        Line {
            path: path.to_owned(),
            hash: Some(Hash::Sha256(sha256)),
            size: Some(size),
        }
    }

    /// The line for a link.
    #[must_use]
    pub fn link(path: &str, target: &str) -> Line {
        Line {
            path: path.to_owned(),
            hash: Some(Hash::Symlink(target.to_owned())),
            size: None,
        }
    }

    /// The line for a file that cannot have a hash: RECORD itself.
    #[must_use]
    pub fn bare(path: &str) -> Line {
        Line {
            path: path.to_owned(),
            hash: None,
            size: None,
        }
    }
}

/// The text of a RECORD with these lines.
#[must_use]
pub fn format(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { path, hash, size } in lines {
        push_field(&mut text, path);
        text.push(',');
        let digest = |name: &str, bytes: &[u8]| format!("{name}={}", encode(bytes));
        let hash = match hash {
            None => String::new(),
            Some(Hash::Sha256(sha256)) => digest("sha256", sha256.as_bytes()),
            Some(Hash::Sha384(bytes)) => digest("sha384", bytes),
            Some(Hash::Sha512(bytes)) => digest("sha512", bytes),
            Some(Hash::Symlink(target)) => format!("symlink={target}"),
        };
        push_field(&mut text, &hash);
        text.push(',');
        if let Some(size) = size {
            let _ = write!(text, "{size}");
        }
        text.push('\n');
    }
    text
}

fn push_field(text: &mut String, field: &str) {
    if field.contains(['"', ',', '\n', '\r']) {
        let _ = write!(text, "\"{}\"", field.replace('"', "\"\""));
    } else {
        text.push_str(field);
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The URL-safe base64 of some bytes, without padding.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            let six = (all >> (18 - 6 * at)) & 63;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}

/// The bytes of a URL-safe base64 text. Padding and the other two characters of plain base64 are
/// taken as well, since some tools write them.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut all, mut bits) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        all = (all << 6 | u32::from(six)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((all >> bits & 0xff) as u8);
        }
    }
    // What is left over has to be nothing.
    (all & ((1 << bits) - 1) == 0 && bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xff\xfe\xfd\xfc", "__79_A"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
            assert_eq!(decode(&format!("{text}==")).as_deref(), Some(bytes));
        }
        assert_eq!(decode("//79/A").as_deref(), Some(&b"\xff\xfe\xfd\xfc"[..]));
        for wrong in ["Z", "Zg Zg", "Zh", "é", "Zm9"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_are_read_and_written() {
        let digest = Sha256::of(b"abc");
        let lines = vec![
            Line::of("a/b.py", digest, 3),
            Line::of("a, \"b\".py", digest, 3),
            Line::link("bin/python", "../a,b"),
            Line::bare("a-1.dist-info/RECORD"),
        ];
        let text = format(&lines);
        assert_eq!(
            text,
            "a/b.py,sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\n\
             \"a, \"\"b\"\".py\",sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\n\
             bin/python,\"symlink=../a,b\",\n\
             a-1.dist-info/RECORD,,\n"
        );
        assert_eq!(parse(&text).unwrap(), lines);
        assert_eq!(
            parse(&format!("\u{feff}{}\r\n", text.replace('\n', "\r\n"))).unwrap(),
            lines
        );
        let long = format!("a,sha512={},\nb,sha384={},", "A".repeat(86), "A".repeat(64));
        assert_eq!(parse(&long).unwrap().len(), 2);
    }

    #[test]
    fn wrong_lines_are_explained() {
        for (text, message) in [
            ("a,b", "line 1 has not the three fields path, hash and size"),
            ("a,,\n\n,,", "line 3 names no file"),
            ("a,,x", "line 1 has \"x\" for a size"),
            ("a,,-1", "line 1 has \"-1\" for a size"),
            (
                "a,md5=AAAA,",
                "line 1 has a hash by \"md5\", which is not sha256 or better",
            ),
            ("a,abc,", "line 1 has \"abc\" for a hash"),
            ("a,sha256=AAAA,", "line 1 has a sha256 of 3 bytes"),
            ("a,sha512=AAAA,", "line 1 has a sha512 of 3 bytes"),
            ("a,sha256=?,", "line 1 has a sha256 that is not base64"),
            ("a,,\n\"b", "line 2 has a quote that nothing closes"),
        ] {
            assert_eq!(parse(text).unwrap_err(), message);
        }
    }
}
