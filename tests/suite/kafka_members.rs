//! Members of a group: partitions that move, come and go, and workers that stall.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use eyego::domain::ports::ConsumerGroup;
use eyego::domain::ports::{BatchLimits, Delivery, EventSource, Probe};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminOptions, NewPartitions},
    consumer::{BaseConsumer, Consumer},
};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{BusHarness, LIMITS, drain, events_of, next, publish},
    contract::Harness,
    kafka::{KafkaHarness, admin, config, on_kafka, options, put},
    support::{event, eventually, log},
};

/// How often each action came, whoever read it.
type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

async fn note(seen: &Seen, deliveries: &[Delivery]) {
    let mut seen = seen.lock().await;
    for delivery in deliveries {
        *seen.entry(delivery.event.as_ref().unwrap().log.action.as_str().to_owned()).or_default() += 1;
    }
}

/// A worker that reads, notes and commits until it is told to stop, then leaves.
async fn work(mut source: Box<dyn EventSource>, seen: Seen, stop: CancellationToken) {
    let few = BatchLimits { records: 20, bytes: 1 << 20, at_least: 1 };
    while !stop.is_cancelled() {
        let batch = source.next_batch(few, Duration::from_millis(20)).await.unwrap();
        note(&seen, &batch.deliveries).await;
        source.commit(batch.checkpoint).await.unwrap();
    }
    source.close().await.unwrap();
}

async fn committed(bus: &KafkaHarness, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer = config(&bus.options).set("group.id", &bus.options.group).create().unwrap();
    let topic = bus.options.topic.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        let committed = consumer.committed_offsets(list, Duration::from_secs(5)).unwrap();
        match committed.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    });
    looking.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_read_each_record_once() {
    on_kafka(async |bus| {
        let seen = Seen::default();
        let mut tasks = JoinSet::new();
        let stops: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
        let mut published = 0;
        for (round, stop) in stops.iter().enumerate() {
            let group = bus.group();
            tasks.spawn(work(group.join().await.unwrap(), seen.clone(), stop.clone()));
            for _ in 0..40 {
                let users = (0..10).map(|user| event(log(&format!("u{user}"), &format!("{published}-{user}"))));
                publish(&*bus.publisher(), &users.collect::<Vec<_>>()).await;
                published += 10;
            }
            eventually("the member has joined", async || group.joined().status().is_up()).await;
            if round > 0 {
                stops[round - 1].cancel();
            }
        }
        eventually("everything is read", async || seen.lock().await.len() == published).await;
        stops[2].cancel();
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let twice: Vec<_> =
            seen.lock().await.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id.clone()).collect();
        assert!(twice.is_empty(), "read again although every member left in order: {twice:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_hand_is_committed_before_its_partitions_go() {
    on_kafka(async |bus| {
        let values: Vec<_> = (0..3).map(|n| format!(r#"{{"userId":"u","action":"{n}"}}"#)).collect();
        for (partition, value) in (0..).zip(&values) {
            put(&bus.options, Some(partition), Some(value.as_bytes())).await;
        }
        let mut first = bus.source().await;
        let mut in_hand = Vec::new();
        while in_hand.len() < 3 {
            let batch = next(&mut *first, BatchLimits { records: 1, bytes: 1, at_least: 1 }).await;
            in_hand.push(batch.checkpoint);
        }
        let mut second = bus.source().await;
        let early = second.next_batch(LIMITS, Duration::from_secs(2)).await.unwrap();
        assert!(early.deliveries.is_empty(), "handed over before the batch in hand was done");
        for checkpoint in in_hand {
            first.commit(checkpoint).await.unwrap();
        }
        for partition in 0..3 {
            put(&bus.options, Some(partition), Some(br#"{"userId":"u","action":"later"}"#)).await;
        }
        let (mut later, seen) = (0, Seen::default());
        while later < 3 {
            for source in [&mut first, &mut second] {
                let batch = source.next_batch(LIMITS, Duration::from_millis(50)).await.unwrap();
                later += batch.deliveries.len();
                note(&seen, &batch.deliveries).await;
                source.commit(batch.checkpoint).await.unwrap();
            }
        }
        assert_eq!(*seen.lock().await, BTreeMap::from([("later".to_owned(), 3)]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_from_before_a_move_changes_nothing() {
    let Some(mut options) = options() else { return };
    options.partitions = 2;
    // The old owner is waited for half of this.
    options.properties.push(("max.poll.interval.ms".to_owned(), "6000".to_owned()));
    let bus = KafkaHarness::start_with(options).await;
    for n in 0..10 {
        put(&bus.options, Some(n % 2), Some(br#"{"userId":"u","action":"a"}"#)).await;
    }
    let mut slow = bus.source().await;
    let mut in_hand = BTreeMap::new();
    while in_hand.len() < 2 {
        let one = next(&mut *slow, BatchLimits { records: 1, bytes: 1, at_least: 1 }).await;
        in_hand.entry(one.deliveries[0].position.partition).or_insert(one.checkpoint);
    }
    let mut other = bus.source().await;
    let moved = drain(&mut *other, 5).await;
    let partition = moved[0].position.partition;
    assert_eq!(moved[0].position.offset, 0, "what was not committed comes again");
    eventually("the new owner has committed", async || committed(&bus, partition).await == Some(5)).await;
    slow.commit(in_hand.remove(&partition).unwrap()).await.unwrap();
    slow.commit(in_hand.remove(&(1 - partition)).unwrap()).await.unwrap();
    slow.close().await.unwrap();
    assert_eq!(committed(&bus, partition).await, Some(5));
    assert_eq!(committed(&bus, 1 - partition).await, Some(1));
    bus.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_start() {
    let Some(mut options) = options() else { return };
    options.properties.push(("topic.metadata.refresh.interval.ms".to_owned(), "300".to_owned()));
    let bus = KafkaHarness::start_with(options).await;
    publish(&*bus.publisher(), &events_of("u", 1)).await;
    let mut source = bus.source().await;
    drain(&mut *source, 1).await;
    let five = NewPartitions::new(&bus.options.topic, 5);
    admin(&bus.options).create_partitions([&five], &AdminOptions::new()).await.unwrap();
    eventually("the new partition takes records", async || {
        let metadata = admin(&bus.options).inner().fetch_metadata(Some(&bus.options.topic), Duration::from_secs(5));
        metadata.is_ok_and(|found| found.topics()[0].partitions().iter().filter(|one| one.leader() >= 0).count() == 5)
    })
    .await;
    put(&bus.options, Some(4), Some(br#"{"userId":"u","action":"early"}"#)).await;
    let came = drain(&mut *source, 1).await;
    assert_eq!((came[0].position.partition, came[0].position.offset), (4, 0));
    source.close().await.unwrap();
    bus.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stalls_keeps_its_partitions_and_loses_nothing() {
    let Some(mut options) = options() else { return };
    options.properties.push(("max.poll.interval.ms".to_owned(), "6000".to_owned()));
    let bus = KafkaHarness::start_with(options).await;
    // More than a member holds.
    for _ in 0..14 {
        publish(&*bus.publisher(), &events_of("u", 1000)).await;
    }
    let group = bus.group();
    let mut source = group.join().await.unwrap();
    let first = next(&mut *source, LIMITS).await;
    let began = Instant::now();
    eventually("more than max.poll.interval passes", async || {
        assert!(group.joined().status().is_up());
        began.elapsed() > Duration::from_secs(9)
    })
    .await;
    let assignment = first.checkpoint.assignment;
    let mut offsets: Vec<_> = first.deliveries.iter().map(|delivery| delivery.position.offset).collect();
    source.commit(first.checkpoint).await.unwrap();
    while offsets.len() < 14_000 {
        let batch = next(&mut *source, LIMITS).await;
        assert_eq!(batch.checkpoint.assignment, assignment, "the partitions moved");
        offsets.extend(batch.deliveries.iter().map(|delivery| delivery.position.offset));
        source.commit(batch.checkpoint).await.unwrap();
    }
    assert_eq!(offsets, (0..14_000).collect::<Vec<_>>());
    source.close().await.unwrap();
    bus.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_an_identity_gets_the_same_one_each_time() {
    on_kafka(async |bus| {
        put(&bus.options, Some(1), Some(br#"{"userId":"u","action":"a"}"#)).await;
        let mut source = bus.source().await;
        let once = next(&mut *source, LIMITS).await.deliveries.remove(0).event.unwrap();
        drop(source);
        let mut source = bus.source().await;
        let again = next(&mut *source, LIMITS).await.deliveries.remove(0).event.unwrap();
        assert_eq!(once, again);
        assert_eq!(once.received_at, once.log.timestamp);
    })
    .await;
}
