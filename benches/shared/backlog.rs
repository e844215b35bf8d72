//! Backlogs: events on the bus that nobody has drained yet. Shared by the programs of `benches/compare.sh` and
//! `benches/queries.sh`.

use std::{path::Path, sync::Arc, time::Duration};

use eyego::{
    domain::{
        Event,
        ports::{EventPublisher, Probe, PublishOutcome, Status},
    },
    infrastructure::{
        clock::SystemClock,
        embedded::EmbeddedEngine,
        kafka::{KafkaOptions, KafkaPublisher, raw},
        wire,
    },
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use tokio_util::sync::CancellationToken;

const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn embedded(folder: &Path, mut events: impl Iterator<Item = Event>) {
    let engine = EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap();
    loop {
        let batch: Vec<Event> = events.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        for outcome in engine.queue.publish(batch).await {
            assert!(matches!(outcome, PublishOutcome::Taken), "{outcome:?}");
        }
    }
    engine.close();
}

pub(crate) async fn kafka(brokers: &str, topic: &str, events: impl Iterator<Item = Event>) {
    let options = KafkaOptions { topic: topic.to_owned(), ..KafkaOptions::new(brokers) };
    make_topic(&options).await;
    let settings: ClientConfig = raw::producer_settings(&options);
    let producer: ThreadedProducer<DefaultProducerContext> = settings.create().unwrap();
    for event in events {
        let value = wire::encode_value(&event.log);
        let mut record = BaseRecord::to(topic)
            .key(event.log.user_id.as_str())
            .payload(&value)
            .timestamp(event.received_at.as_millis())
            .headers(raw::headers(&event));
        while let Err((error, unsent)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            record = unsent;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    producer.flush(PATIENCE).unwrap();
}

/// Has the service's own publisher make the topic.
pub(crate) async fn make_topic(options: &KafkaOptions) {
    let publisher = Arc::new(KafkaPublisher::new(options.clone()).unwrap());
    let stop = CancellationToken::new();
    let ready = async {
        while publisher.status().status() != Status::Up {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    tokio::join!(Arc::clone(&publisher).supervise(stop.clone()), ready);
    publisher.close(PATIENCE).await.unwrap();
}
