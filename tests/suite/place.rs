//! A data folder of the embedded engine in the hands of a test: filled, drained, restarted, crashed, tampered with.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use eyego::{
    application::{
        ingestion::{IngestionWorker, Pace, StepOutcome, WorkerParts},
        intake_pressure::IntakePressure,
        progress::WorkerProgress,
        stored_signal::StoredSignal,
    },
    domain::{
        Account, Event, LogFilter, LogId, Metadata, NewLog, Timestamp,
        ports::{
            BusOffsets, Clock, DeleteOutcome, EventPublisher, Ledger, LogRepository, PublishOutcome, Verification,
            VerificationProgress, VerificationReporter, VerificationSummary,
        },
    },
    infrastructure::embedded::{EmbeddedEngine, EmbeddedVerification, FolderError},
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{MAX_TIME, at, event, eventually, first_page, log};

/// A time that stands still.
pub struct Stopped(pub i64);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
}

pub fn open(path: &Path) -> Result<EmbeddedEngine, FolderError> {
    EmbeddedEngine::open(path, Arc::new(Stopped(0)), 0)
}

/// The message with which the folder is refused.
pub fn refusal(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("the folder is taken as it is"),
        Err(error) => error.to_string(),
    }
}

/// An event that no worker can read.
pub fn poison() -> Event {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(150), "]".repeat(150));
    event(NewLog { metadata: Metadata::from_canonical(deep), ..log("u", "poison") })
}

/// What a verification said.
#[derive(Debug, Default)]
pub struct Verdict {
    pub summary: VerificationSummary,
    pub faults: Vec<String>,
    pub progress: Vec<VerificationProgress>,
}

impl VerificationReporter for Verdict {
    fn progress(&mut self, progress: VerificationProgress) {
        self.progress.push(progress);
    }

    fn fault(&mut self, fault: &str) {
        self.faults.push(fault.to_owned());
    }
}

pub async fn verify(folder: &Path) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.summary = EmbeddedVerification::open(folder).unwrap().verify(&mut verdict).await.unwrap();
    verdict
}

/// A folder with the engine open on it.
pub struct Place {
    dir: TempDir,
    engine: Option<EmbeddedEngine>,
}

impl Place {
    pub fn new() -> Self {
        let mut place = Self::empty();
        place.start();
        place
    }

    /// Without an engine on it.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engine: None }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn engine(&self) -> &EmbeddedEngine {
        self.engine.as_ref().unwrap()
    }

    pub async fn publish(&self, events: &[Event]) {
        let outcomes = self.engine().queue.publish(events.to_vec()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Taken)), "{outcomes:?}");
    }

    /// A worker on this engine.
    pub async fn worker(&self) -> IngestionWorker {
        IngestionWorker::new(WorkerParts {
            source: self.engine().queue.source().await.unwrap(),
            repository: self.engine().store.clone(),
            dead_letters: self.engine().store.clone(),
            accountant: None,
            pace: Pace { records: 1000, bytes: 1 << 20, in_flight: NonZeroUsize::MIN },
            pressure: IntakePressure::default(),
            signal: StoredSignal::default(),
            progress: WorkerProgress::default(),
            stop: CancellationToken::new(),
        })
    }

    /// Stores what is queued, up to so many batches.
    pub async fn drain_some(&self, batches: usize) {
        let mut worker = self.worker().await;
        for _ in 0..batches {
            let end = self.engine().queue.offsets().await.unwrap()[0].end;
            if self.account().await.next == end {
                break;
            }
            let done = worker.step().await.unwrap();
            assert!(matches!(done, StepOutcome::Done(_)), "{done:?}");
        }
    }

    /// Stores all that is queued, and waits until the queue knows.
    pub async fn drain(&self) {
        self.drain_some(usize::MAX).await;
        eventually("the position is committed", async || {
            let offsets = self.engine().queue.offsets().await.unwrap()[0];
            offsets.committed == Some(offsets.end)
        })
        .await;
    }

    pub async fn delete(&self, id: i64) {
        let outcome = self.engine().store.delete(LogId::new(id)).await.unwrap();
        assert_eq!(outcome, DeleteOutcome::Deleted);
    }

    pub async fn ids(&self) -> Vec<i64> {
        first_page(&*self.engine().store).await.logs.iter().map(|log| log.id.unwrap().get()).collect()
    }

    pub async fn logs_of(&self, user: &str) -> u64 {
        let filter = LogFilter { user_ids: vec![user.to_owned()], ..LogFilter::default() };
        self.engine().store.count(&filter, 1000, MAX_TIME).await.unwrap().number
    }

    pub async fn account(&self) -> Account {
        self.engine().store.accounts().await.unwrap().remove(0)
    }

    pub async fn verify(&self) -> Verdict {
        verify(self.path()).await
    }

    /// Ends the engine as a stop of the service does.
    pub fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.close();
        }
    }

    pub fn start(&mut self) {
        self.engine = Some(open(self.path()).unwrap());
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// What `kill -9` would leave at this moment, in a folder of its own.
    pub fn crashed(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in ["queue.db", "queue.db-wal", "logs.db", "logs.db-wal", "eyego.lock"] {
            if self.path().join(file).exists() {
                fs::copy(self.path().join(file), copy.path().join(file)).unwrap();
            }
        }
        copy
    }

    /// Changes a database behind the engine's back.
    pub fn tamper(&self, file: &str, sql: &str) {
        tamper(self.path(), file, sql);
    }
}

/// Changes exactly one row of a database behind the engine's back.
pub fn tamper(folder: &Path, file: &str, sql: &str) {
    let changed = Connection::open(folder.join(file)).unwrap().execute(sql, []).unwrap();
    assert_eq!(changed, 1, "{sql}");
}

/// What a query over all rows of one column gives.
pub fn query(folder: &Path, file: &str, sql: &str) -> Vec<i64> {
    let connection = Connection::open(folder.join(file)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The files of a folder with their contents.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}
