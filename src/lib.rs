//! EyeGo: takes user activity logs over HTTP, queues them durably, stores each exactly once, and serves them back.
//!
//! # The life of one log
//!
//! ```text
//! POST body -> api::extract -> api::dto::create_log -> handler -> domain::NewLog -> application::log_service
//!    -> port EventPublisher -> infrastructure::{kafka | embedded} (wire encodes)          -> 202, once durable
//! … bus …
//!    -> infrastructure::{kafka | embedded} (wire decodes; what it cannot is data: Malformed)
//!    -> application::ingestion (worker, policy) -> port LogRepository::append
//!    -> infrastructure::{mongo | embedded}      -> commit
//! GET query -> api::dto::{list_logs, filter}, api::cursor -> handler -> application::{log_service, paging}
//!    -> LogRepository::{find, count} -> api::dto::log -> JSON
//! ```
//!
//! A 202 promises that the log is on the bus for good and that the store will hold it exactly once. It does not promise
//! that the log can be read yet: the receipt under `Location` tells when.
//!
//! Dependencies point inward: [`api`] and [`infrastructure`] know [`domain`], which knows nobody; [`bootstrap`] alone
//! puts adapters behind ports. `tests/tidy.rs` holds the table. See `docs/ARCHITECTURE.md`.

pub mod api;
pub mod application;
pub mod bench;
pub mod bootstrap;
pub mod commands;
pub mod config;
pub mod domain;
pub mod infrastructure;
pub mod lifecycle;
pub mod telemetry;
