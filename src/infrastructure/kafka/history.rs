//! Reading the topic again, beside the consumer group.

use std::{sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Message,
};
use tokio::sync::mpsc;

use super::{client_config, consumer::record, context::ClientLog, options::KafkaOptions};
use crate::domain::ports::{Delivery, History, HistoryReader, OffsetRange, PortError};

/// Records are handed over so many at a time; one lot waits while another is looked at.
const LOT: usize = 2000;
const LOT_BYTES: usize = 4 << 20;
const LOTS_AHEAD: usize = 2;
const POLL: Duration = Duration::from_millis(200);
/// A broker that sends nothing for so long is away.
const SILENCE: Duration = Duration::from_secs(60);

/// The topic's retained records.
pub struct KafkaHistory {
    options: KafkaOptions,
}

impl KafkaHistory {
    pub fn new(options: KafkaOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl History for KafkaHistory {
    async fn open(&self, range: OffsetRange) -> Result<Box<dyn HistoryReader>, PortError> {
        let (sender, lots) = mpsc::channel(LOTS_AHEAD);
        let options = self.options.clone();
        thread::Builder::new()
            .name("kafka-history".to_owned())
            .spawn(move || {
                let last = read(&options, range, &sender).map(|()| Vec::new());
                // Nobody may be waiting any more.
                let _ = sender.blocking_send(last);
            })
            .map_err(|error| PortError::unavailable("no thread for reading the topic").caused_by(error))?;
        Ok(Box::new(Reader(lots)))
    }
}

/// An empty one is the end.
type Lot = Result<Vec<Delivery>, PortError>;

struct Reader(mpsc::Receiver<Lot>);

#[async_trait]
impl HistoryReader for Reader {
    async fn next(&mut self) -> Result<Vec<Delivery>, PortError> {
        self.0.recv().await.unwrap_or_else(|| Err(PortError::unavailable("reading the topic broke off")))
    }
}

/// Ends when the range is read, or nobody listens any more.
fn read(options: &KafkaOptions, range: OffsetRange, lots: &mpsc::Sender<Lot>) -> Result<(), PortError> {
    let consumer = assigned(options, range)
        .map_err(|error| PortError::unavailable("the topic cannot be read").caused_by(error))?;
    let topic: Arc<str> = options.topic.as_str().into();
    let (mut lot, mut bytes, mut silent) = (Vec::new(), 0, Duration::ZERO);
    loop {
        let at_end = match consumer.poll(POLL) {
            Some(Ok(message)) if message.offset() >= range.to => true,
            Some(Ok(message)) => {
                let delivery = record::delivery(&message, &topic);
                bytes += delivery.record.bytes();
                silent = Duration::ZERO;
                let last = message.offset() + 1 >= range.to;
                lot.push(delivery);
                last
            }
            // The range may end in offsets without a record.
            Some(Err(KafkaError::PartitionEOF(_))) => true,
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                return Err(PortError::unavailable("the topic cannot be read").caused_by(error));
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "reading the topic goes on");
                false
            }
            None => {
                silent += POLL;
                if silent >= SILENCE {
                    return Err(PortError::unavailable("kafka sends nothing"));
                }
                false
            }
        };
        if (at_end && !lot.is_empty()) || lot.len() >= LOT || bytes >= LOT_BYTES {
            bytes = 0;
            if lots.blocking_send(Ok(std::mem::take(&mut lot))).is_err() {
                return Ok(());
            }
        }
        if at_end {
            return Ok(());
        }
    }
}

fn assigned(options: &KafkaOptions, range: OffsetRange) -> Result<BaseConsumer<ClientLog>, KafkaError> {
    let consumer: BaseConsumer<ClientLog> = client_config::history(options).create_with_context(ClientLog::default())?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&options.topic, range.partition, Offset::Offset(range.from))?;
    consumer.assign(&partitions)?;
    Ok(consumer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_died_is_no_end() {
        let (sender, lots) = mpsc::channel(1);
        let mut reader = Reader(lots);
        sender.send(Ok(Vec::new())).await.unwrap();
        assert!(reader.next().await.unwrap().is_empty(), "the end is told");
        drop(sender);
        assert!(reader.next().await.is_err());
    }
}
