//! Kafka looked at, and changed, past the service.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::AdminClient,
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::{Headers, Message, OwnedMessage},
    metadata::MetadataPartition,
    producer::{BaseRecord, Producer, ThreadedProducer},
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A topic, the group that reads it, and how to reach them.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    /// Further properties of the clients here.
    pub(crate) properties: Vec<(String, String)>,
}

/// First and next offset of each partition.
pub(crate) type Ends = BTreeMap<i32, (i64, i64)>;

impl Kafka {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("allow.auto.create.topics", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// A member of no group that can speak for the group.
    fn reader(&self, group: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("fetch.message.max.bytes", "40000000").set("enable.partition.eof", "true").create().unwrap()
    }

    pub(crate) fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    pub(crate) fn ends(&self, topic: &str) -> Option<Ends> {
        let reader = self.reader("nobody");
        let metadata = reader.fetch_metadata(Some(topic), TIMEOUT).ok()?;
        let ids: Vec<_> = metadata.topics().first()?.partitions().iter().map(MetadataPartition::id).collect();
        ids.into_iter().map(|id| Some((id, reader.fetch_watermarks(topic, id, TIMEOUT).ok()?))).collect()
    }

    pub(crate) fn committed(&self) -> Option<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        for partition in self.ends(&self.topic)?.keys() {
            list.add_partition(&self.topic, *partition);
        }
        let committed = self.reader(&self.group).committed_offsets(list, TIMEOUT).ok()?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        Some(committed.elements().iter().map(|one| (one.partition(), offset(one.offset()))).collect())
    }

    /// Whether the group has committed all there is.
    pub(crate) fn is_drained(&self) -> bool {
        let (Some(ends), Some(committed)) = (self.ends(&self.topic), self.committed()) else { return false };
        ends.iter().all(|(partition, (low, high))| low == high || committed.get(partition) == Some(high))
    }

    /// Sets the group's offsets, as an operator may while it has no member.
    pub(crate) fn commit(&self, offsets: &BTreeMap<i32, i64>) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset)).unwrap();
        }
        let reader = self.reader(&self.group);
        crate::eventually("the group is empty and takes offsets", || reader.commit(&list, CommitMode::Sync).is_ok());
    }

    /// Every record that the topic holds now.
    pub(crate) fn records(&self, topic: &str) -> Vec<OwnedMessage> {
        let reader = self.reader("nobody");
        let ends = self.ends(topic).unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, (low, _)) in &ends {
            list.add_partition_offset(topic, *partition, Offset::Offset(*low)).unwrap();
        }
        reader.assign(&list).unwrap();
        let mut open: Vec<_> = ends.iter().filter(|(_, (low, high))| low < high).map(|(id, _)| *id).collect();
        let (mut records, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "{topic} could not be read to its end");
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(message.detach()),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => open.retain(|id| *id != partition),
                Some(Err(_)) | None => {}
            }
        }
        records
    }

    /// Every offset that the group has committed, in the order in which the broker took them.
    pub(crate) fn commits(&self) -> Vec<(i32, i64)> {
        self.records("__consumer_offsets").iter().filter_map(|record| self.commit_in(record)).collect()
    }

    /// Key: version, group, topic, partition; value: version, offset and more.
    fn commit_in(&self, record: &OwnedMessage) -> Option<(i32, i64)> {
        let (mut key, value) = (record.key()?, record.payload()?);
        let version = i16::from_be_bytes(take(&mut key, 2)?.try_into().ok()?);
        let mut word = || {
            let length = i16::from_be_bytes(take(&mut key, 2)?.try_into().ok()?);
            take(&mut key, usize::try_from(length).ok()?)
        };
        let ours = version <= 1 && word()? == self.group.as_bytes() && word()? == self.topic.as_bytes();
        let partition = i32::from_be_bytes(key.get(..4)?.try_into().ok()?);
        ours.then_some((partition, i64::from_be_bytes(value.get(2..10)?.try_into().ok()?)))
    }

    /// Puts records on the topic, as a producer of another kind would: without headers. Returns where they are, in
    /// no order.
    pub(crate) fn put<'a>(&self, records: impl IntoIterator<Item = (Option<i32>, Option<&'a [u8]>)>) {
        let mut config = self.config();
        config.set("message.max.bytes", "20000000").set("queue.buffering.max.messages", "1000000");
        let producer: ThreadedProducer<_> = config.create().unwrap();
        for (partition, value) in records {
            let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic);
            record.partition = partition;
            record.payload = value;
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// The value of a header as text.
pub(crate) fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}
