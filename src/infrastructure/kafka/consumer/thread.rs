//! The polling thread: never stops polling, whatever the worker does, and ends only when it is told to or the client
//! is broken for good.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
};

use super::{
    commit::{CommitClock, commit_later, commit_now, rebalance_under_way, store},
    rebalance::Member,
    record,
};
use crate::domain::ports::Status;

const POLL: Duration = Duration::from_millis(100);
/// Pausing throws away what is fetched already: a short stall is sat out instead.
const SIT_OUT: Duration = Duration::from_secs(3);
const REJOIN: Duration = Duration::from_secs(5);
const LAST_COMMIT: Duration = Duration::from_secs(4);
const REPEATED_LOG: Duration = Duration::from_secs(30);

pub(super) struct Polling {
    consumer: BaseConsumer<Member>,
    commits: CommitClock,
    full_since: Option<Instant>,
    rejoin_at: Option<Instant>,
    last_error: Option<(String, Instant)>,
}

impl Polling {
    pub(super) fn new(consumer: BaseConsumer<Member>) -> Self {
        Self {
            consumer,
            commits: CommitClock::new(Instant::now()),
            full_since: None,
            rejoin_at: None,
            last_error: None,
        }
    }

    /// Polls until the front leaves.
    ///
    /// # Errors
    /// The client's fatal error.
    pub(super) fn run(&mut self) -> KafkaResult<()> {
        while self.member().desk.is_open() {
            self.commit_what_is_done();
            self.rejoin_if_due();
            if !self.hold_back() {
                self.poll()?;
            }
        }
        self.commit_for_the_last_time()
    }

    /// A rebalance that is under way refuses commits until this member has taken part in it.
    fn commit_for_the_last_time(&mut self) -> KafkaResult<()> {
        let deadline = Instant::now() + LAST_COMMIT;
        loop {
            let committed = store(&self.consumer, &self.member().desk, &self.member().topic)
                .and_then(|_| commit_now(&self.consumer));
            match committed {
                Err(error) if rebalance_under_way(&error) && Instant::now() < deadline => {
                    // What comes now is for the next owner: the desk takes no more.
                    drop(self.consumer.poll(POLL));
                }
                other => return other,
            }
        }
    }

    fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Takes what is there, up to a full desk.
    fn poll(&mut self) -> KafkaResult<()> {
        let mut wait = POLL;
        loop {
            match self.consumer.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let member = self.consumer.context();
                    member.desk.push(record::delivery(&message, &member.topic));
                }
                Some(Err(error)) => {
                    self.failed(error)?;
                    return Ok(());
                }
            }
            if self.member().desk.is_full() {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
    }

    /// Whether not to poll now, because the desk is full. After a while the partitions are paused and polling goes
    /// on, so that the group never misses this member.
    fn hold_back(&mut self) -> bool {
        let desk = &self.member().desk;
        if self.member().paused.load(Ordering::Acquire) {
            if desk.has_room() {
                self.pause(false);
            }
            return false;
        }
        if !desk.is_full() {
            self.full_since = None;
            return false;
        }
        let now = Instant::now();
        let since = *self.full_since.get_or_insert(now);
        if now.duration_since(since) < SIT_OUT {
            self.member().desk.wait_for_change(POLL);
            return true;
        }
        self.pause(true);
        false
    }

    fn pause(&mut self, pause: bool) {
        self.full_since = None;
        let changed = self.consumer.assignment().and_then(|partitions| {
            if partitions.count() == 0 {
                return Ok(());
            }
            if pause { self.consumer.pause(&partitions) } else { self.consumer.resume(&partitions) }
        });
        match changed {
            Ok(()) => {
                self.member().paused.store(pause, Ordering::Release);
                tracing::info!(paused = pause, "the worker {}", if pause { "stalls" } else { "goes on" });
            }
            Err(error) => self.log_once(&error),
        }
    }

    /// After a refusal the client leaves partitions aside until they are assigned anew, even when the operator has
    /// granted what was missing.
    fn rejoin_if_due(&mut self) {
        if self.rejoin_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.rejoin_at = None;
        self.consumer.unsubscribe();
        let topic = Arc::clone(&self.member().topic);
        if let Err(error) = self.consumer.subscribe(&[&topic]) {
            self.rejoin_at = Some(Instant::now() + REJOIN);
            self.log_once(&error);
        }
    }

    fn commit_what_is_done(&mut self) {
        let failed_before = self.member().commit_failed.swap(false, Ordering::AcqRel);
        self.commits.note(failed_before);
        match store(&self.consumer, &self.member().desk, &self.member().topic) {
            Ok(stored) => self.commits.note(stored),
            Err(error) => self.log_once(&error),
        }
        if self.commits.due(Instant::now())
            && let Err(error) = commit_later(&self.consumer)
        {
            self.commits.note(true);
            self.log_once(&error);
        }
    }

    /// Connections come and go; only a fatal error ends the member.
    fn failed(&mut self, error: KafkaError) -> KafkaResult<()> {
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(error);
        }
        if let Some(reason) = refusal(&error) {
            self.member().joined.set(Status::Down(reason.to_owned()));
            self.rejoin_at.get_or_insert(Instant::now() + REJOIN);
        }
        if is_lost_connection(&error) {
            tracing::debug!(%error, "the kafka consumer goes on");
        } else {
            self.log_once(&error);
        }
        Ok(())
    }

    fn log_once(&mut self, error: &KafkaError) {
        let text = error.to_string();
        let now = Instant::now();
        let repeated =
            self.last_error.as_ref().is_some_and(|(last, at)| *last == text && now.duration_since(*at) < REPEATED_LOG);
        if !repeated {
            tracing::warn!(error = text, "the kafka consumer goes on after an error");
            self.last_error = Some((text, now));
        }
    }
}

/// The publisher's supervisor sees and logs when brokers go away.
fn is_lost_connection(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut))
}

/// Refusals that an operator has to know of, in words that a client may see.
fn refusal(error: &KafkaError) -> Option<&'static str> {
    match error.rdkafka_error_code()? {
        Code::TopicAuthorizationFailed => Some("the topic may not be read"),
        Code::GroupAuthorizationFailed => Some("the consumer group may not be joined"),
        Code::SaslAuthenticationFailed | Code::Authentication => Some("kafka refuses the credentials"),
        Code::UnknownTopicOrPartition | Code::UnknownTopic => Some("the topic is missing"),
        _ => None,
    }
}
