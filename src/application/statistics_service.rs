//! How many logs there are: what the HTTP handlers call.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    log_service::ServiceError,
    paging::store_error,
    time_buckets::{Interval, TimeBuckets, TooManyBuckets, Zone},
};
use crate::domain::{
    DAY, GroupBy, LogFilter, QUARTER_HOUR, Slot, Timestamp, Tops,
    ports::{Clock, LogStatistics},
    start_of,
};

/// How many are worked on at a time; further ones wait.
const MAX_READS: usize = 8;
/// What a histogram shows unless it is told from when on.
const DEFAULT_DAYS: i64 = 30;

/// How many logs each stretch of time has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    pub total: u64,
    pub buckets: Vec<Slot>,
}

#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    #[error(transparent)]
    TooManyBuckets(#[from] TooManyBuckets),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The use cases around counts.
pub struct StatisticsService {
    /// `None` in a process without a store.
    store: Option<Arc<dyn LogStatistics>>,
    clock: Arc<dyn Clock>,
    max_time: Duration,
    reads: Semaphore,
}

impl StatisticsService {
    pub fn new(store: Option<Arc<dyn LogStatistics>>, clock: Arc<dyn Clock>, max_time: Duration) -> Self {
        Self { store, clock, max_time, reads: Semaphore::new(MAX_READS) }
    }

    /// The largest groups of the matching logs.
    pub async fn tops(&self, filter: &LogFilter, by: GroupBy, most: u32) -> Result<Tops, ServiceError> {
        let _turn = self.reads.acquire().await;
        self.store()?.tops(filter, by, most, self.max_time).await.map_err(store_error)
    }

    /// The matching logs over time. Without an end it goes up to the end of the quarter hour that is now, without a
    /// beginning it begins thirty days before its end.
    pub async fn histogram(
        &self,
        filter: &LogFilter,
        interval: Interval,
        zone: &Zone,
    ) -> Result<Histogram, StatisticsError> {
        let now = self.clock.now();
        let to = filter.to.unwrap_or_else(|| millis(start_of(QUARTER_HOUR, now) + QUARTER_HOUR - 1));
        let from = filter.from.unwrap_or_else(|| millis(to.as_millis().saturating_add(1) - DEFAULT_DAYS * DAY));
        let buckets = TimeBuckets::cut(interval, zone, from, to)?;
        let store = self.store()?;
        if from > to {
            return Ok(Histogram { total: 0, buckets: Vec::new() });
        }
        let filter = LogFilter { from: Some(from), to: Some(to), ..filter.clone() };
        let _turn = self.reads.acquire().await;
        let slots = store.histogram(&filter, buckets.grain(), self.max_time).await.map_err(store_error)?;
        Ok(Histogram { total: slots.iter().map(|slot| slot.count).sum(), buckets: buckets.fill(&slots) })
    }

    fn store(&self) -> Result<&dyn LogStatistics, ServiceError> {
        self.store.as_deref().ok_or(ServiceError::StoreNotConfigured)
    }
}

fn millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
