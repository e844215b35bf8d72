//! What happens when partitions come and go. Runs on the polling thread, inside a poll.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    topic_partition_list::TopicPartitionListElem,
};

use super::{
    super::context::{Trouble, log},
    commit::{commit_now, store},
    desk::Desk,
};
use crate::{domain::ports::Status, infrastructure::status_cell::StatusCell};

/// The longest that a rebalance of the whole group is held up for the batch in hand.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

pub(super) struct Member {
    pub(super) desk: Arc<Desk>,
    pub(super) topic: Arc<str>,
    pub(super) joined: StatusCell,
    pub(super) trouble: Trouble,
    pub(super) max_poll_interval: Duration,
    /// Partitions that come while the worker stalls are paused too.
    pub(super) paused: AtomicBool,
    /// The last commit in the background failed: its offsets are still to be committed.
    pub(super) commit_failed: AtomicBool,
}

impl Member {
    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let began = Instant::now();
        self.desk.withdraw(partitions);
        if consumer.assignment_lost() {
            tracing::warn!(kafka.partitions = ?partitions, "partitions were lost to others; uncommitted records come again");
        } else {
            let deadline = began + LONGEST_DRAIN.min(self.max_poll_interval / 2);
            let done = self.desk.wait_until_done(partitions, deadline);
            let committed = store(consumer, &self.desk, &self.topic).and_then(|_| commit_now(consumer));
            if let Err(error) = committed {
                tracing::warn!(%error, kafka.partitions = ?partitions, "offsets could not be committed; records come again");
            }
            let duration_ms = began.elapsed().as_millis();
            tracing::info!(kafka.partitions = ?partitions, done, duration_ms, "partitions revoked");
        }
        self.desk.revoke(partitions);
        if consumer.assignment_lost() || (!self.desk.owns_any() && !self.desk.is_open()) {
            self.joined.set(Status::Down("not in the consumer group".to_owned()));
        }
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let result = if list.count() == 0 {
            Ok(())
        } else if self.paused.load(Ordering::Acquire) {
            consumer.pause(list)
        } else {
            // A partition that was paused when it went would come back paused.
            consumer.resume(list)
        };
        if let Err(error) = result {
            tracing::warn!(%error, "new partitions could not be paused or resumed");
        }
        tracing::info!(kafka.partitions = ?ids(list), "partitions assigned");
        self.joined.set(Status::Up);
    }
}

fn ids(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(TopicPartitionListElem::partition).collect()
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => self.revoked(consumer, &ids(list)),
            // Before the fetchers start, so that no record comes for a partition that the desk does not know.
            Rebalance::Assign(list) => self.desk.assign(&ids(list)),
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.assigned(consumer, list);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.commit_failed.store(true, Ordering::Release);
            tracing::debug!(%error, "offsets were not committed");
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error);
        tracing::debug!(%error, "kafka consumer: {reason}");
    }
}
