//! The use cases: taking and finding logs, draining the bus into the store, telling how the service is.

pub mod health_service;
pub mod ingestion;
pub mod log_service;
pub mod stored_signal;
