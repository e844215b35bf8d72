//! The embedded engine: bus and store in one data folder, with the promises of the real ones.
//!
//! Two SQLite databases, so that intake and drain never wait for each other's lock: `queue.db` (the bus, its sequence
//! and the consumer's position) and `logs.db` (logs, ledger, counters, tombstones, duplicates, dead letters). One
//! thread per database writes, with group commit; readers have connections of their own.
//!
//! Every event gets a number of a gapless sequence in the transaction that publishes it, and whatever becomes of it
//! keeps that number. So from the first to the last each number is found once, or something is lost.

mod counts;
mod crc;
mod damage;
mod database;
mod engine;
mod erase;
mod erasure_rows;
mod erasure_store;
mod error;
mod file_watch;
mod folder;
mod folder_error;
mod id_blocks;
mod import;
mod kept_counts;
mod ledger_rows;
mod log_export;
mod log_query;
mod log_rows;
mod metadata_index;
mod onlooker;
mod pairing;
mod query_plan;
mod queue;
mod queue_source;
#[doc(hidden)]
pub mod raw;
mod read_pool;
mod sequence;
mod statistics;
mod store;
mod store_writes;
mod user_timeline;
mod verify;
mod writer;

pub use damage::{Damage, DamageAlarm};
pub use engine::EmbeddedEngine;
pub use folder::DataFolder;
pub use folder_error::FolderError;
pub use onlooker::EmbeddedOnlooker;
pub use queue::EmbeddedQueue;
pub use store::EmbeddedStore;
pub use verify::EmbeddedVerification;
