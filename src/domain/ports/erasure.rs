//! Erasing many logs, and remembering what has to stay away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::PortError;
use crate::domain::{ErasureFilter, ErasureJob, ErasureRules, JobId, Place, Timestamp};

/// What one step erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureStep {
    pub erased: u64,
    /// Where the next step goes on; `None` at the end.
    pub next: Option<Place>,
}

/// One step of a job.
#[derive(Debug, Clone)]
pub struct ErasureRequest {
    pub filter: ErasureFilter,
    /// Logs that were received later stay; `None` is all.
    pub received_up_to: Option<Timestamp>,
    /// Behind this place, where the last step ended.
    pub after: Option<Place>,
    pub most: u32,
}

/// Jobs that erase logs, kept durably, and their rules.
///
/// [`LogRepository::append`](super::LogRepository::append) keeps every rule: what one covers is not stored, and its
/// outcome is [`AppendOutcome::Deleted`](super::AppendOutcome::Deleted).
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Keeps the job and its rule. Retry: a job that is there already stays as it is, and is returned.
    ///
    /// # Errors
    /// `Unavailable`: it may be kept or not; call again.
    async fn begin(&self, job: &ErasureJob) -> Result<ErasureJob, PortError>;

    /// So long after [`ErasureStore::begin`] no append can be under way any more that did not know the rule.
    fn settles_after(&self) -> Duration;

    /// From now on logs with an earlier timestamp are not stored; `None` ends that for whatever is received later than
    /// `now`.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn retain_from(&self, before: Option<Timestamp>, now: Timestamp) -> Result<(), PortError>;

    /// # Errors
    /// `Unavailable`: call again.
    async fn job(&self, id: JobId) -> Result<Option<ErasureJob>, PortError>;

    /// The newest first.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn jobs(&self, most: u32) -> Result<Vec<ErasureJob>, PortError>;

    /// Ends a job that has not finished; returns it as it is then. Steps already under way are finished.
    ///
    /// # Errors
    /// `Unavailable`: it may be cancelled or not; call again.
    async fn cancel(&self, id: JobId, now: Timestamp) -> Result<Option<ErasureJob>, PortError>;

    /// Takes the oldest unfinished job that nobody else has taken within the `lease`.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn claim(&self, owner: Uuid, lease: Duration) -> Result<Option<ErasureJob>, PortError>;

    /// Notes how many logs were erased and begins the lease anew. `false` where the job was cancelled or is another's
    /// by now.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn keep(&self, id: JobId, owner: Uuid, erased: u64, lease: Duration) -> Result<bool, PortError>;

    /// The job is done. It forgets the user's name.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn finish(&self, id: JobId, owner: Uuid, erased: u64, now: Timestamp) -> Result<(), PortError>;

    /// Erases the next logs for good. Whatever order: each step a part of them.
    ///
    /// # Errors
    /// `Unavailable`: some may be erased; call again with the same request.
    async fn erase(&self, request: &ErasureRequest) -> Result<ErasureStep, PortError>;

    /// Takes what dead letters hold of a user that were received up to then, as far as they can be read and lie in this
    /// store; returns how many.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn erase_dead_letters(
        &self,
        filter: &ErasureFilter,
        received_up_to: Option<Timestamp>,
    ) -> Result<u64, PortError>;

    /// All rules as they are now.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    async fn rules(&self) -> Result<Arc<ErasureRules>, PortError>;
}
