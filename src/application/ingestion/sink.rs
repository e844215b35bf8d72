//! The storing half of the worker: numbers, stores and dead-letters, each with its retries.

use std::{future::Future, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    backoff::Backoff,
    policy::{OnError, OnOutcome, Stage, on_error, on_outcome},
};
use crate::domain::{
    Event, NumberedEvent,
    ports::{AppendOutcome, DeadLetter, DeadLetters, ErrorChain, LogRepository, PortError},
};

/// Why a worker cannot go on: the process must end.
#[derive(Debug, thiserror::Error)]
#[error("ingestion failed at {stage}")]
pub struct IngestionError {
    stage: &'static str,
    source: PortError,
}

impl IngestionError {
    pub(super) fn at(stage: Stage, source: PortError) -> Self {
        Self { stage: stage.as_str(), source }
    }
}

/// `None` means: asked to stop while retrying.
pub(super) type Interruptible<T> = Result<Option<T>, IngestionError>;

/// Where a worker puts what it has read.
pub(super) struct Sink {
    pub(super) repository: Arc<dyn LogRepository>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    /// Ends every retry.
    pub(super) stop: CancellationToken,
}

impl Sink {
    /// Stores the events and returns the places of those that the store will never take.
    pub(super) async fn store(&self, events: Vec<Event>) -> Interruptible<Vec<usize>> {
        let mut rejected = Vec::new();
        let mut pending: Vec<(usize, Event)> = events.into_iter().enumerate().collect();
        let mut backoff = Backoff::default();
        while !pending.is_empty() {
            let Some((places, numbered)) = self.number(pending).await? else { return Ok(None) };
            let Some(outcomes) = self.retry(Stage::Append, || self.repository.append(&numbered)).await? else {
                return Ok(None);
            };
            pending = Vec::new();
            for ((place, event), outcome) in places.into_iter().zip(numbered).zip(outcomes) {
                match on_outcome(&outcome) {
                    OnOutcome::Done => {}
                    OnOutcome::Renumber => pending.push((place, event.event)),
                    OnOutcome::DeadLetter => {
                        log_rejection(&event, &outcome);
                        rejected.push(place);
                    }
                }
            }
            if !pending.is_empty() && !self.mend_counter(pending.len(), &mut backoff).await? {
                return Ok(None);
            }
        }
        Ok(Some(rejected))
    }

    /// Numbers a batch once; every retry of the append carries the same numbers.
    async fn number(&self, events: Vec<(usize, Event)>) -> Interruptible<(Vec<usize>, Vec<NumberedEvent>)> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let Some(ids) = self.retry(Stage::Reserve, || self.repository.reserve(count)).await? else {
            return Ok(None);
        };
        Ok(Some(events.into_iter().zip(ids).map(|((place, event), id)| (place, NumberedEvent { id, event })).unzip()))
    }

    /// Returns `false` when asked to stop meanwhile.
    async fn mend_counter(&self, clashes: usize, backoff: &mut Backoff) -> Result<bool, IngestionError> {
        error!(clashes, "ids are taken: the counter is behind the data and is being raised");
        if backoff.tries() > 0 && !sleep(backoff.next(), &self.stop).await {
            return Ok(false);
        }
        backoff.next();
        Ok(self.retry(Stage::RaiseCounter, || self.repository.raise_counter()).await?.is_some())
    }

    pub(super) async fn bury(&self, letters: &[DeadLetter]) -> Interruptible<()> {
        // One line for all of them: a topic full of garbage must not become a log full of lines.
        if let Some(first) = letters.first() {
            warn!(
                letters = letters.len(), kafka.topic = %first.position.topic,
                kafka.partition = first.position.partition, kafka.offset = first.position.offset,
                event.id = %first.event_id, reason = first.reason.as_str(),
                "records are no logs and go to the dead letters; the first of them is named"
            );
        }
        self.retry(Stage::DeadLetter, || self.dead_letters.publish(letters)).await
    }

    async fn retry<T, F>(&self, stage: Stage, call: impl Fn() -> F) -> Interruptible<T>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let mut backoff = Backoff::default();
        loop {
            match call().await {
                Ok(value) => {
                    if backoff.tries() > 0 {
                        info!(stage = stage.as_str(), tries = backoff.tries(), "ingestion goes on");
                    }
                    return Ok(Some(value));
                }
                Err(source) => {
                    if !pause(stage, source, &mut backoff, &self.stop).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Waits before the next try; `false` when asked to stop meanwhile.
pub(super) async fn pause(
    stage: Stage,
    source: PortError,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Result<bool, IngestionError> {
    match on_error(stage, source.kind()) {
        OnError::Stop => return Err(IngestionError::at(stage, source)),
        OnError::Retry | OnError::GoOn => {}
    }
    // Once per outage, not once per try.
    if backoff.tries() == 0 {
        warn!(stage = stage.as_str(), error = %ErrorChain(&source), "ingestion waits and tries again");
    }
    Ok(sleep(backoff.next(), stop).await)
}

async fn sleep(time: Duration, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}

fn log_rejection(event: &NumberedEvent, outcome: &AppendOutcome) {
    if let AppendOutcome::Rejected(why) = outcome {
        warn!(event.id = %event.event.id, why, "the store will never take this event");
    }
}
