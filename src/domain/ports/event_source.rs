//! The bus, seen by whoever drains it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{DeadLetterReason, PortError, RecordHeaders};
use crate::domain::{Event, EventId, Timestamp};

/// Where a record lies on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

/// A record as it came: what a dead letter carries on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: RecordHeaders,
}

impl RawRecord {
    /// What it takes in memory, about: value, key and headers.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(&self.value) + length(&self.key) + self.headers.bytes()
    }
}

/// Why a record is no event. It is data, not an error: it is dead-lettered and the next one goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub event_id: EventId,
    pub reason: DeadLetterReason,
}

/// One record of the bus.
#[derive(Debug)]
pub struct Delivery {
    pub position: Position,
    /// The record's own time.
    pub timestamp: Timestamp,
    pub record: RawRecord,
    pub event: Result<Event, Malformed>,
}

/// How much a batch holds.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    pub records: usize,
    /// Bytes of the records; a single larger one makes a batch of its own.
    pub bytes: usize,
    /// How many records have to be there before a batch is handed out, or as many as the source holds at a time.
    pub at_least: usize,
}

/// What to commit once a batch is stored: for each partition the next offset to read.
///
/// It belongs to the assignment it was read under: after the partition has moved to another member it is void.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub assignment: u64,
    pub next: Vec<(i32, i64)>,
}

/// Records in the order of their partitions, and what to commit for them.
#[derive(Debug)]
pub struct Batch {
    pub deliveries: Vec<Delivery>,
    pub checkpoint: Checkpoint,
}

/// Reads the bus on behalf of one consumer group.
///
/// Order: records of one partition come in offset order. Duplicates: what is not committed comes again, after a
/// restart, a rebalance or a lost connection.
#[async_trait]
pub trait EventSource: Send {
    /// The next records; returns as soon as there are enough, or an empty batch after `wait`.
    ///
    /// Cancellation: dropping the future loses nothing; the records come with the next call.
    ///
    /// # Errors
    /// `Unavailable`: call again later. `Closed`: this member is out for good. `Corrupt`: the bus is damaged.
    async fn next_batch(&mut self, limits: BatchLimits, wait: Duration) -> Result<Batch, PortError>;

    /// Marks everything up to the checkpoint as done. To be called only after its records are stored or
    /// dead-lettered, and in the order in which the batches came. A void checkpoint is ignored. The commit may reach
    /// the bus a little later; until then a crash means redelivery.
    ///
    /// # Errors
    /// As for [`EventSource::next_batch`]; a failed commit is safe, it means redelivery.
    async fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), PortError>;

    /// Commits what is marked and leaves the group, so that others take over at once.
    ///
    /// # Errors
    /// Whatever kept it from doing so; redelivery then, no loss.
    async fn close(self: Box<Self>) -> Result<(), PortError>;
}
