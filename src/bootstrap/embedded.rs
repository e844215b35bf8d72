//! The embedded backend: queue, store and worker in one process and one folder.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, worker};
use crate::{
    application::{ingestion::WorkerParts, stored_signal::StoredSignal},
    config::{EmbeddedSettings, Settings},
    domain::ports::{Clock, Probe, Status},
    infrastructure::embedded::{DataFolder, EmbeddedQueue, EmbeddedStore},
    lifecycle::Lifecycle,
};

pub(super) async fn build(
    embedded: &EmbeddedSettings,
    settings: &Settings,
    lifecycle: &Lifecycle,
    clock: &Arc<dyn Clock>,
    signal: &StoredSignal,
) -> Result<BackendParts, StartError> {
    let folder = DataFolder::open(&embedded.data_dir)?;
    let queue = Arc::new(EmbeddedQueue::open(&folder)?);
    let store = Arc::new(EmbeddedStore::open(&folder, Arc::clone(clock), settings.tombstone_days)?);
    let parts = WorkerParts {
        source: queue.source().await.map_err(StartError::Backend)?,
        repository: store.clone(),
        dead_letters: store.clone(),
        signal: signal.clone(),
        stop: lifecycle.stop_token(),
    };
    lifecycle.spawn("worker", worker::drain(parts)).await;
    let up: Arc<dyn Probe> = Arc::new(AlwaysUp);
    let closing = {
        let (queue, store) = (Arc::clone(&queue), Arc::clone(&store));
        Box::pin(async move {
            let closed = tokio::task::spawn_blocking(move || {
                queue.close();
                store.close();
                drop(folder);
            });
            let _ = closed.await;
        })
    };
    Ok(BackendParts {
        publisher: queue,
        repository: Some(store),
        bus: Arc::clone(&up),
        store: Some(Arc::clone(&up)),
        worker: Some(up),
        bus_stop: CancellationToken::new(),
        closing,
        backend: "embedded",
        data: embedded.data_dir.display().to_string(),
    })
}

/// The engine is in the process: where it stops working, the worker's death ends the process.
struct AlwaysUp;

impl Probe for AlwaysUp {
    fn status(&self) -> Status {
        Status::Up
    }
}
