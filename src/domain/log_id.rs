//! The numeric id under which a log is stored, and the blocks in which ids are handed out.

use std::fmt;

/// The public number of a stored log; the first is 0. Old data may hold negative or very large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(i64);

impl LogId {
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block of ids that belongs to its holder alone. Ids that are not used become gaps and are never handed out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRange(std::ops::Range<i64>);

impl IdRange {
    pub fn new(start: i64, end: i64) -> Self {
        Self(start..end)
    }
}

impl Iterator for IdRange {
    type Item = LogId;

    fn next(&mut self) -> Option<LogId> {
        self.0.next().map(LogId)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
