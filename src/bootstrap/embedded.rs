//! The embedded backend: queue, store and worker in one process and one folder.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, Surroundings, worker as task};
use crate::{
    application::ingestion::WorkerParts,
    config::EmbeddedSettings,
    domain::ports::Probe,
    infrastructure::{
        embedded::{DataFolder, EmbeddedQueue, EmbeddedStore},
        status_cell::StatusCell,
    },
};

pub(super) async fn build(embedded: &EmbeddedSettings, around: &Surroundings<'_>) -> Result<BackendParts, StartError> {
    let folder = DataFolder::open(&embedded.data_dir)?;
    let queue = Arc::new(EmbeddedQueue::open(&folder)?);
    let store = Arc::new(EmbeddedStore::open(&folder, Arc::clone(&around.clock), around.settings.tombstone_days)?);
    let parts = WorkerParts {
        source: queue.source().await.map_err(StartError::Backend)?,
        repository: store.clone(),
        dead_letters: store.clone(),
        accountant: None,
        signal: around.signal.clone(),
        progress: around.progress.clone(),
        stop: around.lifecycle.stop_token(),
    };
    around.lifecycle.spawn("worker", task::drain(parts)).await;
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
        ledger: None,
        bus_stop: CancellationToken::new(),
        closing,
        backend: "embedded",
        data: embedded.data_dir.display().to_string(),
    })
}
