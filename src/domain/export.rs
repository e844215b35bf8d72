//! Stored logs with all that is kept of them, and the parts in which they are read from end to end.

use std::time::Duration;

use super::{ActivityLog, EventId, LogFilter, LogId, Timestamp};

/// A stored log with all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLog {
    /// For a log that others wrote it is derived from its key.
    pub event_id: EventId,
    /// `None` only where others wrote the log and it does not say.
    pub received_at: Option<Timestamp>,
    pub log: ActivityLog,
}

impl StoredLog {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        160 + text(&self.log.user_id) + text(&self.log.action) + self.log.metadata.as_str().len()
    }
}

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
    pub logs: Vec<StoredLog>,
    /// The range that they leave; `None` where there are no more.
    pub rest: Option<ExportRange>,
}

/// Collects a part.
#[derive(Debug)]
pub struct PartBuilder {
    logs: Vec<StoredLog>,
    rows: usize,
    /// How many more are welcome.
    bytes: usize,
}

impl PartBuilder {
    pub fn new(query: &ExportQuery) -> Self {
        Self { logs: Vec::new(), rows: query.rows, bytes: query.bytes.max(1) }
    }

    /// Whether the next log belongs to the next part. Never before the first.
    pub fn is_full(&self) -> bool {
        self.bytes == 0 || (self.logs.len() >= self.rows && !self.logs.is_empty())
    }

    pub fn push(&mut self, log: StoredLog) {
        self.bytes = self.bytes.saturating_sub(log.bytes());
        self.logs.push(log);
    }

    pub fn finish(self, rest: Option<ExportRange>) -> ExportPart {
        ExportPart { logs: self.logs, rest }
    }
}
