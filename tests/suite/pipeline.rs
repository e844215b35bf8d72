//! The worker between a bus and a store that fail at random: whatever happens, each event is stored once.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use eyego::{
    application::{
        ingestion::{Accountant, IngestionWorker, Pace, StepOutcome, WorkerParts},
        intake_pressure::IntakePressure,
        progress::WorkerProgress,
        stored_signal::StoredSignal,
    },
    domain::{
        Account, ActivityLog, Count, Event, EventId, IdRange, LogFilter, LogId, LogQuery, LogSlice, NumberedEvent,
        PageRequest,
        ports::{
            AccountMove, AppendOutcome, Batch, BatchLimits, Checkpoint, DeadLetter, DeadLetters, DeleteOutcome,
            EventPublisher, EventSource, LedgerWriter, LogRepository, PortError, Probe, PublishOutcome, Receipt,
            Status,
        },
    },
    infrastructure::{
        clock::SystemClock,
        embedded::{DataFolder, EmbeddedQueue, EmbeddedStore},
    },
};
use tokio_util::sync::CancellationToken;

use crate::support::{event, eventually, list, log, some_events};

/// Numbers that look random and are the same in every run of a seed.
#[derive(Clone)]
pub(crate) struct Dice(Arc<AtomicU64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// One time in `sides`.
    pub(crate) fn hit(&self, sides: u64) -> bool {
        self.next().is_multiple_of(sides)
    }

    /// Less than `below`, which is at least 1.
    pub(crate) fn roll(&self, below: usize) -> usize {
        usize::try_from(self.next() % below as u64).unwrap()
    }

    fn next(&self) -> u64 {
        // SplitMix64.
        let mut value = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }
}

/// Fails calls before or after they took effect, and hands out numbers that others have.
struct Flaky<T: ?Sized> {
    inner: Arc<T>,
    dice: Dice,
}

fn away<T>() -> Result<T, PortError> {
    Err(PortError::unavailable("the dice said so"))
}

#[async_trait]
impl LogRepository for Flaky<EmbeddedStore> {
    async fn reserve(&self, count: u32) -> Result<IdRange, PortError> {
        if self.dice.hit(5) {
            return away();
        }
        if self.dice.hit(7) {
            return Ok(IdRange::new(0, i64::from(count)));
        }
        self.inner.reserve(count).await
    }

    async fn append(&self, batch: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError> {
        if self.dice.hit(4) {
            return away();
        }
        let outcomes = self.inner.append(batch).await;
        if self.dice.hit(4) { away() } else { outcomes }
    }

    async fn raise_counter(&self) -> Result<(), PortError> {
        if self.dice.hit(3) { away() } else { self.inner.raise_counter().await }
    }

    async fn find(&self, query: &LogQuery) -> Result<LogSlice, PortError> {
        self.inner.find(query).await
    }

    async fn count(&self, filter: &LogFilter, cap: u64, max_time: Duration) -> Result<Count, PortError> {
        self.inner.count(filter, cap, max_time).await
    }

    async fn get(&self, id: LogId) -> Result<Option<ActivityLog>, PortError> {
        self.inner.get(id).await
    }

    async fn receipt(&self, event_id: EventId) -> Result<Receipt, PortError> {
        self.inner.receipt(event_id).await
    }

    async fn delete(&self, id: LogId) -> Result<DeleteOutcome, PortError> {
        self.inner.delete(id).await
    }
}

#[async_trait]
impl DeadLetters for Flaky<EmbeddedStore> {
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        if self.dice.hit(3) {
            return away();
        }
        let kept = self.inner.publish(letters).await;
        if self.dice.hit(3) { away() } else { kept }
    }
}

struct FlakySource {
    inner: Box<dyn EventSource>,
    dice: Dice,
}

#[async_trait]
impl EventSource for FlakySource {
    async fn next_batch(&mut self, limits: BatchLimits, _: Duration) -> Result<Batch, PortError> {
        if self.dice.hit(6) {
            return away();
        }
        // Small batches, so that there are many places to break at.
        let limits = BatchLimits { records: 17, at_least: limits.at_least.min(17), ..limits };
        self.inner.next_batch(limits, Duration::from_millis(1)).await
    }

    async fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), PortError> {
        if self.dice.hit(3) { away() } else { self.inner.commit(checkpoint).await }
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.inner.close().await
    }
}

/// A bus and a store in a folder, and a worker that can be thrown away at any point.
struct Pipeline {
    queue: Arc<EmbeddedQueue>,
    store: Arc<EmbeddedStore>,
    dice: Dice,
    in_flight: NonZeroUsize,
    _folder: tempfile::TempDir,
}

impl Pipeline {
    /// Seeds differ in how many batches are in flight too.
    fn new(seed: u64) -> Self {
        let in_flight = NonZeroUsize::new(1 + usize::try_from(seed).unwrap() % 4).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let locked = DataFolder::open(folder.path()).unwrap();
        let queue = Arc::new(EmbeddedQueue::open(&locked).unwrap());
        let store = Arc::new(EmbeddedStore::open(&locked, Arc::new(SystemClock), 0).unwrap());
        Self { queue, store, dice: Dice::new(seed), in_flight, _folder: folder }
    }

    async fn publish(&self, events: &[Event]) {
        let outcomes = self.queue.publish(events.to_vec()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Taken)));
    }

    async fn worker(&self) -> IngestionWorker {
        let source = FlakySource { inner: self.queue.source().await.unwrap(), dice: self.dice.clone() };
        let flaky = Arc::new(Flaky { inner: self.store.clone(), dice: self.dice.clone() });
        IngestionWorker::new(WorkerParts {
            source: Box::new(source),
            repository: flaky.clone(),
            accountant: None,
            pace: Pace { records: 1000, bytes: 1 << 20, in_flight: self.in_flight },
            pressure: IntakePressure::default(),
            dead_letters: flaky,
            signal: StoredSignal::default(),
            progress: WorkerProgress::default(),
            stop: CancellationToken::new(),
        })
    }

    /// Steps until the bus is empty, throwing the worker away now and then in the middle of a step.
    async fn drain(&self) {
        let mut worker = self.worker().await;
        loop {
            let crash = Duration::from_millis(if self.dice.hit(5) { 7 } else { 60_000 });
            match tokio::time::timeout(crash, worker.step()).await {
                Ok(Ok(StepOutcome::Idle)) => return,
                Ok(Ok(StepOutcome::Done(_))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => worker = self.worker().await,
            }
        }
    }

    async fn stored(&self) -> Vec<ActivityLog> {
        let mut logs = Vec::new();
        for page in 1.. {
            let found = list(&*self.store, &LogFilter::default(), PageRequest::new(page, 1000).unwrap()).await.unwrap();
            if found.logs.is_empty() {
                assert_eq!(found.total, logs.len() as u64, "the kept count is right");
                break;
            }
            logs.extend(found.logs);
        }
        logs
    }
}

#[tokio::test]
async fn whatever_fails_each_event_is_stored_once_under_a_number_of_its_own() {
    for seed in 0..12 {
        let pipeline = Pipeline::new(seed);
        let events = some_events(150);
        pipeline.publish(&events).await;
        pipeline.publish(&events[20..40]).await;
        pipeline.drain().await;
        let stored = pipeline.stored().await;
        let actions: HashSet<_> = stored.iter().map(|log| log.action.clone()).collect();
        let ids: HashSet<_> = stored.iter().map(|log| log.id).collect();
        assert_eq!((stored.len(), actions.len(), ids.len()), (150, 150, 150), "seed {seed}");
    }
}

#[tokio::test]
async fn a_deleted_event_stays_away_whatever_fails() {
    for seed in 100..106 {
        let pipeline = Pipeline::new(seed);
        let events = some_events(60);
        pipeline.publish(&events).await;
        pipeline.drain().await;
        for log in pipeline.stored().await.iter().step_by(3) {
            assert_eq!(pipeline.store.delete(log.id.unwrap()).await.unwrap(), DeleteOutcome::Deleted);
        }
        pipeline.publish(&events).await;
        pipeline.drain().await;
        assert_eq!(pipeline.stored().await.len(), 40, "seed {seed}");
    }
}

#[tokio::test]
async fn an_interrupted_worker_commits_nothing_it_has_not_stored() {
    let pipeline = Pipeline::new(7);
    let stop = CancellationToken::new();
    pipeline.publish(&[event(log("u", "a"))]).await;
    struct Down(Arc<EmbeddedStore>);
    #[async_trait]
    impl DeadLetters for Down {
        async fn publish(&self, _: &[DeadLetter]) -> Result<(), PortError> {
            away()
        }
    }
    #[async_trait]
    impl LogRepository for Down {
        async fn reserve(&self, _: u32) -> Result<IdRange, PortError> {
            away()
        }
        async fn append(&self, _: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError> {
            away()
        }
        async fn raise_counter(&self) -> Result<(), PortError> {
            away()
        }
        async fn find(&self, _: &LogQuery) -> Result<LogSlice, PortError> {
            away()
        }
        async fn count(&self, _: &LogFilter, _: u64, _: Duration) -> Result<Count, PortError> {
            away()
        }
        async fn get(&self, _: LogId) -> Result<Option<ActivityLog>, PortError> {
            away()
        }
        async fn receipt(&self, event_id: EventId) -> Result<Receipt, PortError> {
            self.0.receipt(event_id).await
        }
        async fn delete(&self, _: LogId) -> Result<DeleteOutcome, PortError> {
            away()
        }
    }
    let down = Arc::new(Down(pipeline.store.clone()));
    let worker = IngestionWorker::new(WorkerParts {
        source: pipeline.queue.source().await.unwrap(),
        repository: down.clone(),
        dead_letters: down,
        accountant: None,
        pace: Pace { records: 1000, bytes: 1 << 20, in_flight: NonZeroUsize::MIN },
        pressure: IntakePressure::default(),
        signal: StoredSignal::default(),
        progress: WorkerProgress::default(),
        stop: stop.clone(),
    });
    let interrupt = async {
        tokio::task::yield_now().await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(worker.run(), interrupt);
    ended.unwrap();
    pipeline.drain().await;
    assert_eq!(pipeline.stored().await.len(), 1);
}

/// Takes events and never says what became of them.
struct Silent;

#[async_trait]
impl EventPublisher for Silent {
    async fn publish(&self, _: Vec<Event>) -> Vec<PublishOutcome> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_worker_that_gives_way_to_requests_stores_everything_all_the_same() {
    let pipeline = Pipeline::new(0);
    pipeline.publish(&some_events(300)).await;
    let pressure = IntakePressure::default();
    let mut worker = IngestionWorker::new(WorkerParts {
        source: pipeline.queue.source().await.unwrap(),
        repository: pipeline.store.clone(),
        dead_letters: pipeline.store.clone(),
        accountant: None,
        pace: Pace { records: 20, bytes: 1 << 20, in_flight: NonZeroUsize::MIN },
        pressure: pressure.clone(),
        signal: StoredSignal::default(),
        progress: WorkerProgress::default(),
        stop: CancellationToken::new(),
    });
    let publisher = pressure.count(Arc::new(Silent));
    let mut waiting = publisher.publish(some_events(100));
    assert!(futures_util::poll!(&mut waiting).is_pending() && pressure.is_high());
    while worker.step().await.unwrap() != StepOutcome::Idle {}
    assert!(pressure.is_high());
    assert_eq!(pipeline.stored().await.len(), 300);
}

/// Refuses every write until it is mended.
#[derive(Default)]
struct ReadOnlyLedger(AtomicBool);

#[async_trait]
impl LedgerWriter for ReadOnlyLedger {
    async fn confirmed(&self) -> Result<Vec<Account>, PortError> {
        Ok(Vec::new())
    }

    async fn replace(&self, _: &[AccountMove]) -> Result<bool, PortError> {
        if self.0.load(Ordering::Relaxed) { Ok(true) } else { Err(PortError::rejected("no rights")) }
    }
}

#[tokio::test]
async fn a_worker_that_cannot_count_says_so_until_it_can() {
    let pipeline = Pipeline::new(0);
    pipeline.publish(&some_events(3)).await;
    let (ledger, progress) = (Arc::new(ReadOnlyLedger::default()), WorkerProgress::default());
    let mut worker = IngestionWorker::new(WorkerParts {
        source: pipeline.queue.source().await.unwrap(),
        repository: pipeline.store.clone(),
        dead_letters: pipeline.store.clone(),
        accountant: Some(Accountant::new(ledger.clone(), pipeline.queue.clone())),
        pace: Pace { records: 1000, bytes: 1 << 20, in_flight: NonZeroUsize::MIN },
        pressure: IntakePressure::default(),
        signal: StoredSignal::default(),
        progress: progress.clone(),
        stop: CancellationToken::new(),
    });
    let watching = async {
        let down = Status::Down("cannot count in the ledger; it is tried again".to_owned());
        eventually("the worker says what is wrong", async || progress.status() == down).await;
        ledger.0.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(worker.step(), watching);
    assert_eq!(done.unwrap(), StepOutcome::Done(3));
    assert!(progress.status().is_up());
}
