//! The embedded bus: `queue.db`, where events wait in order until they are stored.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::{
    crc::RowCrc,
    damage::DamageAlarm,
    database::{Schema, Trust, open_writer},
    folder::DataFolder,
    folder_error::FolderError,
    ledger_rows::QueueView,
    queue_source::QueueSource,
    read_pool::ReadPool,
    sequence::{self, Sequence, SequenceRow},
    writer::{Urgency, WriteError, Writer},
};
use crate::{
    domain::{
        Event, PartitionOffsets,
        ports::{BusOffsets, EventPublisher, EventSource, OffsetsFound, Partitions, PortError, PublishOutcome},
    },
    infrastructure::{status_cell::StatusCell, wire},
};

pub(super) const SCHEMA: Schema = Schema(&[
    "
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        event_id BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    -- Where the one consumer goes on. It outlives the rows, so that no number is used twice.
    CREATE TABLE consumer (only INTEGER PRIMARY KEY CHECK (only = 0), next INTEGER NOT NULL) STRICT;
    INSERT INTO consumer (only, next) VALUES (0, 0);
",
    "
    -- Rows from before there was a sequence have no checksum.
    ALTER TABLE events ADD COLUMN crc INTEGER;
    -- From first to last every number was given to one event. It outlives the rows, so that a lost one is noticed.
    CREATE TABLE sequence (
        only INTEGER PRIMARY KEY CHECK (only = 0),
        first INTEGER NOT NULL,
        last INTEGER NOT NULL
    ) STRICT;
    INSERT INTO sequence (only, first, last)
        SELECT 0, max(end, 1), max(end, 1) - 1
        FROM (SELECT max(next, (SELECT ifnull(max(seq), -1) + 1 FROM events)) AS end FROM consumer);
    UPDATE consumer SET next = 1 WHERE next = 0 AND NOT EXISTS (SELECT 1 FROM events);
",
]);

/// One for the source, and one for whoever asks for the offsets.
const READERS: usize = 2;

/// The bus of one process: a publisher, and one source at a time.
pub struct EmbeddedQueue {
    writer: Arc<Writer>,
    reader: ReadPool,
    committed: watch::Receiver<u64>,
    /// The last number given in the group in hand.
    taken: Arc<AtomicI64>,
    view: QueueView,
    opened_with: SequenceRow,
}

impl EmbeddedQueue {
    /// # Errors
    /// Where the file cannot be opened or was written by a newer version.
    pub fn open(folder: &DataFolder) -> Result<Self, FolderError> {
        Self::open_with(folder, &DamageAlarm::default(), Trust::AsLeft)
    }

    pub(super) fn open_with(folder: &DataFolder, alarm: &DamageAlarm, trust: Trust) -> Result<Self, FolderError> {
        let file = folder.queue_file();
        let connection = open_writer(&file, &SCHEMA, trust)?;
        let opened_with = sequence::open(&connection).map_err(|error| FolderError::database(&file, error))?;
        let reader = ReadPool::open(&file, READERS, alarm)?;
        let (sender, committed) = watch::channel(0);
        let taken = Arc::new(AtomicI64::new(opened_with.last));
        let last = Arc::new(AtomicI64::new(opened_with.last));
        let hook = Sequence::new(Arc::clone(&taken), Arc::clone(&last), sender, folder.witness());
        let writer = Writer::start("queue-writer", Urgency::Intake, connection, hook, alarm)?;
        let view = QueueView { first: opened_with.first, last };
        Ok(Self { writer, reader, committed, taken, view, opened_with })
    }

    /// What the store has to know of it.
    pub(super) fn view(&self) -> QueueView {
        self.view.clone()
    }

    pub(super) fn opened_with(&self) -> SequenceRow {
        self.opened_with
    }

    /// A source that goes on at the committed position. Two at a time would each get every event.
    ///
    /// # Errors
    /// `Unavailable` where the position cannot be read.
    pub async fn source(&self) -> Result<Box<dyn EventSource>, PortError> {
        let (writer, last) = (Arc::clone(&self.writer), Arc::clone(&self.view.last));
        let source = QueueSource::open(writer, self.reader.clone(), self.committed.clone(), last).await?;
        Ok(Box::new(source))
    }

    /// Whether writing works.
    pub fn status(&self) -> StatusCell {
        self.writer.health()
    }

    /// Finishes what was begun and closes the file. Blocks.
    pub fn close(&self) {
        self.reader.close();
        self.writer.close();
    }
}

#[async_trait]
impl EventPublisher for EmbeddedQueue {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let count = batch.len();
        let rows: Vec<Row> = batch.iter().map(Row::of).collect();
        let taken = Arc::clone(&self.taken);
        let answer = self.writer.write(move |connection| insert(connection, &rows, &taken)).await;
        (0..count).map(|_| outcome(&answer)).collect()
    }
}

#[async_trait]
impl BusOffsets for EmbeddedQueue {
    /// There is one partition, whichever are asked for.
    async fn look(&self, _: Partitions<'_>) -> Result<OffsetsFound, PortError> {
        let row = self.reader.read(sequence::read).await?;
        let (low, end) = (row.first, row.last + 1);
        let only = PartitionOffsets { partition: 0, low, end, committed: Some(row.position) };
        Ok(OffsetsFound { known: vec![only], silent: Vec::new() })
    }
}

fn outcome(answer: &Result<(), WriteError>) -> PublishOutcome {
    match answer {
        Ok(()) => PublishOutcome::Taken,
        Err(WriteError::NotDone(error)) => PublishOutcome::Refused(error.retold()),
        Err(WriteError::Unknown(error)) => PublishOutcome::Unknown(error.retold()),
    }
}

struct Row {
    event_id: [u8; 16],
    received_at: i64,
    value: Vec<u8>,
}

impl Row {
    fn of(event: &Event) -> Self {
        Self {
            event_id: *event.id.as_bytes(),
            received_at: event.received_at.as_millis(),
            value: wire::encode_value(&event.log),
        }
    }
}

/// Numbers are taken inside the transaction: they grow in commit order, and a failed group leaves no gap.
fn insert(connection: &Connection, rows: &[Row], taken: &AtomicI64) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("INSERT INTO events (seq, event_id, received_at, value, crc) VALUES (?, ?, ?, ?, ?)")?;
    for row in rows {
        let seq = taken.fetch_add(1, Ordering::Relaxed) + 1;
        let crc = RowCrc::default().integer(seq).blob(&row.event_id).integer(row.received_at).blob(&row.value).finish();
        statement.execute(params![seq, row.event_id, row.received_at, row.value, crc])?;
    }
    Ok(())
}
