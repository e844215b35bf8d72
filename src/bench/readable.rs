//! From the 202 until the log can be read: receipts of a few acknowledged events, waited for on connections of their own.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{client::Client, latency::Latencies, target::Target};

const SAMPLES_PER_SECOND: u32 = 20;
/// Every wait is woken by everything that is stored: more of them would be a load of their own.
const MOST_WAITING: usize = 16;
const WAIT: Duration = Duration::from_secs(10);
/// So many failures in a row mean that the service has no receipts.
const MOST_FAILURES: u32 = 10;

pub(super) struct ReadableSampler {
    target: Rc<Target>,
    interval: Duration,
    next: Cell<Instant>,
    waiting: RefCell<JoinSet<()>>,
    shared: Rc<Shared>,
}

struct Shared {
    idle: RefCell<Vec<Client>>,
    latencies: RefCell<Latencies>,
    not_in_time: Cell<u64>,
    failures: Cell<u32>,
}

/// What was sampled.
#[derive(Debug)]
pub(super) struct Readable {
    pub(super) latencies: Latencies,
    /// Samples that were given up; they count with the time that they were waited for.
    pub(super) not_in_time: u64,
}

impl ReadableSampler {
    /// `batch` is how many logs an answer lists when it is asked for an event: large ones are asked less often.
    pub(super) fn new(target: Rc<Target>, batch: u32) -> Self {
        let per_second = (2000 / batch.max(1)).clamp(2, SAMPLES_PER_SECOND);
        Self {
            target,
            interval: Duration::from_secs(1) / per_second,
            next: Cell::new(Instant::now()),
            waiting: RefCell::new(JoinSet::new()),
            shared: Rc::new(Shared {
                idle: RefCell::default(),
                latencies: RefCell::new(Latencies::new()),
                not_in_time: Cell::new(0),
                failures: Cell::new(0),
            }),
        }
    }

    /// Whether the next event should be sampled; says so once an interval.
    pub(super) fn wants(&self, now: Instant) -> bool {
        if now < self.next.get() || self.shared.failures.get() >= MOST_FAILURES {
            return false;
        }
        let mut waiting = self.waiting.borrow_mut();
        while waiting.try_join_next().is_some() {}
        self.next.set(now + self.interval);
        waiting.len() < MOST_WAITING
    }

    /// Waits for the receipt of an event that was acknowledged at this moment. To be called within a `LocalSet`.
    pub(super) fn sample(&self, event: Uuid, acknowledged: Instant) {
        let idle = self.shared.idle.borrow_mut().pop();
        let client = idle.unwrap_or_else(|| Client::new(Rc::clone(&self.target)));
        let shared = Rc::clone(&self.shared);
        self.waiting.borrow_mut().spawn_local(async move { shared.wait(client, event, acknowledged).await });
    }

    /// Waits for the samples under way.
    pub(super) async fn finish(&self) -> Option<Readable> {
        let mut waiting = self.waiting.take();
        while waiting.join_next().await.is_some() {}
        let latencies = self.shared.latencies.replace(Latencies::new());
        (latencies.count() > 0).then(|| Readable { latencies, not_in_time: self.shared.not_in_time.get() })
    }
}

impl Shared {
    async fn wait(&self, mut client: Client, event: Uuid, acknowledged: Instant) {
        let path = format!("/api/logs/events/{event}?wait={}", WAIT.as_secs());
        let Ok(status) = client.get(&path).await.map(|answer| answer.status) else { return self.failed() };
        let elapsed = acknowledged.elapsed();
        match status {
            200 => {}
            404 if elapsed >= WAIT => self.not_in_time.set(self.not_in_time.get() + 1),
            _ => return self.failed(),
        }
        self.failures.set(0);
        self.latencies.borrow_mut().record(elapsed, 1);
        self.idle.borrow_mut().push(client);
    }

    fn failed(&self) {
        self.failures.set(self.failures.get() + 1);
    }
}
