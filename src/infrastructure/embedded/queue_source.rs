//! Draining the embedded bus.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    read_pool::{ReadPool, Reading, finished},
    writer::{WriteError, Writer},
};
use crate::{
    domain::{
        EventId, Timestamp,
        ports::{Batch, BatchLimits, Checkpoint, Delivery, EventSource, PortError, Position, RawRecord},
    },
    infrastructure::wire,
};

/// Drained rows are removed in bulk: this many at a time, or all once the queue is empty.
const REMOVE_AT: i64 = 10_000;
/// While there is something, but not enough, it is looked at this often: under load every commit would wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(super) struct QueueSource {
    writer: Arc<Writer>,
    reader: ReadPool,
    committed: watch::Receiver<u64>,
    /// The last number that is durable.
    last: Arc<AtomicI64>,
    topic: Arc<str>,
    next: i64,
    /// What comes next, being read and understood while the last batch is stored.
    ahead: Option<Ahead>,
    /// There was more to read than the last batch could hold.
    more: bool,
    /// Everything below is removed.
    removed: i64,
    /// The commit begun last, to begin it anew if it failed.
    begun: Option<Begun>,
}

/// A batch on its way, within the limits that the last one had.
struct Ahead {
    limits: BatchLimits,
    reading: Reading<Rows>,
}

/// What a read found.
struct Rows {
    deliveries: Vec<Delivery>,
    /// The limits were met.
    full: bool,
}

/// A commit on its way.
struct Begun {
    next: i64,
    remove: bool,
    answer: oneshot::Receiver<Result<(), WriteError>>,
}

impl QueueSource {
    pub(super) async fn open(
        writer: Arc<Writer>,
        reader: ReadPool,
        committed: watch::Receiver<u64>,
        last: Arc<AtomicI64>,
    ) -> Result<Self, PortError> {
        let (next, removed) = reader
            .read(|connection| {
                connection.query_row(
                    "SELECT next, ifnull((SELECT min(seq) FROM events), next) FROM consumer",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
            })
            .await?;
        Ok(Self {
            writer,
            reader,
            committed,
            last,
            topic: "queue".into(),
            next,
            ahead: None,
            more: false,
            removed,
            begun: None,
        })
    }

    fn advance_to(&mut self, next: i64, remove: bool) -> Result<(), PortError> {
        let answer = self.writer.begin(move |connection| advance(connection, next, remove))?;
        self.begun = Some(Begun { next, remove, answer });
        Ok(())
    }

    /// While nothing comes no later commit makes up for one that failed.
    fn retry_failed_commit(&mut self) -> Result<(), PortError> {
        let failed = self.begun.take_if(|begun| matches!(begun.answer.try_recv(), Ok(Err(_))));
        failed.map_or(Ok(()), |begun| self.advance_to(begun.next, begun.remove))
    }

    /// How many events there are to read, by their numbers.
    fn waiting(&self) -> usize {
        usize::try_from(self.last.load(Ordering::Acquire) + 1 - self.next).unwrap_or(0)
    }

    async fn read(&mut self, limits: BatchLimits) -> Result<Rows, PortError> {
        let fits = |ahead: &Ahead| (ahead.limits.records, ahead.limits.bytes) == (limits.records, limits.bytes);
        if let Some(ahead) = self.ahead.as_mut().filter(|ahead| fits(ahead)) {
            let rows = finished(&mut ahead.reading).await;
            self.ahead = None;
            return rows;
        }
        self.ahead = None;
        self.reader.read(self.query(limits)).await
    }

    fn query(&self, limits: BatchLimits) -> impl FnOnce(&Connection) -> rusqlite::Result<Rows> + Send + 'static {
        let (next, topic) = (self.next, Arc::clone(&self.topic));
        move |connection| select(connection, next, limits, &topic)
    }
}

#[async_trait]
impl EventSource for QueueSource {
    async fn next_batch(&mut self, limits: BatchLimits, wait: Duration) -> Result<Batch, PortError> {
        let deadline = Instant::now() + wait;
        let Rows { deliveries, full } = loop {
            // Marked as seen before looking, so that a commit in between ends the wait at once.
            self.committed.mark_unchanged();
            let (waiting, at_least) = (self.waiting(), limits.at_least.max(1));
            if waiting >= at_least {
                let rows = self.read(limits).await?;
                if rows.full || rows.deliveries.len() >= at_least {
                    break rows;
                }
            } else if waiting > 0 {
                sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
            }
            match timeout_at(deadline, self.committed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(PortError::closed("the embedded engine is closed")),
                Err(_) => {
                    self.retry_failed_commit()?;
                    break Rows { deliveries: Vec::new(), full: false };
                }
            }
        };
        let next = deliveries.last().map(|last| last.position.offset + 1);
        self.next = next.unwrap_or(self.next);
        self.more = full;
        if full {
            self.ahead = self.reader.begin(self.query(limits)).map(|reading| Ahead { limits, reading });
        }
        let checkpoint = Checkpoint { assignment: 0, next: next.map(|next| (0, next)).into_iter().collect() };
        Ok(Batch { deliveries, checkpoint })
    }

    async fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), PortError> {
        let Some((_, next)) = checkpoint.next.first().copied() else { return Ok(()) };
        let all = next == self.next && !self.more;
        let remove = all || next - self.removed >= REMOVE_AT;
        if remove {
            self.removed = next;
        }
        // Not waited for: the position rides with the next group of writes, and until then a crash means redelivery.
        self.advance_to(next, remove)
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        // Commits are begun in order, so behind this one all are done.
        self.writer.write(|_| Ok(())).await.map_err(WriteError::into_port_error)
    }
}

fn select(connection: &Connection, next: i64, limits: BatchLimits, topic: &Arc<str>) -> rusqlite::Result<Rows> {
    let mut statement = connection
        .prepare_cached("SELECT seq, event_id, received_at, value FROM events WHERE seq >= ? ORDER BY seq LIMIT ?")?;
    let mut rows = statement.query(params![next, i64::try_from(limits.records).unwrap_or(i64::MAX)])?;
    let mut deliveries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(3)?;
        bytes += value.len();
        if bytes > limits.bytes && !deliveries.is_empty() {
            return Ok(Rows { deliveries, full: true });
        }
        let position = Position { topic: Arc::clone(topic), partition: 0, offset: row.get(0)? };
        deliveries.push(delivery(position, row.get(1)?, row.get(2)?, value));
    }
    let full = deliveries.len() >= limits.records;
    Ok(Rows { deliveries, full })
}

/// The bus keeps the identity beside the value: there are no headers.
fn delivery(position: Position, event_id: [u8; 16], received_at: i64, value: Vec<u8>) -> Delivery {
    let timestamp = Timestamp::from_millis(received_at);
    let event = wire::decode_known(EventId::from_bytes(event_id), timestamp, &value);
    let record = RawRecord { value: Some(value), ..RawRecord::default() };
    Delivery { position, timestamp, record, event }
}

fn advance(connection: &Connection, next: i64, remove: bool) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE consumer SET next = max(next, ?)")?.execute([next])?;
    if remove {
        connection.prepare_cached("DELETE FROM events WHERE seq < ?")?.execute([next])?;
    }
    Ok(())
}
