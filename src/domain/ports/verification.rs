//! Holding the bus against the store, event by event.

use async_trait::async_trait;

use super::PortError;

/// How far a verification is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerificationProgress {
    pub done: u64,
    /// Everything there is to read, as far as known.
    pub total: u64,
}

/// Is told of progress and of every event that is wrong, as soon as it is found: nothing is collected.
pub trait VerificationReporter: Send {
    fn progress(&mut self, progress: VerificationProgress);
    /// One event: which it is, where it was, and what is wrong.
    fn fault(&mut self, fault: &str);
}

/// What a verification did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerificationSummary {
    /// Events read from the bus, or sequence numbers walked.
    pub read: u64,
    /// Events looked up in the store, or rows checked.
    pub looked_up: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead_lettered: u64,
    /// Deleted: a tombstone stands for it.
    pub deleted: u64,
    /// Not stored, but so old that its tombstone may have been forgotten.
    pub unknown: u64,
    /// On the bus and not drained yet.
    pub pending: u64,
    /// Stored once, and no longer held by the bus.
    pub not_retained: u64,
    /// Removed unread by the bus's retention.
    pub expired: u64,
    pub missing: u64,
    /// Stored, but not as it was written.
    pub damaged: u64,
}

impl VerificationSummary {
    pub fn is_clean(&self) -> bool {
        self.missing == 0 && self.damaged == 0
    }
}

/// A backend that can be verified, beside the running service and without changing anything.
#[async_trait]
pub trait Verification: Send + Sync {
    /// Walks everything that was acknowledged and names each event that is unaccounted for. Memory does not grow with
    /// the number of events.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`: it could not be read to the end.
    async fn verify(&self, reporter: &mut dyn VerificationReporter) -> Result<VerificationSummary, PortError>;
}
