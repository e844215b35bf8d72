//! The bus, seen by whoever puts events on it.

use async_trait::async_trait;

use super::PortError;
use crate::domain::Event;

/// What became of one event.
#[derive(Debug)]
pub enum PublishOutcome {
    /// The bus is responsible for it now: acknowledged by all in-sync replicas, or synced to disk.
    Taken,
    /// It is not on the bus and never will be from this call. `Rejected` is for good, `Unavailable` and `Closed` may
    /// be tried again.
    Refused(PortError),
    /// It may or may not be on the bus, or get there later.
    Unknown(PortError),
}

/// Puts events on the bus.
#[async_trait]
pub trait EventPublisher: Send + Sync {
    /// Publishes each event and returns one outcome per event, in order, within the adapter's deadline.
    ///
    /// Order: events of one user are delivered in the order in which their publishing began, unless a failure came
    /// between. Duplicates: publishing an event id again is allowed; the store keeps one. Cancellation: dropping the
    /// future does not call back what was begun.
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome>;
}
