//! Kafka behind the bus ports: the publisher, the dead-letter topic, the consumer group and its members.
//!
//! The only place that knows rdkafka. Errors leave it as port errors, sorted by what the caller should do.

mod aside;
mod circuit;
mod client_config;
mod consumer;
mod context;
mod dead_letters;
mod delivery;
mod error;
mod flight;
mod group;
mod history;
mod limits;
mod looker;
mod offsets;
mod options;
mod producer;
#[doc(hidden)]
pub mod raw;
mod supervise;
mod topics;

pub use client_config::validate;
pub use consumer::KafkaSource;
pub use dead_letters::DeadLetterTopic;
pub use group::KafkaGroup;
pub use history::KafkaHistory;
pub use offsets::KafkaOffsets;
pub use options::KafkaOptions;
pub use producer::KafkaPublisher;
