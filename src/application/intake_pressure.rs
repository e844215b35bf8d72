//! How many events wait for the bus in this process, and how many have come: the worker beside gives way to them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
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
pub struct IntakePressure(Arc<Events>);

#[derive(Debug, Default)]
struct Events {
    waiting: AtomicUsize,
    came: AtomicU64,
}

impl IntakePressure {
    pub fn is_high(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > MANY
    }

    /// All events so far.
    pub fn came(&self) -> u64 {
        self.0.came.load(Ordering::Relaxed)
    }

    /// The publisher, whose events are counted while they wait.
    pub fn count(&self, publisher: Arc<dyn EventPublisher>) -> Arc<dyn EventPublisher> {
        Arc::new(Counted { publisher, events: Arc::clone(&self.0) })
    }
}

struct Counted {
    publisher: Arc<dyn EventPublisher>,
    events: Arc<Events>,
}

#[async_trait]
impl EventPublisher for Counted {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let _waiting = Waiting::of(&self.events, batch.len());
        self.publisher.publish(batch).await
    }
}

/// Also where nobody waits any more, and the future is dropped.
struct Waiting<'a>(&'a Events, usize);

impl<'a> Waiting<'a> {
    fn of(events: &'a Events, count: usize) -> Self {
        events.waiting.fetch_add(count, Ordering::Relaxed);
        events.came.fetch_add(count as u64, Ordering::Relaxed);
        Self(events, count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::domain::{Action, EventId, Metadata, NewLog, Timestamp, UserId};

    struct Silent;

    #[async_trait]
    impl EventPublisher for Silent {
        async fn publish(&self, _: Vec<Event>) -> Vec<PublishOutcome> {
            std::future::pending().await
        }
    }

    fn events(count: usize) -> Vec<Event> {
        let log = NewLog {
            user_id: UserId::parse("u".to_owned()).unwrap(),
            action: Action::parse("a".to_owned()).unwrap(),
            timestamp: Timestamp::from_millis(0),
            metadata: Metadata::empty(),
        };
        let event = Event { id: EventId::from_bytes([0; 16]), received_at: Timestamp::from_millis(0), log };
        vec![event; count]
    }

    #[tokio::test]
    async fn it_is_high_while_many_events_wait_and_low_once_nobody_waits_for_them() {
        let pressure = IntakePressure::default();
        let publisher = pressure.count(Arc::new(Silent));
        let mut some = publisher.publish(events(MANY));
        assert!(poll!(&mut some).is_pending());
        assert!(!pressure.is_high());
        let mut one = publisher.publish(events(1));
        assert!(poll!(&mut one).is_pending());
        assert!(pressure.is_high());
        drop(some);
        assert!(!pressure.is_high());
        drop(one);
        assert_eq!((pressure.0.waiting.load(Ordering::Relaxed), pressure.came()), (0, MANY as u64 + 1));
    }
}
