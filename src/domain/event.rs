//! The log on its way: as reported, as an event with an identity, with its number, and as read back.

use super::{Action, EventId, LogId, Metadata, Timestamp, UserId};

/// What an application reports: one thing a user did.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLog {
    pub user_id: UserId,
    pub action: Action,
    /// When it happened, as the client says; the time of receiving where it says nothing.
    pub timestamp: Timestamp,
    pub metadata: Metadata,
}

/// A reported log with the identity that keeps it from being stored twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: EventId,
    /// When this service (or the old one's broker) took it.
    pub received_at: Timestamp,
    pub log: NewLog,
}

/// An event with the numeric id it will be stored under. Every retry carries the same number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedEvent {
    pub id: LogId,
    /// The offset of the record that carried it.
    pub offset: i64,
    pub event: Event,
}

/// A stored log as it is served.
///
/// The options are empty only for odd documents that others wrote: such a document is shown with gaps instead of
/// breaking the page it stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityLog {
    pub id: Option<LogId>,
    pub user_id: Option<String>,
    pub action: Option<String>,
    pub timestamp: Option<Timestamp>,
    pub metadata: Metadata,
}
