//! Backlogs: events on the bus that nobody has drained yet.

use std::{path::Path, sync::Arc, time::Duration};

use eyego::{
    domain::ports::{EventPublisher, PublishOutcome},
    infrastructure::{
        clock::SystemClock,
        embedded::EmbeddedEngine,
        kafka::{KafkaOptions, raw},
        wire,
    },
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use crate::{kafka::make_topic, logs::Logs};

const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn embedded(folder: &Path, count: usize) {
    let engine = EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap();
    let mut logs = Logs::new();
    let mut left = count;
    while left > 0 {
        let batch = logs.events(left.min(BATCH));
        left -= batch.len();
        for outcome in engine.queue.publish(batch).await {
            assert!(matches!(outcome, PublishOutcome::Taken), "{outcome:?}");
        }
    }
    engine.close();
}

pub(crate) async fn kafka(brokers: &str, topic: &str, count: usize) {
    let options = KafkaOptions { topic: topic.to_owned(), ..KafkaOptions::new(brokers) };
    make_topic(&options).await;
    let settings: ClientConfig = raw::producer_settings(&options);
    let producer: ThreadedProducer<DefaultProducerContext> = settings.create().unwrap();
    let mut logs = Logs::new();
    for _ in 0..count {
        let event = logs.event();
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
