//! The data folder: made when missing, and held by one process at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Why the folder cannot be used. The texts are for the operator at start.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {0} cannot be made or written to")]
    NotWritable(PathBuf, #[source] io::Error),
    #[error("the data folder {0} is in use by another eyego process")]
    InUse(PathBuf),
    #[error("{0} cannot be opened")]
    Database(PathBuf, #[source] rusqlite::Error),
    #[error("{0} was written by a newer eyego (schema {1}, known up to {2})")]
    TooNew(PathBuf, i64, i64),
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

/// The folder, locked until it is dropped. The lock is advisory: commands that only read may look in beside it.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// # Errors
    /// Where the folder cannot be made or written to, or another process holds it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let not_writable = |error| FolderError::NotWritable(path.to_owned(), error);
        // Logs of what people do are nobody else's business.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_writable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("eyego.lock"))
            .map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }

    pub(super) fn queue_file(&self) -> PathBuf {
        self.path.join("queue.db")
    }

    pub(super) fn logs_file(&self) -> PathBuf {
        self.path.join("logs.db")
    }
}
