//! The data folder: made when missing, held by one process at a time, and what that process leaves in the lock file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::folder_error::FolderError;

/// The length of the first line of the lock file: the last acknowledged sequence number.
const LAST_LINE: usize = 20;

/// The folder, locked until it is dropped. The lock is advisory: commands that only read may look in beside it.
///
/// The lock file's first line is the last sequence number that was acknowledged. Behind it stands, from a clean end to
/// the next opening, what the databases looked like then.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
    acknowledged: i64,
    clean: bool,
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
            .read(true)
            .write(true)
            .open(path.join("eyego.lock"))
            .map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(not_writable(error)),
        }
        let left = std::io::read_to_string(&lock).unwrap_or_default();
        let (acknowledged, mark) = left.split_once('\n').unwrap_or_default();
        // Without either database it is a folder to begin in: nothing in it was ever acknowledged.
        let begins = !is_there(&queue_file(path)) && !is_there(&logs_file(path));
        let acknowledged = if begins { 0 } else { acknowledged.parse().unwrap_or(0) };
        let clean = !mark.is_empty() && mark == clean_mark(path);
        // From here on an end without a mark is no clean one.
        lock.write_all_at(last_line(acknowledged).as_bytes(), 0).map_err(not_writable)?;
        lock.set_len(LAST_LINE as u64 + 1).map_err(not_writable)?;
        Ok(Self { path: path.to_owned(), lock, acknowledged, clean })
    }

    pub(super) fn queue_file(&self) -> PathBuf {
        queue_file(&self.path)
    }

    pub(super) fn logs_file(&self) -> PathBuf {
        logs_file(&self.path)
    }

    /// Whether the databases are as the last process left them when it ended well.
    pub(super) fn ended_well(&self) -> bool {
        self.clean
    }

    /// The last sequence number that was acknowledged, as far as it was noted. Never more than what had been synced.
    pub(super) fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// To note what is acknowledged.
    pub(super) fn witness(&self) -> Option<Witness> {
        // Opened again: a copy of the handle would share the lock and keep it.
        OpenOptions::new().write(true).open(self.path.join("eyego.lock")).ok().map(Witness)
    }

    /// To be called once both databases are closed.
    pub(super) fn mark_clean(&self) {
        // Without the mark the next start looks through the files; that is all.
        let _ = self.lock.write_all_at(clean_mark(&self.path).as_bytes(), LAST_LINE as u64 + 1);
    }
}

/// Notes what was acknowledged, outside of the databases, so that a database that lost its end is noticed.
///
/// It is not synced: it survives the process but not the machine, and then it knows of less, never of more.
#[derive(Debug)]
pub(super) struct Witness(File);

impl Witness {
    pub(super) fn note(&self, last: i64) {
        let _ = self.0.write_all_at(last_line(last).as_bytes(), 0);
    }
}

/// Always of the same length, so that it is written over in place.
fn last_line(last: i64) -> String {
    format!("{last:0LAST_LINE$}\n")
}

pub(super) fn queue_file(folder: &Path) -> PathBuf {
    folder.join("queue.db")
}

pub(super) fn logs_file(folder: &Path) -> PathBuf {
    folder.join("logs.db")
}

pub(super) fn wal_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// An empty file is what a crash leaves before anything was written.
pub(super) fn is_there(file: &Path) -> bool {
    length(file) > 0
}

pub(super) fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn clean_mark(folder: &Path) -> String {
    let mut mark = String::new();
    for file in [queue_file(folder), logs_file(folder)] {
        let (length, seconds, nanos) =
            fs::metadata(&file).map_or((0, 0, 0), |found| (found.len(), found.mtime(), found.mtime_nsec()));
        mark.push_str(&format!("{length} {seconds}.{nanos:09} {}\n", self::length(&wal_of(&file))));
    }
    mark
}
