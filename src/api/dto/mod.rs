//! What requests and answers look like on the wire. These types are HTTP's alone; they are read into domain values
//! and written from them.

pub mod batch;
pub mod create_log;
pub mod erasure;
pub mod error;
pub mod export_logs;
pub mod filter;
pub mod health;
pub mod ledger;
pub mod list_logs;
pub mod log;
mod schema;
pub mod statistics;
