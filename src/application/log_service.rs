//! Taking logs in and giving them out: what the HTTP handlers call.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, counter};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    paging::{Page, PageLimits, PageQuery, Pages, store_error},
    stored_signal::StoredSignal,
    tip_watch::TipWatch,
};
use crate::domain::{
    Action, ActivityLog, Event, EventId, IdempotencyKey, LogId, Metadata, NewLog, Timestamp, UserId,
    ports::{Clock, DeleteOutcome, EventPublisher, LogRepository, PortError, PortErrorKind, PublishOutcome, Receipt},
};

/// How long a waiting receipt sleeps between two looks at the store: it starts short, for the usual case, and grows.
/// Another process may store the event, so the signal alone does not do.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// How many pages are read at a time; further ones wait. With their bound in bytes it bounds what they take.
const MAX_PAGE_READS: usize = 16;

/// A log as a client reports it.
#[derive(Debug)]
pub struct Submission {
    pub user_id: UserId,
    pub action: Action,
    /// The time of receiving where the client gives none.
    pub timestamp: Option<Timestamp>,
    pub metadata: Metadata,
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Why a call did not end well, sorted by what the client should do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("the event was not taken")]
    NotTaken(#[source] PortError),
    #[error("the bus will never take the event")]
    NeverTaken(#[source] PortError),
    #[error("whether the event was taken is unknown")]
    OutcomeUnknown(#[source] PortError),
    #[error("this process has no store")]
    StoreNotConfigured,
    #[error("the store is away")]
    StoreUnavailable(#[source] PortError),
    #[error("the query takes too long")]
    QueryTimeout(#[source] PortError),
    #[error("the page is too large")]
    PageTooLarge,
    #[error("the store failed")]
    StoreFailed(#[source] PortError),
    #[error("whether the log is deleted is unknown")]
    DeleteUnconfirmed,
    #[error("too many requests wait for events")]
    TooManyWaiters,
    #[error("too many exports are running")]
    TooManyExports,
}

/// How logs are read.
#[derive(Debug)]
pub struct Reading {
    pub tip: Arc<TipWatch>,
    pub limits: PageLimits,
}

/// The use cases around logs.
pub struct LogService {
    publisher: Arc<dyn EventPublisher>,
    repository: Option<Arc<dyn LogRepository>>,
    clock: Arc<dyn Clock>,
    signal: StoredSignal,
    waiters: Semaphore,
    page_reads: Semaphore,
    reading: Reading,
    published: Published,
    stop: CancellationToken,
}

/// Events by what the bus said of them.
struct Published {
    taken: Counter,
    refused: Counter,
    unknown: Counter,
}

impl Default for Published {
    fn default() -> Self {
        let counter = |outcome: &'static str| counter!("eyego_published_total", "outcome" => outcome);
        Self { taken: counter("taken"), refused: counter("refused"), unknown: counter("unknown") }
    }
}

impl Published {
    fn settle(&self, outcome: Option<PublishOutcome>) -> Result<(), ServiceError> {
        let (counter, result) = match outcome {
            Some(PublishOutcome::Taken) => (&self.taken, Ok(())),
            Some(PublishOutcome::Refused(error)) if error.kind() == PortErrorKind::Rejected => {
                (&self.refused, Err(ServiceError::NeverTaken(error)))
            }
            Some(PublishOutcome::Refused(error)) => (&self.refused, Err(ServiceError::NotTaken(error))),
            Some(PublishOutcome::Unknown(error)) => (&self.unknown, Err(ServiceError::OutcomeUnknown(error))),
            None => {
                let error = PortError::corrupt("the bus gave no outcome");
                (&self.unknown, Err(ServiceError::OutcomeUnknown(error)))
            }
        };
        counter.increment(1);
        result
    }
}

impl LogService {
    /// `repository` is empty in a process that only takes logs in; at most `max_waiters` receipts wait at a time, and
    /// none any more once `stop` is cancelled.
    pub fn new(
        publisher: Arc<dyn EventPublisher>,
        repository: Option<Arc<dyn LogRepository>>,
        clock: Arc<dyn Clock>,
        signal: StoredSignal,
        reading: Reading,
        max_waiters: usize,
        stop: CancellationToken,
    ) -> Self {
        let (waiters, page_reads) = (Semaphore::new(max_waiters), Semaphore::new(MAX_PAGE_READS));
        let published = Published::default();
        Self { publisher, repository, clock, signal, waiters, page_reads, reading, published, stop }
    }

    /// Publishes the log. `Ok` means that it is durable and will be stored exactly once; the id is the same for every
    /// submission of this user with this key.
    ///
    /// Cancellation: once called, dropping the future does not take the log back.
    pub async fn submit(&self, submission: Submission) -> Result<EventId, ServiceError> {
        let event = self.event(submission);
        let id = event.id;
        let outcome = self.publisher.publish(vec![event]).await.pop();
        self.published.settle(outcome).map(|()| id)
    }

    /// Publishes the logs and returns, in order, each one's event id and what became of it. Publishing begins in this
    /// order too, with the first poll.
    ///
    /// Cancellation: as for [`LogService::submit`].
    pub async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<(EventId, Result<(), ServiceError>)> {
        let events: Vec<Event> = submissions.into_iter().map(|submission| self.event(submission)).collect();
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        let mut outcomes = self.publisher.publish(events).await.into_iter();
        ids.into_iter().map(|id| (id, self.published.settle(outcomes.next()))).collect()
    }

    /// Cancelled once the service ends: whoever takes in something long breaks it off.
    pub fn ending(&self) -> &CancellationToken {
        &self.stop
    }

    fn event(&self, submission: Submission) -> Event {
        let received_at = self.clock.now();
        let id = match &submission.idempotency_key {
            Some(key) => EventId::for_key(&submission.user_id, key),
            None => EventId::fresh(received_at),
        };
        let log = NewLog {
            user_id: submission.user_id,
            action: submission.action,
            timestamp: submission.timestamp.unwrap_or(received_at),
            metadata: submission.metadata,
        };
        Event { id, received_at, log }
    }

    pub async fn list(&self, query: &PageQuery) -> Result<Page, ServiceError> {
        let _turn = self.page_reads.acquire().await;
        let Reading { tip, limits } = &self.reading;
        Pages { repository: self.repository()?, clock: &*self.clock, tip, limits: *limits }.read(query).await
    }

    pub async fn get(&self, id: LogId) -> Result<Option<ActivityLog>, ServiceError> {
        self.repository()?.get(id).await.map_err(store_error)
    }

    /// Deletes for good; `false` where there is no such log.
    pub async fn delete(&self, id: LogId) -> Result<bool, ServiceError> {
        match self.repository()?.delete(id).await.map_err(store_error)? {
            DeleteOutcome::Deleted => Ok(true),
            DeleteOutcome::NotFound => Ok(false),
            DeleteOutcome::Unconfirmed => Err(ServiceError::DeleteUnconfirmed),
        }
    }

    /// What is known of an event; with a `wait` it stays until something is known or the time is over.
    pub async fn receipt(&self, id: EventId, wait: Duration) -> Result<Receipt, ServiceError> {
        let repository = self.repository()?;
        let deadline = Instant::now() + wait;
        let mut stored = self.signal.subscribe();
        let mut receipt = repository.receipt(id).await.map_err(store_error)?;
        if receipt != Receipt::Unknown || wait.is_zero() {
            return Ok(receipt);
        }
        let _waiter = self.waiters.try_acquire().map_err(|_| ServiceError::TooManyWaiters)?;
        let mut sleep = FIRST_LOOK;
        while receipt == Receipt::Unknown && Instant::now() < deadline && !self.stop.is_cancelled() {
            let look_again = (Instant::now() + sleep).min(deadline);
            let change = self.stop.run_until_cancelled(stored.changed());
            let _ = tokio::time::timeout_at(look_again, change).await;
            sleep = (sleep * 2).min(LONGEST_SLEEP);
            receipt = repository.receipt(id).await.map_err(store_error)?;
        }
        Ok(receipt)
    }

    fn repository(&self) -> Result<&dyn LogRepository, ServiceError> {
        self.repository.as_deref().ok_or(ServiceError::StoreNotConfigured)
    }
}
