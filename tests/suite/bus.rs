//! The contract of the bus. An adapter is one that passes all of this; `bus_suite!` runs it on one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eyego::domain::{
    Event, Metadata, NewLog,
    ports::{
        Batch, BatchLimits, DeadLetterReason, Delivery, EventPublisher, EventSource, PortErrorKind, PublishOutcome,
    },
};

use crate::{
    contract::{Harness, contract_suite},
    support::{event, log},
};

/// One empty bus, for one test.
pub(crate) trait BusHarness: Harness {
    fn publisher(&self) -> Arc<dyn EventPublisher>;
    /// A reader that goes on where the group has committed. The suite has one at a time.
    async fn source(&self) -> Box<dyn EventSource>;
    /// Puts a record on the bus as another program may: not by the publisher.
    async fn put_raw(&self, value: &[u8]);
    /// Ends the publisher as the service does when it stops.
    async fn close_publisher(&self);
    /// Opens the bus again, as a restart of the service does. Its sources are gone by then.
    async fn reopen(&mut self);
    /// A size of metadata that makes a record too large for the bus; `None` where it takes any.
    fn oversized(&self) -> Option<usize>;
}

contract_suite! { bus_suite:
    what_is_published_is_delivered
    an_empty_publish_is_nothing
    every_event_of_a_batch_has_its_outcome
    events_of_a_user_keep_their_order
    a_batch_keeps_to_its_limits
    fewer_than_are_wanted_at_least_are_waited_with
    what_is_not_committed_comes_again
    reading_goes_on_behind_what_is_committed
    batches_may_be_taken_ahead_of_their_commits
    a_source_that_closes_has_committed
    a_malformed_record_is_delivered_as_such_and_committed
    a_wait_for_nothing_ends_in_time
    a_wait_that_is_cancelled_loses_nothing
    an_oversized_record_is_rejected_and_the_next_one_passes
    a_closed_publisher_says_so
    what_was_published_survives_a_restart
}

bus_suite!(kafka, crate::kafka::KafkaHarness);
bus_suite!(embedded, crate::embedded::EmbeddedBus);

pub(crate) const LIMITS: BatchLimits = BatchLimits { records: 500, bytes: 4 << 20, at_least: 1 };
const PATIENCE: Duration = Duration::from_secs(30);
const NOTHING_COMES: Duration = Duration::from_millis(300);

/// `count` events of one user, with actions `a0`, `a1`, …
pub(crate) fn events_of(user: &str, count: usize) -> Vec<Event> {
    (0..count).map(|n| event(log(user, &format!("a{n}")))).collect()
}

pub(crate) async fn publish(publisher: &dyn EventPublisher, events: &[Event]) {
    for outcome in publisher.publish(events.to_vec()).await {
        assert!(matches!(outcome, PublishOutcome::Taken), "{outcome:?}");
    }
}

/// The next batch that has something in it.
pub(crate) async fn next(source: &mut dyn EventSource, limits: BatchLimits) -> Batch {
    let batch = source.next_batch(limits, PATIENCE).await.unwrap();
    assert!(!batch.deliveries.is_empty(), "in vain: waited for records");
    batch
}

/// Reads and commits until `count` records have come.
pub(crate) async fn drain(source: &mut dyn EventSource, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let batch = next(source, LIMITS).await;
        deliveries.extend(batch.deliveries);
        source.commit(batch.checkpoint).await.unwrap();
    }
    deliveries
}

pub(crate) fn actions(deliveries: &[Delivery]) -> Vec<String> {
    let mut actions: Vec<_> =
        deliveries.iter().map(|one| one.event.as_ref().unwrap().log.action.as_str().to_owned()).collect();
    actions.sort();
    actions
}

pub(crate) fn expected(events: &[Event]) -> Vec<String> {
    let mut actions: Vec<_> = events.iter().map(|event| event.log.action.as_str().to_owned()).collect();
    actions.sort();
    actions
}

async fn nothing_comes(source: &mut dyn EventSource) {
    let batch = source.next_batch(LIMITS, NOTHING_COMES).await.unwrap();
    assert!(batch.deliveries.is_empty(), "{:?}", batch.deliveries);
}

async fn what_is_published_is_delivered(bus: &mut impl BusHarness) {
    let metadata = r#"{"ip":"127.0.0.1","deep":{"$oid":"x","a.b":[1,2.0,{}]},"ü":"\u0000"}"#;
    let published = event(NewLog { metadata: Metadata::from_canonical(metadata), ..log("ümläut 🦀", "log in") });
    publish(&*bus.publisher(), std::slice::from_ref(&published)).await;
    let mut source = bus.source().await;
    let delivered = drain(&mut *source, 1).await.remove(0);
    assert_eq!(delivered.event.unwrap(), published);
}

async fn an_empty_publish_is_nothing(bus: &mut impl BusHarness) {
    assert!(bus.publisher().publish(Vec::new()).await.is_empty());
}

async fn every_event_of_a_batch_has_its_outcome(bus: &mut impl BusHarness) {
    let events = events_of("u", 100);
    let outcomes = bus.publisher().publish(events.clone()).await;
    assert_eq!(outcomes.len(), events.len());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Taken)));
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 100).await), expected(&events));
}

async fn events_of_a_user_keep_their_order(bus: &mut impl BusHarness) {
    let publisher = bus.publisher();
    let users = ["u1", "u2", "u3"];
    for round in 0..20 {
        let batch = users.iter().flat_map(|user| (0..5).map(move |n| event(log(user, &format!("{}", round * 5 + n)))));
        publish(&*publisher, &batch.collect::<Vec<_>>()).await;
    }
    let mut source = bus.source().await;
    let mut seen: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for delivery in drain(&mut *source, 300).await {
        let log = delivery.event.unwrap().log;
        seen.entry(log.user_id.as_str().to_owned()).or_default().push(log.action.as_str().parse().unwrap());
    }
    for user in users {
        assert_eq!(seen[user], (0..100).collect::<Vec<_>>(), "{user}");
    }
}

async fn a_batch_keeps_to_its_limits(bus: &mut impl BusHarness) {
    publish(&*bus.publisher(), &events_of("u", 20)).await;
    let mut source = bus.source().await;
    let few = BatchLimits { records: 7, bytes: 1 << 20, at_least: 1 };
    let small = BatchLimits { records: 100, bytes: 1, at_least: 1 };
    let mut count = 0;
    while count < 20 {
        let (limits, most) = if count < 14 { (few, 7) } else { (small, 1) };
        let batch = next(&mut *source, limits).await;
        assert!(batch.deliveries.len() <= most, "{}", batch.deliveries.len());
        count += batch.deliveries.len();
        source.commit(batch.checkpoint).await.unwrap();
    }
}

async fn fewer_than_are_wanted_at_least_are_waited_with(bus: &mut impl BusHarness) {
    let (publisher, events) = (bus.publisher(), events_of("u", 20));
    let ten = BatchLimits { at_least: 10, ..LIMITS };
    let mut source = bus.source().await;
    publish(&*publisher, &events[..9]).await;
    let batch = source.next_batch(ten, NOTHING_COMES).await.unwrap();
    assert!(batch.deliveries.is_empty(), "{}", batch.deliveries.len());
    let (batch, ()) = tokio::join!(next(&mut *source, ten), publish(&*publisher, &events[9..12]));
    assert!(batch.deliveries.len() >= 10, "{}", batch.deliveries.len());
    let mut seen = batch.deliveries;
    publish(&*publisher, &events[12..]).await;
    seen.extend(drain(&mut *source, 20 - seen.len()).await);
    assert_eq!(actions(&seen), expected(&events));
}

async fn what_is_not_committed_comes_again(bus: &mut impl BusHarness) {
    let events = events_of("u", 10);
    publish(&*bus.publisher(), &events).await;
    let mut source = bus.source().await;
    let mut seen = 0;
    while seen < 10 {
        seen += next(&mut *source, LIMITS).await.deliveries.len();
    }
    drop(source);
    bus.reopen().await;
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 10).await), expected(&events));
}

async fn reading_goes_on_behind_what_is_committed(bus: &mut impl BusHarness) {
    let events = events_of("u", 10);
    publish(&*bus.publisher(), &events).await;
    let mut source = bus.source().await;
    let mut seen = 0;
    while seen < 4 {
        let batch = next(&mut *source, BatchLimits { records: 4 - seen, bytes: 1 << 20, at_least: 1 }).await;
        seen += batch.deliveries.len();
        source.commit(batch.checkpoint).await.unwrap();
    }
    source.close().await.unwrap();
    bus.reopen().await;
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 6).await), expected(&events[4..]));
    nothing_comes(&mut *source).await;
}

async fn batches_may_be_taken_ahead_of_their_commits(bus: &mut impl BusHarness) {
    let events = events_of("u", 9);
    publish(&*bus.publisher(), &events).await;
    let mut source = bus.source().await;
    let three = BatchLimits { records: 3, bytes: 1 << 20, at_least: 1 };
    let mut batches = Vec::new();
    while batches.iter().map(|batch: &Batch| batch.deliveries.len()).sum::<usize>() < 9 {
        batches.push(next(&mut *source, three).await);
    }
    let last = batches.pop().unwrap();
    let uncommitted = last.deliveries.len();
    for batch in batches {
        source.commit(batch.checkpoint).await.unwrap();
    }
    source.close().await.unwrap();
    bus.reopen().await;
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, uncommitted).await), expected(&events[9 - uncommitted..]));
    nothing_comes(&mut *source).await;
}

async fn a_source_that_closes_has_committed(bus: &mut impl BusHarness) {
    publish(&*bus.publisher(), &events_of("u", 5)).await;
    let mut source = bus.source().await;
    drain(&mut *source, 5).await;
    source.close().await.unwrap();
    let mut source = bus.source().await;
    let later = events_of("later", 2);
    publish(&*bus.publisher(), &later).await;
    assert_eq!(actions(&drain(&mut *source, 2).await), expected(&later));
}

async fn a_malformed_record_is_delivered_as_such_and_committed(bus: &mut impl BusHarness) {
    bus.put_raw(b"no log").await;
    let mut source = bus.source().await;
    let malformed = drain(&mut *source, 1).await.remove(0);
    assert_eq!(malformed.event.unwrap_err().reason, DeadLetterReason::NotJson);
    assert_eq!(malformed.record.value.as_deref(), Some(&b"no log"[..]));
    source.close().await.unwrap();
    publish(&*bus.publisher(), &events_of("u", 1)).await;
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 1).await), ["a0"]);
}

async fn a_wait_for_nothing_ends_in_time(bus: &mut impl BusHarness) {
    let mut source = bus.source().await;
    let began = std::time::Instant::now();
    let batch = source.next_batch(LIMITS, Duration::from_millis(200)).await.unwrap();
    assert!(batch.deliveries.is_empty() && batch.checkpoint.next.is_empty());
    let took = began.elapsed();
    assert!((Duration::from_millis(190)..Duration::from_secs(5)).contains(&took), "{took:?}");
    source.commit(batch.checkpoint).await.unwrap();
}

async fn a_wait_that_is_cancelled_loses_nothing(bus: &mut impl BusHarness) {
    let events = events_of("u", 50);
    let publisher = bus.publisher();
    let mut source = bus.source().await;
    let mut seen = Vec::new();
    let publishing = async {
        for one in &events {
            publish(&*publisher, std::slice::from_ref(one)).await;
        }
    };
    let reading = async {
        while seen.len() < 50 {
            tokio::select! {
                biased;
                batch = source.next_batch(LIMITS, PATIENCE) => {
                    let batch = batch.unwrap();
                    seen.extend(batch.deliveries);
                    source.commit(batch.checkpoint).await.unwrap();
                }
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(publishing, reading) }).await.unwrap();
    assert_eq!(actions(&seen), expected(&events));
}

async fn an_oversized_record_is_rejected_and_the_next_one_passes(bus: &mut impl BusHarness) {
    let Some(size) = bus.oversized() else { return };
    let metadata = Metadata::from_canonical(format!(r#"{{"x":"{}"}}"#, "x".repeat(size)));
    let oversized = event(NewLog { metadata, ..log("u", "large") });
    let [before, after] = [event(log("u", "before")), event(log("u", "after"))];
    let outcomes = bus.publisher().publish(vec![before.clone(), oversized, after.clone()]).await;
    assert!(matches!(outcomes[0], PublishOutcome::Taken), "{outcomes:?}");
    let PublishOutcome::Refused(error) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(error.kind(), PortErrorKind::Rejected);
    assert!(matches!(outcomes[2], PublishOutcome::Taken), "{outcomes:?}");
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 2).await), expected(&[before, after]));
}

async fn a_closed_publisher_says_so(bus: &mut impl BusHarness) {
    let publisher = bus.publisher();
    publish(&*publisher, &events_of("u", 1)).await;
    bus.close_publisher().await;
    let outcomes = publisher.publish(events_of("u", 2)).await;
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        let PublishOutcome::Refused(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.kind(), PortErrorKind::Closed);
    }
}

async fn what_was_published_survives_a_restart(bus: &mut impl BusHarness) {
    let events = events_of("u", 5);
    publish(&*bus.publisher(), &events[..3]).await;
    bus.reopen().await;
    publish(&*bus.publisher(), &events[3..]).await;
    let mut source = bus.source().await;
    assert_eq!(actions(&drain(&mut *source, 5).await), expected(&events));
}
