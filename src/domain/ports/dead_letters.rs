//! Where records go that can never become logs.

use async_trait::async_trait;

use super::{PortError, Position, RawRecord};
use crate::domain::{EventId, Timestamp};

/// Why a record is no log, as the stable word that dead letters and receipts carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterReason {
    EmptyValue,
    NotJson,
    NotAnObject,
    MissingUserId,
    MissingAction,
    InvalidUserId,
    InvalidAction,
    InvalidTimestamp,
    MetadataTooDeep,
    NulInName,
    UnknownVersion,
    /// The store will never take it, for instance because it is too large for a document.
    StoreRejected,
}

impl DeadLetterReason {
    pub const ALL: [Self; 12] = [
        Self::EmptyValue,
        Self::NotJson,
        Self::NotAnObject,
        Self::MissingUserId,
        Self::MissingAction,
        Self::InvalidUserId,
        Self::InvalidAction,
        Self::InvalidTimestamp,
        Self::MetadataTooDeep,
        Self::NulInName,
        Self::UnknownVersion,
        Self::StoreRejected,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyValue => "empty_value",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingUserId => "missing_user_id",
            Self::MissingAction => "missing_action",
            Self::InvalidUserId => "invalid_user_id",
            Self::InvalidAction => "invalid_action",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::MetadataTooDeep => "metadata_too_deep",
            Self::NulInName => "nul_in_name",
            Self::UnknownVersion => "unknown_version",
            Self::StoreRejected => "store_rejected",
        }
    }
}

/// A record that can never become a log, with all that is needed to look into it and to send it again.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub event_id: EventId,
    pub reason: DeadLetterReason,
    pub position: Position,
    /// The record's own time.
    pub timestamp: Timestamp,
    pub record: RawRecord,
}

/// Keeps dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Returns once every letter is durable. Duplicates: a letter may be kept more than once (at least once), so
    /// readers count distinct positions. Retry: the whole call, for ever, on `Unavailable`.
    ///
    /// # Errors
    /// `Unavailable`: some may be kept, call again with all of them.
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError>;
}
