//! The embedded engine: its harnesses, and what only it has to show.

use std::sync::{Arc, Mutex};

use eyego::{
    domain::{
        MetadataPath,
        ports::{
            DeadLetters, ErasureStore, EventPublisher, EventSource, LogExport, LogImport, LogRepository, LogStatistics,
            PublishOutcome,
        },
    },
    infrastructure::{
        clock::SystemClock,
        embedded::{DataFolder, EmbeddedQueue, EmbeddedStore, FolderError},
    },
};
use tempfile::TempDir;

use crate::{bus::BusHarness, contract::Harness, repository::RepositoryHarness, support::some_events};

/// A store in a folder of its own.
pub struct EmbeddedHarness {
    folder: TempDir,
    store: Option<Arc<EmbeddedStore>>,
}

fn open_store(folder: &TempDir) -> Arc<EmbeddedStore> {
    let locked = DataFolder::open(folder.path()).unwrap();
    Arc::new(EmbeddedStore::open(&locked, Arc::new(SystemClock), 0).unwrap())
}

impl EmbeddedHarness {
    fn store(&self) -> Arc<EmbeddedStore> {
        self.store.clone().unwrap()
    }
}

impl Harness for EmbeddedHarness {
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open_store(&folder));
        Some(Self { folder, store })
    }

    async fn end(self) {
        self.store().close();
    }
}

impl RepositoryHarness for EmbeddedHarness {
    fn logs(&self) -> Arc<dyn LogRepository> {
        self.store()
    }

    fn erasure(&self) -> Arc<dyn ErasureStore> {
        self.store()
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.store()
    }

    fn export(&self) -> Arc<dyn LogExport> {
        self.store()
    }

    fn import(&self) -> Arc<dyn LogImport> {
        self.store()
    }

    fn statistics(&self) -> Arc<dyn LogStatistics> {
        self.store()
    }

    async fn reopen(&mut self) {
        self.store().close();
        self.store = None;
        self.store = Some(open_store(&self.folder));
    }

    async fn reopen_with_indexes_of(&mut self, paths: &[MetadataPath]) {
        self.reopen().await;
        self.store().index_metadata(paths).await.unwrap();
        self.store().build_metadata_indexes().await;
    }
}

/// A queue in a folder of its own. It is taken out to be closed and opened again.
pub struct EmbeddedBus {
    folder: TempDir,
    queue: Mutex<Option<Arc<EmbeddedQueue>>>,
}

impl EmbeddedBus {
    fn queue(&self) -> Arc<EmbeddedQueue> {
        self.queue.lock().unwrap().clone().unwrap()
    }

    fn close(&self) {
        self.queue().close();
        *self.queue.lock().unwrap() = None;
    }

    fn open(&self) {
        let locked = DataFolder::open(self.folder.path()).unwrap();
        *self.queue.lock().unwrap() = Some(Arc::new(EmbeddedQueue::open(&locked).unwrap()));
    }
}

impl Harness for EmbeddedBus {
    async fn start() -> Option<Self> {
        let bus = Self { folder: tempfile::tempdir().unwrap(), queue: Mutex::new(None) };
        bus.open();
        Some(bus)
    }

    async fn end(self) {
        self.queue().close();
    }
}

impl BusHarness for EmbeddedBus {
    fn publisher(&self) -> Arc<dyn EventPublisher> {
        self.queue()
    }

    async fn source(&self) -> Box<dyn EventSource> {
        self.queue().source().await.unwrap()
    }

    async fn put_raw(&self, value: &[u8]) {
        self.close();
        let file = rusqlite::Connection::open(self.folder.path().join("queue.db")).unwrap();
        file.execute(
            "INSERT INTO events (seq, event_id, received_at, value)
             SELECT max(next, (SELECT ifnull(max(seq), -1) + 1 FROM events)), randomblob(16), 0, ? FROM consumer",
            [value],
        )
        .unwrap();
        drop(file);
        self.open();
    }

    async fn close_publisher(&self) {
        self.queue().close();
    }

    async fn reopen(&mut self) {
        self.close();
        self.open();
    }

    fn oversized(&self) -> Option<usize> {
        None
    }
}

#[test]
fn a_folder_belongs_to_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = DataFolder::open(folder.path()).unwrap();
    assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::InUse(_))));
    drop(first);
    assert!(DataFolder::open(folder.path()).is_ok());
}

#[test]
fn a_folder_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let locked = DataFolder::open(folder.path()).unwrap();
    drop(EmbeddedQueue::open(&locked).unwrap());
    rusqlite::Connection::open(folder.path().join("queue.db"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(EmbeddedQueue::open(&locked), Err(FolderError::TooNew(_, 99, _))));
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let queue = EmbeddedQueue::open(&DataFolder::open(folder.path()).unwrap()).unwrap();
    queue.close();
    let outcomes = queue.publish(some_events(2)).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Refused(_))), "{outcomes:?}");
}
