//! The embedded engine: bus and store in one data folder, with the promises of the real ones.
//!
//! Two SQLite databases, so that intake and drain never wait for each other's lock: `queue.db` (the bus and the
//! consumer's position) and `logs.db` (logs, counter, tombstones, dead letters). One thread per database writes, with
//! group commit; readers have connections of their own.

mod database;
mod error;
mod folder;
mod log_rows;
mod queue;
mod queue_source;
mod read_pool;
mod store;
mod store_writes;
mod writer;

pub use folder::{DataFolder, FolderError};
pub use queue::EmbeddedQueue;
pub use store::EmbeddedStore;
