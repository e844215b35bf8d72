//! The embedded bus: `queue.db`, where events wait in order until they are stored.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};

use super::{
    database::{Schema, open_writer},
    folder::{DataFolder, FolderError},
    queue_source::QueueSource,
    read_pool::ReadPool,
    writer::{WriteError, Writer},
};
use crate::{
    domain::{
        Event,
        ports::{EventPublisher, EventSource, PortError, PublishOutcome},
    },
    infrastructure::{status_cell::StatusCell, wire},
};

const SCHEMA: Schema = Schema(&["
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        event_id BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    -- Where the one consumer goes on. It outlives the rows, so that no number is used twice.
    CREATE TABLE consumer (only INTEGER PRIMARY KEY CHECK (only = 0), next INTEGER NOT NULL) STRICT;
    INSERT INTO consumer (only, next) VALUES (0, 0);
"]);

/// The bus of one process: a publisher, and one source at a time.
pub struct EmbeddedQueue {
    writer: Arc<Writer>,
    reader: ReadPool,
    committed: watch::Receiver<u64>,
    next_seq: Arc<AtomicI64>,
}

impl EmbeddedQueue {
    /// # Errors
    /// Where the file cannot be opened or was written by a newer version.
    pub fn open(folder: &DataFolder) -> Result<Self, FolderError> {
        let file = folder.queue_file();
        let connection = open_writer(&file, &SCHEMA)?;
        let next_seq = connection
            .query_row("SELECT max(next, (SELECT ifnull(max(seq), -1) + 1 FROM events)) FROM consumer", [], |row| {
                row.get(0)
            })
            .map_err(|error| FolderError::Database(file.clone(), error))?;
        let reader = ReadPool::open(&file, 1)?;
        let (sender, committed) = watch::channel(0);
        let wake = move || sender.send_modify(|commits: &mut u64| *commits = commits.wrapping_add(1));
        let writer = Writer::start("queue-writer", connection, wake)?;
        Ok(Self { writer, reader, committed, next_seq: Arc::new(AtomicI64::new(next_seq)) })
    }

    /// A source that goes on at the committed position. Two at a time would each get every event.
    ///
    /// # Errors
    /// `Unavailable` where the position cannot be read.
    pub async fn source(&self) -> Result<Box<dyn EventSource>, PortError> {
        let source = QueueSource::open(Arc::clone(&self.writer), self.reader.clone(), self.committed.clone()).await?;
        Ok(Box::new(source))
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
impl EventPublisher for EmbeddedQueue {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let count = batch.len();
        let rows: Vec<Row> = batch.iter().map(Row::of).collect();
        let next_seq = Arc::clone(&self.next_seq);
        let answer = match self.writer.begin(move |connection| insert(connection, &rows, &next_seq)) {
            Ok(answer) => wait(answer).await,
            Err(error) => Err(WriteError::NotDone(error)),
        };
        (0..count).map(|_| outcome(&answer)).collect()
    }
}

async fn wait(answer: oneshot::Receiver<Result<(), WriteError>>) -> Result<(), WriteError> {
    answer.await.unwrap_or_else(|_| Err(WriteError::Unknown(PortError::closed("the writer ended"))))
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

/// Numbers are taken inside the transaction's turn, so they grow in commit order; a failed group leaves a gap.
fn insert(connection: &Connection, rows: &[Row], next_seq: &AtomicI64) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO events (seq, event_id, received_at, value) VALUES (?, ?, ?, ?)")?;
    for row in rows {
        let seq = next_seq.fetch_add(1, Ordering::Relaxed);
        statement.execute(params![seq, row.event_id, row.received_at, row.value])?;
    }
    Ok(())
}
