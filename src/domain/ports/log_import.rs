//! Putting logs back that were exported: whose ids they get, and who is told how it goes.

use async_trait::async_trait;

use super::PortError;
use crate::domain::{EventId, LogId};

/// Ids from this one on are not kept: whatever follows them has to find enough ids above.
pub const FIRST_ID_NOT_KEPT: LogId = LogId::new(1 << 52);

/// Which ids imported logs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportIds {
    /// Their own: the store had never held a log. The ids below this one are set aside for the import, now or by one that
    /// was broken off before.
    Kept { below: LogId },
    /// New ones.
    New,
}

/// What the store does for an import besides storing.
///
/// Ids are never used twice, so logs may keep theirs only where those are nobody else's: in a store that is empty. The
/// store remembers which ids were set aside until the import is finished, so that one which was broken off goes on with
/// the same ids.
#[async_trait]
pub trait LogImport: Send + Sync {
    /// Begins an import, or goes on with one that was broken off.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn begin(&self) -> Result<ImportIds, PortError>;

    /// Sets the ids from `from`, which is where those set aside end, up to but not including `to` aside as well, and moves
    /// the counter there. `false`: somebody else has taken an id meanwhile, and these are not set aside.
    ///
    /// # Errors
    /// `Unavailable`: call again with the same ids.
    async fn set_aside(&self, from: LogId, to: LogId) -> Result<bool, PortError>;

    /// Which events are among the logs with these ids under keys of others: an append would not notice that it has them.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn under_foreign_keys(&self, ids: &[LogId]) -> Result<Vec<EventId>, PortError>;

    /// Forgets which ids were set aside.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn finish(&self) -> Result<(), PortError>;
}

/// How far an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportProgress {
    pub lines: u64,
    /// Of the input, as it lies there.
    pub bytes: u64,
}

/// Is told how an import goes, as it goes.
pub trait ImportReporter: Send {
    /// Which ids the logs will get.
    fn begins(&mut self, ids: ImportIds);
    fn progress(&mut self, progress: ImportProgress);
    /// A line that is left out; lines count from 1.
    fn left_out(&mut self, line: u64, reason: &str);
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// That hold something.
    pub lines: u64,
    pub stored: u64,
    /// Of these, how many have another id than in their line.
    pub renumbered: u64,
    /// Of these, how many had no timestamp and got the time of receiving.
    pub timed: u64,
    pub already_stored: u64,
    /// Deleted before: they stay away.
    pub deleted: u64,
    pub left_out: u64,
}
