//! What the handlers share.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::application::{
    erasure_service::ErasureService, health_service::HealthService, ledger_service::LedgerService,
    log_service::LogService, statistics_service::StatisticsService, transfer::export_service::ExportService,
};

/// What a process says of itself.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// `embedded` or `kafka-mongodb`.
    pub backend: &'static str,
    /// `all`, `api` or `worker`.
    pub role: &'static str,
}

/// For the operational endpoints, which every process has.
#[derive(Clone)]
pub struct OpsState {
    pub health: Arc<HealthService>,
    pub about: About,
    /// `None` in a process without a store.
    pub ledger: Option<Arc<LedgerService>>,
    /// The metrics as Prometheus reads them.
    pub metrics: fn() -> String,
}

/// How request bodies are taken in.
#[derive(Clone)]
pub struct Intake {
    /// One permit per byte of all bodies held at a time.
    pub budget: Arc<Semaphore>,
    /// After unpacking, inclusive.
    pub max_body_bytes: usize,
    pub max_batch_items: usize,
    /// After unpacking, inclusive.
    pub max_batch_bytes: usize,
    pub body_timeout: Duration,
}

/// For the endpoints around logs.
#[derive(Clone)]
pub struct LogState {
    pub logs: Arc<LogService>,
    pub exports: Arc<ExportService>,
    pub erasure: Arc<ErasureService>,
    pub statistics: Arc<StatisticsService>,
    pub intake: Intake,
    /// One permit per byte of all pages that are on their way to clients.
    pub answers: Arc<Semaphore>,
}
