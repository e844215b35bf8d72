//! The producers' context: what the native client says of records and of itself.

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

use super::{
    circuit::Circuit,
    context::{Trouble, log},
    flight::{Arrivals, Landing, Ticket},
};

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
    /// Where there are so many that waking those who wait is worth a task of its own.
    pub(super) arrivals: Option<Arc<Arrivals>>,
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let landing = match result {
            Ok(_) => Landing::Acknowledged,
            Err((error, _)) => Landing::Failed(error.clone()),
        };
        if let Some(circuit) = &self.circuit {
            circuit.settled(Instant::now(), matches!(landing, Landing::Acknowledged));
        }
        if let Some(complete) = ticket.land(landing) {
            match &self.arrivals {
                Some(arrivals) => arrivals.announce(complete),
                None => complete.wake(),
            }
        }
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
