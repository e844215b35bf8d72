//! How many events wait for the bus in this process: the worker beside gives way to them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;

use crate::domain::{
    Event,
    ports::{EventPublisher, PublishOutcome},
};

/// With more than this waiting at a time, requests come faster than the bus takes them one by one.
const MANY: usize = 24;

/// Cloned by the worker, which looks at it. Where nothing is published it is always low.
#[derive(Debug, Clone, Default)]
pub struct IntakePressure(Arc<AtomicUsize>);

impl IntakePressure {
    pub fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MANY
    }

    /// The publisher, whose events are counted while they wait.
    pub fn count(&self, publisher: Arc<dyn EventPublisher>) -> Arc<dyn EventPublisher> {
        Arc::new(Counted { publisher, waiting: Arc::clone(&self.0) })
    }
}

struct Counted {
    publisher: Arc<dyn EventPublisher>,
    waiting: Arc<AtomicUsize>,
}

#[async_trait]
impl EventPublisher for Counted {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let _waiting = Waiting::of(&self.waiting, batch.len());
        self.publisher.publish(batch).await
    }
}

/// Also where nobody waits any more, and the future is dropped.
struct Waiting<'a>(&'a AtomicUsize, usize);

impl<'a> Waiting<'a> {
    fn of(waiting: &'a AtomicUsize, events: usize) -> Self {
        waiting.fetch_add(events, Ordering::Relaxed);
        Self(waiting, events)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
