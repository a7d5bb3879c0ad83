//! The side of unpacking that writes: which names an archive may use, and that nothing it does
//! reaches outside the folder it is unpacked to.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};

use camino::Utf8Path;

use super::error::StoreError;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The sum of the sizes of all unpacked files.
    pub bytes: u64,
    /// The number of entries.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 2 << 30,
            entries: 100_000,
        }
    }
}

/// What is wrong: with the entry, or with the disk it is written to.
#[derive(Debug)]
pub(super) enum Problem {
    Entry(String),
    Disk(StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::Disk(error)
    }
}

pub(super) fn problem(text: impl Into<String>) -> Problem {
    Problem::Entry(text.into())
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A folder that only stands in the name of something inside it.
    ImpliedFolder,
    Folder,
    File,
    Link,
}

/// A tree that grows inside a folder.
pub(super) struct Tree<'a> {
    dest: &'a Utf8Path,
    limits: Limits,
    /// Every path of the archive, by its form without case, with its true spelling.
    seen: HashMap<String, (String, Node)>,
    links: Vec<(String, String)>,
    entries: u64,
    bytes: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(dest: &'a Utf8Path, limits: Limits) -> Result<Self, StoreError> {
        super::create_private_dir(dest)?;
        Ok(Tree {
            dest,
            limits,
            seen: HashMap::new(),
            links: Vec::new(),
            entries: 0,
            bytes: 0,
        })
    }

    /// Counts an entry, be it unpacked or not.
    pub(super) fn count(&mut self) -> Result<(), Problem> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let limit = self.limits.entries;
            return Err(problem(format!("is one too many: the limit is {limit}")));
        }
        Ok(())
    }

    /// Takes a name, and counts a size, before anything is written under that name.
    pub(super) fn claim(&mut self, name: &str, node: Node, size: u64) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(problem(format!(
                "makes it unpack to more than {} bytes",
                self.limits.bytes
            )));
        }
        for (end, _) in name.match_indices('/') {
            self.insert(&name[..end], Node::ImpliedFolder)?;
        }
        self.insert(name, node)
    }

    fn insert(&mut self, name: &str, node: Node) -> Result<(), Problem> {
        let Some((spelling, before)) = self.seen.get_mut(&name.to_lowercase()) else {
            let value = (name.to_owned(), node);
            self.seen.insert(name.to_lowercase(), value);
            return Ok(());
        };
        if spelling != name {
            return Err(problem(format!("differs from {spelling:?} only in case")));
        }
        match (*before, node) {
            (Node::ImpliedFolder | Node::Folder, Node::ImpliedFolder) => Ok(()),
            (Node::ImpliedFolder, Node::Folder) => {
                *before = Node::Folder;
                Ok(())
            }
            (Node::File | Node::Link, Node::ImpliedFolder) => Err(problem(format!(
                "needs {name:?} to be a folder, which it is not"
            ))),
            _ => Err(problem("is there twice")),
        }
    }

    /// Creates a folder whose name is claimed.
    pub(super) fn folder(&self, name: &str) -> Result<(), Problem> {
        let path = self.dest.join(name);
        DirBuilder::new()
            .recursive(true)
            .create(&path)
            .map_err(|cause| StoreError::io("creating the folder", &path, cause))?;
        Ok(())
    }

    /// Writes a file whose name is claimed; it must have just the size that was declared.
    pub(super) fn file(
        &self,
        name: &str,
        executable: bool,
        size: u64,
        content: impl Read,
    ) -> Result<(), Problem> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.folder(parent)?;
        }
        let path = self.dest.join(name);
        let mut options = OpenOptions::new();
        // Never opens what is there, nor follows a link.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            if executable { 0o777 } else { 0o666 },
        );
        #[cfg(not(unix))]
        let _ = executable;
        let mut file = options
            .open(&path)
            .map_err(|cause| StoreError::io("creating", &path, cause))?;
        copy_exact(content, &mut file, &path, size)
    }

    /// Remembers a symbolic link whose name is claimed; links are made last of all.
    pub(super) fn link(&mut self, name: &str, target: &[u8]) -> Result<(), Problem> {
        let target = check_link(name, target)?;
        self.links.push((name.to_owned(), target));
        Ok(())
    }

    /// Makes the links.
    #[cfg(unix)]
    pub(super) fn finish(self) -> Result<(), Problem> {
        for (name, target) in &self.links {
            if let Some((parent, _)) = name.rsplit_once('/') {
                self.folder(parent)?;
            }
            let path = self.dest.join(name);
            std::os::unix::fs::symlink(target, &path)
                .map_err(|cause| StoreError::io("creating the link", &path, cause))?;
        }
        Ok(())
    }

    /// Refuses links, which a user may not make here without special rights.
    #[cfg(not(unix))]
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.links.first() {
            None => Ok(()),
            Some((name, _)) => Err(problem(format!("{name:?} is a symbolic link"))),
        }
    }
}

/// Copies just so many bytes; a byte more or less is the archive's lie.
///
/// The last read must meet the end, since only there archive readers verify their checksum.
pub(super) fn copy_exact(
    content: impl Read,
    file: &mut impl Write,
    path: &Utf8Path,
    size: u64,
) -> Result<(), Problem> {
    let mut content = content.take(size.saturating_add(1));
    let mut buffer = vec![0; 64 * 1024];
    let mut copied: u64 = 0;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) if copied < size => {
                return Err(problem(format!("ends after {copied} of {size} bytes")));
            }
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(problem(format!("is damaged: {error}"))),
        };
        copied += count as u64;
        if copied > size {
            return Err(problem(format!(
                "is longer than the {size} bytes it declares"
            )));
        }
        file.write_all(&buffer[..count])
            .map_err(|cause| StoreError::io("writing", path, cause))?;
    }
}

/// An archive's name as a clean relative path with `/` between its parts; empty for the root.
pub(super) fn check_name(raw: &[u8]) -> Result<String, Problem> {
    let name = std::str::from_utf8(raw).map_err(|_| problem("has a name that is not UTF-8"))?;
    if name.is_empty() {
        return Err(problem("has an empty name"));
    }
    if name.starts_with('/') {
        return Err(problem("has an absolute name"));
    }
    if name.contains('\\') {
        return Err(problem("has a backslash in its name"));
    }
    if name.chars().any(char::is_control) {
        return Err(problem("has a control character in its name"));
    }
    let mut clean = String::with_capacity(name.len());
    for part in name.split('/') {
        match part.as_bytes() {
            b"" | b"." => continue,
            b".." => return Err(problem("has `..` in its name")),
            [letter, b':', ..] if letter.is_ascii_alphabetic() => {
                return Err(problem("has a drive letter in its name"));
            }
            // A colon opens an alternate data stream there.
            part if cfg!(windows) && part.contains(&b':') => {
                return Err(problem("has a colon in its name"));
            }
            // Windows drops these, which would make two names one.
            [.., b'.' | b' '] if cfg!(windows) => {
                return Err(problem("has a part that ends with a dot or a space"));
            }
            _ => {}
        }
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
    }
    Ok(clean)
}

/// Allows a link only if it is relative and stays inside.
///
/// `..` may only stand at the beginning: there it climbs real folders, since no claimed name
/// passes through a link. After another part it could climb from where some other link leads.
fn check_link(name: &str, target: &[u8]) -> Result<String, Problem> {
    let outside = || problem("is a symbolic link to outside");
    let text = std::str::from_utf8(target)
        .map_err(|_| problem("is a symbolic link to a name that is not UTF-8"))?;
    if text.is_empty() || text.starts_with('/') {
        return Err(outside());
    }
    let depth = name.matches('/').count();
    let parts = || text.split('/').filter(|part| !matches!(*part, "" | "."));
    let climbs = parts().take_while(|part| *part == "..").count();
    if climbs > depth {
        return Err(outside());
    }
    let rest: Vec<_> = parts().skip(climbs).collect();
    if !rest.is_empty() {
        check_name(rest.join("/").as_bytes()).map_err(|_| outside())?;
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_refused() {
        for (raw, clean) in [
            ("a", "a"),
            ("./a/./b//c/", "a/b/c"),
            ("./", ""),
            ("a..b/..c", "a..b/..c"),
            ("ünï", "ünï"),
        ] {
            assert_eq!(check_name(raw.as_bytes()).unwrap(), clean);
        }
        for raw in [
            "", "/a", "//a", "..", "../a", "a/..", "a/../b", "a\\b", "..\\a", "C:", "c:/a",
            "a/C:b", "a\0b", "a\nb", "a\x1b[0m",
        ] {
            assert!(check_name(raw.as_bytes()).is_err(), "{raw:?}");
        }
        assert!(check_name(b"\xff").is_err());
    }

    #[test]
    fn links_stay_inside() {
        for (name, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b/c", "../../d/e"),
            ("a/b", ".."),
        ] {
            assert!(check_link(name, target.as_bytes()).is_ok(), "{target}");
        }
        for (name, target) in [
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a", "/etc"),
            ("a", "b/../../c"),
            ("a/b/c", "d/../e"),
            ("a", ""),
            ("a", "b\\c"),
        ] {
            assert!(check_link(name, target.as_bytes()).is_err(), "{target}");
        }
    }

    #[test]
    fn names_clash() {
        let folder = tempfile::tempdir().unwrap();
        let dest = Utf8Path::from_path(folder.path()).unwrap();
        let clash = |names: &[(&str, Node)]| {
            let mut tree = Tree::new(dest, Limits::default()).unwrap();
            names
                .iter()
                .any(|(name, node)| tree.claim(name, *node, 0).is_err())
        };
        use Node::*;
        assert!(!clash(&[("a/b", File), ("a", Folder), ("a/c", File)]));
        assert!(!clash(&[("a", Folder), ("a/b/c", File), ("a/b", Folder)]));
        assert!(clash(&[("a", File), ("a", File)]));
        assert!(clash(&[("a", Folder), ("a", Folder)]));
        assert!(clash(&[("a/b", File), ("A/c", File)]));
        assert!(clash(&[("ä", File), ("Ä", File)]));
        assert!(clash(&[("a", Link), ("a/b", File)]));
        assert!(clash(&[("a/b", File), ("a", Link)]));
        assert!(clash(&[("a/b", File), ("a", File)]));
    }
}
