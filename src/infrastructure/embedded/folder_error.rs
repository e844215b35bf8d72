//! Why a data folder cannot be used. The texts are for the operator at start.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {0} cannot be made or written to")]
    NotWritable(PathBuf, #[source] io::Error),
    #[error("the data folder {0} is in use by another eyego process")]
    InUse(PathBuf),
    #[error("{0} cannot be opened")]
    Database(PathBuf, #[source] rusqlite::Error),
    #[error("{0} cannot be written to: check its owner, its rights and whether its disk is mounted read-only")]
    ReadOnly(PathBuf),
    #[error("{0} cannot be synced to its disk")]
    Unsynced(PathBuf, #[source] io::Error),
    #[error("{0} is damaged ({1}): restore queue.db and logs.db from one backup")]
    Damaged(PathBuf, String),
    #[error("{0} was written by a newer eyego (schema {1}, known up to {2})")]
    TooNew(PathBuf, i64, i64),
    #[error(
        "{0} was written by an older eyego (schema {1}, needed {2}): start the service once, it brings it up to date"
    )]
    TooOld(PathBuf, i64, i64),
    #[error("{missing} is missing, but {other} is there and {held}: put it back, or restore both from one backup")]
    Missing { missing: PathBuf, other: PathBuf, held: String },
    #[error("{file} has lost its end: {lost}; it or its -wal file was cut short or replaced: {advice}")]
    Shortened { file: PathBuf, lost: String, advice: &'static str },
    #[error("{0} and {1} do not belong together: restore both from one backup")]
    Strangers(PathBuf, PathBuf),
    #[error("there is nothing to read at {0}")]
    Absent(PathBuf),
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

impl FolderError {
    pub(super) fn database(file: &Path, error: rusqlite::Error) -> Self {
        let file = file.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(file, error.to_string()),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(file),
            _ => Self::Database(file, error),
        }
    }
}
