//! Works off the jobs that erase logs, a step at a time, and makes those of the retention.
//!
//! Every step is followed by a longer rest: intake and drain go first. A job that is broken off, by whatever, is taken up
//! again by any process that drains.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::domain::{
    ErasureFilter, ErasureJob, JobId, JobKind, JobState, Timestamp,
    ports::{Clock, ErasureRequest, ErasureStore, ErrorChain, PortError},
};

/// How many logs a step erases.
const STEP: u32 = 2000;
/// A rest is so many times as long as the step before it: MongoDB goes on writing pages for a while after it has answered.
const REST: u32 = 2;
const SHORTEST_REST: Duration = Duration::from_millis(10);
/// How often an idle worker looks for jobs.
const LOOK: Duration = Duration::from_secs(1);
/// After so long without a word from whoever has a job, another may take it.
const LEASE: Duration = Duration::from_secs(30);
/// How long a failed call is waited with before the next one.
const PAUSE: Duration = Duration::from_secs(2);
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Erases what jobs and the retention say.
pub struct ErasureWorker {
    store: Arc<dyn ErasureStore>,
    clock: Arc<dyn Clock>,
    /// 0 keeps logs for ever.
    retention_days: u32,
    owner: Uuid,
    stop: CancellationToken,
}

/// Why a job is left before it is done.
enum Left {
    /// It was cancelled, or another process has it.
    Lost,
    Stopped,
    Failed(PortError),
}

impl From<PortError> for Left {
    fn from(error: PortError) -> Self {
        Self::Failed(error)
    }
}

impl ErasureWorker {
    /// `stop` ends it after the step in hand.
    pub fn new(
        store: Arc<dyn ErasureStore>,
        clock: Arc<dyn Clock>,
        retention_days: u32,
        stop: CancellationToken,
    ) -> Self {
        Self { store, clock, retention_days, owner: Uuid::now_v7(), stop }
    }

    /// Works until asked to stop. While the store is away it tries again and again.
    pub async fn run(self) {
        let mut retained_from = None;
        let mut failures: u32 = 0;
        while !self.stop.is_cancelled() {
            let worked = self.turn(&mut retained_from).await;
            let rest = match &worked {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK,
                Err(_) => PAUSE,
            };
            match worked {
                Ok(_) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // Once per outage, and not for the moment at the start before a store is reached.
                    if failures == 2 {
                        warn!(error = %ErrorChain(&error), "jobs cannot be worked on; it is tried again");
                    }
                }
            }
            self.stop.run_until_cancelled(tokio::time::sleep(rest)).await;
        }
    }

    /// Returns whether there was something to do.
    async fn turn(&self, retained_from: &mut Option<Option<Timestamp>>) -> Result<bool, PortError> {
        let before = self.retained_from();
        if *retained_from != Some(before) {
            self.retain(before).await?;
            *retained_from = Some(before);
        }
        let Some(job) = self.store.claim(self.owner, LEASE).await? else { return Ok(false) };
        match self.work_off(&job).await {
            Ok(()) | Err(Left::Lost | Left::Stopped) => Ok(true),
            Err(Left::Failed(error)) => Err(error),
        }
    }

    /// Days begin and end at midnight in UTC, so that there is one job a day.
    fn retained_from(&self) -> Option<Timestamp> {
        let today = self.clock.now().as_millis().div_euclid(MILLIS_PER_DAY);
        let first = today - i64::from(self.retention_days);
        (self.retention_days > 0).then(|| Timestamp::from_millis(first * MILLIS_PER_DAY))
    }

    async fn retain(&self, before: Option<Timestamp>) -> Result<(), PortError> {
        let now = self.clock.now();
        self.store.retain_from(before, now).await?;
        let Some(before) = before else { return Ok(()) };
        let job = ErasureJob {
            // The same in every process.
            id: JobId::derived(&[b"retention of", &before.as_millis().to_be_bytes()]),
            kind: JobKind::Retention,
            user_id: None,
            before: Some(before),
            received_up_to: None,
            state: JobState::Pending,
            created_at: now,
            finished_at: None,
            erased: 0,
        };
        self.store.begin(&job).await.map(drop)
    }

    async fn work_off(&self, job: &ErasureJob) -> Result<(), Left> {
        let Some(filter) = job.filter() else { return Ok(()) };
        // Whoever began it may have been killed before the rule was kept.
        self.store.begin(job).await?;
        let settled = Instant::now() + self.store.settles_after();
        info!(job.id = %job.id, job.kind = job.kind.as_str(), "a job begins to erase logs");
        let mut erased = job.erased;
        loop {
            let is_settled = Instant::now() >= settled;
            let found = self.pass(job, &filter, &mut erased).await?;
            if found == 0 && is_settled {
                break;
            }
            if found == 0 && self.stop.run_until_cancelled(tokio::time::sleep_until(settled)).await.is_none() {
                return Err(Left::Stopped);
            }
        }
        if job.kind == JobKind::Erasure {
            self.store.erase_dead_letters(&filter, job.received_up_to).await?;
        }
        self.store.finish(job.id, self.owner, erased, self.clock.now()).await?;
        info!(job.id = %job.id, job.kind = job.kind.as_str(), erased, "a job is done");
        Ok(())
    }

    /// Once through all that it selects; returns how many logs were there to be erased.
    async fn pass(&self, job: &ErasureJob, filter: &ErasureFilter, erased: &mut u64) -> Result<u64, Left> {
        let mut request =
            ErasureRequest { filter: filter.clone(), received_up_to: job.received_up_to, after: None, most: STEP };
        let mut found = 0;
        loop {
            let begun = Instant::now();
            let step = self.store.erase(&request).await?;
            found += step.erased;
            *erased += step.erased;
            counter!("eyego_erased_logs_total", "kind" => job.kind.as_str()).increment(step.erased);
            if !self.store.keep(job.id, self.owner, *erased, LEASE).await? {
                return Err(Left::Lost);
            }
            let Some(next) = step.next else { return Ok(found) };
            request.after = Some(next);
            let rest = (REST * begun.elapsed()).max(SHORTEST_REST);
            if self.stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return Err(Left::Stopped);
            }
        }
    }
}
