//! From a native message to a delivery of our own, copied at once: borrowed messages pin the client.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::{
    domain::{
        Timestamp,
        ports::{Delivery, Position, RawRecord, RecordHeaders},
    },
    infrastructure::wire,
};

pub(in super::super) fn delivery(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Delivery {
    let record = RawRecord {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().map(headers).unwrap_or_default(),
    };
    let position = Position { topic: Arc::clone(topic), partition: message.partition(), offset: message.offset() };
    // Only messages from before Kafka 0.10 have no time.
    let timestamp = Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0));
    let event = wire::decode(&record, &position, timestamp);
    Delivery { position, timestamp, record, event }
}

/// A header whose name is not UTF-8 is left out: rdkafka panics on it, and one odd record must not end the thread.
fn headers(headers: &impl Headers) -> RecordHeaders {
    let read = |index| headers.try_get(index).map(|header| (header.key, header.value));
    let mut kept = RecordHeaders::with_capacity(headers.count());
    for index in 0..headers.count() {
        if let Ok(Some((name, value))) = catch_unwind(AssertUnwindSafe(|| read(index))) {
            kept.push(name, value);
        }
    }
    kept
}
