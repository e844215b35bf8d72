//! The embedded store: `logs.db`, where logs lie under their ids.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;

use super::{
    database::open_writer,
    folder::{DataFolder, FolderError},
    log_rows,
    read_pool::ReadPool,
    store_writes,
    writer::{WriteError, Writer},
};
use crate::{
    domain::{
        ActivityLog, EventId, IdRange, LogFilter, LogId, LogPage, NumberedEvent, PageRequest, Timestamp,
        ports::{AppendOutcome, Clock, DeadLetter, DeadLetters, DeleteOutcome, LogRepository, PortError, Receipt},
    },
    infrastructure::status_cell::StatusCell,
};

const READERS: usize = 4;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// The store of one process.
pub struct EmbeddedStore {
    writer: Arc<Writer>,
    readers: ReadPool,
    next_id: Arc<AtomicI64>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedStore {
    /// Tombstones older than `tombstone_days` are forgotten at each opening; 0 keeps them for ever.
    ///
    /// # Errors
    /// Where the file cannot be opened or was written by a newer version.
    pub fn open(folder: &DataFolder, clock: Arc<dyn Clock>, tombstone_days: u32) -> Result<Self, FolderError> {
        let file = folder.logs_file();
        let failed = |error| FolderError::Database(file.clone(), error);
        let connection = open_writer(&file, &log_rows::SCHEMA)?;
        if tombstone_days > 0 {
            let age = i64::from(tombstone_days) * MILLIS_PER_DAY;
            let older_than = Timestamp::from_millis(clock.now().as_millis() - age);
            store_writes::forget_tombstones(&connection, older_than).map_err(failed)?;
        }
        let next_id = store_writes::next_id(&connection).map_err(failed)?;
        let readers = ReadPool::open(&file, READERS)?;
        let writer = Writer::start("logs-writer", connection, || ())?;
        Ok(Self { writer, readers, next_id: Arc::new(AtomicI64::new(next_id)), clock })
    }

    /// Whether writing works.
    pub fn status(&self) -> StatusCell {
        self.writer.health()
    }

    /// Finishes what was begun and closes the file. Blocks.
    pub fn close(&self) {
        self.writer.close();
    }
}

#[async_trait]
impl LogRepository for EmbeddedStore {
    /// From memory: an append carries the counter past its own ids in the same transaction, and an id that was never
    /// appended was never seen by anybody, so it may be handed out again after a crash.
    async fn reserve(&self, count: u32) -> Result<IdRange, PortError> {
        let start = self.next_id.fetch_add(i64::from(count), Ordering::Relaxed);
        Ok(IdRange::new(start, start + i64::from(count)))
    }

    async fn append(&self, batch: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError> {
        let batch = batch.to_vec();
        self.writer
            .write(move |connection| store_writes::append(connection, &batch))
            .await
            .map_err(WriteError::into_port_error)
    }

    async fn raise_counter(&self) -> Result<(), PortError> {
        let next_id = self.readers.read(store_writes::next_id).await?;
        self.next_id.fetch_max(next_id, Ordering::Relaxed);
        Ok(())
    }

    async fn find(&self, filter: &LogFilter, page: PageRequest) -> Result<LogPage, PortError> {
        let filter = filter.clone();
        self.readers.read(move |connection| log_rows::find(connection, &filter, page)).await
    }

    async fn get(&self, id: LogId) -> Result<Option<ActivityLog>, PortError> {
        self.readers.read(move |connection| log_rows::get(connection, id)).await
    }

    async fn receipt(&self, event_id: EventId) -> Result<Receipt, PortError> {
        self.readers.read(move |connection| log_rows::receipt(connection, event_id)).await
    }

    async fn delete(&self, id: LogId) -> Result<DeleteOutcome, PortError> {
        let now = self.clock.now();
        match self.writer.write(move |connection| store_writes::delete(connection, id, now)).await {
            Ok(outcome) => Ok(outcome),
            Err(WriteError::NotDone(error)) => Err(error),
            Err(WriteError::Unknown(_)) => Ok(DeleteOutcome::Unconfirmed),
        }
    }
}

#[async_trait]
impl DeadLetters for EmbeddedStore {
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let letters = letters.to_vec();
        self.writer
            .write(move |connection| store_writes::bury(connection, &letters))
            .await
            .map_err(WriteError::into_port_error)
    }
}
