//! The ingestion worker: reads a batch, numbers it, stores it, dead-letters what is poison, and only then commits.
//! Several batches may be on their way into the store; they are numbered, settled and committed in the order in which
//! they were read.

use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{FuturesOrdered, StreamExt},
};
use tokio::time::{Instant, sleep};
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
    application::{intake_pressure::IntakePressure, progress::WorkerProgress, stored_signal::StoredSignal},
    domain::{
        Timestamp,
        ports::{Batch, BatchLimits, Checkpoint, DeadLetters, Delivery, ErrorChain, EventSource, LogRepository},
    },
};

/// How much a store likes to get at a time, and how many batches may be on their way into it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub records: usize,
    /// Bounds the memory.
    pub bytes: usize,
    pub in_flight: NonZeroUsize,
}

/// How long one read waits for records; only how often an idle worker looks round.
const WAIT: Duration = Duration::from_secs(1);
/// After a batch of more than this records keep coming: the next one is given time to become larger.
const FEW: usize = 8;
/// How much time: a store spends most of a small batch on what every batch costs.
const GATHER: Duration = Duration::from_millis(20);

/// While requests wait for the bus, the worker beside them rests so many times as long as it has worked: what it leaves
/// is safe on the bus, and it catches up faster than it fell behind.
const REST: u32 = 2;
/// Unless it has dealt with less than one in so many of those that came meanwhile.
const LEAST_SHARE: u64 = 4;
/// However slow a store is.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// What a worker works with.
pub struct WorkerParts {
    pub source: Box<dyn EventSource>,
    pub repository: Arc<dyn LogRepository>,
    pub dead_letters: Arc<dyn DeadLetters>,
    /// `None` where the store counts in the very transaction that stores.
    pub accountant: Option<Accountant>,
    pub pace: Pace,
    /// While it is high the worker rests longer than it works.
    pub pressure: IntakePressure,
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

/// A batch that the store is done with, or was interrupted at.
struct Stored {
    fates: Interruptible<Fates>,
    checkpoint: Checkpoint,
    records: usize,
}

/// Drains one source. There is one per process and it owns its place in the consumer group.
pub struct IngestionWorker {
    source: Box<dyn EventSource>,
    sink: Sink,
    accountant: Option<Accountant>,
    pace: Pace,
    pressure: IntakePressure,
    /// How many events had come, and have been dealt with here, since the last look at the pressure.
    came_before: u64,
    dealt_with: u64,
    /// When the store was last given something to do, having had nothing; and for how long it had then.
    begun: Instant,
    worked: Duration,
    /// The last batch was more than a few records.
    busy: bool,
    storing: FuturesOrdered<BoxFuture<'static, Stored>>,
    /// The oldest record of each batch in `storing`.
    oldest: VecDeque<Option<Timestamp>>,
    read_backoff: Backoff,
    dead_letter_rate: DeadLetterRate,
    signal: StoredSignal,
    progress: WorkerProgress,
    stop: CancellationToken,
}

impl IngestionWorker {
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { source, repository, dead_letters, accountant, pace, pressure, signal, progress, stop } =
            parts;
        Self {
            source,
            sink: Sink { repository, dead_letters, progress: progress.clone(), stop: stop.clone() },
            accountant,
            pace,
            pressure,
            came_before: 0,
            dealt_with: 0,
            begun: Instant::now(),
            worked: Duration::ZERO,
            busy: false,
            storing: FuturesOrdered::new(),
            oldest: VecDeque::new(),
            read_backoff: Backoff::default(),
            dead_letter_rate: DeadLetterRate::default(),
            signal,
            progress,
            stop,
        }
    }

    /// Steps until asked to stop, then finishes what is on its way, commits and leaves the group.
    ///
    /// # Errors
    /// Only what no retry can mend.
    pub async fn run(mut self) -> Result<(), IngestionError> {
        announce();
        if let Some(accountant) = &self.accountant {
            retry(Stage::OpenLedger, &self.progress, &self.stop, || accountant.open()).await?;
        }
        while self.step().await? != StepOutcome::Interrupted {}
        if let Err(error) = self.source.close().await {
            warn!(error = %ErrorChain(&error), "the source did not close cleanly; records may come again");
        }
        Ok(())
    }

    /// Begins as many batches as there is room for, until the oldest is committed.
    ///
    /// Cancellation: what was read and is not committed comes again; the worker must not be used any more.
    ///
    /// # Errors
    /// As for [`IngestionWorker::run`].
    pub async fn step(&mut self) -> Result<StepOutcome, IngestionError> {
        self.give_way().await;
        loop {
            let idle = self.storing.is_empty();
            let Pace { records, bytes, in_flight } = self.pace;
            let in_flight = if self.pressure.is_high() { 1 } else { in_flight.get() };
            let room = self.storing.len() < in_flight && !self.stop.is_cancelled();
            if idle && !room {
                return Ok(StepOutcome::Interrupted);
            }
            // A further batch is begun only when it is full: until then what comes waits for the one on its way, so that
            // light load is stored at once and heavy load in large batches.
            let gathers = idle && std::mem::take(&mut self.busy);
            let at_least = if idle && !gathers { 1 } else { records };
            let limits = BatchLimits { records, bytes, at_least };
            let wait = if gathers { GATHER } else { WAIT };
            let batch = tokio::select! {
                biased;
                Some(stored) = self.storing.next() => return self.finish(stored).await,
                batch = read(&mut *self.source, (limits, wait), &mut self.read_backoff, &self.stop), if room => batch?,
            };
            match batch {
                Some(batch) if !batch.deliveries.is_empty() => {
                    self.busy = batch.deliveries.len() > FEW;
                    if !self.begin(batch).await? {
                        return Ok(StepOutcome::Interrupted);
                    }
                }
                Some(_) if gathers => {}
                Some(_) if idle => return Ok(StepOutcome::Idle),
                // Nothing more for now, or asked to stop: what is on its way is waited for.
                Some(_) | None => {}
            }
        }
    }

    async fn give_way(&mut self) {
        if !self.storing.is_empty() || !self.pressure.is_high() {
            return;
        }
        let came_before = std::mem::replace(&mut self.came_before, self.pressure.came());
        let came = self.came_before.saturating_sub(came_before);
        if LEAST_SHARE * std::mem::take(&mut self.dealt_with) >= came {
            let rest = (REST * self.worked).min(LONGEST_REST);
            self.stop.run_until_cancelled(sleep(rest)).await;
        }
    }

    /// Numbers the batch and sends it on its way; `false` when asked to stop meanwhile.
    async fn begin(&mut self, batch: Batch) -> Result<bool, IngestionError> {
        let Batch { deliveries, checkpoint } = batch;
        let records = deliveries.len();
        if self.storing.is_empty() {
            self.begun = Instant::now();
        }
        self.oldest.push_back(oldest_of(&deliveries));
        self.show_progress();
        let Some(numbered) = self.sink.number_all(deliveries).await? else { return Ok(false) };
        let sink = self.sink.clone();
        let storing = async move { Stored { fates: sink.deal_with(numbered).await, checkpoint, records } };
        self.storing.push_back(storing.boxed());
        Ok(true)
    }

    /// Counts and commits the oldest batch.
    async fn finish(&mut self, stored: Stored) -> Result<StepOutcome, IngestionError> {
        let Stored { fates, checkpoint, records } = stored;
        let Some(fates) = fates? else { return Ok(StepOutcome::Interrupted) };
        self.signal.raise();
        self.dead_letter_rate.note(&fates);
        if self.settle(&fates).await?.is_none() {
            return Ok(StepOutcome::Interrupted);
        }
        if let Err(source) = self.source.commit(checkpoint).await {
            match on_error(Stage::Commit, source.kind()) {
                OnError::Stop => return Err(IngestionError::at(Stage::Commit, source)),
                OnError::GoOn | OnError::Retry => {
                    warn!(error = %ErrorChain(&source), "commit failed; the batch may come again");
                }
            }
        }
        self.worked = self.begun.elapsed();
        self.dealt_with += records as u64;
        self.oldest.pop_front();
        self.show_progress();
        Ok(StepOutcome::Done(records))
    }

    fn show_progress(&self) {
        self.progress.holds(self.oldest.iter().flatten().min().copied());
    }

    async fn settle(&mut self, fates: &Fates) -> Interruptible<()> {
        let Some(accountant) = &self.accountant else { return Ok(Some(())) };
        retry(Stage::Settle, &self.progress, &self.stop, || accountant.settle(fates)).await
    }
}

fn oldest_of(deliveries: &[Delivery]) -> Option<Timestamp> {
    deliveries.iter().map(|delivery| delivery.timestamp).min()
}

/// Cancellation: loses nothing.
async fn read(
    source: &mut dyn EventSource,
    (limits, wait): (BatchLimits, Duration),
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Interruptible<Batch> {
    loop {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            read = source.next_batch(limits, wait) => read,
        };
        match read {
            Ok(batch) => {
                *backoff = Backoff::default();
                return Ok(Some(batch));
            }
            Err(source) => {
                if !pause(Stage::Read, source, backoff, stop).await? {
                    return Ok(None);
                }
            }
        }
    }
}
