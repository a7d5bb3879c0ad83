//! What a file looks like from outside: enough to tell, without reading it, that it is still the
//! one that was seen before.

use std::fs::Metadata;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// A file's or folder's size, times and number. Whoever changes the content changes the time at
/// which it was changed, which no program can set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    /// In nanoseconds, as far as the system counts them.
    modified: u128,
    /// The last change of content or of attributes; 0 where the system does not tell.
    changed: i128,
    device: u64,
    number: u64,
}

impl Stamp {
    /// Looks at a path, through links. `None` where nothing is there.
    #[must_use]
    pub fn of(path: &Utf8Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|seen| Self::from(&seen))
    }

    /// Whether all that can be seen of it was so before that time.
    #[must_use]
    pub fn is_older_than(&self, time: SystemTime) -> bool {
        let time = time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos());
        self.modified < time && u128::try_from(self.changed).is_ok_and(|changed| changed < time)
    }

    /// What stays the same in a faithful copy: size and modification time, as text.
    #[must_use]
    pub fn content(&self) -> String {
        format!("{}-{}", self.size, self.modified)
    }
}

impl From<&Metadata> for Stamp {
    fn from(seen: &Metadata) -> Self {
        let modified = seen.modified().ok();
        let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        #[cfg(unix)]
        let (changed, device, number) = {
            use std::os::unix::fs::MetadataExt as _;
            let changed = i128::from(seen.ctime()) * 1_000_000_000 + i128::from(seen.ctime_nsec());
            (changed, seen.dev(), seen.ino())
        };
        #[cfg(not(unix))]
        let (changed, device, number) = (0, 0, 0);
        Self {
            size: seen.len(),
            modified: modified.map_or(0, |since| since.as_nanos()),
            changed,
            device,
            number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn a_change_shows_even_where_size_and_time_were_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("file")).unwrap();
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "one").unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let seen = Stamp::of(&path).unwrap();
        assert_eq!(Stamp::of(&path), Some(seen));
        // The clock of some file systems moves in steps of a few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, "two").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
        let after = Stamp::of(&path).unwrap();
        assert_eq!(after.content(), seen.content());
        #[cfg(unix)]
        assert_ne!(after, seen);
    }
}
