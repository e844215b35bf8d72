//! Connections for reading, a few at a time.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinHandle},
};

use super::{damage::DamageAlarm, database::open_reader, error::port_error, folder_error::FolderError};
use crate::domain::ports::PortError;

/// Readers never wait for the writer; more of them than cores gain nothing.
#[derive(Clone)]
pub(super) struct ReadPool(Arc<Shared>);

struct Shared {
    file: PathBuf,
    alarm: DamageAlarm,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl ReadPool {
    pub(super) fn open(file: &Path, size: usize, alarm: &DamageAlarm) -> Result<Self, FolderError> {
        let idle = (0..size).map(|_| open_reader(file)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::of(file, idle, alarm))
    }

    /// With connections that are open already.
    pub(super) fn of(file: &Path, idle: Vec<Connection>, alarm: &DamageAlarm) -> Self {
        let permits = Arc::new(Semaphore::new(idle.len()));
        let idle = Mutex::new(idle);
        Self(Arc::new(Shared { file: file.to_owned(), alarm: alarm.clone(), idle, permits }))
    }

    /// Closes what is idle: the last to close a database has to be its writer.
    pub(super) fn close(&self) {
        self.0.permits.close();
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs the query on a thread that may block, in one read transaction, so that all it sees is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let permit = self.permit().await?;
        finished(self.start(permit, None, query)).await
    }

    /// Like [`ReadPool::read`]; the query is broken off after `max_time`, or soon after nobody waits for it any more.
    pub(super) async fn read_within<T: Send + 'static>(
        &self,
        max_time: Duration,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let gone = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&gone));
        let permit = self.permit().await?;
        let limit = Limit { deadline: Instant::now() + max_time, gone };
        finished(self.start(permit, Some(limit), query)).await
    }

    /// Like [`ReadPool::read`], without waiting; `None` where no connection is idle.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Option<Reading<T>> {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned().ok()?;
        Some(self.start(permit, None, query))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, PortError> {
        Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| closed())
    }

    fn start<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        limit: Option<Limit>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Reading<T> {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            // The permit is given back after the connection, also when the caller has gone away.
            let _permit = permit;
            let mut connection = shared.take().ok_or_else(closed)?;
            let result = within(&mut connection, limit, query);
            shared.give_back(connection);
            result.map_err(|error| {
                let error = port_error("a read", error);
                shared.alarm.note(&shared.file, &error);
                error
            })
        })
    }
}

/// How many of SQLite's instructions lie between two looks at the time: some tens of microseconds.
const STEPS: i32 = 4000;

/// When a query is broken off.
struct Limit {
    deadline: Instant,
    gone: Arc<AtomicBool>,
}

impl Limit {
    fn is_reached(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }
}

/// Says so when it goes.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A query on its way.
pub(super) type Reading<T> = JoinHandle<Result<T, PortError>>;

/// Waits for it. Cancellation: none of it is lost, it can be waited for again.
pub(super) async fn finished<T>(
    reading: impl Future<Output = Result<Result<T, PortError>, JoinError>>,
) -> Result<T, PortError> {
    reading.await.map_err(|error| PortError::unavailable("a read was cut short").caused_by(error))?
}

fn closed() -> PortError {
    PortError::closed("the embedded engine is closed")
}

impl Shared {
    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        if self.permits.is_closed() {
            return;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

fn within<T>(
    connection: &mut Connection,
    limit: Option<Limit>,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let Some(limit) = limit else { return in_transaction(connection, query) };
    connection.progress_handler(STEPS, Some(move || limit.is_reached()))?;
    let result = in_transaction(connection, query);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    result
}

fn in_transaction<T>(
    connection: &mut Connection,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let value = query(&transaction)?;
    transaction.finish()?;
    Ok(value)
}
