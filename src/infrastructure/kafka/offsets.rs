//! Where the topic's partitions begin and end, and where the group goes on.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use tokio::sync::Semaphore;
use tracing::debug;

use super::{
    aside::Aside,
    looker::{self, Looker, NO_COMMITTED, TIMEOUT, unavailable},
    options::KafkaOptions,
};
use crate::domain::{
    PartitionOffsets,
    ports::{BusOffsets, OffsetsFound, Partitions, PortError},
};

/// Asks the brokers, one question at a time, on a connection that is kept.
pub struct KafkaOffsets {
    options: KafkaOptions,
    kept: Mutex<Option<Arc<Aside<Looker>>>>,
    /// Held to the end of a question, also when nobody waits for the answer any more.
    turn: Arc<Semaphore>,
}

impl KafkaOffsets {
    /// Connects when it is first asked.
    pub fn new(options: KafkaOptions) -> Self {
        Self { options, kept: Mutex::new(None), turn: Arc::new(Semaphore::new(1)) }
    }

    fn looker(&self) -> Result<Arc<Aside<Looker>>, PortError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looker) = &*kept {
            return Ok(Arc::clone(looker));
        }
        let made = Arc::new(Aside::new(looker::open(&self.options)?));
        Ok(Arc::clone(kept.insert(made)))
    }
}

#[async_trait]
impl BusOffsets for KafkaOffsets {
    async fn look(&self, at: Partitions<'_>) -> Result<OffsetsFound, PortError> {
        let (looker, options) = (self.looker()?, self.options.clone());
        let wanted = match at {
            Partitions::All => None,
            Partitions::These(partitions) => Some(partitions.to_vec()),
        };
        let closed = || PortError::closed("the kafka client is closed");
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| closed())?;
        let asking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ask(looker.get().ok_or_else(closed)?, &options, wanted)
        });
        asking.await.map_err(|error| PortError::unavailable("asking for offsets was cut short").caused_by(error))?
    }
}

/// `wanted` is every partition where there is none.
fn ask(looker: &Looker, options: &KafkaOptions, wanted: Option<Vec<i32>>) -> Result<OffsetsFound, PortError> {
    let there = looker::partitions(looker, options)?;
    let wanted = wanted.unwrap_or_else(|| there.iter().map(|partition| partition.id).collect());
    let leaders: BTreeMap<i32, i32> = there.iter().filter_map(|found| Some((found.id, found.leader?))).collect();
    let (mut led, silent): (Vec<i32>, Vec<i32>) =
        wanted.into_iter().partition(|partition| leaders.contains_key(partition));
    let mut found = OffsetsFound { known: Vec::with_capacity(led.len()), silent };
    if led.is_empty() {
        return Ok(found);
    }
    led.sort_unstable();
    let committed = looker
        .committed_offsets(looker::list(options, led.iter().copied()), TIMEOUT)
        .map_err(unavailable(NO_COMMITTED))?;
    let mut watermarks = Watermarks { looker, topic: &options.topic, hung: HashSet::new() };
    for partition in led {
        let bounds = watermarks.of(partition, leaders.get(&partition).copied());
        match bounds.zip(committed_at(&committed, &options.topic, partition)) {
            Some(((low, end), committed)) => found.known.push(PartitionOffsets { partition, low, end, committed }),
            None => found.silent.push(partition),
        }
    }
    Ok(found)
}

/// `None` where it is not known, `Some(None)` where nothing was ever committed.
fn committed_at(committed: &TopicPartitionList, topic: &str, partition: i32) -> Option<Option<i64>> {
    let element = committed.find_partition(topic, partition)?;
    element.error().ok()?;
    Some(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

/// Asks one partition after the other. A broker that hangs is waited for once, not once for each of its partitions.
struct Watermarks<'a> {
    looker: &'a Looker,
    topic: &'a str,
    hung: HashSet<Option<i32>>,
}

impl Watermarks<'_> {
    fn of(&mut self, partition: i32, leader: Option<i32>) -> Option<(i64, i64)> {
        if self.hung.contains(&leader) {
            return None;
        }
        match self.looker.fetch_watermarks(self.topic, partition, TIMEOUT) {
            Ok(found) => Some(found),
            Err(error) => {
                debug!(%error, kafka.partition = partition, "a partition does not answer");
                self.hung.insert(leader);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

    use super::*;

    #[tokio::test]
    async fn a_partition_without_a_leader_takes_nothing_from_the_others() {
        let brokers: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
        let options = KafkaOptions::new(brokers.bootstrap_servers());
        brokers.create_topic(&options.topic, 3, 1).unwrap();
        brokers.partition_leader(&options.topic, 1, None).unwrap();
        let offsets = KafkaOffsets::new(options);
        let begun = Instant::now();
        let found = offsets.look(Partitions::All).await.unwrap();
        let known: Vec<_> = found.known.iter().map(|offsets| offsets.partition).collect();
        assert_eq!((known, found.silent), (vec![0, 2], vec![1]));
        assert!(offsets.offsets().await.is_err(), "what is unknown is not passed over");
        let found = offsets.look(Partitions::These(&[2])).await.unwrap();
        assert_eq!((found.known.len(), found.silent.len()), (1, 0));
        assert!(begun.elapsed() < TIMEOUT, "it is not waited for");
    }
}
