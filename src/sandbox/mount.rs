//! A host directory that the guest sees, the syntax of `--mount`, and guest paths.
//!
//! Everything here looks at text only: no file is touched, and what a path means does not depend on
//! the machine (but for the separators of the host it runs on).

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

/// What a guest may do below a mount.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read and list.
    Read,
    /// Read, list, create, change and remove.
    Write,
}

/// Why a mount is there. Users see it in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Granted by the user, or by default (script and working directory).
    Grant,
    /// A second spelling, with `..`, of a granted folder. Runtimes that can't have it do without:
    /// [`super::Sandbox::plain_script`].
    Spelling,
    /// The interpreter's standard library.
    Interpreter,
    /// The packages that the program asked for.
    Packages,
    /// The skeleton that makes `/` and the mount points' parents exist.
    Root,
    /// The private `/tmp`, `/dev`.
    Private,
    /// pyw's own channel for how it ends.
    Channel,
}

/// One host directory at one guest path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mount {
    /// The directory on the host.
    pub host: Utf8PathBuf,
    /// Absolute, `/`-separated, without a trailing slash (but for `/` itself).
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
    /// Why it is there.
    pub purpose: Purpose,
}

/// A mount as the user writes it: `HOST[:GUEST][:ro|rw]`.
///
/// The last `:ro` or `:rw` is the access. A guest path begins with `/`, so it starts at the last `:/`
/// that leaves a host; other colons belong to the path they stand in. `\:` is a colon that
/// separates nothing (a backslash before anything else, or right after a drive's colon, is itself).
/// `X:/` and `X:\` at the front are a Windows drive on every system; a folder of one letter is
/// written `./x:/guest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// The host's path as written, absolute or not. It may not exist.
    pub host: Utf8PathBuf,
    /// The guest's path, normalised; `None` means [`guest_path_of`] the host's absolute path.
    pub guest: Option<String>,
    /// `None` means read-only.
    pub access: Option<Access>,
}

/// What is wrong with the text of a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountSpecError {
    /// No host path stands before the guest's path or the access.
    #[error(
        "`{text}` names no host path; write for example `data`, `data:/data` or `data:/data:rw`"
    )]
    EmptyHost { text: String },
    /// The text ends in a colon, or a colon stands right before the access.
    #[error(
        "nothing follows the `:` after `{host}`; \
         write for example `{host}:/data`, or `\\:` for a colon that belongs to the path"
    )]
    EmptyGuest { host: String },
    /// A path on a Windows drive has a second colon, which no file name there may have.
    #[error(
        "`{host}` has a colon after its drive; a guest path begins with `/` and the host before it \
         does not end in a backslash, for example `C:\\data:/data`"
    )]
    ColonAfterDrive { host: String },
    /// A path has a NUL byte.
    #[error("the host path has a NUL byte")]
    NulInHost,
    /// The guest's path is not one.
    #[error(transparent)]
    Guest(#[from] GuestPathError),
}

/// What is wrong with a guest path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestPathError {
    /// It does not begin with `/`.
    #[error("the guest path `{path}` does not begin with `/`; write for example `/data`")]
    Relative { path: String },
    /// Its `..` lead out of `/`.
    #[error("the guest path `{path}` leads above `/`")]
    AboveRoot { path: String },
    /// It has a NUL byte.
    #[error("the guest path has a NUL byte")]
    Nul,
}

impl MountSpec {
    /// Reads the text of a `--mount`. No file is looked at.
    ///
    /// # Errors
    ///
    /// When the host is missing, a colon leads nowhere, or the guest path leaves `/`.
    pub fn parse(text: &str) -> Result<MountSpec, MountSpecError> {
        let chars = unescape(text);
        let mut body = chars.as_slice();
        let mut access = None;
        if let [
            rest @ ..,
            Char::COLON,
            Char { c: 'r', .. },
            Char { c: last, .. },
        ] = body
        {
            access = match last {
                'o' => Some(Access::Read),
                'w' => Some(Access::Write),
                _ => None,
            };
            if access.is_some() {
                body = rest;
            }
        }
        match body {
            [] | [Char::COLON, ..] => {
                let text = text.to_owned();
                return Err(MountSpecError::EmptyHost { text });
            }
            [host @ .., Char::COLON] => {
                return Err(MountSpecError::EmptyGuest { host: plain(host) });
            }
            _ => {}
        }
        let drive = matches!(body, [letter, Char::COLON, Char { c: '/' | '\\', .. }, ..]
            if letter.c.is_ascii_alphabetic());
        let first = if drive { 2 } else { 1 };
        let split = (first..body.len().saturating_sub(1))
            .rev()
            .find(|&at| body[at] == Char::COLON && body[at + 1].c == '/');
        let (host, guest) = match split {
            Some(at) => (plain(&body[..at]), Some(plain(&body[at + 1..]))),
            None => (plain(body), None),
        };
        if host.contains('\0') {
            return Err(MountSpecError::NulInHost);
        }
        if drive && host.chars().skip(2).any(|c| c == ':') {
            return Err(MountSpecError::ColonAfterDrive { host });
        }
        Ok(MountSpec {
            host: host.into(),
            guest: guest.map(|guest| normalize_guest(&guest)).transpose()?,
            access,
        })
    }
}

impl FromStr for MountSpec {
    type Err = MountSpecError;

    fn from_str(text: &str) -> Result<MountSpec, MountSpecError> {
        MountSpec::parse(text)
    }
}

/// Text that [`MountSpec::parse`] reads back as the same mount.
impl fmt::Display for MountSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_str();
        let drive = if is_drive_path(host) { 2 } else { 0 };
        let (prefix, rest) = host.split_at(drive);
        // A backslash that ends a part would escape the colon that follows it; a slash after it
        // changes nothing.
        let end = |part: &str, last: bool| {
            if !last && part.ends_with('\\') {
                "/"
            } else {
                ""
            }
        };
        write!(f, "{prefix}{}", rest.replace(':', "\\:"))?;
        let last = self.guest.is_none() && self.access.is_none();
        f.write_str(end(host, last))?;
        if let Some(guest) = &self.guest {
            write!(f, ":{}", guest.replace(':', "\\:"))?;
            f.write_str(end(guest, self.access.is_none()))?;
        }
        match self.access {
            Some(Access::Read) => f.write_str(":ro"),
            Some(Access::Write) => f.write_str(":rw"),
            None => Ok(()),
        }
    }
}

impl serde::Serialize for MountSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One character of a spec, and whether a backslash took away its meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Char {
    c: char,
    escaped: bool,
}

impl Char {
    /// A colon that separates.
    const COLON: Char = Char {
        c: ':',
        escaped: false,
    };
}

fn unescape(text: &str) -> Vec<Char> {
    // In `C:\:/data` the first backslash is the drive's root.
    let root = is_drive_path(text).then_some(2);
    let mut chars = Vec::with_capacity(text.len());
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let escapes = c == '\\' && root != Some(at);
        match rest.next_if(|&(_, next)| escapes && next == ':') {
            Some((_, c)) => chars.push(Char { c, escaped: true }),
            None => chars.push(Char { c, escaped: false }),
        }
    }
    chars
}

fn plain(chars: &[Char]) -> String {
    chars.iter().map(|char| char.c).collect()
}

/// Whether `path` begins like `C:\` or `C:/`.
fn is_drive_path(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic())
}

/// Where a host path stands in the guest when the user names no other place.
///
/// An absolute Unix path is itself, without `.`, `..`, doubled or trailing slashes. A drive becomes
/// the first, lower-case component (`C:\x` is `/c/x`, also as `\\?\C:\x`), a network share
/// `\\host\share` is `/unc/host/share`. It looks at the text alone: links are not followed, `..` at
/// the top stays there, and a relative path counts from `/`, so make paths absolute first.
#[must_use]
pub fn guest_path_of(host: &Utf8Path) -> String {
    let mut rest = host.as_str();
    let mut parts: Vec<String> = Vec::new();
    let mut windows = cfg!(windows);
    let mut share = false;
    if let Some(verbatim) = rest.strip_prefix(r"\\?\").or(rest.strip_prefix(r"\\.\")) {
        windows = true;
        rest = verbatim;
        if let Some(unc) = rest.strip_prefix(r"UNC\") {
            rest = unc;
            share = true;
        }
    } else if let Some(unc) = rest.strip_prefix(r"\\") {
        rest = unc;
        windows = true;
        share = true;
    }
    if share {
        parts.push("unc".to_owned());
    } else if is_drive_path(rest) || (rest.len() == 2 && is_drive_path(&format!("{rest}/"))) {
        windows = true;
        parts.push(rest[..1].to_ascii_lowercase());
        rest = &rest[2..];
    }
    let top = parts.len();
    for part in rest.split(|c| c == '/' || (windows && c == '\\')) {
        match part {
            "" | "." => {}
            ".." => parts.truncate((parts.len().saturating_sub(1)).max(top)),
            _ => parts.push(part.to_owned()),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A guest path without `.`, `..`, doubled or trailing slashes: `/a/../b/` is `/b`.
///
/// # Errors
///
/// When the path is not absolute, leads above `/` or has a NUL byte.
pub fn normalize_guest(path: &str) -> Result<String, GuestPathError> {
    if path.contains('\0') {
        return Err(GuestPathError::Nul);
    }
    if !path.starts_with('/') {
        let path = path.to_owned();
        return Err(GuestPathError::Relative { path });
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    let path = path.to_owned();
                    return Err(GuestPathError::AboveRoot { path });
                }
            }
            _ => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Whether `inner` is `outer` or lies below it, by whole components: `/a` covers `/a/b`, not `/ab`.
///
/// Both are guest paths as [`normalize_guest`] returns them; one with a `..` covers nothing and is
/// covered by nothing.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|part| !matches!(*part, "" | "."))
    }
    if parts(outer).chain(parts(inner)).any(|part| part == "..") {
        return false;
    }
    let mut inner = parts(inner);
    parts(outer).all(|part| inner.next() == Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        use Access::{Read, Write};
        type Case = (
            &'static str,
            &'static str,
            Option<&'static str>,
            Option<Access>,
        );
        #[rustfmt::skip]
        let cases: &[Case] = &[
            ("data", "data", None, None),
            (".", ".", None, None),
            ("/", "/", None, None),
            ("data:ro", "data", None, Some(Read)),
            ("data:rw", "data", None, Some(Write)),
            ("data:/data", "data", Some("/data"), None),
            ("data:/data:rw", "data", Some("/data"), Some(Write)),
            ("data:/", "data", Some("/"), None),
            ("data:/:ro", "data", Some("/"), Some(Read)),
            ("/:/", "/", Some("/"), None),
            ("~/x:/x", "~/x", Some("/x"), None),
            // Spaces and unicode.
            ("/my files/a b:/my data:rw", "/my files/a b", Some("/my data"), Some(Write)),
            (" :/x", " ", Some("/x"), None),
            ("/données/é:/日本", "/données/é", Some("/日本"), None),
            ("é:/x", "é", Some("/x"), None),
            // Colons that separate nothing.
            ("10:30", "10:30", None, None),
            ("10:30:ro", "10:30", None, Some(Read)),
            ("a:b:/c", "a:b", Some("/c"), None),
            ("/a:/b:/c", "/a:/b", Some("/c"), None),
            ("/a/b:c/d", "/a/b:c/d", None, None),
            ("data:/x:y", "data", Some("/x:y"), None),
            ("data:/x:RW", "data", Some("/x:RW"), None),
            ("data:/x:rox", "data", Some("/x:rox"), None),
            ("data:ro:rw", "data:ro", None, Some(Write)),
            ("ro", "ro", None, None),
            ("rw:rw", "rw", None, Some(Write)),
            ("data:wr", "data:wr", None, None),
            ("a::/b", "a:", Some("/b"), None),
            // Escapes.
            (r"data\:/x", "data:/x", None, None),
            (r"data\:ro", "data:ro", None, None),
            (r"data\:ro:ro", "data:ro", None, Some(Read)),
            (r"/a:/b\:/c", "/a", Some("/b:/c"), None),
            (r"/a\:/b:/c", "/a:/b", Some("/c"), None),
            (r"data\:", "data:", None, None),
            (r"\:", ":", None, None),
            (r"\:/x", ":/x", None, None),
            (r"data:/x\:", "data", Some("/x:"), None),
            (r"a\b:/c\d", r"a\b", Some(r"/c\d"), None),
            (r"a\\:b", r"a\:b", None, None),
            (r"data\", r"data\", None, None),
            // Drives, and what only looks like one.
            (r"C:\data", r"C:\data", None, None),
            (r"C:\data:rw", r"C:\data", None, Some(Write)),
            (r"C:\data:/data:rw", r"C:\data", Some("/data"), Some(Write)),
            ("C:/data", "C:/data", None, None),
            ("C:/data:/data", "C:/data", Some("/data"), None),
            ("C:/:/data", "C:/", Some("/data"), None),
            (r"C:\:/data", r"C:\", Some("/data"), None),
            (r"C:\", r"C:\", None, None),
            (r"c:\my files:/x", r"c:\my files", Some("/x"), None),
            ("./c:/data", "./c", Some("/data"), None),
            ("C:data", "C:data", None, None),
            ("cc:/data", "cc", Some("/data"), None),
            ("7:/data", "7", Some("/data"), None),
            (r"\\host\share:/s", r"\\host\share", Some("/s"), None),
            // The guest is normalised, the host is not.
            ("a/../b/:/x//y/./z/..", "a/../b/", Some("/x/y"), None),
        ];
        for (text, host, guest, access) in cases {
            let spec = MountSpec::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(spec.host.as_str(), *host, "{text}");
            assert_eq!(spec.guest.as_deref(), *guest, "{text}");
            assert_eq!(spec.access, *access, "{text}");
            let again = MountSpec::parse(&spec.to_string());
            assert_eq!(again.as_ref(), Ok(&spec), "{text} shown as {spec}");
        }
    }

    #[test]
    fn not_mounts() {
        let cases = [
            (
                "",
                "`` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                ":ro",
                "`:ro` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                ":",
                "`:` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                ":/data",
                "`:/data` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                "::/data",
                "`::/data` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                ":/a:/b",
                "`:/a:/b` names no host path; write for example `data`, `data:/data` or `data:/data:rw`",
            ),
            (
                "data:",
                "nothing follows the `:` after `data`; write for example `data:/data`, or `\\:` for a colon that belongs to the path",
            ),
            (
                "data::rw",
                "nothing follows the `:` after `data`; write for example `data:/data`, or `\\:` for a colon that belongs to the path",
            ),
            (
                "C:",
                "nothing follows the `:` after `C`; write for example `C:/data`, or `\\:` for a colon that belongs to the path",
            ),
            ("data:/../x", "the guest path `/../x` leads above `/`"),
            ("data:/x\0", "the guest path has a NUL byte"),
            ("da\0ta:/x", "the host path has a NUL byte"),
            (
                r"C:\data\:/data",
                "`C:\\data:/data` has a colon after its drive; a guest path begins with `/` and the host before it does not end in a backslash, for example `C:\\data:/data`",
            ),
            (
                r"C:\data:C:\data",
                "`C:\\data:C:\\data` has a colon after its drive; a guest path begins with `/` and the host before it does not end in a backslash, for example `C:\\data:/data`",
            ),
        ];
        for (text, message) in cases {
            match MountSpec::parse(text) {
                Err(error) => assert_eq!(error.to_string(), message, "{text:?}"),
                Ok(spec) => panic!("{text:?} is {spec:?}"),
            }
        }
    }

    #[test]
    fn any_short_text_parses_and_shows_without_panic() {
        let letters = ['a', 'C', ':', '\\', '/', '.', 'r', 'o', 'é', '\0'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts
                .iter()
                .flat_map(|text| letters.iter().map(move |c| format!("{text}{c}")))
                .collect();
            for text in &texts {
                if let Ok(spec) = MountSpec::parse(text) {
                    let shown = spec.to_string();
                    assert_eq!(MountSpec::parse(&shown), Ok(spec), "{text:?} {shown:?}");
                }
            }
        }
    }

    #[test]
    fn guest_paths_of_hosts() {
        let cases = [
            ("/", "/"),
            ("/home/u/x", "/home/u/x"),
            ("/home/u/x/", "/home/u/x"),
            ("//home///u", "/home/u"),
            ("/home/./u/../v", "/home/v"),
            ("/../../x", "/x"),
            ("/with space/é:x", "/with space/é:x"),
            ("relative/x", "/relative/x"),
            ("", "/"),
            (r"C:\x", "/c/x"),
            ("C:/x/y", "/c/x/y"),
            (r"c:\x\..\..\..\y\", "/c/y"),
            (r"C:\", "/c"),
            ("C:", "/c"),
            (r"\\?\C:\x\y", "/c/x/y"),
            (r"\\?\UNC\host\share\x", "/unc/host/share/x"),
            (r"\\host\share\x", "/unc/host/share/x"),
            (r"\\..\..", "/unc"),
        ];
        for (host, guest) in cases {
            assert_eq!(guest_path_of(Utf8Path::new(host)), guest, "{host}");
        }
        if cfg!(unix) {
            assert_eq!(guest_path_of(Utf8Path::new(r"/a\..\b")), r"/a\..\b");
        }
    }

    #[test]
    fn guest_paths() {
        for (path, normal) in [
            ("/", "/"),
            ("///", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/../b/", "/b"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/..", "/"),
            ("/...", "/..."),
            ("/a b/é", "/a b/é"),
        ] {
            assert_eq!(normalize_guest(path).as_deref(), Ok(normal), "{path}");
        }
        for path in ["/..", "/a/../..", "/../a"] {
            let path = path.to_owned();
            assert_eq!(
                normalize_guest(&path),
                Err(GuestPathError::AboveRoot { path })
            );
        }
        for path in ["", "a", "./a", "C:/a", "../a"] {
            let path = path.to_owned();
            assert_eq!(
                normalize_guest(&path),
                Err(GuestPathError::Relative { path })
            );
        }
        assert_eq!(normalize_guest("/a\0"), Err(GuestPathError::Nul));
    }

    #[test]
    fn covering() {
        for (outer, inner) in [
            ("/", "/"),
            ("/", "/a"),
            ("/a", "/a"),
            ("/a", "/a/b/c"),
            ("/a/", "/a"),
        ] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [
            ("/a", "/"),
            ("/a", "/ab"),
            ("/a/b", "/a"),
            ("/a", "/b/a"),
            ("/a", "/a/../b"),
            ("/..", "/"),
        ] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
    }
}
