//! Erasing many logs: what the HTTP handlers call. The work itself is done by [`super::erasure_worker`].

use std::{sync::Arc, time::Duration};

use super::{log_service::ServiceError, paging::store_error};
use crate::domain::{
    Count, ErasureFilter, ErasureJob, JobId, JobKind, JobState, LogFilter, Timestamp,
    ports::{Clock, ErasureStore, LogRepository},
};

/// How many jobs a list has at most.
const LISTED: u32 = 100;

/// How far a preview counts.
#[derive(Debug, Clone, Copy)]
pub struct PreviewLimits {
    pub count_cap: u64,
    pub max_time: Duration,
}

/// The store that erasure needs, seen from both sides.
pub struct ErasureParts {
    pub repository: Arc<dyn LogRepository>,
    pub jobs: Arc<dyn ErasureStore>,
}

/// The use cases around jobs.
pub struct ErasureService {
    /// `None` in a process without a store.
    parts: Option<ErasureParts>,
    clock: Arc<dyn Clock>,
    limits: PreviewLimits,
}

impl ErasureService {
    pub fn new(parts: Option<ErasureParts>, clock: Arc<dyn Clock>, limits: PreviewLimits) -> Self {
        Self { parts, clock, limits }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many logs a job would erase now.
    pub async fn preview(&self, filter: &ErasureFilter) -> Result<Count, ServiceError> {
        let user_ids = filter.user_id().map(str::to_owned).into_iter().collect();
        // The last moment that is still before.
        let to = filter.before().map(|before| Timestamp::from_millis(before.as_millis().saturating_sub(1)));
        let selected = LogFilter { user_ids, to, ..LogFilter::default() };
        let PreviewLimits { count_cap, max_time } = self.limits;
        self.parts()?.repository.count(&selected, count_cap, max_time).await.map_err(store_error)
    }

    /// Begins a job. From now on nothing that it covers is stored any more: a user's events received up to now, and
    /// events of an earlier time received up to now. The same `id` begins the same job once.
    pub async fn begin(&self, id: JobId, filter: &ErasureFilter) -> Result<ErasureJob, ServiceError> {
        let now = self.clock.now();
        let job = ErasureJob {
            id,
            kind: JobKind::Erasure,
            user_id: filter.user_id().map(str::to_owned),
            before: filter.before(),
            received_up_to: Some(now),
            state: JobState::Pending,
            created_at: now,
            finished_at: None,
            erased: 0,
        };
        self.parts()?.jobs.begin(&job).await.map_err(store_error)
    }

    pub async fn job(&self, id: JobId) -> Result<Option<ErasureJob>, ServiceError> {
        self.parts()?.jobs.job(id).await.map_err(store_error)
    }

    /// The newest first.
    pub async fn jobs(&self) -> Result<Vec<ErasureJob>, ServiceError> {
        self.parts()?.jobs.jobs(LISTED).await.map_err(store_error)
    }

    /// Ends a job that has not finished; returns it as it is then, and `None` where there is no such job.
    pub async fn cancel(&self, id: JobId) -> Result<Option<ErasureJob>, ServiceError> {
        self.parts()?.jobs.cancel(id, self.clock.now()).await.map_err(store_error)
    }

    fn parts(&self) -> Result<&ErasureParts, ServiceError> {
        self.parts.as_ref().ok_or(ServiceError::StoreNotConfigured)
    }
}
