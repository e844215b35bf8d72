//! The embedded backend: queue, store and worker in one process and one folder.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, worker as task};
use crate::{
    application::{ingestion::WorkerParts, stored_signal::StoredSignal},
    config::{EmbeddedSettings, Settings},
    domain::ports::{Clock, Probe},
    infrastructure::{
        embedded::{DataFolder, EmbeddedQueue, EmbeddedStore},
        status_cell::StatusCell,
    },
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
        accountant: None,
        signal: signal.clone(),
        stop: lifecycle.stop_token(),
    };
    lifecycle.spawn("worker", task::drain(parts)).await;
    // A disk that refuses writes stops intake and drain, but not reading.
    let (bus, worker): (Arc<dyn Probe>, Arc<dyn Probe>) = (Arc::new(queue.status()), Arc::new(store.status()));
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
        bus,
        worker: Some(worker),
        store: Some(Arc::new(StatusCell::up())),
        bus_stop: CancellationToken::new(),
        closing,
        backend: "embedded",
        data: embedded.data_dir.display().to_string(),
    })
}
