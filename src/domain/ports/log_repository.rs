//! The store of logs.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::domain::{ActivityLog, Count, EventId, IdRange, LogFilter, LogId, LogQuery, LogSlice, NumberedEvent};

/// What became of one event of a batch. All but [`AppendOutcome::IdTaken`] are final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable under the given number.
    Stored,
    /// This event id is stored already, under whatever number it got then.
    AlreadyStored,
    /// This event was deleted before; it stays away.
    Deleted,
    /// Another log has this number: the counter is behind the data. The event is **not** stored.
    IdTaken,
    /// The store will never take it; the text says why, for the log.
    Rejected(String),
}

/// What became of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    Deleted,
    NotFound,
    /// The log is marked as deleted, but whether it is gone could not be confirmed: ask again.
    Unconfirmed,
}

/// What is known of an event id.
#[derive(Debug, Clone, PartialEq)]
pub enum Receipt {
    Stored(ActivityLog),
    Deleted,
    /// It was dead-lettered; the word is a [`DeadLetterReason`](super::DeadLetterReason).
    DeadLettered(String),
    /// Never seen, or still on the bus.
    Unknown,
}

/// Keeps logs under numeric ids, each event once.
#[async_trait]
pub trait LogRepository: Send + Sync {
    /// Hands out `count` ids that nobody else ever gets.
    ///
    /// # Errors
    /// `Unavailable`: a block may be lost as a gap; call again.
    async fn reserve(&self, count: u32) -> Result<IdRange, PortError>;

    /// Stores the batch durably and returns one outcome per event, in order.
    ///
    /// Duplicates: idempotent per event id, within a batch and between batches. Retry: on `Unavailable` with the very
    /// same batch and numbers. Cancellation: the batch may be stored or not; call again.
    ///
    /// # Errors
    /// `Unavailable`: nothing is known of any event of the batch. `Corrupt`: the store is damaged.
    async fn append(&self, batch: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError>;

    /// Raises the counter above every stored id, after an [`AppendOutcome::IdTaken`].
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn raise_counter(&self) -> Result<(), PortError>;

    /// A part of the matching logs, cut short at [`MAX_PAGE_BYTES`](crate::domain::MAX_PAGE_BYTES).
    ///
    /// Behind a place every log comes once that matched when the place was taken and is still there: ids and timestamps
    /// never change. What comes meanwhile may come too.
    ///
    /// # Errors
    /// `Unavailable`, at once where the store is known to be away. `TooSlow`: it took longer than it may.
    async fn find(&self, query: &LogQuery) -> Result<LogSlice, PortError>;

    /// How many logs match, counted up to `cap` and for no longer than `max_time`. How many there are at all is known
    /// without counting.
    ///
    /// # Errors
    /// As for [`LogRepository::find`].
    async fn count(&self, filter: &LogFilter, cap: u64, max_time: Duration) -> Result<Count, PortError>;

    /// # Errors
    /// As for [`LogRepository::find`].
    async fn get(&self, id: LogId) -> Result<Option<ActivityLog>, PortError>;

    /// # Errors
    /// As for [`LogRepository::find`].
    async fn receipt(&self, event_id: EventId) -> Result<Receipt, PortError>;

    /// Deletes the log for good: neither redelivery nor a repeat of its key brings it back.
    ///
    /// # Errors
    /// `Unavailable`: nothing has been deleted or marked.
    async fn delete(&self, id: LogId) -> Result<DeleteOutcome, PortError>;
}
