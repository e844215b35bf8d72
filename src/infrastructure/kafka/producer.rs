//! The publisher: puts events on the topic and says of each what became of it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use tokio::{
    sync::oneshot,
    time::{Instant as Deadline, timeout_at},
};

use super::{
    aside::Aside,
    circuit::Circuit,
    client_config,
    context::Trouble,
    delivery::{Alarms, Deliveries},
    error::{Failure, code_of, delivery_failure, enqueue_failure},
    limits::TopicFacts,
    options::KafkaOptions,
};
use crate::{
    domain::{
        Event,
        ports::{EventPublisher, PortError, Probe, PublishOutcome, Status},
    },
    infrastructure::{status_cell::StatusCell, wire},
};

pub(super) type Client = ThreadedProducer<Deliveries>;

/// A native client and what it was made for.
pub(super) struct Live {
    client: Aside<Client>,
    pub(super) facts: TopicFacts,
    pub(super) trouble: Trouble,
    pub(super) alarms: Arc<Alarms>,
}

/// Publishes to the topic. Nothing is taken before [`KafkaPublisher::supervise`] has found the topic, nor while the
/// brokers are known to be away.
pub struct KafkaPublisher {
    pub(super) options: KafkaOptions,
    pub(super) circuit: Arc<Circuit>,
    status: StatusCell,
    live: RwLock<Option<Live>>,
}

impl KafkaPublisher {
    /// # Errors
    /// `Rejected`: the settings are wrong. Nothing has been connected to.
    pub fn new(options: KafkaOptions) -> Result<Self, PortError> {
        client_config::validate(&options).map_err(PortError::rejected)?;
        let circuit = Arc::new(Circuit::new(Instant::now()));
        let status = StatusCell::down("connecting to kafka");
        Ok(Self { options, circuit, status, live: RwLock::new(None) })
    }

    /// Whether publishing works, for probes.
    pub fn status(&self) -> StatusCell {
        self.status.clone()
    }

    /// Ends publishing and waits until what is queued is acknowledged, but not longer than `timeout`.
    ///
    /// # Errors
    /// `Unavailable`: some records were given up; whoever published them was told that their outcome is unknown.
    pub async fn close(&self, timeout: Duration) -> Result<(), PortError> {
        self.circuit.end();
        self.status.set(self.circuit.status());
        let Some(live) = self.live.write().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let flushed =
            tokio::task::spawn_blocking(move || live.client.take().map_or(Ok(()), |client| client.flush(timeout)));
        match flushed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PortError::unavailable("not all records were acknowledged in time").caused_by(error)),
            Err(error) => Err(PortError::unavailable("the flush did not end").caused_by(error)),
        }
    }

    /// Puts a new client in place; what the old one still holds is given up.
    pub(super) fn install(&self, facts: TopicFacts) -> Result<(), KafkaError> {
        let trouble = Trouble::default();
        let alarms = Arc::new(Alarms::default());
        let context = Deliveries {
            circuit: Some(Arc::clone(&self.circuit)),
            trouble: trouble.clone(),
            alarms: Arc::clone(&alarms),
        };
        let client = client_config::producer(&self.options, facts.limits).create_with_context(context)?;
        let live = Live { client: Aside::new(client), facts, trouble, alarms };
        let old = self.live.write().unwrap_or_else(PoisonError::into_inner).replace(live);
        self.circuit.replaced();
        drop(old);
        Ok(())
    }

    pub(super) fn with_live<T>(&self, look: impl FnOnce(&Live, &Client) -> T) -> Option<T> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let live = live.as_ref()?;
        Some(look(live, live.client.get()?))
    }

    /// Makes the circuit's state known, and logs it when it changed.
    pub(super) fn report(&self) {
        let status = self.circuit.status();
        if !self.status.set(status.clone()) {
            return;
        }
        match status {
            Status::Up => tracing::info!(kafka.topic = self.options.topic, "kafka is up"),
            Status::Down(reason) => tracing::warn!(kafka.topic = self.options.topic, reason, "kafka is down"),
        }
    }

    fn begin(&self, live: &Live, client: &Client, event: &Event, now: Instant) -> Pending {
        let (sender, receiver) = oneshot::channel();
        let value = wire::encode_value(&event.log);
        let headers = headers(event);
        let size = value.len() + event.log.user_id.as_str().len();
        let record = BaseRecord::with_opaque_to(&self.options.topic, Box::new(sender))
            .key(event.log.user_id.as_str())
            .payload(&value)
            .timestamp(event.received_at.as_millis())
            .headers(headers);
        self.circuit.sending(now);
        match client.send(record) {
            Ok(()) => {
                let alone = size > live.facts.limits.batch_bytes;
                Pending::Sent { receiver, alone, alarms: Arc::clone(&live.alarms) }
            }
            Err((error, _)) => {
                self.circuit.settled(now, false);
                Pending::Done(enqueue_failure(code_of(&error)).outcome(error))
            }
        }
    }

    async fn outcome(&self, pending: Pending, begun: Instant) -> PublishOutcome {
        let (receiver, alone, alarms) = match pending {
            Pending::Done(outcome) => return outcome,
            Pending::Sent { receiver, alone, alarms } => (receiver, alone, alarms),
        };
        let deadline = Deadline::from_std(begun + self.options.publish_timeout);
        match timeout_at(deadline, receiver).await {
            Ok(Ok(Ok(()))) => PublishOutcome::Taken,
            Ok(Ok(Err(error))) => {
                let failure = delivery_failure(code_of(&error), alone);
                if failure == Failure::Refused {
                    Alarms::raise(&alarms.refusal);
                }
                Alarms::raise(&alarms.suspicion);
                failure.outcome(error)
            }
            Ok(Err(_)) => PublishOutcome::Unknown(PortError::unavailable("the kafka client was given up")),
            Err(_) => {
                self.circuit.overdue(begun);
                Alarms::raise(&alarms.suspicion);
                PublishOutcome::Unknown(PortError::unavailable("no acknowledgement within the deadline"))
            }
        }
    }
}

enum Pending {
    Sent { receiver: oneshot::Receiver<Result<(), KafkaError>>, alone: bool, alarms: Arc<Alarms> },
    Done(PublishOutcome),
}

pub(super) fn headers(event: &Event) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: wire::HEADER_VERSION, value: Some(wire::VERSION) })
        .insert(Header { key: wire::HEADER_EVENT_ID, value: Some(&event.id.to_string()) })
        .insert(Header { key: wire::HEADER_RECEIVED_AT, value: Some(&event.received_at.as_millis().to_string()) })
}

#[async_trait]
impl EventPublisher for KafkaPublisher {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let begun = Instant::now();
        if !self.circuit.admits(begun) {
            return batch.iter().map(|_| PublishOutcome::Refused(self.circuit.refusal())).collect();
        }
        // Everything is queued before anything is waited for: the order of users' events is the order of the calls.
        let begin_all = |live: &Live, client: &Client| -> Vec<Pending> {
            batch.iter().map(|event| self.begin(live, client, event, begun)).collect()
        };
        let Some(pending) = self.with_live(begin_all) else {
            return batch.iter().map(|_| PublishOutcome::Refused(self.circuit.refusal())).collect();
        };
        // The client has copies of its own.
        drop(batch);
        let mut outcomes = Vec::with_capacity(pending.len());
        for one in pending {
            outcomes.push(self.outcome(one, begun).await);
        }
        outcomes
    }
}

impl Probe for KafkaPublisher {
    fn status(&self) -> Status {
        self.status.status()
    }
}

#[cfg(test)]
#[path = "producer_tests.rs"]
mod tests;
