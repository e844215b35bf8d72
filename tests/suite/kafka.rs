//! The bus on Kafka: its harness, and the tools to look at Kafka from outside.

use std::{sync::Arc, time::Duration};

use eyego::{
    domain::ports::{ConsumerGroup, EventPublisher, EventSource, Probe},
    infrastructure::kafka::{KafkaGroup, KafkaOptions, KafkaPublisher},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, Message, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::BusHarness,
    contract::Harness,
    support::{eventually, service, unique_name},
};

/// A topic and a group of one's own, with a running publisher.
pub(crate) struct KafkaHarness {
    pub(crate) options: KafkaOptions,
    pub(crate) publisher: Arc<KafkaPublisher>,
    running: Running,
}

/// A supervised publisher ends with this.
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(crate) async fn end(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Options for names that nobody else has; `None` where Kafka is not there.
pub(crate) fn options() -> Option<KafkaOptions> {
    let mut options = KafkaOptions::new(service("KAFKA_BROKERS")?);
    options.topic = unique_name("suite");
    options.group = unique_name("group");
    options.properties = vec![("session.timeout.ms".to_owned(), "6000".to_owned())];
    Some(options)
}

/// Makes a publisher and lets it run, without waiting for it.
pub(crate) fn supervised(options: &KafkaOptions) -> (Arc<KafkaPublisher>, Running) {
    let publisher = Arc::new(KafkaPublisher::new(options.clone()).unwrap());
    let mut running = Running { stop: CancellationToken::new(), tasks: JoinSet::new() };
    running.tasks.spawn(Arc::clone(&publisher).supervise(running.stop.clone()));
    (publisher, running)
}

impl KafkaHarness {
    pub(crate) async fn start_with(options: KafkaOptions) -> Self {
        let (publisher, running) = supervised(&options);
        eventually("kafka is up", async || publisher.status().status().is_up()).await;
        Self { options, publisher, running }
    }

    pub(crate) fn group(&self) -> KafkaGroup {
        KafkaGroup::new(self.options.clone())
    }
}

impl Harness for KafkaHarness {
    async fn start() -> Option<Self> {
        Some(Self::start_with(options()?).await)
    }

    async fn end(mut self) {
        self.running.end().await;
        let _ = self.publisher.close(Duration::from_secs(5)).await;
        let dead_letters = self.options.dead_letter_topic();
        let names = [self.options.topic.as_str(), dead_letters.as_str()];
        let _ = admin(&self.options).delete_topics(&names, &AdminOptions::new()).await;
    }
}

impl BusHarness for KafkaHarness {
    fn publisher(&self) -> Arc<dyn EventPublisher> {
        self.publisher.clone()
    }

    async fn source(&self) -> Box<dyn EventSource> {
        self.group().join().await.unwrap()
    }

    async fn put_raw(&self, value: &[u8]) {
        put(&self.options, None, Some(value)).await;
    }

    async fn close_publisher(&self) {
        self.publisher.close(Duration::from_secs(5)).await.unwrap();
    }

    async fn reopen(&mut self) {
        self.running.end().await;
        self.close_publisher().await;
        let (publisher, running) = supervised(&self.options);
        eventually("kafka is up again", async || publisher.status().status().is_up()).await;
        (self.publisher, self.running) = (publisher, running);
    }

    fn oversized(&self) -> Option<usize> {
        Some(2 << 20)
    }
}

/// Runs a test that only Kafka has, on a bus of its own.
pub(crate) async fn on_kafka(test: impl AsyncFnOnce(&mut KafkaHarness)) {
    crate::contract::run::<KafkaHarness>(test).await;
}

pub(crate) fn config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.brokers).set("allow.auto.create.topics", "false");
    config
}

pub(crate) fn admin(options: &KafkaOptions) -> AdminClient<DefaultClientContext> {
    config(options).create().unwrap()
}

/// Makes a topic as an operator may have made it.
pub(crate) async fn make_topic(options: &KafkaOptions, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let patient = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let made = admin(options).create_topics([&topic], &patient).await.unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

/// Puts a record on the topic as the old service may have: without headers.
pub(crate) async fn put(options: &KafkaOptions, partition: Option<i32>, value: Option<&[u8]>) -> i64 {
    put_at(options, partition, value, None).await
}

pub(crate) async fn put_at(
    options: &KafkaOptions,
    partition: Option<i32>,
    value: Option<&[u8]>,
    time: Option<i64>,
) -> i64 {
    let producer: FutureProducer = config(options).create().unwrap();
    let record: FutureRecord<'_, (), [u8]> =
        FutureRecord { topic: &options.topic, partition, payload: value, key: None, timestamp: time, headers: None };
    producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error).unwrap().offset
}

/// Reads the first `count` records of a topic with a plain consumer.
pub(crate) async fn read(options: &KafkaOptions, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let mut config = config(options);
    config
        .set("group.id", unique_name("reader"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "40000000");
    let topic = topic.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let mut messages = Vec::new();
        while messages.len() < count {
            assert!(std::time::Instant::now() < deadline, "in vain: waited for {count} records on {topic}");
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                messages.push(message.detach());
            }
        }
        messages
    });
    reading.await.unwrap()
}

/// All headers of a record as text, in order.
pub(crate) fn headers(message: &OwnedMessage) -> Vec<(String, Option<String>)> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(text))).collect::<Vec<_>>()
    });
    headers.unwrap_or_default()
}
