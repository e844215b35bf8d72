//! The async front of a member.

use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    super::{client_config, context::Trouble, options::KafkaOptions},
    desk::{Capacity, Desk, Ended},
    rebalance::Member,
    thread::Polling,
};
use crate::{
    domain::ports::{Batch, BatchLimits, Checkpoint, EventSource, PortError, Status},
    infrastructure::status_cell::StatusCell,
};

const CAPACITY: Capacity = Capacity { records: 5000, bytes: 8 * 1024 * 1024 };
/// Destroying a native consumer may hang; nobody waits longer for it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// One member of the consumer group. Dropping it leaves the group too, without anyone waiting for that.
pub struct KafkaSource {
    desk: Arc<Desk>,
    left: oneshot::Receiver<KafkaResult<()>>,
}

/// Subscribes with a thread of its own. Blocks a moment: to be called beside the async workers.
pub(in super::super) fn join(options: &KafkaOptions, joined: StatusCell) -> Result<KafkaSource, PortError> {
    let unusable = |error| PortError::rejected("the kafka consumer could not be made").caused_by(error);
    let desk = Arc::new(Desk::new(CAPACITY));
    let member = Member {
        desk: Arc::clone(&desk),
        topic: options.topic.as_str().into(),
        joined: joined.clone(),
        trouble: Trouble::default(),
        max_poll_interval: client_config::max_poll_interval(options),
        paused: AtomicBool::new(false),
        commit_failed: AtomicBool::new(false),
    };
    let consumer: BaseConsumer<Member> =
        client_config::consumer(options).create_with_context(member).map_err(unusable)?;
    consumer.subscribe(&[&options.topic]).map_err(unusable)?;
    let (sender, left) = oneshot::channel();
    let ending = Ending { desk: Arc::clone(&desk), joined };
    thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || {
            let result = poll_and_leave(consumer, &ending.desk);
            if let Err(error) = &result {
                tracing::warn!(%error, "the kafka consumer ended with an error");
            }
            drop(ending);
            // Nobody may be waiting.
            let _ = sender.send(result);
        })
        .map_err(|error| PortError::unavailable("no thread for the kafka consumer").caused_by(error))?;
    Ok(KafkaSource { desk, left })
}

fn poll_and_leave(consumer: BaseConsumer<Member>, desk: &Desk) -> KafkaResult<()> {
    let mut polling = Polling::new(consumer);
    let result = polling.run();
    // From here on nobody is waited for; dropping the consumer leaves the group.
    desk.end();
    drop(polling);
    result
}

/// Tells the front that the thread is gone, also when it panicked.
struct Ending {
    desk: Arc<Desk>,
    joined: StatusCell,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.desk.end();
        self.joined.set(Status::Down("not in the consumer group".to_owned()));
    }
}

impl From<Ended> for PortError {
    fn from(_: Ended) -> Self {
        PortError::closed("the kafka consumer has ended")
    }
}

#[async_trait]
impl EventSource for KafkaSource {
    async fn next_batch(&mut self, limits: BatchLimits, wait: Duration) -> Result<Batch, PortError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(batch) = self.desk.take(limits)? {
                return Ok(batch);
            }
            if timeout_at(deadline, self.desk.arrival()).await.is_err() {
                return Ok(self.desk.empty_batch());
            }
        }
    }

    async fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), PortError> {
        Ok(self.desk.mark(&checkpoint)?)
    }

    async fn close(mut self: Box<Self>) -> Result<(), PortError> {
        self.desk.leave();
        match timeout(LEAVE_TIMEOUT, &mut self.left).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(PortError::unavailable("the last offsets were not committed").caused_by(error)),
            Ok(Err(_)) => Err(PortError::closed("the kafka consumer died")),
            Err(_) => Err(PortError::unavailable("the kafka consumer did not leave in time")),
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.desk.leave();
    }
}
