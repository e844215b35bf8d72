//! The composition root: settings become adapters, services, router and worker. The only place that names concrete
//! adapters, and the only `match` on the backend.

mod embedded;
mod export;
mod import;
mod metadata_indexes;
mod servers;
mod verify;
mod worker;

pub use export::{ExportOrder, ExportProgress, ExportSink, export};
pub use import::{Counted, ImportInput, ImportOrder, import};
pub use verify::verify;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, About, Intake, LogState, OpsState, ServerLimits},
    application::{
        erasure_service::{ErasureParts, ErasureService, PreviewLimits},
        erasure_worker::ErasureWorker,
        health_service::{HealthParts, HealthService},
        intake_pressure::IntakePressure,
        lag_watch::LagWatch,
        ledger_service::LedgerService,
        log_service::{LogService, Reading},
        paging::PageLimits,
        progress::WorkerProgress,
        statistics_service::StatisticsService,
        stored_signal::StoredSignal,
        tip_watch::TipWatch,
        transfer::{export_service::ExportService, import::ImportError},
    },
    config::{Backend, HttpSettings, Problem, QuerySettings, Role, Settings},
    domain::{
        MAX_PAGE_BYTES,
        ports::{
            Clock, ErasureStore, EventPublisher, LogExport, LogRepository, LogStatistics, PortError, Probe, Status,
        },
    },
    infrastructure::{clock::SystemClock, embedded::FolderError, mongo::InvalidMongoUri},
    lifecycle::{EndSignals, Lifecycle, Verdict},
    telemetry,
};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("MONGO_URI: {0}")]
    MongoUri(InvalidMongoUri),
    #[error("the backend could not be set up")]
    Backend(#[source] crate::domain::ports::PortError),
    #[error("ROLE=api with Kafka alone has no store that could be verified")]
    NothingToVerify,
    #[error("ROLE=api with Kafka alone has no store")]
    NoStore,
    #[error("signals cannot be listened to")]
    Signals(#[source] std::io::Error),
}

/// Why logs could not all be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the store could not be read or written to the end")]
    Store(#[source] PortError),
    #[error("the input could not be read")]
    Input(#[source] std::io::Error),
    #[error("the output could not be written")]
    Output(#[source] std::io::Error),
    #[error(transparent)]
    Import(ImportError),
}

type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What every backend is built with.
struct Surroundings<'a> {
    settings: &'a Settings,
    lifecycle: &'a Lifecycle,
    clock: Arc<dyn Clock>,
    pressure: IntakePressure,
    signal: StoredSignal,
    progress: WorkerProgress,
}

/// What a backend brings. Its tasks are spawned already.
struct BackendParts {
    publisher: Arc<dyn EventPublisher>,
    repository: Option<Arc<dyn LogRepository>>,
    export: Option<Arc<dyn LogExport>>,
    erasure: Option<Arc<dyn ErasureStore>>,
    statistics: Option<Arc<dyn LogStatistics>>,
    bus: Arc<dyn Probe>,
    store: Option<Arc<dyn Probe>>,
    worker: Option<Arc<dyn Probe>>,
    ledger: Option<Arc<LedgerService>>,
    /// Cancelled once no request is in flight any more.
    bus_stop: CancellationToken,
    /// Run once all tasks have ended.
    closing: Closing,
    backend: &'static str,
    /// Where the data lies, for the greeting.
    data: String,
}

/// Checks the text of a setting of which only the adapters know what it may be.
///
/// # Errors
/// What is wrong with it.
pub fn check_value(name: &str, text: &str) -> Result<(), String> {
    match name {
        "LOG_LEVEL" => telemetry::check_level(text),
        "MONGO_URI" => servers::check_mongo_uri(text),
        "KAFKA_START" => servers::check_start(text),
        "METADATA_INDEXES" => metadata_indexes::check(text),
        _ => Ok(()),
    }
}

/// Checks the settings that only make sense together, still without any I/O.
///
/// # Errors
/// Every mistake there is.
pub fn check(settings: &Settings) -> Result<(), Vec<Problem>> {
    match &settings.backend {
        Backend::Embedded(_) => Ok(()),
        Backend::Servers { kafka, .. } | Backend::KafkaOnly(kafka) => servers::check(kafka, settings),
    }
}

/// The service, ready to run.
pub struct Application {
    lifecycle: Lifecycle,
    signals: EndSignals,
    closing: Closing,
    greeting: String,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the port, opens the backend and starts every task. Servers may still be away: they are connected to in
    /// the background.
    ///
    /// # Errors
    /// What an operator has to mend first.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let lifecycle = Lifecycle::default();
        let address = SocketAddr::new(settings.http.host, settings.http.port);
        let failed = |error| StartError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let around = Surroundings {
            settings: &settings,
            lifecycle: &lifecycle,
            clock: Arc::new(SystemClock),
            pressure: IntakePressure::default(),
            signal: StoredSignal::default(),
            progress: WorkerProgress::default(),
        };
        let parts = match &settings.backend {
            Backend::Embedded(embedded) => embedded::build(embedded, &around).await?,
            Backend::Servers { kafka, mongo } => servers::build(kafka, Some(mongo), &around).await?,
            Backend::KafkaOnly(kafka) => servers::build(kafka, None, &around).await?,
        };
        let greeting = greeting(address, &parts.data, settings.role);
        if let Some(ledger) = &parts.ledger {
            let watch = LagWatch::new(Arc::clone(ledger), around.progress.clone(), Arc::clone(&around.clock));
            let stop = lifecycle.stop_token();
            let watching = async move {
                watch.run(stop).await;
                Ok(())
            };
            lifecycle.spawn("lag", watching).await;
        }
        if let Some(store) = parts.erasure.clone().filter(|_| settings.role != Role::Api) {
            let clock = Arc::clone(&around.clock);
            let worker = ErasureWorker::new(store, clock, settings.retention_days, lifecycle.stop_token());
            let working = async move {
                worker.run().await;
                Ok(())
            };
            lifecycle.spawn("erasure", working).await;
        }
        // Whoever is answered may ask for the end, and it has to be an orderly one.
        let signals = EndSignals::listen().map_err(StartError::Signals)?;
        let closing = serve_http(listener, parts, around).await;
        Ok(Self { lifecycle, signals, closing, greeting, shutdown_timeout: settings.shutdown_timeout })
    }

    /// Where it listens, where the data lies and where the docs are.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Runs until a signal or a dying task, then ends in order within the budget.
    pub async fn run(self) -> Verdict {
        let stop = self.lifecycle.stop_token();
        let stopped_at = async {
            stop.cancelled().await;
            Instant::now()
        };
        let running = self.lifecycle.run(self.signals, self.shutdown_timeout);
        let (verdict, stopped_at) = tokio::join!(running, stopped_at);
        if verdict == Verdict::CutShort {
            return verdict;
        }
        let left = self.shutdown_timeout.saturating_sub(stopped_at.elapsed());
        match tokio::time::timeout(left, self.closing).await {
            Ok(()) => verdict,
            Err(_) => Verdict::CutShort,
        }
    }
}

async fn serve_http(listener: TcpListener, parts: BackendParts, around: Surroundings<'_>) -> Closing {
    let Surroundings { settings, lifecycle, clock, pressure, signal, .. } = around;
    let http = &settings.http;
    let has_api = settings.role != Role::Worker;
    let bus_stop = parts.bus_stop;
    let stop = lifecycle.stop_token();
    let health = HealthService::new(
        HealthParts {
            bus: parts.bus,
            store: parts.store,
            worker: parts.worker,
            lifecycle: Arc::new(StopProbe(stop.clone())),
        },
        has_api,
        has_api && parts.repository.is_some(),
    );
    let about = About { backend: parts.backend, role: role_word(settings.role) };
    let ops = OpsState { health: Arc::new(health), about, ledger: parts.ledger, metrics: telemetry::metrics };
    let reading = reading(&settings.query);
    if let Some(repository) = parts.repository.clone().filter(|_| has_api) {
        let watching = Arc::clone(&reading.tip).run(repository, stop.clone());
        lifecycle
            .spawn("tip", async move {
                watching.await;
                Ok(())
            })
            .await;
    }
    let exports = ExportService::new(parts.export, Arc::clone(&clock), Arc::clone(&reading.tip), reading.limits);
    let erasure = parts.repository.clone().zip(parts.erasure);
    let erasure = erasure.map(|(repository, jobs)| ErasureParts { repository, jobs });
    let previews = PreviewLimits { count_cap: settings.query.count_cap, max_time: settings.query.timeout };
    let statistics = StatisticsService::new(parts.statistics, Arc::clone(&clock), settings.query.timeout);
    let logs = has_api.then(|| LogState {
        statistics: Arc::new(statistics),
        exports: Arc::new(exports),
        erasure: Arc::new(ErasureService::new(erasure, Arc::clone(&clock), previews)),
        logs: Arc::new(LogService::new(
            pressure.count(parts.publisher),
            parts.repository,
            clock,
            signal,
            reading,
            http.max_waiters,
            stop.clone(),
        )),
        intake: intake(http),
        answers: Arc::new(Semaphore::new(http.max_inflight_bytes.max(2 * MAX_PAGE_BYTES))),
    });
    let router = api::router(ops, logs, &http.cors_origins);
    let limits = ServerLimits { connections: http.max_connections, header_timeout: http.header_timeout };
    lifecycle
        .spawn("http", async move {
            api::serve(listener, router, limits, stop).await;
            bus_stop.cancel();
            Ok(())
        })
        .await;
    parts.closing
}

fn reading(query: &QuerySettings) -> Reading {
    let QuerySettings { timeout, count_cap, cursor_lag, .. } = *query;
    Reading {
        tip: Arc::new(TipWatch::new(cursor_lag)),
        limits: PageLimits { count_cap, max_time: timeout, cursor_lag },
    }
}

fn intake(http: &HttpSettings) -> Intake {
    Intake {
        budget: Arc::new(Semaphore::new(http.max_inflight_bytes)),
        max_body_bytes: http.max_body_bytes,
        max_batch_items: http.max_batch_items,
        max_batch_bytes: http.max_batch_bytes,
        body_timeout: http.body_timeout,
    }
}

/// Down from the moment the shutdown begins.
struct StopProbe(CancellationToken);

impl Probe for StopProbe {
    fn status(&self) -> Status {
        if self.0.is_cancelled() { Status::Down("shutting down".to_owned()) } else { Status::Up }
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::All => "all",
        Role::Api => "api",
        Role::Worker => "worker",
    }
}

fn greeting(address: SocketAddr, data: &str, role: Role) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let docs = if role == Role::Worker { String::new() } else { format!(" · docs at http://{address}/docs") };
    format!("eyego {version} listening on http://{address} · data in {data}{docs}")
}
