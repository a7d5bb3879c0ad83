//! What can go wrong while something is fetched, unpacked or kept, with its exit code and advice.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};

use super::hash::Sha256;
use crate::error::Code;

/// A failure of the store, of a download or of an archive.
///
/// The cause of an io error is part of the sentence and not a `source()`, so that whoever prints
/// a chain of errors does not print it twice.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing says where the store is.
    #[error("no folder for the store: the home folder of this user is not known")]
    NoHome,
    /// The store's path is not UTF-8, so it could not stand on a runtime's command line.
    #[error("the store cannot be in {}: the path is not valid UTF-8", path.display())]
    NotUtf8 {
        /// The path, with the bytes that are no UTF-8 replaced when shown.
        path: PathBuf,
    },
    /// A name that cannot safely be the name of a file on every system.
    #[error("`{key}` cannot name an entry of the store: {problem}")]
    BadKey {
        /// The name that was given.
        key: String,
        /// Which rule it breaks.
        problem: &'static str,
    },
    /// The disk or the quota is full.
    #[error("no space left on the disk while {doing} {path}")]
    DiskFull {
        /// What was being done, as "writing".
        doing: &'static str,
        /// With which file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A read-only filesystem, or no permission.
    #[error("{doing} {path} is not permitted: {cause}")]
    NotPermitted {
        /// What was being done, as "writing".
        doing: &'static str,
        /// With which file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Any other failure of the file system.
    #[error("{doing} {path} failed: {cause}")]
    Io {
        /// What was being done, as "writing".
        doing: &'static str,
        /// With which file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A setting that says where to download from is wrong.
    #[error("{variable} is not usable: {problem}")]
    Setting {
        /// The variable, the flag, or the file and line.
        variable: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A download is needed and `--offline` forbids it.
    #[error("{what} is not in the store and --offline forbids to download it{}", list_sources(.sources))]
    Offline {
        /// What was wanted.
        what: String,
        /// Where it would have come from.
        sources: Vec<String>,
    },
    /// TLS could not be set up at all.
    #[error("https is not available: {problem}")]
    Tls {
        /// What is missing.
        problem: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("{url}: {problem}")]
    Connection {
        /// The address, without credentials.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The server answered with an error.
    #[error("{url}: the server answered {status}")]
    Status {
        /// The address, without credentials.
        url: String,
        /// As "404 Not Found".
        status: String,
    },
    /// An index page does not say what it should.
    #[error("{url}: {problem}")]
    Index {
        /// The page, without credentials.
        url: String,
        /// What is wrong or missing.
        problem: String,
    },
    /// The bytes are not the ones that were pinned.
    #[error("{from}: the sha256 should be {expected} but is {got}")]
    Integrity {
        /// Where the bytes came from.
        from: String,
        /// The pinned hash.
        expected: Sha256,
        /// The hash of what came.
        got: Sha256,
    },
    /// More or fewer bytes than declared, or more than pyw is willing to take.
    #[error("{from}: {problem}")]
    Size {
        /// Where the bytes came from.
        from: String,
        /// Which size, and which was allowed.
        problem: String,
    },
    /// An archive is malformed, or tries something that an archive must not do.
    #[error("the archive {archive} cannot be unpacked: {}{problem}", name_entry(.entry))]
    Archive {
        /// The archive's path or name.
        archive: String,
        /// The offending entry, if it is about one.
        entry: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// No source gave the right bytes.
    #[error("{what} could not be downloaded{}", list_failures(.failures))]
    Sources {
        /// What was wanted.
        what: String,
        /// Every source with its own reason, in the order in which they were tried.
        failures: Vec<Failure>,
    },
}

/// Why one source did not give what was asked of it.
#[derive(Debug)]
pub struct Failure {
    /// The source as it is shown to a user.
    pub source: String,
    /// What happened.
    pub error: StoreError,
}

impl StoreError {
    /// Wraps an io error with what was being done (as "writing") and with which path.
    ///
    /// A full disk and a lack of permission get variants of their own, since a user can mend them.
    pub fn io(doing: &'static str, path: impl AsRef<Utf8Path>, cause: io::Error) -> Self {
        let path = path.as_ref().to_owned();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { doing, path, cause }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::NotPermitted { doing, path, cause }
            }
            _ => StoreError::Io { doing, path, cause },
        }
    }

    /// The exit code that pyw ends with.
    pub fn code(&self) -> Code {
        use StoreError::*;
        match self {
            NoHome | NotUtf8 { .. } | DiskFull { .. } | NotPermitted { .. } | Io { .. } => {
                Code::Storage
            }
            BadKey { .. } => Code::Internal,
            Setting { .. } => Code::Usage,
            Offline { .. } | Tls { .. } | Connection { .. } | Status { .. } | Index { .. } => {
                Code::Network
            }
            Integrity { .. } | Size { .. } | Archive { .. } => Code::Integrity,
            // Wrong bytes are the graver news: a mirror that is down must not hide them.
            Sources { failures, .. } => {
                let codes = || failures.iter().map(|failure| failure.error.code());
                if codes().any(|code| code == Code::Integrity) {
                    Code::Integrity
                } else if codes().all(|code| code == Code::Usage) && !failures.is_empty() {
                    Code::Usage
                } else {
                    Code::Network
                }
            }
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        use StoreError::*;
        let hint = match self {
            NoHome => "set PYW_STORE to a folder that pyw may use, or set HOME".to_owned(),
            NotUtf8 { .. } => "set PYW_STORE to a folder whose path is valid UTF-8".to_owned(),
            BadKey { .. } => return None,
            DiskFull { path, .. } => format!(
                "free some space on the disk of {path}, or set PYW_STORE to a folder on another disk"
            ),
            NotPermitted { path, .. } => format!(
                "make {path} accessible to you, or set PYW_STORE to a folder that you may write to"
            ),
            Io { cause, .. } if cause.kind() == io::ErrorKind::Unsupported => {
                "set PYW_STORE to a folder on a file system that knows file locks".to_owned()
            }
            Io { .. } => return None,
            Setting { variable, .. } => format!("correct {variable}, or unset it"),
            Offline { .. } => "run it once without --offline".to_owned(),
            Tls { .. } => {
                "install the system's CA certificates, or point SSL_CERT_FILE at a bundle of them"
                    .to_owned()
            }
            Connection { problem, .. } if problem.contains("certificate") => {
                "if a proxy re-signs https here, point SSL_CERT_FILE at its CA certificate"
                    .to_owned()
            }
            Connection { .. } => {
                "check the network; HTTPS_PROXY and NO_PROXY are honoured if they are set"
                    .to_owned()
            }
            Status { .. } | Index { .. } => return None,
            Integrity { .. } | Size { .. } => {
                "the bytes were thrown away; try again later or from another network, and report \
                 it if it stays"
                    .to_owned()
            }
            Archive { .. } => return None,
            Sources { failures, .. } => {
                return failures.iter().find_map(|failure| failure.error.hint());
            }
        };
        Some(hint)
    }

    /// Whether this is about the disk of this machine, so that no other source can do better.
    pub(super) fn is_local(&self) -> bool {
        use StoreError::*;
        matches!(
            self,
            NoHome | NotUtf8 { .. } | DiskFull { .. } | NotPermitted { .. } | Io { .. }
        )
    }
}

fn list_sources(sources: &[String]) -> String {
    match sources {
        [] => String::new(),
        [one] => format!(" from {one}"),
        many => many
            .iter()
            .fold(" from any of".to_owned(), |mut text, one| {
                let _ = write!(text, "\n  {one}");
                text
            }),
    }
}

fn list_failures(failures: &[Failure]) -> String {
    match failures {
        [] => ": nothing says where it comes from".to_owned(),
        [one] => format!(" from {}: {}", one.source, reason(one)),
        many => many.iter().fold(
            format!(" from any of {} sources:", many.len()),
            |mut text, one| {
                let _ = write!(text, "\n  {}: {}", one.source, reason(one));
                text
            },
        ),
    }
}

/// The reason without the address, where the reason begins with the very address already shown.
fn reason(failure: &Failure) -> String {
    let text = failure.error.to_string();
    match text.strip_prefix(&format!("{}: ", failure.source)) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

fn name_entry(entry: &Option<String>) -> String {
    entry
        .as_ref()
        // Debug form: a name out of a hostile archive must not bring escape codes to a terminal.
        .map(|name| format!("the entry {name:?} "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_full_and_read_only_are_told_apart() {
        let full = StoreError::io("writing", "/s/x", io::ErrorKind::StorageFull.into());
        assert!(matches!(full, StoreError::DiskFull { .. }));
        assert_eq!(full.code(), Code::Storage);
        assert_eq!(
            full.to_string(),
            "no space left on the disk while writing /s/x"
        );
        let denied = StoreError::io("creating", "/s/x", io::ErrorKind::ReadOnlyFilesystem.into());
        assert!(matches!(denied, StoreError::NotPermitted { .. }));
        assert!(denied.hint().unwrap().contains("PYW_STORE"));
    }

    #[test]
    fn every_source_is_listed_and_wrong_bytes_win() {
        let error = StoreError::Sources {
            what: "wasmtime 49".into(),
            failures: vec![
                Failure {
                    source: "https://a/x".into(),
                    error: StoreError::Status {
                        url: "https://a/x".into(),
                        status: "404 Not Found".into(),
                    },
                },
                Failure {
                    source: "npm b 1".into(),
                    error: StoreError::Size {
                        from: "https://b/x".into(),
                        problem: "too big".into(),
                    },
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "wasmtime 49 could not be downloaded from any of 2 sources:\n  \
             https://a/x: the server answered 404 Not Found\n  \
             npm b 1: https://b/x: too big"
        );
        assert_eq!(error.code(), Code::Integrity);
    }
}
