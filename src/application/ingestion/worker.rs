//! The ingestion worker: reads a batch, numbers it, stores it, dead-letters what is poison, and only then commits.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    accountant::{Accountant, Fates},
    alarm::{DeadLetterRate, announce},
    backoff::Backoff,
    policy::{OnError, Stage, on_error},
    sink::{IngestionError, Interruptible, Sink, pause, retry},
};
use crate::{
    application::{progress::WorkerProgress, stored_signal::StoredSignal},
    domain::ports::{Batch, BatchLimits, DeadLetters, ErrorChain, EventSource, LogRepository},
};

/// A batch of 1,000 is where a bulk insert stops getting cheaper per document; the bytes bound the memory.
const LIMITS: BatchLimits = BatchLimits { records: 1000, bytes: 4 << 20 };
/// How long one read waits for records; only how often an idle worker looks round.
const WAIT: Duration = Duration::from_secs(1);

/// What a worker works with.
pub struct WorkerParts {
    pub source: Box<dyn EventSource>,
    pub repository: Arc<dyn LogRepository>,
    pub dead_letters: Arc<dyn DeadLetters>,
    /// `None` where the store counts in the very transaction that stores.
    pub accountant: Option<Accountant>,
    pub signal: StoredSignal,
    pub progress: WorkerProgress,
    /// Ends the worker after the step in hand, or during a retry.
    pub stop: CancellationToken,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// The source had nothing.
    Idle,
    /// A batch of so many records is stored or dead-lettered, and committed.
    Done(usize),
    /// Asked to stop; what was in hand is not committed and will be delivered again.
    Interrupted,
}

/// Drains one source. There is one per process and it owns its place in the consumer group.
pub struct IngestionWorker {
    source: Box<dyn EventSource>,
    sink: Sink,
    accountant: Option<Accountant>,
    dead_letter_rate: DeadLetterRate,
    signal: StoredSignal,
    progress: WorkerProgress,
    stop: CancellationToken,
}

impl IngestionWorker {
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { source, repository, dead_letters, accountant, signal, progress, stop } = parts;
        let sink = Sink { repository, dead_letters, stop: stop.clone() };
        Self { source, sink, accountant, dead_letter_rate: DeadLetterRate::default(), signal, progress, stop }
    }

    /// Steps until asked to stop, then commits and leaves the group.
    ///
    /// # Errors
    /// Only what no retry can mend.
    pub async fn run(mut self) -> Result<(), IngestionError> {
        announce();
        if let Some(accountant) = &self.accountant {
            retry(Stage::OpenLedger, &self.stop, || accountant.open()).await?;
        }
        while !self.stop.is_cancelled() {
            if self.step().await? == StepOutcome::Interrupted {
                break;
            }
        }
        if let Err(error) = self.source.close().await {
            warn!(error = %ErrorChain(&error), "the source did not close cleanly; records may come again");
        }
        Ok(())
    }

    /// One batch from the source to the commit.
    ///
    /// # Errors
    /// As for [`IngestionWorker::run`].
    pub async fn step(&mut self) -> Result<StepOutcome, IngestionError> {
        let Some(batch) = self.read().await? else { return Ok(StepOutcome::Interrupted) };
        let records = batch.deliveries.len();
        if records == 0 {
            return Ok(StepOutcome::Idle);
        }
        self.progress.holds(batch.deliveries.iter().map(|delivery| delivery.timestamp).min());
        let Some(fates) = self.sink.deal_with(batch.deliveries).await? else { return Ok(StepOutcome::Interrupted) };
        self.signal.raise();
        self.dead_letter_rate.note(&fates);
        if self.settle(&fates).await?.is_none() {
            return Ok(StepOutcome::Interrupted);
        }
        if let Err(source) = self.source.commit(batch.checkpoint).await {
            match on_error(Stage::Commit, source.kind()) {
                OnError::Stop => return Err(IngestionError::at(Stage::Commit, source)),
                OnError::GoOn | OnError::Retry => {
                    warn!(error = %ErrorChain(&source), "commit failed; the batch may come again");
                }
            }
        }
        self.progress.holds(None);
        Ok(StepOutcome::Done(records))
    }

    async fn settle(&mut self, fates: &Fates) -> Interruptible<()> {
        let Some(accountant) = &self.accountant else { return Ok(Some(())) };
        retry(Stage::Settle, &self.stop, || accountant.settle(fates)).await
    }

    async fn read(&mut self) -> Interruptible<Batch> {
        let mut backoff = Backoff::default();
        loop {
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                read = self.source.next_batch(LIMITS, WAIT) => read,
            };
            match read {
                Ok(batch) => return Ok(Some(batch)),
                Err(source) => {
                    if !pause(Stage::Read, source, &mut backoff, &self.stop).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
