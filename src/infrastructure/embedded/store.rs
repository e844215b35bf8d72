//! The embedded store: `logs.db`, where logs lie under their ids.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    damage::DamageAlarm,
    database::{Trust, open_writer},
    erasure_rows::RuleCache,
    folder::DataFolder,
    folder_error::FolderError,
    ledger_rows::{self, LedgerRow, QueueView},
    log_query, log_rows,
    read_pool::ReadPool,
    store_writes,
    writer::{NoHook, Urgency, WriteError, Writer},
};
use crate::{
    domain::{
        Account, ActivityLog, Count, EventId, IdRange, LogFilter, LogId, LogQuery, LogSlice, NumberedEvent, Timestamp,
        ports::{
            AppendOutcome, Clock, DeadLetter, DeadLetters, DeleteOutcome, Ledger, LogRepository, PortError, Receipt,
        },
    },
    infrastructure::status_cell::StatusCell,
};

const READERS: usize = 4;
/// In KiB, as SQLite wants it: negative. A batch touches pages all over the index of users; those that do not stay in
/// memory are written and read once more.
const WRITER_CACHE: i32 = -16_384;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// The store of one process.
pub struct EmbeddedStore {
    pub(super) writer: Arc<Writer>,
    pub(super) readers: ReadPool,
    next_id: Arc<AtomicI64>,
    clock: Arc<dyn Clock>,
    queue: QueueView,
    rules: RuleCache,
}

/// What an opening has to know.
pub(super) struct StoreOptions {
    pub(super) clock: Arc<dyn Clock>,
    /// Tombstones that are older are forgotten; 0 keeps them for ever.
    pub(super) tombstone_days: u32,
    pub(super) queue: QueueView,
    pub(super) alarm: DamageAlarm,
}

impl EmbeddedStore {
    /// A store without its queue: every offset from 1 on is in its account. Tombstones older than `tombstone_days` are
    /// forgotten at each opening; 0 keeps them for ever.
    ///
    /// # Errors
    /// Where the file cannot be opened or was written by a newer version.
    pub fn open(folder: &DataFolder, clock: Arc<dyn Clock>, tombstone_days: u32) -> Result<Self, FolderError> {
        let connection = open_writer(&folder.logs_file(), &log_rows::SCHEMA, Trust::AsLeft)?;
        let queue = QueueView { first: 1, last: Arc::default() };
        Self::start(folder, connection, StoreOptions { clock, tombstone_days, queue, alarm: DamageAlarm::default() })
    }

    pub(super) fn start(
        folder: &DataFolder,
        mut connection: Connection,
        options: StoreOptions,
    ) -> Result<Self, FolderError> {
        let StoreOptions { clock, tombstone_days, queue, alarm } = options;
        let file = folder.logs_file();
        let failed = |error| FolderError::database(&file, error);
        connection.pragma_update(None, "cache_size", WRITER_CACHE).map_err(failed)?;
        ledger_rows::open(&connection, queue.first).map_err(failed)?;
        if tombstone_days > 0 {
            let age = i64::from(tombstone_days) * MILLIS_PER_DAY;
            let older_than = Timestamp::from_millis(clock.now().as_millis() - age);
            store_writes::forget_tombstones(&mut connection, older_than).map_err(failed)?;
        }
        let next_id = store_writes::next_id(&connection).map_err(failed)?;
        let readers = ReadPool::open(&file, READERS, &alarm)?;
        let writer = Writer::start("logs-writer", Urgency::Drain, connection, NoHook, &alarm)?;
        Ok(Self {
            writer,
            readers,
            next_id: Arc::new(AtomicI64::new(next_id)),
            clock,
            queue,
            rules: RuleCache::default(),
        })
    }

    /// Whether writing works.
    pub fn status(&self) -> StatusCell {
        self.writer.health()
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(super) fn readers(&self) -> &ReadPool {
        &self.readers
    }

    pub(super) fn next_id(&self) -> &AtomicI64 {
        &self.next_id
    }

    /// Finishes what was begun and closes the file. Blocks.
    pub fn close(&self) {
        self.readers.close();
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
        let (batch, queue, rules) = (batch.to_vec(), self.queue.clone(), self.rules.clone());
        let written = self.writer.write(move |connection| {
            let outcomes = store_writes::append(connection, &batch, &queue, &*rules.read(connection)?)?;
            // It is freed by the caller: the writing thread has enough to do.
            Ok((outcomes, batch))
        });
        written.await.map(|(outcomes, _)| outcomes).map_err(WriteError::into_port_error)
    }

    async fn raise_counter(&self) -> Result<(), PortError> {
        let next_id = self.readers.read(store_writes::next_id).await?;
        self.next_id.fetch_max(next_id, Ordering::Relaxed);
        Ok(())
    }

    async fn find(&self, query: &LogQuery) -> Result<LogSlice, PortError> {
        let query = query.clone();
        self.readers.read_within(query.max_time, move |connection| log_query::find(connection, &query)).await
    }

    async fn count(&self, filter: &LogFilter, cap: u64, max_time: Duration) -> Result<Count, PortError> {
        let filter = filter.clone();
        self.readers.read_within(max_time, move |connection| log_query::count(connection, &filter, cap)).await
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
        let (letters, queue) = (letters.to_vec(), self.queue.clone());
        self.writer
            .write(move |connection| store_writes::bury(connection, &letters, &queue))
            .await
            .map_err(WriteError::into_port_error)
    }
}

#[async_trait]
impl Ledger for EmbeddedStore {
    async fn accounts(&self) -> Result<Vec<Account>, PortError> {
        let row = self.readers.read(ledger_rows::read).await?;
        Ok(row.map(|LedgerRow { account, .. }| account).into_iter().collect())
    }
}
