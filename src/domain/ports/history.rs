//! The bus, seen by whoever holds it against the store: read again without being a member of the group.

use async_trait::async_trait;

use super::{Delivery, PortError};
use crate::domain::EventId;

/// Offsets of one partition, from `from` up to, but not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// The records that the bus still holds.
#[async_trait]
pub trait History: Send + Sync {
    /// Begins to read a range. Nothing is committed: nobody's place changes.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn open(&self, range: OffsetRange) -> Result<Box<dyn HistoryReader>, PortError>;
}

/// Records of one range, in order.
#[async_trait]
pub trait HistoryReader: Send {
    /// The next records; none at the end of the range.
    ///
    /// # Errors
    /// `Unavailable`: the range cannot be read to its end.
    async fn next(&mut self) -> Result<Vec<Delivery>, PortError>;
}

/// What the store knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFate {
    Stored,
    Deleted,
    DeadLettered,
    Unknown,
}

/// Looks up many events at a time.
#[async_trait]
pub trait EventFates: Send + Sync {
    /// What became of each event, in order. An event that is deleted meanwhile is found as stored or as deleted.
    ///
    /// # Errors
    /// `Unavailable`: ask again.
    async fn fates(&self, events: &[EventId]) -> Result<Vec<EventFate>, PortError>;
}
