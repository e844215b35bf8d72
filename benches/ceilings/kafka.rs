//! A bare librdkafka producer: as many records in flight as 1, 2 or 4 batches of 1,000, each with its receipt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use eyego::{
    domain::Event,
    infrastructure::{
        kafka::{KafkaOptions, raw},
        wire,
    },
};
use rdkafka::{
    ClientContext,
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use crate::{Ceiling, backlog::make_topic, logs::Logs};

const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts what is on its way, and wakes the sender when there is room for the next batch.
struct Receipts {
    pending: AtomicUsize,
    wake_at: usize,
    sender: Thread,
}

struct Context(Arc<Receipts>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // No figure is better than a wrong one.
            eprintln!("not delivered: {error}");
            std::process::exit(1);
        }
        if self.0.pending.fetch_sub(1, Ordering::AcqRel) == self.0.wake_at + 1 {
            self.0.sender.unpark();
        }
    }
}

pub(crate) async fn measure(brokers: &str, topic: &str, seconds: u64) {
    let options = KafkaOptions { topic: topic.to_owned(), ..KafkaOptions::new(brokers) };
    make_topic(&options).await;
    let mut ceiling = Ceiling::new("kafka");
    let events = Logs::new().events(20_000);
    let records: Vec<(&Event, Vec<u8>)> = events.iter().map(|event| (event, wire::encode_value(&event.log))).collect();
    for batches in [1, 2, 4] {
        let variant = format!("{batches} x {BATCH} records in flight");
        let producer = Sender::new(&options, batches);
        producer.run(&options.topic, &records, Duration::from_millis(500));
        let begun = Instant::now();
        let sent = producer.run(&options.topic, &records, Duration::from_secs(seconds));
        ceiling.variant(&variant, sent, begun);
    }
    ceiling.finish();
}

struct Sender {
    producer: ThreadedProducer<Context>,
    receipts: Arc<Receipts>,
}

impl Sender {
    fn new(options: &KafkaOptions, batches: usize) -> Self {
        let receipts = Arc::new(Receipts {
            pending: AtomicUsize::new(0),
            wake_at: (batches - 1) * BATCH,
            sender: thread::current(),
        });
        let producer = raw::producer_settings(options).create_with_context(Context(Arc::clone(&receipts))).unwrap();
        Self { producer, receipts }
    }

    /// Sends for that long and returns how many were acknowledged, all of them.
    fn run(&self, topic: &str, records: &[(&Event, Vec<u8>)], time: Duration) -> usize {
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for at in sent..sent + BATCH {
                let (event, value) = &records[at % records.len()];
                let record = BaseRecord::to(topic)
                    .key(event.log.user_id.as_str())
                    .payload(value)
                    .timestamp(event.received_at.as_millis())
                    .headers(raw::headers(event));
                self.receipts.pending.fetch_add(1, Ordering::AcqRel);
                self.producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            sent += BATCH;
            while self.receipts.pending.load(Ordering::Acquire) > self.receipts.wake_at {
                thread::park_timeout(Duration::from_millis(100));
            }
        }
        self.producer.flush(PATIENCE).unwrap();
        sent
    }
}
