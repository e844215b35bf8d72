//! The publisher's own settings and headers, for the benches that measure what a bare librdkafka producer does with
//! them. No part of the adapter.

use rdkafka::{ClientConfig, message::OwnedHeaders};

use super::{client_config, limits::RecordLimits, options::KafkaOptions, producer};
use crate::domain::Event;

/// The settings of the publisher's client, for a topic with Kafka's default limits.
pub fn producer_settings(options: &KafkaOptions) -> ClientConfig {
    client_config::producer(options, RecordLimits::of_default_topic())
}

/// The headers that the publisher gives to the event's record.
pub fn headers(event: &Event) -> OwnedHeaders {
    producer::headers(event)
}
