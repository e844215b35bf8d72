//! A client that looks into topic and group and never joins.

use std::time::Duration;

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{client_config, context::ClientLog, options::KafkaOptions};
use crate::domain::ports::PortError;

/// For each question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) const NO_COMMITTED: &str = "the committed offsets could not be read";
pub(super) const NO_WATERMARKS: &str = "the topic's offsets could not be read";

pub(super) type Looker = BaseConsumer<ClientLog>;

/// A partition of the topic.
pub(super) struct Partition {
    pub(super) id: i32,
    /// The broker that answers for it; `None` while there is none.
    pub(super) leader: Option<i32>,
}

pub(super) fn open(options: &KafkaOptions) -> Result<Looker, PortError> {
    let made = client_config::group(options).create_with_context(ClientLog::default());
    made.map_err(|error| PortError::rejected("the kafka client could not be made").caused_by(error))
}

pub(super) fn unavailable(what: &'static str) -> impl Fn(KafkaError) -> PortError {
    move |error| PortError::unavailable(what).caused_by(error)
}

pub(super) fn partitions(looker: &Looker, options: &KafkaOptions) -> Result<Vec<Partition>, PortError> {
    let metadata = looker
        .fetch_metadata(Some(&options.topic), TIMEOUT)
        .map_err(unavailable("the topic could not be looked up"))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == options.topic);
    let partitions = topic.filter(|topic| topic.error().is_none()).map_or(&[][..], |topic| topic.partitions());
    if partitions.is_empty() {
        return Err(PortError::unavailable("the topic is missing"));
    }
    let leader = |leader: i32| (leader >= 0).then_some(leader);
    Ok(partitions.iter().map(|found| Partition { id: found.id(), leader: leader(found.leader()) }).collect())
}

pub(super) fn list(options: &KafkaOptions, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&options.topic, partition);
    }
    list
}
