//! The embedded backend: queue, store and worker in one process and one folder.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, worker as task};
use crate::{
    application::{ingestion::WorkerParts, stored_signal::StoredSignal},
    config::{EmbeddedSettings, Settings},
    domain::ports::{Clock, Probe},
    infrastructure::{
        embedded::{DamageAlarm, EmbeddedEngine},
        status_cell::StatusCell,
    },
    lifecycle::{Lifecycle, TaskResult},
};

pub(super) async fn build(
    embedded: &EmbeddedSettings,
    settings: &Settings,
    lifecycle: &Lifecycle,
    clock: &Arc<dyn Clock>,
    signal: &StoredSignal,
) -> Result<BackendParts, StartError> {
    // A limit on the size of files is met like a full disk, not with the end of the process.
    lifecycle.survive_file_size_limit().map_err(StartError::Signals)?;
    let engine = EmbeddedEngine::open(&embedded.data_dir, Arc::clone(clock), settings.tombstone_days)?;
    let (queue, store) = (Arc::clone(&engine.queue), Arc::clone(&engine.store));
    lifecycle.spawn("data", watch(engine.alarm(), lifecycle.stop_token())).await;
    let parts = WorkerParts {
        source: queue.source().await.map_err(StartError::Backend)?,
        repository: store.clone(),
        dead_letters: store.clone(),
        accountant: None,
        signal: signal.clone(),
        stop: lifecycle.stop_token(),
    };
    lifecycle.spawn("worker", task::drain(parts)).await;
    // A disk that refuses writes stops intake and drain, but not reading.
    let (bus, worker): (Arc<dyn Probe>, Arc<dyn Probe>) = (Arc::new(queue.status()), Arc::new(store.status()));
    let closing = Box::pin(async move {
        let closed = tokio::task::spawn_blocking(move || engine.close());
        let _ = closed.await;
    });
    Ok(BackendParts {
        publisher: queue,
        repository: Some(store),
        bus,
        worker: Some(worker),
        store: Some(Arc::new(StatusCell::up())),
        bus_stop: CancellationToken::new(),
        closing,
        backend: "embedded",
        data: embedded.data_dir.display().to_string(),
    })
}

/// A damaged file ends the process: what it would serve and store from then on could not be trusted.
async fn watch(alarm: DamageAlarm, stop: CancellationToken) -> TaskResult {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        damage = alarm.raised() => Err(damage.into()),
    }
}
