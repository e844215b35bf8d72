//! How many logs there are.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::domain::{GroupBy, LogFilter, Slot, Tops};

/// Counts logs. What is stored or deleted shows within about a second; for minutes after a crash counts may still lack
/// what that lost.
#[async_trait]
pub trait LogStatistics: Send + Sync {
    /// The matching logs of each stretch of `grain` milliseconds since 1970, ascending; stretches without any are left
    /// out, and logs without a timestamp are in none. The filter is bounded on both sides.
    ///
    /// # Errors
    /// `Unavailable`, at once where the store is known to be away. `TooSlow`: it took longer than `max_time`.
    async fn histogram(&self, filter: &LogFilter, grain: i64, max_time: Duration) -> Result<Vec<Slot>, PortError>;

    /// The largest groups of the matching logs.
    ///
    /// # Errors
    /// As for [`LogStatistics::histogram`].
    async fn tops(&self, filter: &LogFilter, by: GroupBy, most: u32, max_time: Duration) -> Result<Tops, PortError>;
}
