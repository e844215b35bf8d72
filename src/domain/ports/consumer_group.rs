//! The consumer group before it is joined: who holds it, and where it would begin.

use async_trait::async_trait;

use super::{EventSource, PortError};
use crate::domain::StartAt;

/// What stands in the way of joining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupState {
    /// Members that speak another protocol (the old service) hold the group; the two cannot share it.
    HeldByOthers { members: usize },
    /// Nobody has ever committed an offset.
    NeverCommitted,
    /// It can be joined and goes on where it stopped.
    Ready,
}

/// A consumer group of the bus.
#[async_trait]
pub trait ConsumerGroup: Send + Sync {
    /// # Errors
    /// `Unavailable`: ask again.
    async fn inspect(&self) -> Result<GroupState, PortError>;

    /// Commits where to begin, for every partition, in a group that never committed and has no members.
    ///
    /// # Errors
    /// `Unavailable`: call again; it may have been done for some partitions.
    async fn begin_at(&self, start: StartAt) -> Result<(), PortError>;

    /// Joins the group.
    ///
    /// # Errors
    /// `Unavailable`: call again. `Rejected`: the settings are wrong.
    async fn join(&self) -> Result<Box<dyn EventSource>, PortError>;
}

/// Whether the store holds logs that carry no event id, because the old service stored them.
#[async_trait]
pub trait LegacyLogs: Send + Sync {
    /// # Errors
    /// `Unavailable`: ask again.
    async fn exist(&self) -> Result<bool, PortError>;
}
