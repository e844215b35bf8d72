//! Offsets: stored when their records are done, committed now and then, and before partitions go.
//!
//! Only stored offsets are committed, never lists: the broker would take an offset for a partition that another
//! member owns by now.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
};

use super::desk::Desk;

/// How long stored offsets may wait for their commit.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
const SYNC_ATTEMPTS: u32 = 3;

/// Stores what is done. `false`: nothing new.
pub(super) fn store<C: ConsumerContext>(consumer: &BaseConsumer<C>, desk: &Desk, topic: &str) -> KafkaResult<bool> {
    let done = desk.unstored();
    if done.is_empty() {
        return Ok(false);
    }
    let mut list = TopicPartitionList::with_capacity(done.len());
    for (partition, next) in &done {
        list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
    }
    consumer.store_offsets(&list)?;
    desk.stored(&done);
    Ok(true)
}

pub(super) fn commit_later<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> KafkaResult<()> {
    ignore_nothing(consumer.commit_consumer_state(CommitMode::Async))
}

/// Commits what is stored and waits for it; tries again while the group's coordinator moves.
pub(super) fn commit_now<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> KafkaResult<()> {
    let mut attempts = 1;
    loop {
        match ignore_nothing(consumer.commit_consumer_state(CommitMode::Sync)) {
            Err(error) if attempts < SYNC_ATTEMPTS && coordinator_moves(&error) => attempts += 1,
            other => return other,
        }
    }
}

fn ignore_nothing(result: KafkaResult<()>) -> KafkaResult<()> {
    match result {
        Err(KafkaError::ConsumerCommit(Code::NoOffset)) => Ok(()),
        other => other,
    }
}

pub(super) fn rebalance_under_way(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::RebalanceInProgress | Code::IllegalGeneration))
}

fn coordinator_moves(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::RequestTimedOut
                | Code::NotCoordinator
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::WaitingForCoordinator
        )
    )
}

/// Says when stored offsets are due for a commit.
#[derive(Debug)]
pub(super) struct CommitClock {
    pending: bool,
    last: Instant,
}

impl CommitClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { pending: false, last: now }
    }

    pub(super) fn note(&mut self, stored: bool) {
        self.pending |= stored;
    }

    /// Whether to commit now; resets the clock if so.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let due = self.pending && now.duration_since(self.last) >= COMMIT_INTERVAL;
        if due {
            self.pending = false;
            self.last = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_spaced_and_only_for_something() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut clock = CommitClock::new(start);
        assert!(!clock.due(at(1000)));
        clock.note(true);
        clock.note(false);
        assert!(clock.due(at(1000)));
        clock.note(true);
        assert!(!clock.due(at(1499)));
        assert!(clock.due(at(1500)));
        assert!(!clock.due(at(9000)));
    }
}
