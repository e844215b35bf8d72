//! What the publisher does with Kafka's topics and records.

use std::time::{Duration, Instant};

use eyego::{
    domain::{
        Event, Metadata, NewLog,
        ports::{EventPublisher, PortErrorKind, Probe, PublishOutcome, Status},
    },
    infrastructure::kafka::{KafkaOptions, KafkaPublisher},
};
use rdkafka::{
    admin::{AdminOptions, AlterConfig, ConfigResource, ResourceSpecifier},
    message::Message,
};

use crate::{
    bus::{BusHarness, publish},
    contract::{Harness, run},
    kafka::{KafkaHarness, admin, headers, make_topic, on_kafka, options, read, supervised},
    support::{event, eventually, log},
};

/// An event whose record is about `size` bytes, however it is compressed.
fn of_size(size: usize) -> Event {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: String = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state % 64) as u8).to_string().replace('\\', "~")
    })
    .take(size)
    .collect();
    let metadata = Metadata::from_canonical(format!(r#"{{"x":{}}}"#, serde_json::Value::String(noise)));
    event(NewLog { metadata, ..log("u", "sized") })
}

async fn settings_of(options: &KafkaOptions, topic: &str) -> ConfigResource {
    let specifier = ResourceSpecifier::Topic(topic);
    let mut described = admin(options).describe_configs([&specifier], &AdminOptions::new()).await.unwrap();
    described.pop().unwrap().unwrap()
}

fn setting<'c>(config: &'c ConfigResource, name: &str) -> Option<&'c str> {
    config.get(name).and_then(|entry| entry.value.as_deref())
}

fn kind(outcome: &PublishOutcome) -> Option<PortErrorKind> {
    match outcome {
        PublishOutcome::Taken | PublishOutcome::Unknown(_) => None,
        PublishOutcome::Refused(error) => Some(error.kind()),
    }
}

#[tokio::test]
async fn a_record_has_the_shape_of_the_contract() {
    on_kafka(async |bus| {
        let event = event(log("user1", "login"));
        publish(&*bus.publisher(), std::slice::from_ref(&event)).await;
        let message = read(&bus.options, &bus.options.topic, 1).await.remove(0);
        assert_eq!(message.key(), Some(&b"user1"[..]));
        assert_eq!(
            message.payload(),
            Some(&br#"{"userId":"user1","action":"login","timestamp":"2025-05-21T12:34:56.789Z","metadata":{}}"#[..])
        );
        assert_eq!(message.timestamp().to_millis(), Some(event.received_at.as_millis()));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            headers(&message),
            [
                ("v".to_owned(), text("1")),
                ("event-id".to_owned(), text(&event.id.to_string())),
                ("received-at".to_owned(), text(&event.received_at.as_millis().to_string())),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn missing_topics_are_made_with_room_and_without_end() {
    on_kafka(async |bus| {
        let client = admin(&bus.options);
        let partitions = |topic: &str| {
            let metadata = client.inner().fetch_metadata(Some(topic), Duration::from_secs(5)).unwrap();
            metadata.topics()[0].partitions().len()
        };
        assert_eq!(partitions(&bus.options.topic), 3);
        let dead_letters = bus.options.dead_letter_topic();
        assert_eq!(partitions(&dead_letters), 1);
        let settings = settings_of(&bus.options, &dead_letters).await;
        assert_eq!(setting(&settings, "retention.ms"), Some("-1"));
        assert_eq!(setting(&settings, "max.message.bytes"), Some("67108864"));
        assert_eq!(setting(&settings_of(&bus.options, &bus.options.topic).await, "cleanup.policy"), Some("delete"));
    })
    .await;
}

#[tokio::test]
async fn topics_that_are_there_are_left_as_they_are() {
    let Some(options) = options() else { return };
    make_topic(&options, &options.topic, 5, &[("retention.ms", "1234567")]).await;
    let bus = KafkaHarness::start_with(options).await;
    publish(&*bus.publisher(), &[event(log("u", "a"))]).await;
    assert_eq!(setting(&settings_of(&bus.options, &bus.options.topic).await, "retention.ms"), Some("1234567"));
    bus.end().await;
}

#[tokio::test]
async fn a_large_record_fails_alone() {
    let Some(options) = options() else { return };
    make_topic(&options, &options.topic, 1, &[("max.message.bytes", "100000")]).await;
    let bus = KafkaHarness::start_with(options).await;
    let mut batch = vec![event(log("u", "a")); 50];
    batch.insert(25, of_size(120_000));
    batch.insert(30, of_size(95_000));
    let outcomes = bus.publisher.publish(batch).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        if index == 25 {
            assert_eq!(kind(outcome), Some(PortErrorKind::Rejected), "{outcome:?}");
        } else {
            assert!(matches!(outcome, PublishOutcome::Taken), "{index}: {outcome:?}");
        }
    }
    bus.end().await;
}

#[tokio::test]
async fn a_limit_that_is_lowered_later_is_noticed() {
    on_kafka(async |bus| {
        publish(&*bus.publisher(), &[of_size(60_000)]).await;
        let lowered = AlterConfig::new(ResourceSpecifier::Topic(&bus.options.topic)).set("max.message.bytes", "20000");
        admin(&bus.options).alter_configs([&lowered], &AdminOptions::new()).await.unwrap();
        eventually("the large record is rejected for good", async || {
            let outcomes = bus.publisher.publish(vec![of_size(60_000)]).await;
            assert!(!matches!(outcomes[0], PublishOutcome::Unknown(_)), "{outcomes:?}");
            kind(&outcomes[0]) == Some(PortErrorKind::Rejected)
        })
        .await;
        eventually("small ones are taken", async || {
            let outcomes = bus.publisher.publish(vec![of_size(1000)]).await;
            matches!(outcomes[0], PublishOutcome::Taken)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn without_a_broker_a_publish_is_refused_at_once() {
    let (publisher, mut running) = supervised(&KafkaOptions::new("127.0.0.1:9"));
    let reason = Status::Down("kafka is not reachable".to_owned());
    eventually("the reason is known", async || publisher.status().status() == reason).await;
    let began = Instant::now();
    let outcomes = publisher.publish(vec![event(log("u", "a"))]).await;
    assert_eq!(kind(&outcomes[0]), Some(PortErrorKind::Unavailable));
    assert!(began.elapsed() < Duration::from_millis(50));
    running.end().await;
    publisher.close(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn wrong_settings_are_rejected_without_a_broker() {
    let mut options = KafkaOptions::new("127.0.0.1:9");
    options.properties.push(("no.such.property".to_owned(), "1".to_owned()));
    let error = KafkaPublisher::new(options).err().unwrap();
    assert_eq!(error.kind(), PortErrorKind::Rejected);
    assert!(error.to_string().contains("no.such.property"), "{error}");
}

#[tokio::test]
async fn a_topic_that_is_deleted_later_is_missed_and_not_made_again() {
    run::<KafkaHarness>(async |bus| {
        publish(&*bus.publisher(), &[event(log("u", "a"))]).await;
        admin(&bus.options).delete_topics(&[&bus.options.topic], &AdminOptions::new()).await.unwrap();
        let missing = Status::Down(format!("topic {} is missing", bus.options.topic));
        eventually("the topic is missed", async || bus.publisher.status().status() == missing).await;
        let outcomes = bus.publisher.publish(vec![event(log("u", "a"))]).await;
        assert_eq!(kind(&outcomes[0]), Some(PortErrorKind::Unavailable), "{outcomes:?}");
    })
    .await;
}
