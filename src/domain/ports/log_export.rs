//! Reading the store from end to end, with all that is kept of each log.

use async_trait::async_trait;

use super::PortError;
use crate::domain::{ExportPart, ExportQuery, LogId};

/// Gives out stored logs part by part. Each part is a short read of its own: between two of them nothing is held in the
/// store, however long that takes.
#[async_trait]
pub trait LogExport: Send + Sync {
    /// The highest number that any log has.
    ///
    /// # Errors
    /// As for [`LogExport::part`].
    async fn newest(&self) -> Result<Option<LogId>, PortError>;

    /// The first of the matching logs in a range. Whoever goes on with the rest that each part leaves gets every log once
    /// that was there at the beginning and still is.
    ///
    /// # Errors
    /// `Unavailable`: ask again. `TooSlow`: it took longer than it may; ask for a smaller range.
    async fn part(&self, query: &ExportQuery) -> Result<ExportPart, PortError>;
}
