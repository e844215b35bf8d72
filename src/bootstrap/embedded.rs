//! The embedded backend: queue, store and worker in one process and one folder.

use std::{num::NonZeroUsize, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, Surroundings, metadata_indexes, worker as task};
use crate::{
    application::{
        ingestion::{Pace, WorkerParts},
        ledger_service::LedgerService,
    },
    config::EmbeddedSettings,
    domain::ports::Probe,
    infrastructure::{
        embedded::{DamageAlarm, EmbeddedEngine, EmbeddedStore},
        status_cell::StatusCell,
    },
    lifecycle::TaskResult,
};

/// Each transaction writes every page of the indexes that it touches once: a large one touches hardly more of them than a
/// small one. While the one writing thread stores a batch, the next is numbered and waits for it.
const PACE: Pace = Pace { records: 5000, bytes: 4 << 20, in_flight: NonZeroUsize::MIN.saturating_add(1) };

pub(super) async fn build(embedded: &EmbeddedSettings, around: &Surroundings<'_>) -> Result<BackendParts, StartError> {
    // A limit on the size of files is met like a full disk, not with the end of the process.
    around.lifecycle.survive_file_size_limit().map_err(StartError::Signals)?;
    let tombstone_days = around.settings.tombstone_days;
    let engine = EmbeddedEngine::open(&embedded.data_dir, Arc::clone(&around.clock), tombstone_days)?;
    let (queue, store) = (Arc::clone(&engine.queue), Arc::clone(&engine.store));
    let stop = around.lifecycle.stop_token();
    around.lifecycle.spawn("data", watch(engine.alarm(), stop)).await;
    store.index_metadata(&metadata_indexes::paths(around.settings)).await.map_err(StartError::Backend)?;
    let stop = around.lifecycle.stop_token();
    around.lifecycle.spawn("metadata-indexes", build_indexes(Arc::clone(&store), stop)).await;
    let parts = WorkerParts {
        source: queue.source().await.map_err(StartError::Backend)?,
        repository: store.clone(),
        dead_letters: store.clone(),
        accountant: None,
        pace: PACE,
        pressure: around.pressure.clone(),
        signal: around.signal.clone(),
        progress: around.progress.clone(),
        stop: around.lifecycle.stop_token(),
    };
    around.lifecycle.spawn("worker", task::drain(parts)).await;
    // A disk that refuses writes stops intake and drain, but not reading.
    let (bus, worker): (Arc<dyn Probe>, Arc<dyn Probe>) = (Arc::new(queue.status()), Arc::new(store.status()));
    // Reading works whatever the disk says to writes.
    let readable = Arc::new(StatusCell::up());
    let ledger = LedgerService::new("queue".to_owned(), store.clone(), queue.clone(), readable);
    let closing = Box::pin(async move {
        let closed = tokio::task::spawn_blocking(move || engine.close());
        let _ = closed.await;
    });
    Ok(BackendParts {
        publisher: queue,
        repository: Some(store.clone()),
        erasure: Some(store.clone()),
        statistics: Some(store.clone()),
        export: Some(store),
        bus,
        worker: Some(worker),
        store: Some(Arc::new(StatusCell::up())),
        ledger: Some(Arc::new(ledger)),
        bus_stop: CancellationToken::new(),
        closing,
        backend: "embedded",
        data: embedded.data_dir.display().to_string(),
    })
}

async fn build_indexes(store: Arc<EmbeddedStore>, stop: CancellationToken) -> TaskResult {
    stop.run_until_cancelled(store.build_metadata_indexes()).await;
    stop.cancelled().await;
    Ok(())
}

/// A damaged file ends the process: what it would serve and store from then on could not be trusted.
async fn watch(alarm: DamageAlarm, stop: CancellationToken) -> TaskResult {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        damage = alarm.raised() => Err(damage.into()),
    }
}
