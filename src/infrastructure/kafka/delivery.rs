//! The producers' context: each record carries a ticket, and the ticket's holder learns what became of the record.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};
use tokio::sync::oneshot;

use super::{
    circuit::Circuit,
    context::{Trouble, log},
};

/// Travels with a record through the native client.
pub(super) type Ticket = Box<oneshot::Sender<Result<(), KafkaError>>>;

/// Reasons for the supervisor to look.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// A connection was lost, or a record was not acknowledged.
    pub(super) suspicion: AtomicBool,
    /// A batch was refused although the client took its records: the topic's limits may have changed.
    pub(super) refusal: AtomicBool,
    /// The client refuses everything from now on.
    pub(super) fatal: AtomicBool,
}

impl Alarms {
    pub(super) fn raise(alarm: &AtomicBool) {
        alarm.store(true, Ordering::Release);
    }

    /// Whether the alarm was raised; it is off after that.
    pub(super) fn take(alarm: &AtomicBool) -> bool {
        alarm.swap(false, Ordering::AcqRel)
    }
}

pub(super) struct Deliveries {
    pub(super) circuit: Option<Arc<Circuit>>,
    pub(super) trouble: Trouble,
    pub(super) alarms: Arc<Alarms>,
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Ticket;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Ticket) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        if let Some(circuit) = &self.circuit {
            circuit.settled(Instant::now(), result.is_ok());
        }
        // Nobody listens any more where the publish met its deadline or was dropped.
        let _ = ticket.send(result);
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            Alarms::raise(&self.alarms.fatal);
        }
        tracing::debug!(%error, "kafka producer: {reason}");
        Alarms::raise(&self.alarms.suspicion);
    }
}
