//! The storing half of the worker: numbers, stores and dead-letters, each with its retries.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    accountant::Fates,
    alarm::{Alarm, raise},
    backoff::Backoff,
    batch::{Sorted, Unnumbered, sort},
    policy::{OnError, OnOutcome, Stage, on_error, on_outcome},
};
use crate::{
    application::progress::WorkerProgress,
    domain::{
        EventId, Fate, NumberedEvent,
        ports::{AppendOutcome, DeadLetter, DeadLetters, Delivery, ErrorChain, LogRepository, PortError, Position},
    },
};

/// So many tries in vain, a second or two, are sat out before probes are told.
const A_FEW: u32 = 5;

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

/// A batch whose events have their numbers.
pub(super) struct Numbered {
    events: Vec<NumberedEvent>,
    /// For each event the letter that it would become if the store refused it.
    places: Vec<DeadLetter>,
    letters: Vec<DeadLetter>,
}

/// Where a worker puts what it has read.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) repository: Arc<dyn LogRepository>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) progress: WorkerProgress,
    /// Ends every retry.
    pub(super) stop: CancellationToken,
}

impl Sink {
    /// Numbers a batch once; every retry of the append carries the same numbers.
    pub(super) async fn number_all(&self, deliveries: Vec<Delivery>) -> Interruptible<Numbered> {
        let Sorted { events, places, letters } = sort(deliveries);
        let events = self.number(events).await?;
        Ok(events.map(|events| Numbered { events, places, letters }))
    }

    /// Stores or dead-letters every record; returns once all of it is durable.
    pub(super) async fn deal_with(&self, batch: Numbered) -> Interruptible<Fates> {
        let Numbered { events, places, mut letters } = batch;
        let Some(outcomes) = self.store(events).await? else { return Ok(None) };
        let mut fates = Fates::new();
        let mut count =
            |position: &Position, fate| fates.entry(position.partition).or_default().push((position.offset, fate));
        for letter in &letters {
            count(&letter.position, Fate::DeadLettered);
        }
        for (if_refused, fate) in places.into_iter().zip(outcomes) {
            count(&if_refused.position, fate);
            if fate == Fate::DeadLettered {
                letters.push(if_refused);
            }
        }
        if !letters.is_empty() && self.bury(&letters).await?.is_none() {
            return Ok(None);
        }
        fates.values_mut().for_each(|records| records.sort_unstable_by_key(|(offset, _)| *offset));
        Ok(Some(fates))
    }

    /// Stores the events and returns what became of each, in order.
    async fn store(&self, mut events: Vec<NumberedEvent>) -> Interruptible<Vec<Fate>> {
        let mut fates = vec![Fate::Duplicate; events.len()];
        let mut places: Vec<usize> = (0..events.len()).collect();
        let mut backoff = Backoff::default();
        while !events.is_empty() {
            let Some(outcomes) = self.retry(Stage::Append, || self.repository.append(&events)).await? else {
                return Ok(None);
            };
            let mut clashes: Vec<Unnumbered> = Vec::new();
            let mut places_of_clashes = Vec::new();
            for ((place, event), outcome) in places.into_iter().zip(events).zip(outcomes) {
                log_rejection(event.event.id, &outcome);
                match on_outcome(&outcome) {
                    OnOutcome::Settled(fate) => fates[place] = fate,
                    OnOutcome::Renumber => {
                        places_of_clashes.push(place);
                        clashes.push(event.into());
                    }
                }
            }
            if !clashes.is_empty() && !self.mend_counter(clashes.len(), &mut backoff).await? {
                return Ok(None);
            }
            let Some(renumbered) = self.number(clashes).await? else { return Ok(None) };
            (places, events) = (places_of_clashes, renumbered);
        }
        Ok(Some(fates))
    }

    async fn number(&self, events: Vec<Unnumbered>) -> Interruptible<Vec<NumberedEvent>> {
        if events.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let Some(ids) = self.retry(Stage::Reserve, || self.repository.reserve(count)).await? else {
            return Ok(None);
        };
        let numbered = events.into_iter().zip(ids);
        Ok(Some(numbered.map(|(Unnumbered { offset, event }, id)| NumberedEvent { id, offset, event }).collect()))
    }

    /// Returns `false` when asked to stop meanwhile.
    async fn mend_counter(&self, clashes: usize, backoff: &mut Backoff) -> Result<bool, IngestionError> {
        raise(Alarm::IdsTaken, 1);
        error!(clashes, "ids are taken: the counter is behind the data and is being raised");
        if backoff.tries() > 0 && !sleep(backoff.next(), &self.stop).await {
            return Ok(false);
        }
        backoff.next();
        Ok(self.retry(Stage::RaiseCounter, || self.repository.raise_counter()).await?.is_some())
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Interruptible<()> {
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
        retry(stage, &self.progress, &self.stop, call).await
    }
}

/// Calls until it succeeds, or nothing can help; `None` when asked to stop meanwhile.
pub(super) async fn retry<T, F>(
    stage: Stage,
    progress: &WorkerProgress,
    stop: &CancellationToken,
    call: impl Fn() -> F,
) -> Interruptible<T>
where
    F: Future<Output = Result<T, PortError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match call().await {
            Ok(value) => {
                if backoff.tries() > 0 {
                    info!(stage = stage.as_str(), tries = backoff.tries(), "ingestion goes on");
                    progress.is_held_up_by(None);
                }
                return Ok(Some(value));
            }
            Err(source) => {
                if backoff.tries() >= A_FEW {
                    progress.is_held_up_by(Some(stage.hindrance()));
                }
                if !pause(stage, source, &mut backoff, stop).await? {
                    return Ok(None);
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
    counter!("eyego_ingestion_retries_total", "stage" => stage.as_str()).increment(1);
    // Once per outage, not once per try.
    if backoff.tries() == 0 {
        warn!(stage = stage.as_str(), error = %ErrorChain(&source), "ingestion waits and tries again");
    }
    Ok(sleep(backoff.next(), stop).await)
}

async fn sleep(time: Duration, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}

fn log_rejection(event: EventId, outcome: &AppendOutcome) {
    if let AppendOutcome::Rejected(why) = outcome {
        warn!(event.id = %event, why, "the store will never take this event");
    }
}
