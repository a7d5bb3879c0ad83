//! Reading archives: wheels and other zips, and compressed tarballs.
//!
//! Archives are hostile until proved otherwise. Every name is checked before it is used, every
//! size is believed only as an upper bound, and nothing is written outside the destination.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

use camino::Utf8Path;
use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;

use super::error::StoreError;
use super::hash::{Hasher, Sha256, copy};
use super::tree::{Node, Problem, Tree, check_name, copy_exact, problem};

pub use super::tree::Limits;

/// The archives that pyw reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.zip`, `.whl`, `.pybi`.
    Zip,
    /// `.tgz`, `.tar.gz`.
    Tgz,
    /// `.tar.xz`.
    Txz,
}

impl Format {
    /// The format of an archive of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let has = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if has(&[".zip", ".whl", ".pybi"]) {
            Some(Format::Zip)
        } else if has(&[".tgz", ".tar.gz"]) {
            Some(Format::Tgz)
        } else if has(&[".tar.xz"]) {
            Some(Format::Txz)
        } else {
            None
        }
    }
}

/// What to take out of an archive.
#[derive(Clone, Copy, Default)]
pub struct Unpack<'a> {
    /// Only what is in this folder of the archive, without its name.
    pub strip_prefix: Option<&'a str>,
    /// Only the files and links for whose name (after stripping) this says yes.
    pub filter: Option<&'a dyn Fn(&str) -> bool>,
    /// How much it may be.
    pub limits: Limits,
    /// Told of every file that was written. (Not of those of a tarball.)
    pub written: Option<&'a dyn Fn(Written)>,
    /// Refuses symbolic links altogether. (Not those of a tarball.)
    pub no_links: bool,
}

/// A file that was taken out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its path below the destination.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Sha256,
}

impl Unpack<'_> {
    /// The name under which an entry is unpacked, if it is.
    fn select<'n>(&self, name: &'n str, node: Node) -> Option<&'n str> {
        let name = match self.strip_prefix {
            Some(prefix) => name
                .strip_prefix(prefix.trim_end_matches('/'))?
                .strip_prefix('/')?,
            None => name,
        };
        let chosen = match self.filter {
            // Folders come with what is in them.
            Some(filter) => node != Node::Folder && filter(name),
            None => true,
        };
        (chosen && !name.is_empty()).then_some(name)
    }
}

/// Unpacks into `dest`, which is created if need be, by the format of the archive.
pub fn unpack(
    format: Format,
    archive: &Utf8Path,
    dest: &Utf8Path,
    what: &Unpack<'_>,
) -> Result<(), StoreError> {
    match format {
        Format::Zip => unpack_zip(archive, dest, what),
        Format::Tgz | Format::Txz => unpack_tar(format, archive, dest, what),
    }
}

/// Unpacks a zip, and tells the size and digest of each file by its path.
///
/// It may come to a hundred times its own size and a little more: what is worth having compresses
/// 10 to 1, a bomb does 1000 to 1. `name` stands for the archive in messages, since the file may
/// have a passing name of the store's.
///
/// # Errors
/// As [`unpack_zip`].
pub fn unpack_measured(
    archive: &Utf8Path,
    name: &str,
    dest: &Utf8Path,
    no_links: bool,
) -> Result<BTreeMap<String, (u64, Sha256)>, StoreError> {
    let size = std::fs::metadata(archive)
        .map_err(|cause| StoreError::io("reading", archive, cause))?
        .len();
    let limits = Limits {
        bytes: Limits::default()
            .bytes
            .min(size.saturating_mul(100).saturating_add(64 << 20)),
        ..Limits::default()
    };
    let files = RefCell::new(BTreeMap::new());
    let written = |Written { name, size, sha256 }| {
        files.borrow_mut().insert(name, (size, sha256));
    };
    let what = Unpack {
        limits,
        written: Some(&written),
        no_links,
        ..Unpack::default()
    };
    unpack_zip(archive, dest, &what).map_err(|error| match error {
        StoreError::Archive { entry, problem, .. } => StoreError::Archive {
            archive: name.to_owned(),
            entry,
            problem,
        },
        error => error,
    })?;
    Ok(files.into_inner())
}

/// Unpacks a zip into `dest`, which is created if need be.
///
/// All names are checked before the first file is written.
pub fn unpack_zip(
    archive: &Utf8Path,
    dest: &Utf8Path,
    what: &Unpack<'_>,
) -> Result<(), StoreError> {
    let mut zip = open_zip(archive)?;
    let mut tree = Tree::new(dest, what.limits)?;
    let mut chosen = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|e| damaged(archive, e))?;
        let raw = entry.name_raw().to_vec();
        let shown = String::from_utf8_lossy(&raw).into_owned();
        let mut check = || {
            tree.count()?;
            // Wheels and pybis are UTF-8; what is not is also not what they were made of.
            let name = check_name(&raw)?;
            let mode = entry.unix_mode().unwrap_or(0);
            let node = zip_node(&raw, mode)?;
            if what.no_links && node == Node::Link {
                return Err(problem("is a symbolic link"));
            }
            if let Some(name) = what.select(&name, node) {
                tree.claim(name, node, entry.size())?;
                let executable = mode & 0o111 != 0;
                chosen.push((index, shown.clone(), name.to_owned(), node, executable));
            }
            Ok(())
        };
        check().map_err(|problem| in_archive(archive, Some(&shown), problem))?;
    }
    for (index, shown, name, node, executable) in chosen {
        let mut write = || {
            let mut entry = zip.by_index(index).map_err(|e| problem(e.to_string()))?;
            let size = entry.size();
            match node {
                Node::File => match what.written {
                    None => tree.file(&name, executable, size, &mut entry),
                    Some(written) => {
                        let mut content = Hashing {
                            inner: &mut entry,
                            hasher: Hasher::new(),
                        };
                        tree.file(&name, executable, size, &mut content)?;
                        let sha256 = content.hasher.finish();
                        let name = name.clone();
                        written(Written { name, size, sha256 });
                        Ok(())
                    }
                },
                Node::Link => {
                    let target = read_link(&mut entry)?;
                    tree.link(&name, &target)
                }
                Node::Folder | Node::ImpliedFolder => tree.folder(&name),
            }
        };
        write().map_err(|problem| in_archive(archive, Some(&shown), problem))?;
    }
    tree.finish()
        .map_err(|problem| in_archive(archive, None, problem))
}

/// Unpacks a compressed tarball into `dest`, which is created if need be.
fn unpack_tar(
    format: Format,
    archive: &Utf8Path,
    dest: &Utf8Path,
    what: &Unpack<'_>,
) -> Result<(), StoreError> {
    let mut tar = open_tar(format, archive, what.limits)?;
    let mut tree = Tree::new(dest, what.limits)?;
    for entry in tar.entries().map_err(|e| damaged(archive, e))? {
        let mut entry = entry.map_err(|e| damaged(archive, e))?;
        let raw = entry.path_bytes().into_owned();
        let mut write = || {
            tree.count()?;
            let Some(node) = tar_node(&entry)? else {
                return Ok(());
            };
            let name = check_name(&raw)?;
            let Some(name) = what.select(&name, node) else {
                return Ok(());
            };
            let size = if node == Node::File { entry.size() } else { 0 };
            tree.claim(name, node, size)?;
            match node {
                Node::File => {
                    let mode = entry.header().mode().unwrap_or(0);
                    tree.file(name, mode & 0o111 != 0, size, &mut entry)
                }
                Node::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    tree.link(name, &target)
                }
                Node::Folder | Node::ImpliedFolder => tree.folder(name),
            }
        };
        write().map_err(|problem| {
            in_archive(archive, Some(&String::from_utf8_lossy(&raw)), problem)
        })?;
    }
    tree.finish()
        .map_err(|problem| in_archive(archive, None, problem))
}

/// Copies one file out of an archive to the new file `to`, at most `limit` bytes of it.
pub(super) fn extract_member(
    format: Format,
    archive: &Utf8Path,
    member: &str,
    limit: u64,
    to: &Utf8Path,
) -> Result<Sha256, StoreError> {
    let copy_out = |size: u64, content: &mut dyn Read| {
        if size > limit {
            return Err(problem(format!(
                "has {size} bytes where {limit} are expected"
            )));
        }
        let mut file = File::create(to).map_err(|e| StoreError::io("creating", to, e))?;
        copy_exact(content, &mut file, to, size)
    };
    let found = match format {
        Format::Zip => {
            let mut zip = open_zip(archive)?;
            let mut found = Ok(false);
            if let Some(index) = zip.index_for_name(member) {
                let mut entry = zip.by_index(index).map_err(|e| damaged(archive, e))?;
                found = match zip_node(member.as_bytes(), entry.unix_mode().unwrap_or(0)) {
                    Ok(Node::File) => copy_out(entry.size(), &mut entry).map(|()| true),
                    Ok(_) => Err(problem("is not a file")),
                    Err(problem) => Err(problem),
                };
            }
            found
        }
        Format::Tgz | Format::Txz => {
            let mut tar = open_tar(format, archive, Limits::default())?;
            let mut found = Ok(false);
            for entry in tar.entries().map_err(|e| damaged(archive, e))? {
                let mut entry = entry.map_err(|e| damaged(archive, e))?;
                if !check_name(&entry.path_bytes()).is_ok_and(|name| name == member) {
                    continue;
                }
                found = match tar_node(&entry) {
                    Ok(Some(Node::File)) => copy_out(entry.size(), &mut entry).map(|()| true),
                    Ok(_) => Err(problem("is not a file")),
                    Err(problem) => Err(problem),
                };
                break;
            }
            found
        }
    };
    match found {
        Ok(true) => Sha256::of_file(to),
        Ok(false) => Err(in_archive(archive, Some(member), problem("is missing"))),
        Err(problem) => Err(in_archive(archive, Some(member), problem)),
    }
}

fn open(archive: &Utf8Path) -> Result<BufReader<File>, StoreError> {
    let file = File::open(archive).map_err(|cause| StoreError::io("opening", archive, cause))?;
    Ok(BufReader::with_capacity(64 * 1024, file))
}

fn open_zip(archive: &Utf8Path) -> Result<ZipArchive<BufReader<File>>, StoreError> {
    let zip = ZipArchive::new(open(archive)?).map_err(|e| damaged(archive, e))?;
    // The crate keeps one entry per name, so that a second one of the same name is lost on it.
    if zip.has_duplicate_names() {
        return Err(in_archive(
            archive,
            None,
            problem("two entries have the same name"),
        ));
    }
    Ok(zip)
}

fn open_tar(
    format: Format,
    archive: &Utf8Path,
    limits: Limits,
) -> Result<tar::Archive<impl Read>, StoreError> {
    // Headers and padding come on top of the content.
    let limit = limits
        .bytes
        .saturating_add(limits.entries.saturating_mul(2048));
    let file = open(archive)?;
    let inner: Box<dyn Read> = match format {
        Format::Txz => Box::new(lzma_rust2::XzReader::new(file, true)),
        Format::Tgz | Format::Zip => Box::new(MultiGzDecoder::new(file)),
    };
    Ok(tar::Archive::new(Capped { inner, left: limit }))
}

/// A reader that fails, where `take` would pretend the end, when too much comes.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than is allowed"))?;
        Ok(count)
    }
}

/// A reader that hashes what goes through.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// What a zip entry is, by its name and the file type of its unix mode (0 where there is none).
fn zip_node(name: &[u8], mode: u32) -> Result<Node, Problem> {
    let folder = name.ends_with(b"/");
    match mode & 0o170_000 {
        0 | 0o040_000 | 0o100_000 if folder => Ok(Node::Folder),
        0 | 0o100_000 => Ok(Node::File),
        0o120_000 if !folder => Ok(Node::Link),
        _ => Err(problem("is neither a file, a folder nor a symbolic link")),
    }
}

/// What a tar entry is; `None` for one that only describes others.
fn tar_node(entry: &tar::Entry<'_, impl Read>) -> Result<Option<Node>, Problem> {
    use tar::EntryType;
    match entry.header().entry_type() {
        // The old way to write a folder is a file whose name ends so.
        EntryType::Regular | EntryType::Continuous if entry.path_bytes().ends_with(b"/") => {
            Ok(Some(Node::Folder))
        }
        EntryType::Regular | EntryType::Continuous => Ok(Some(Node::File)),
        EntryType::Directory => Ok(Some(Node::Folder)),
        EntryType::Symlink => Ok(Some(Node::Link)),
        EntryType::XGlobalHeader => Ok(None),
        EntryType::Link => Err(problem("is a hard link")),
        _ => Err(problem("is neither a file, a folder nor a symbolic link")),
    }
}

fn read_link(entry: &mut impl Read) -> Result<Vec<u8>, Problem> {
    const LONGEST: u64 = 4096;
    let mut target = Vec::new();
    copy(entry.take(LONGEST + 1), &mut target)
        .map_err(|error| problem(format!("is damaged: {error}")))?;
    if target.len() as u64 > LONGEST {
        return Err(problem("is a symbolic link that is too long"));
    }
    Ok(target)
}

fn in_archive(archive: &Utf8Path, entry: Option<&str>, problem: Problem) -> StoreError {
    match problem {
        Problem::Entry(problem) => StoreError::Archive {
            archive: archive.to_string(),
            entry: entry.map(str::to_owned),
            problem,
        },
        Problem::Disk(error) => error,
    }
}

fn damaged(archive: &Utf8Path, error: impl std::fmt::Display) -> StoreError {
    in_archive(archive, None, problem(error.to_string()))
}
