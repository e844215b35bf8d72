//! A member of the consumer group: its own thread polls Kafka, its async front hands out batches.

mod commit;
mod desk;
mod rebalance;
pub(super) mod record;
mod source;
mod thread;

pub use source::KafkaSource;
pub(super) use source::join;
