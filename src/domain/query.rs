//! A question to the store: which logs, in which order, from where on, and how many.

use std::time::Duration;

use super::{ActivityLog, LogFilter, LogId, Timestamp};

/// In which order logs come. Equal timestamps are ordered by id, in the same direction. A log without a timestamp, which
/// only old data has, comes before all that have one, and so does one without an id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Id,
    IdDescending,
    Timestamp,
    TimestampDescending,
}

impl Order {
    pub fn is_descending(self) -> bool {
        matches!(self, Self::IdDescending | Self::TimestampDescending)
    }

    pub fn is_by_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampDescending)
    }

    /// The place before all logs.
    pub fn start(self) -> Place {
        if self.is_descending() { Place::LAST } else { Place::FIRST }
    }

    /// The place behind all logs.
    pub fn end(self) -> Place {
        if self.is_descending() { Place::FIRST } else { Place::LAST }
    }
}

/// A place among the logs: that of one log, whether it is still there or not. What is not asked for by the order is not
/// looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `None` is before every timestamp.
    pub timestamp: Option<Timestamp>,
    pub id: LogId,
}

impl Place {
    const FIRST: Self = Self { timestamp: None, id: LogId::new(i64::MIN) };
    const LAST: Self = Self { timestamp: Some(Timestamp::from_millis(i64::MAX)), id: LogId::new(i64::MAX) };

    /// `None` for a log without an id: nothing can go on behind it.
    pub fn of(log: &ActivityLog) -> Option<Self> {
        log.id.map(|id| Self { timestamp: log.timestamp, id })
    }
}

/// Where a part of the logs begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// After so many matching logs: costs as much as they are.
    Offset(u64),
    /// Behind this place, which costs nothing.
    After(Place),
}

/// A part of the matching logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub filter: LogFilter,
    pub order: Order,
    pub from: From,
    /// Logs with a higher id are left out.
    pub up_to: Option<LogId>,
    /// At most [`MAX_PAGE_LIMIT`](super::MAX_PAGE_LIMIT).
    pub limit: u32,
    /// How long the store may work on it.
    pub max_time: Duration,
}

impl LogQuery {
    /// How many matching logs are passed over.
    pub fn offset(&self) -> u64 {
        match self.from {
            From::Offset(offset) => offset,
            From::After(_) => 0,
        }
    }
}
