//! The group before it is joined: taking over from the old service.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use eyego::domain::{
    StartAt, Timestamp,
    ports::{ConsumerGroup, GroupState},
};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::{
    bus::{BusHarness, drain, events_of, publish},
    kafka::{KafkaHarness, config, on_kafka, put, put_at},
    support::eventually,
};

const RECORD: &[u8] = br#"{"userId":"u","action":"a"}"#;

/// Holds the group with a member that speaks the old service's protocol, while `test` runs.
async fn held_by_an_old_member(bus: &KafkaHarness, test: impl AsyncFnOnce()) {
    let mut config = config(&bus.options);
    config.set("group.id", &bus.options.group).set("partition.assignment.strategy", "roundrobin");
    let (topic, stop) = (bus.options.topic.clone(), std::sync::Arc::new(AtomicBool::new(false)));
    let member = {
        let stop = stop.clone();
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
            consumer.subscribe(&[&topic]).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let _ = consumer.poll(Duration::from_millis(50));
            }
        })
    };
    test().await;
    stop.store(true, Ordering::Relaxed);
    member.await.unwrap();
}

#[tokio::test]
async fn a_group_of_the_old_service_is_recognised_until_it_leaves() {
    on_kafka(async |bus| {
        let group = bus.group();
        assert_eq!(group.inspect().await.unwrap(), GroupState::NeverCommitted);
        held_by_an_old_member(bus, async || {
            eventually("the old member holds the group", async || {
                group.inspect().await.is_ok_and(|state| state == GroupState::HeldByOthers { members: 1 })
            })
            .await;
        })
        .await;
        eventually("the group is free", async || {
            group.inspect().await.is_ok_and(|state| state == GroupState::NeverCommitted)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_group_with_members_of_our_own_is_ready() {
    on_kafka(async |bus| {
        publish(&*bus.publisher(), &events_of("u", 1)).await;
        let mut source = bus.source().await;
        drain(&mut *source, 1).await;
        eventually("the commit has arrived", async || {
            bus.group().inspect().await.is_ok_and(|state| state == GroupState::Ready)
        })
        .await;
        source.close().await.unwrap();
        assert_eq!(bus.group().inspect().await.unwrap(), GroupState::Ready);
    })
    .await;
}

#[tokio::test]
async fn without_the_topic_there_is_nothing_to_say() {
    let Some(options) = crate::kafka::options() else { return };
    let group = eyego::infrastructure::kafka::KafkaGroup::new(options);
    assert!(group.inspect().await.is_err());
}

async fn read_after(bus: &KafkaHarness, start: StartAt, count: usize) -> Vec<i64> {
    bus.group().begin_at(start).await.unwrap();
    assert_eq!(bus.group().inspect().await.unwrap(), GroupState::Ready);
    let mut source = bus.source().await;
    let mut times: Vec<_> =
        drain(&mut *source, count).await.iter().map(|delivery| delivery.timestamp.as_millis()).collect();
    source.close().await.unwrap();
    times.sort_unstable();
    times
}

#[tokio::test]
async fn beginning_at_the_earliest_reads_all_that_is_retained() {
    on_kafka(async |bus| {
        for time in [1000, 2000, 3000] {
            put_at(&bus.options, None, Some(RECORD), Some(time)).await;
        }
        assert_eq!(read_after(bus, StartAt::Earliest, 3).await, [1000, 2000, 3000]);
    })
    .await;
}

#[tokio::test]
async fn beginning_at_the_latest_reads_what_comes() {
    on_kafka(async |bus| {
        put_at(&bus.options, Some(0), Some(RECORD), Some(1000)).await;
        bus.group().begin_at(StartAt::Latest).await.unwrap();
        for partition in 0..3 {
            put_at(&bus.options, Some(partition), Some(RECORD), Some(4000)).await;
        }
        let mut source = bus.source().await;
        let came = drain(&mut *source, 3).await;
        assert!(came.iter().all(|delivery| delivery.timestamp == Timestamp::from_millis(4000)));
    })
    .await;
}

#[tokio::test]
async fn beginning_at_a_time_reads_from_the_first_record_so_late() {
    on_kafka(async |bus| {
        for (partition, time) in [(0, 1000), (0, 2000), (0, 3000), (1, 1500), (1, 2500), (2, 1999)] {
            put_at(&bus.options, Some(partition), Some(RECORD), Some(time)).await;
        }
        let start = StartAt::Time(Timestamp::from_millis(2000));
        assert_eq!(read_after(bus, start, 3).await, [2000, 2500, 3000]);
    })
    .await;
}

#[tokio::test]
async fn committed_offsets_of_the_old_service_are_continued() {
    on_kafka(async |bus| {
        for _ in 0..3 {
            put(&bus.options, Some(0), Some(RECORD)).await;
        }
        let consumer: BaseConsumer = config(&bus.options).set("group.id", &bus.options.group).create().unwrap();
        let mut offsets = rdkafka::TopicPartitionList::new();
        offsets.add_partition_offset(&bus.options.topic, 0, rdkafka::Offset::Offset(2)).unwrap();
        tokio::task::spawn_blocking(move || {
            consumer.commit(&offsets, rdkafka::consumer::CommitMode::Sync).unwrap();
        })
        .await
        .unwrap();
        assert_eq!(bus.group().inspect().await.unwrap(), GroupState::Ready);
        let mut source = bus.source().await;
        assert_eq!(drain(&mut *source, 1).await[0].position.offset, 2);
    })
    .await;
}
