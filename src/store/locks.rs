//! File locks, which the operating system releases when their owner ends, however it ends.

use std::fs::{File, TryLockError};

use camino::Utf8Path;

use super::error::StoreError;
use crate::ui::progress::Progress;

/// An exclusive lock, held until it is dropped.
///
/// The file stays: whoever removed it would let a third process lock a new file of the same name
/// while a second one still waits for the old one.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "holds the lock")] File);

impl Lock {
    /// Waits until nobody else has the lock, and says so; `what` is what the other one does.
    pub(super) fn wait(path: &Utf8Path, what: impl FnOnce() -> String) -> Result<Lock, StoreError> {
        let file = open(path)?;
        let failed = |cause| StoreError::io("locking", path, cause);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("waiting for another pyw to {}", what());
                let _progress = Progress::spinner(&text);
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        Ok(Lock(file))
    }

    /// Takes the lock if nobody else has it.
    pub(super) fn try_take(path: &Utf8Path) -> Result<Option<Lock>, StoreError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(StoreError::io("locking", path, cause)),
        }
    }
}

fn open(path: &Utf8Path) -> Result<File, StoreError> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|cause| StoreError::io("opening the lock", path, cause))
}
