//! The embedded engine: its harnesses, and what only it has to show.

use std::sync::Arc;

use eyego::{
    domain::ports::{DeadLetters, EventPublisher, LogRepository, PublishOutcome},
    infrastructure::{
        clock::SystemClock,
        embedded::{DataFolder, EmbeddedQueue, EmbeddedStore, FolderError},
    },
};
use tempfile::TempDir;

use crate::{repository::RepositoryHarness, support::some_events};

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

impl RepositoryHarness for EmbeddedHarness {
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open_store(&folder));
        Some(Self { folder, store })
    }

    fn logs(&self) -> Arc<dyn LogRepository> {
        self.store()
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.store()
    }

    async fn reopen(&mut self) {
        self.store().close();
        self.store = None;
        self.store = Some(open_store(&self.folder));
    }

    async fn end(self) {
        self.store().close();
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
