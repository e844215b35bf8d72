//! The consumer group before it is joined: who holds it, what it has committed, where it would begin.

use async_trait::async_trait;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
};

use super::{
    client_config, consumer,
    looker::{self, Looker, TIMEOUT, unavailable},
    options::KafkaOptions,
};
use crate::{
    domain::{
        StartAt,
        ports::{ConsumerGroup, EventSource, GroupState, PortError},
    },
    infrastructure::status_cell::StatusCell,
};

/// The group of the options.
pub struct KafkaGroup {
    options: KafkaOptions,
    joined: StatusCell,
}

impl KafkaGroup {
    pub fn new(options: KafkaOptions) -> Self {
        Self { options, joined: StatusCell::down("has not joined the consumer group yet") }
    }

    /// Whether a member is in the group, for probes: up from its first assignment on, be that none of the partitions.
    pub fn joined(&self) -> StatusCell {
        self.joined.clone()
    }

    /// Runs what blocks beside the async workers.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KafkaOptions) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let options = self.options.clone();
        match tokio::task::spawn_blocking(move || work(&options)).await {
            Ok(result) => result,
            Err(error) => Err(PortError::unavailable("looking into the consumer group was cut short").caused_by(error)),
        }
    }
}

#[async_trait]
impl ConsumerGroup for KafkaGroup {
    async fn inspect(&self) -> Result<GroupState, PortError> {
        self.aside(inspect).await
    }

    async fn begin_at(&self, start: StartAt) -> Result<(), PortError> {
        self.aside(move |options| begin_at(options, start)).await
    }

    async fn join(&self) -> Result<Box<dyn EventSource>, PortError> {
        let joined = self.joined.clone();
        let source = self.aside(move |options| consumer::join(options, joined)).await?;
        Ok(Box::new(source))
    }
}

fn inspect(options: &KafkaOptions) -> Result<GroupState, PortError> {
    let looker = looker::open(options)?;
    if let Some(members) = members_of_others(&looker, options)? {
        return Ok(GroupState::HeldByOthers { members });
    }
    let committed =
        looker.committed_offsets(partitions(&looker, options)?, TIMEOUT).map_err(unavailable(looker::NO_COMMITTED))?;
    let mut any = false;
    for element in committed.elements() {
        element.error().map_err(unavailable(looker::NO_COMMITTED))?;
        any |= matches!(element.offset(), Offset::Offset(_));
    }
    Ok(if any { GroupState::Ready } else { GroupState::NeverCommitted })
}

/// How many members hold the group with a protocol that ours do not speak.
fn members_of_others(looker: &Looker, options: &KafkaOptions) -> Result<Option<usize>, PortError> {
    let list = looker
        .fetch_group_list(Some(&options.group), TIMEOUT)
        .map_err(unavailable("the consumer group could not be looked up"))?;
    let Some(group) = list.groups().iter().find(|group| group.name() == options.group) else { return Ok(None) };
    if group.state().is_empty() {
        return Err(PortError::unavailable("the consumer group's coordinator does not answer"));
    }
    let members = group.members().len();
    if members == 0 {
        return Ok(None);
    }
    // Nothing is told of the protocol while the group rebalances.
    if group.protocol().is_empty() {
        return Err(PortError::unavailable("the consumer group is rebalancing"));
    }
    let ours = client_config::assignors(options).iter().any(|assignor| assignor == group.protocol());
    Ok((!ours).then_some(members))
}

fn partitions(looker: &Looker, options: &KafkaOptions) -> Result<TopicPartitionList, PortError> {
    let found = looker::partitions(looker, options)?;
    Ok(looker::list(options, found.iter().map(|partition| partition.id)))
}

fn begin_at(options: &KafkaOptions, start: StartAt) -> Result<(), PortError> {
    let looker = looker::open(options)?;
    let partitions = partitions(&looker, options)?;
    let by_time = match start {
        StartAt::Time(time) => {
            let mut asked = partitions.clone();
            asked
                .set_all_offsets(Offset::Offset(time.as_millis()))
                .map_err(|error| PortError::rejected("no such time in kafka").caused_by(error))?;
            Some(looker.offsets_for_times(asked, TIMEOUT).map_err(unavailable("offsets by time could not be read"))?)
        }
        StartAt::Earliest | StartAt::Latest => None,
    };
    let mut begin = TopicPartitionList::with_capacity(partitions.count());
    for element in partitions.elements() {
        let id = element.partition();
        let (low, high) =
            looker.fetch_watermarks(&options.topic, id, TIMEOUT).map_err(unavailable(looker::NO_WATERMARKS))?;
        let offset = match start {
            StartAt::Earliest => low,
            StartAt::Latest => high,
            // No record so late: the end.
            StartAt::Time(_) => found(by_time.as_ref(), &options.topic, id)?.unwrap_or(high),
        };
        begin
            .add_partition_offset(&options.topic, id, Offset::Offset(offset))
            .map_err(unavailable("the offsets could not be listed"))?;
    }
    looker.commit(&begin, CommitMode::Sync).map_err(unavailable("the first offsets could not be committed"))
}

fn found(by_time: Option<&TopicPartitionList>, topic: &str, partition: i32) -> Result<Option<i64>, PortError> {
    let Some(element) = by_time.and_then(|list| list.find_partition(topic, partition)) else { return Ok(None) };
    element.error().map_err(unavailable("offsets by time could not be read"))?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
