//! Between which ids logs lie.

use crate::domain::LogId;

/// From the first to the last of them, both included; those in between need not be theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::infrastructure::mongo) struct Ids {
    pub(in crate::infrastructure::mongo) first: i64,
    pub(in crate::infrastructure::mongo) last: i64,
}

impl Ids {
    pub(in crate::infrastructure::mongo) const NONE: Self = Self { first: i64::MAX, last: i64::MIN };
    pub(in crate::infrastructure::mongo) const ANY: Self = Self { first: i64::MIN, last: i64::MAX };

    pub(in crate::infrastructure::mongo) fn of(id: LogId) -> Self {
        Self { first: id.get(), last: id.get() }
    }

    pub(in crate::infrastructure::mongo) fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    pub(super) fn is_none(self) -> bool {
        self.first > self.last
    }
}
