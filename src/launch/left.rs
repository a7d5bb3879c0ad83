//! What a guest leaves in its channel for pyw: read with care, as a program can put there what it
//! likes, of any size, or links to files that only pyw may read.

use std::fs::File;
use std::io::Read as _;

use camino::Utf8Path;

/// Reads a file that a guest left. `None` where there is none, where it is no regular file, or where
/// it is longer than `most` bytes.
#[must_use]
pub fn read(path: &Utf8Path, most: u64) -> Option<Vec<u8>> {
    let file = open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Without following a link, and without waiting for the other end of a pipe.
#[cfg(unix)]
fn open(path: &Utf8Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Utf8Path) -> std::io::Result<File> {
    if path.is_symlink() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    File::open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_small_files_of_the_guests_own_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let file = |name: &str| folder.join(name);
        std::fs::write(file("four"), "four").unwrap();
        std::os::unix::fs::symlink("four", file("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", file("endless")).unwrap();
        std::fs::create_dir(file("folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, file("pipe").as_std_path(), 0o600.into()).unwrap();
        assert_eq!(read(&file("four"), 4).unwrap(), b"four");
        assert_eq!(read(&file("four"), 3), None);
        for name in ["link", "endless", "folder", "pipe", "missing"] {
            assert_eq!(read(&file(name), 4), None, "{name}");
        }
    }
}
