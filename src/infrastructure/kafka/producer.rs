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
use tokio::time::{Instant as Deadline, timeout_at};

use super::{
    aside::Aside,
    circuit::Circuit,
    client_config,
    context::Trouble,
    delivery::{Alarms, Deliveries},
    error::{Failure, code_of, delivery_failure, enqueue_failure},
    flight::{Arrivals, Flight, Landing, Ticket},
    limits::TopicFacts,
    options::KafkaOptions,
};
use crate::{
    domain::{
        Event, EventId,
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
    pub(super) arrivals: Arc<Arrivals>,
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
        Ok(Self { options, circuit, arrivals: Arc::default(), status, live: RwLock::new(None) })
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
            arrivals: Some(Arc::clone(&self.arrivals)),
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

    /// Queues every event, in order, and returns how many bytes each takes.
    fn queue(&self, client: &Client, batch: &[Event], flight: &Arc<Flight>, now: Instant) -> Vec<usize> {
        let mut value = Vec::new();
        let send = |(index, event): (usize, &Event)| {
            value.clear();
            wire::write_value(&mut value, &event.log);
            self.send(client, event, &value, flight.ticket(index), now);
            value.len() + event.log.user_id.as_str().len()
        };
        batch.iter().enumerate().map(send).collect()
    }

    fn send(&self, client: &Client, event: &Event, value: &[u8], ticket: Box<Ticket>, now: Instant) {
        let record = BaseRecord::with_opaque_to(&self.options.topic, ticket)
            .key(event.log.user_id.as_str())
            .payload(value)
            .timestamp(event.received_at.as_millis())
            .headers(headers(event));
        self.circuit.sending(now);
        if let Err((error, record)) = client.send(record) {
            self.circuit.settled(now, false);
            // Whoever waits looks at the flight before it waits.
            let _ = record.delivery_opaque.land(Landing::NotQueued(error));
        }
    }

    /// `alone` says that the record travelled in a batch of its own.
    fn outcome(&self, landing: Landing, alone: bool, alarms: &Alarms, begun: Instant) -> PublishOutcome {
        match landing {
            Landing::Acknowledged => PublishOutcome::Taken,
            Landing::NotQueued(error) => enqueue_failure(code_of(&error)).outcome(error),
            Landing::Failed(error) => {
                let failure = delivery_failure(code_of(&error), alone);
                if failure == Failure::Refused {
                    Alarms::raise(&alarms.refusal);
                }
                Alarms::raise(&alarms.suspicion);
                failure.outcome(error)
            }
            Landing::InTheAir => {
                self.circuit.overdue(begun);
                Alarms::raise(&alarms.suspicion);
                PublishOutcome::Unknown(PortError::unavailable("no acknowledgement within the deadline"))
            }
        }
    }
}

pub(super) fn headers(event: &Event) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: wire::HEADER_VERSION, value: Some(wire::VERSION) })
        .insert(Header { key: wire::HEADER_EVENT_ID, value: Some(event.id.write(&mut EventId::buffer())) })
        .insert(Header { key: wire::HEADER_RECEIVED_AT, value: Some(&event.received_at.as_millis().to_string()) })
}

#[async_trait]
impl EventPublisher for KafkaPublisher {
    async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
        let begun = Instant::now();
        if !self.circuit.admits(begun) {
            return batch.iter().map(|_| PublishOutcome::Refused(self.circuit.refusal())).collect();
        }
        let flight = Flight::of(batch.len());
        // Everything is queued before anything is waited for: the order of users' events is the order of the calls.
        let queued = self.with_live(|live, client| {
            (self.queue(client, &batch, &flight, begun), live.facts.limits.batch_bytes, Arc::clone(&live.alarms))
        });
        let Some((sizes, batch_bytes, alarms)) = queued else {
            return batch.iter().map(|_| PublishOutcome::Refused(self.circuit.refusal())).collect();
        };
        // The client has copies of its own.
        drop(batch);
        // What has not landed by then says so itself.
        let _ = timeout_at(Deadline::from_std(begun + self.options.publish_timeout), flight.landed()).await;
        let landings = flight.landings().into_iter().zip(sizes);
        landings.map(|(landing, size)| self.outcome(landing, size > batch_bytes, &alarms, begun)).collect()
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
