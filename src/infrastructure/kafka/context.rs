//! What the native clients say: their log lines, and the kind of trouble a client may be told of.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};

const UNREACHABLE: u8 = 0;
const CREDENTIALS: u8 = 1;
const TLS: u8 = 2;

/// Why the last attempts to connect failed, in words without driver text.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<AtomicU8>);

impl Trouble {
    pub(super) fn reason(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            CREDENTIALS => "kafka refuses the credentials",
            TLS => "no TLS connection to kafka can be made",
            _ => "kafka is not reachable",
        }
    }

    pub(super) fn clear(&self) {
        self.0.store(UNREACHABLE, Ordering::Relaxed);
    }

    pub(super) fn note(&self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism,
            ) => self.0.store(CREDENTIALS, Ordering::Relaxed),
            Some(RDKafkaErrorCode::SSL) => self.0.store(TLS, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// Connections come and go all the time; what matters of it is logged once by whoever sees a state change. So a
/// client's own lines are for who asks for them.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    let transient =
        matches!(facility, "FAIL" | "ERROR" | "CONFWARN" | "REQTMOUT" | "FETCHERR" | "COMMITFAIL" | "GETPID");
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(kafka.facility = facility, "kafka client: {line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if !transient => {
            tracing::warn!(kafka.facility = facility, "kafka client: {line}");
        }
        _ => tracing::debug!(kafka.facility = facility, "kafka client: {line}"),
    }
}

/// The context of clients that need nothing but a quiet log.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientLog {
    pub(super) trouble: Trouble,
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error);
        tracing::debug!(%error, "kafka client: {reason}");
    }
}

impl ConsumerContext for ClientLog {}

impl ProducerContext for ClientLog {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
