//! Dead letters on Kafka: as they came, with where from and why, whatever their size.

use eyego::{
    domain::{
        EventId, Timestamp,
        ports::{DeadLetter, DeadLetterReason, DeadLetters, Position, RawRecord},
    },
    infrastructure::kafka::DeadLetterTopic,
};
use rdkafka::message::Message;

use crate::{
    contract::Harness,
    kafka::{KafkaHarness, headers, make_topic, on_kafka, options, read},
};

fn letter(offset: i64, record: RawRecord) -> DeadLetter {
    DeadLetter {
        event_id: EventId::parse("0196f1e2-7c3a-7000-8000-000000000001").unwrap(),
        reason: DeadLetterReason::NotJson,
        position: Position { topic: "logs".into(), partition: 2, offset },
        timestamp: Timestamp::from_millis(1_747_830_896_789),
        record,
    }
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(step).take(count).collect()
}

#[tokio::test]
async fn a_letter_is_kept_as_it_came_with_where_from_and_why() {
    on_kafka(async |bus| {
        let record = RawRecord {
            key: Some(b"k\xff".to_vec()),
            value: Some(b"\xff no log".to_vec()),
            headers: [("trace", Some(&b"1"[..])), ("trace", Some(&b"2"[..])), ("empty", None)].into_iter().collect(),
        };
        let letters = [letter(7, record), letter(8, RawRecord::default())];
        DeadLetterTopic::new(bus.options.clone()).publish(&letters).await.unwrap();
        let kept = read(&bus.options, &bus.options.dead_letter_topic(), 2).await;
        assert_eq!((kept[0].key(), kept[0].payload()), (Some(&b"k\xff"[..]), Some(&b"\xff no log"[..])));
        assert_eq!((kept[1].key(), kept[1].payload()), (None, None));
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(
            headers(&kept[0]),
            [
                pair("trace", "1"),
                pair("trace", "2"),
                ("empty".to_owned(), None),
                pair("dlq.event-id", "0196f1e2-7c3a-7000-8000-000000000001"),
                pair("dlq.reason", "not_json"),
                pair("dlq.topic", "logs"),
                pair("dlq.partition", "2"),
                pair("dlq.offset", "7"),
                pair("dlq.timestamp", "1747830896789"),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_huge_letter_is_kept_whole() {
    on_kafka(async |bus| {
        let value = noise(20 << 20);
        let letters = [letter(1, RawRecord { value: Some(value.clone()), ..RawRecord::default() })];
        DeadLetterTopic::new(bus.options.clone()).publish(&letters).await.unwrap();
        let kept = read(&bus.options, &bus.options.dead_letter_topic(), 1).await;
        assert!(kept[0].payload() == Some(&value[..]));
    })
    .await;
}

#[tokio::test]
async fn what_the_broker_takes_not_whole_is_cut_and_says_so() {
    let Some(options) = options() else { return };
    make_topic(&options, &options.dead_letter_topic(), 1, &[("max.message.bytes", "1000000")]).await;
    let bus = KafkaHarness::start_with(options).await;
    let record = RawRecord { key: Some(b"k".to_vec()), value: Some(noise(1_200_000)), ..RawRecord::default() };
    let small = RawRecord { value: Some(b"small".to_vec()), ..RawRecord::default() };
    let bare = RawRecord { key: Some(noise(1_200_000)), value: Some(noise(20_000)), ..RawRecord::default() };
    let letters = [letter(1, small), letter(2, record.clone()), letter(3, bare.clone())];
    DeadLetterTopic::new(bus.options.clone()).publish(&letters).await.unwrap();
    let kept = read(&bus.options, &bus.options.dead_letter_topic(), 3).await;
    assert_eq!(kept[0].payload(), Some(&b"small"[..]));
    assert!(kept[1].payload() == Some(&record.value.unwrap()[..512 * 1024]));
    assert_eq!(kept[1].key(), Some(&b"k"[..]));
    assert!(headers(&kept[1]).contains(&("dlq.truncated".to_owned(), Some("1200000".to_owned()))));
    assert!(kept[2].payload() == Some(&bare.value.unwrap()[..16 * 1024]));
    assert_eq!(kept[2].key(), None);
    assert!(headers(&kept[2]).contains(&("dlq.truncated".to_owned(), Some("20000".to_owned()))));
    bus.end().await;
}
