//! What the process tells of itself: log lines on standard error, and metrics for whoever asks.

use std::{io::IsTerminal, sync::OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::LogFormat;

/// Every metric, with its unit and what it means. `docs/METRICS.md` holds the same list.
pub const CATALOG: &[(&str, &str)] = &[
    ("eyego_published_total", "Events by what the bus said: taken (202), refused (503, 413), unknown (504)"),
    ("eyego_lag_records", "Records on a partition that are not stored yet"),
    (
        "eyego_lag_seconds",
        "How long the oldest record of a partition that is not stored yet has been seen waiting, in seconds",
    ),
    ("eyego_ledger_records", "Everything accepted, by what became of it; see GET /api/ledger"),
    ("eyego_ledger_unbalanced_partitions", "Partitions whose account does not add up; run eyego verify"),
    ("eyego_ledger_seen_timestamp_seconds", "When lag and ledger were last read, in seconds since 1970"),
    ("eyego_ingestion_retries_total", "Calls of the worker that failed and were made again, by stage"),
    ("eyego_erased_logs_total", "Logs that jobs erased, by kind: erasure, retention"),
    ("eyego_alarms_total", "Things that should never happen, by alarm; somebody has to look"),
    ("eyego_up", "Whether a part is up: process, bus, store, worker"),
    ("process_resident_memory_bytes", "Resident memory of the process, in bytes"),
];

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The metrics as Prometheus reads them.
pub fn metrics() -> String {
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    METRICS.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// As Linux tells it; elsewhere there is no figure.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Whether a `LOG_LEVEL` can be read.
///
/// # Errors
/// What is wrong with it.
pub fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level).map(drop).map_err(|_| "must be a level or a filter such as info,eyego=debug".to_owned())
}

/// Sends log lines to standard error and collects metrics. To be called once, before anything is measured.
pub fn start(level: &str, format: LogFormat) {
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().ok());
    for &(name, help) in CATALOG {
        if name.ends_with("_total") {
            metrics::describe_counter!(name, help);
        } else {
            metrics::describe_gauge!(name, help);
        }
    }
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (in a test) leaves the first subscriber in place.
    let _ = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
            registry.with(lines).try_init()
        }
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_current_span(false))
            .try_init(),
    };
}
