//! How large a record may be: read from the topic, and turned into the producer's settings.

use rdkafka::admin::ConfigResource;

/// Kafka's default for `max.message.bytes`.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 1_048_588;
/// What a batch of one record has around it, generously.
pub(super) const BATCH_OVERHEAD: usize = 128;

/// How large records and batches may be so that the topic takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordLimits {
    pub(super) message_bytes: usize,
    /// A batch of several records is never larger: one large record travels alone and fails alone.
    pub(super) batch_bytes: usize,
}

impl RecordLimits {
    fn of_topic(max_message_bytes: usize) -> Self {
        let message_bytes = max_message_bytes.saturating_sub(BATCH_OVERHEAD).clamp(1000, 1_000_000_000);
        Self { message_bytes, batch_bytes: message_bytes.min(1_000_000) }
    }

    /// What is read of a topic that was made with Kafka's defaults.
    pub(super) fn of_default_topic() -> Self {
        Self::of_topic(DEFAULT_MAX_MESSAGE_BYTES)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TopicFacts {
    pub(super) limits: RecordLimits,
    pub(super) min_insync_replicas: usize,
}

impl TopicFacts {
    /// What is taken for granted where the settings may not be read: batches stay so small that every topic takes
    /// them.
    pub(super) fn assumed() -> Self {
        let limits = RecordLimits {
            message_bytes: DEFAULT_MAX_MESSAGE_BYTES - BATCH_OVERHEAD,
            batch_bytes: 64 * 1024 - BATCH_OVERHEAD,
        };
        Self { limits, min_insync_replicas: 1 }
    }

    pub(super) fn read(config: &ConfigResource) -> Option<Self> {
        let number = |name| config.get(name)?.value.as_deref()?.parse::<usize>().ok();
        let limits = RecordLimits::of_topic(number("max.message.bytes")?);
        Some(Self { limits, min_insync_replicas: number("min.insync.replicas").unwrap_or(1) })
    }
}
