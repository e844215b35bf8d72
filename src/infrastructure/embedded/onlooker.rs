//! `logs.db` seen by a command that only reads: with a service beside it or without one, and nothing is left behind.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;

use super::{
    damage::DamageAlarm,
    database::open_onlooker,
    folder::{logs_file, wal_of},
    folder_error::FolderError,
    log_export, log_rows,
    read_pool::ReadPool,
};
use crate::domain::{
    ExportPart, ExportQuery, LogId,
    ports::{LogExport, PortError},
};

/// The logs of a folder, opened for reading only. The folder's lock is not taken.
pub struct EmbeddedOnlooker {
    file: PathBuf,
    view: Mutex<View>,
}

/// The file as it was found.
#[derive(Clone)]
struct View {
    readers: ReadPool,
    /// Nobody wrote: it is read as a file that never changes, which is true for as long as it looks like this.
    quiet: Option<Look>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    has_wal: bool,
    length: u64,
    changed: Option<SystemTime>,
}

impl Look {
    fn at(file: &Path) -> Self {
        let found = std::fs::metadata(file).ok();
        Self {
            has_wal: wal_of(file).exists(),
            length: found.as_ref().map_or(0, std::fs::Metadata::len),
            changed: found.and_then(|found| found.modified().ok()),
        }
    }
}

impl View {
    fn open(file: &Path) -> Result<Self, FolderError> {
        let look = Look::at(file);
        let connection = open_onlooker(file, &log_rows::SCHEMA)?;
        let readers = ReadPool::of(file, vec![connection], &DamageAlarm::default());
        Ok(Self { readers, quiet: Some(look).filter(|look| !look.has_wal) })
    }
}

impl EmbeddedOnlooker {
    /// # Errors
    /// Where the file is not there, cannot be read, or was written by another version.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let file = logs_file(folder);
        let view = Mutex::new(View::open(&file)?);
        Ok(Self { file, view })
    }

    fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was read counts where the file is still as it was taken to be; else it has to be read again.
    fn settled<T>(&self, view: &View, found: Result<T, PortError>) -> Result<T, PortError> {
        if view.quiet.as_ref().is_none_or(|look| *look == Look::at(&self.file)) {
            return found;
        }
        let meanwhile = || PortError::unavailable("the service was started meanwhile");
        let opened = View::open(&self.file).map_err(|error| meanwhile().caused_by(error))?;
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Err(meanwhile())
    }
}

#[async_trait]
impl LogExport for EmbeddedOnlooker {
    async fn newest(&self) -> Result<Option<LogId>, PortError> {
        let view = self.view();
        let found = log_export::newest(&view.readers).await;
        self.settled(&view, found)
    }

    async fn part(&self, query: &ExportQuery) -> Result<ExportPart, PortError> {
        let view = self.view();
        let found = log_export::part(&view.readers, query).await;
        self.settled(&view, found)
    }
}
