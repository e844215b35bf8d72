//! Where the topic's partitions begin and end, and where the group goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Offset,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    aside::Aside,
    client_config,
    context::ClientLog,
    group::{partitions, unavailable},
    options::KafkaOptions,
};
use crate::domain::{
    PartitionOffsets,
    ports::{BusOffsets, PortError},
};

const TIMEOUT: Duration = Duration::from_secs(5);

type Looker = Arc<Aside<BaseConsumer<ClientLog>>>;

/// Asks the brokers, on a connection that is kept.
pub struct KafkaOffsets {
    options: KafkaOptions,
    looker: Mutex<Option<Looker>>,
}

impl KafkaOffsets {
    /// Connects when it is first asked.
    pub fn new(options: KafkaOptions) -> Self {
        Self { options, looker: Mutex::new(None) }
    }

    fn looker(&self) -> Result<Looker, PortError> {
        let mut kept = self.looker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looker) = &*kept {
            return Ok(Arc::clone(looker));
        }
        let made = client_config::group(&self.options).create_with_context(ClientLog::default());
        let made = made.map_err(|error| PortError::rejected("the kafka client could not be made").caused_by(error))?;
        Ok(Arc::clone(kept.insert(Arc::new(Aside::new(made)))))
    }
}

#[async_trait]
impl BusOffsets for KafkaOffsets {
    async fn offsets(&self) -> Result<Vec<PartitionOffsets>, PortError> {
        let (looker, options) = (self.looker()?, self.options.clone());
        let asking = tokio::task::spawn_blocking(move || match looker.get() {
            Some(looker) => ask(looker, &options),
            None => Err(PortError::closed("the kafka client is closed")),
        });
        asking.await.map_err(|error| PortError::unavailable("asking for offsets was cut short").caused_by(error))?
    }
}

fn ask(looker: &BaseConsumer<ClientLog>, options: &KafkaOptions) -> Result<Vec<PartitionOffsets>, PortError> {
    let committed = looker
        .committed_offsets(partitions(looker, options)?, TIMEOUT)
        .map_err(unavailable("the committed offsets could not be read"))?;
    let mut offsets = Vec::with_capacity(committed.count());
    for element in committed.elements() {
        element.error().map_err(unavailable("the committed offsets could not be read"))?;
        let partition = element.partition();
        let (low, end) = looker
            .fetch_watermarks(&options.topic, partition, TIMEOUT)
            .map_err(unavailable("the topic's offsets could not be read"))?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        offsets.push(PartitionOffsets { partition, low, end, committed });
    }
    offsets.sort_unstable_by_key(|offsets| offsets.partition);
    Ok(offsets)
}
