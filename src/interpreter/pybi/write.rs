//! Writing archives, reproducibly: the same tree makes the same bytes.

use std::io::{Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::fault::PybiError;
use super::info::{Metadata, Pybi};
use super::name::{PybiName, canonical, parse_build};
use super::{METADATA, PYBI, RECORD};
use crate::store::record::{self, Line};
use crate::store::{Sha256, StoreError};

/// Writes the pybi of a tree into `folder` under the name that PEP 711 gives it, and answers with
/// its path. What is there under that name is replaced once the new one is whole.
///
/// The tree holds everything but `PYBI`, `METADATA` and `RECORD`. Folders are written only where
/// they are empty. Times, owners and modes are not those on disk; only the module is executable.
///
/// # Errors
/// The tree cannot be read, or the archive not be written.
pub fn write(
    tree: &Utf8Path,
    pybi: &Pybi,
    metadata: &Metadata,
    folder: &Utf8Path,
) -> Result<Utf8PathBuf, PybiError> {
    let name = PybiName {
        distribution: metadata.name.to_ascii_lowercase(),
        version: metadata.version.clone(),
        build: pybi.build.as_deref().and_then(parse_build),
        platform: pybi
            .tags
            .first()
            .map(|tag| canonical(tag))
            .unwrap_or_default(),
    };
    let path = folder.join(name.to_string());
    let failed = |error: &dyn std::fmt::Display| PybiError::Write {
        path: path.clone(),
        reason: error.to_string(),
    };
    std::fs::create_dir_all(folder)
        .map_err(|cause| StoreError::io("creating the folder", folder, cause))?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder
        .prefix(".pybi-")
        .tempfile_in(folder)
        .map_err(|cause| StoreError::io("creating a file in", folder, cause))?;

    let mut zip = ZipWriter::new(std::io::BufWriter::new(file));
    let mut lines = Vec::new();
    for entry in entries(tree)? {
        let from = tree.join(&entry.name);
        let read = |cause| StoreError::io("reading", &from, cause);
        match entry.node {
            Node::Folder => zip
                .add_directory(entry.name, options(0o755))
                .map_err(|e| failed(&e))?,
            Node::Link => {
                let target = from.read_link_utf8().map_err(read)?;
                lines.push(Line::link(&entry.name, target.as_str()));
                zip.add_symlink(entry.name, target.as_str(), options(0o777))
                    .map_err(|e| failed(&e))?;
            }
            Node::File => {
                let mut bytes = Vec::new();
                std::fs::File::open(&from)
                    .and_then(|mut file| file.read_to_end(&mut bytes))
                    .map_err(read)?;
                let executable = pybi.wasm.module.as_deref() == Some(entry.name.as_str());
                lines.push(Line::of(
                    &entry.name,
                    Sha256::of(&bytes),
                    bytes.len() as u64,
                ));
                let mode = if executable { 0o755 } else { 0o644 };
                zip.start_file(entry.name, options(mode))
                    .map_err(|e| failed(&e))?;
                zip.write_all(&bytes).map_err(|e| failed(&e))?;
            }
        }
    }
    // Last, so that whoever can read parts of a remote file finds them near its end.
    for (name, text) in [(METADATA, metadata.text()), (PYBI, pybi.text())] {
        lines.push(Line::of(
            name,
            Sha256::of(text.as_bytes()),
            text.len() as u64,
        ));
        zip.start_file(name, options(0o644))
            .map_err(|e| failed(&e))?;
        zip.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    }
    lines.push(Line::bare(RECORD));
    zip.start_file(RECORD, options(0o644))
        .map_err(|e| failed(&e))?;
    zip.write_all(record::format(&lines).as_bytes())
        .map_err(|e| failed(&e))?;
    let file = zip.finish().map_err(|e| failed(&e))?;
    let file = file.into_inner().map_err(|e| failed(&e))?;
    file.as_file()
        .sync_all()
        .map_err(|cause| StoreError::io("writing", &path, cause))?;
    file.persist(&path)
        .map_err(|error| StoreError::io("writing", &path, error.error))?;
    Ok(path)
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(mode)
}

enum Node {
    File,
    Link,
    Folder,
}

struct Entry {
    /// Relative to the tree, with `/`.
    name: String,
    node: Node,
}

/// Everything in the tree but the texts that are made here, in the order of the names' bytes.
fn entries(tree: &Utf8Path) -> Result<Vec<Entry>, PybiError> {
    let mut entries = Vec::new();
    for entry in walkdir::WalkDir::new(tree).min_depth(1).follow_links(false) {
        let entry = entry.map_err(|error| {
            let cause = error
                .into_io_error()
                .unwrap_or_else(|| std::io::Error::other("a loop of links"));
            StoreError::io("reading", tree, cause)
        })?;
        let path = Utf8Path::from_path(entry.path()).ok_or_else(|| PybiError::Write {
            path: tree.to_owned(),
            reason: format!("{} is not UTF-8", entry.path().display()),
        })?;
        let inside = path.strip_prefix(tree).unwrap_or(path);
        let parts: Vec<&str> = inside.components().map(|part| part.as_str()).collect();
        let name = parts.join("/");
        if [METADATA, PYBI, RECORD].contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type();
        let node = if kind.is_symlink() {
            Node::Link
        } else if kind.is_dir() {
            let empty = path
                .read_dir_utf8()
                .is_ok_and(|mut all| all.next().is_none());
            if !empty {
                continue;
            }
            Node::Folder
        } else {
            Node::File
        };
        entries.push(Entry { name, node });
    }
    let last = |entry: &Entry| entry.name.starts_with(super::INFO);
    entries.sort_by(|a, b| (last(a), &a.name).cmp(&(last(b), &b.name)));
    Ok(entries)
}
