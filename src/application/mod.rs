//! The use cases: taking and finding logs, draining the bus into the store, telling how the service is.

pub mod erasure_service;
pub mod erasure_worker;
pub mod health_service;
pub mod ingestion;
pub mod intake_pressure;
pub mod lag_watch;
pub mod ledger_service;
pub mod log_service;
pub mod paging;
pub mod progress;
pub mod statistics_service;
pub mod stored_signal;
pub mod time_buckets;
pub mod tip_watch;
pub mod transfer;
pub mod verification;
