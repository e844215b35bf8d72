//! Which logs a reader asks for.

use super::Timestamp;

/// All conditions hold at once; an empty list or `None` is no condition. Texts compare exactly, case included, and
/// are not bounded like those of a new log: old data may hold longer ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The log's user is any of these.
    pub user_ids: Vec<String>,
    /// The log's action is any of these.
    pub actions: Vec<String>,
    /// `from <= timestamp`.
    pub from: Option<Timestamp>,
    /// `timestamp <= to`.
    pub to: Option<Timestamp>,
}

impl LogFilter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
