//! Notices when a database is removed or replaced while it is open: what is written from then on would go nowhere.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::domain::ports::PortError;

const EVERY: Duration = Duration::from_millis(500);

pub(super) struct FileWatch {
    file: PathBuf,
    inode: Option<u64>,
    looked: Instant,
}

impl FileWatch {
    pub(super) fn on(file: &Path) -> Self {
        let inode = fs::metadata(file).ok().map(|found| found.ino());
        Self { file: file.to_owned(), inode, looked: Instant::now() }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Looks, now and then, whether the file under its name is still the one that was opened.
    pub(super) fn look(&mut self) -> Result<(), PortError> {
        if self.looked.elapsed() < EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        match fs::metadata(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PortError::corrupt("it was removed")),
            Ok(found) if self.inode.is_some_and(|inode| inode != found.ino()) => {
                Err(PortError::corrupt("it was replaced by another file"))
            }
            _ => Ok(()),
        }
    }
}
