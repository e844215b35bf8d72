//! The parts in which a store is read from end to end.

use std::time::Duration;

use super::{LogFilter, LogId, StoredLog, StoredLogs};

/// A place among the logs without a number, in words of the store that gave it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnnumberedPlace(Vec<u8>);

impl UnnumberedPlace {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Which of the logs, by their ids. Each log is in one of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportRange {
    /// Those whose id is a number from `from` on and below the whole number after `to`. A fraction, which only others
    /// could have given out, comes at its place.
    Numbered { from: LogId, to: LogId },
    /// Those whose id is no number, or none that an id can be: behind the place, or all. Only old data has such.
    Unnumbered { after: Option<UnnumberedPlace> },
}

/// A question for a part of the matching logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportQuery {
    pub filter: LogFilter,
    pub range: ExportRange,
    /// The part ends with this many logs, or with the one that reaches this many bytes, or a little later.
    pub rows: usize,
    pub bytes: usize,
    /// How long the store may work on it.
    pub max_time: Duration,
}

/// The first of the matching logs in a range, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPart {
    pub logs: StoredLogs,
    /// The range that they leave; `None` where there are no more.
    pub rest: Option<ExportRange>,
}

/// Collects a part.
#[derive(Debug)]
pub struct PartBuilder {
    logs: StoredLogs,
    rows: usize,
    bytes: usize,
}

impl PartBuilder {
    pub fn new(query: &ExportQuery) -> Self {
        Self { logs: StoredLogs::with_room(query.bytes), rows: query.rows, bytes: query.bytes }
    }

    /// Whether the next log belongs to the next part. Never before the first.
    pub fn is_full(&self) -> bool {
        !self.logs.is_empty() && (self.logs.len() >= self.rows || self.logs.bytes() >= self.bytes)
    }

    pub fn push(&mut self, log: &StoredLog<'_>) {
        self.logs.push(log);
    }

    pub fn finish(self, rest: Option<ExportRange>) -> ExportPart {
        ExportPart { logs: self.logs, rest }
    }
}
