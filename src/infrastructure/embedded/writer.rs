//! The writing thread of a database, with group commit: everything waiting goes into one transaction, is synced once,
//! and then every caller is answered.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::{runtime::Handle, sync::oneshot};
use tracing::{error, info};

use super::{
    damage::DamageAlarm,
    error::{left_nothing, port_error},
    file_watch::FileWatch,
    folder_error::FolderError,
};
use crate::{
    domain::ports::{ErrorChain, PortError, Probe, Status},
    infrastructure::status_cell::StatusCell,
};

/// How many jobs one transaction takes at most, so that the first caller does not wait for ever.
const GROUP: usize = 4096;
/// A thread of this niceness gets a ninth of the time of one that has none.
#[cfg(target_os = "linux")]
const DRAIN_NICENESS: i32 = 10;
/// Up to here whoever waits is woken by the writing thread itself.
const FEW: usize = 4;
/// While more than so many come at a time, a transaction begins this long after the last one, or with so many. Each
/// writes half a dozen pages whole, however little is new on them: by the thousand they are most of what a disk has to take.
/// Fewer callers, each of which waits for its answer, would only be held up.
const CROWD: usize = 8;
const INTERVAL: Duration = Duration::from_millis(1);
const ENOUGH: usize = 12;
/// How often it is looked how many have come.
const SLICE: Duration = Duration::from_micros(200);
/// How often a disk that refused is tried again while nobody writes.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Why a write did not succeed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing of it is or will be in the database.
    NotDone(PortError),
    /// The last step failed: after a crash it may turn out to be done.
    Unknown(PortError),
}

impl WriteError {
    pub(super) fn into_port_error(self) -> PortError {
        match self {
            Self::NotDone(error) | Self::Unknown(error) => error,
        }
    }
}

type Work<T> = Box<dyn FnOnce(&Connection) -> rusqlite::Result<T> + Send>;

/// What goes first where there is not enough processor time for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for the answer.
    Intake,
    /// It is durable elsewhere already: intake goes first, and this keeps a share of about a tenth.
    Drain,
}

impl Urgency {
    fn apply(self) {
        // Elsewhere it would be the whole process.
        #[cfg(target_os = "linux")]
        if self == Self::Drain {
            // Without it everything still works.
            let _ = rustix::process::setpriority_process(None, DRAIN_NICENESS);
        }
    }
}

/// A piece of work in a shared transaction.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> Result<(), PortError>;
    fn done(self: Box<Self>, result: Result<(), WriteError>);
}

struct TypedJob<T> {
    work: Option<Work<T>>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, WriteError>>,
}

impl<T: Send> Job for TypedJob<T> {
    fn run(&mut self, connection: &Connection) -> Result<(), PortError> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(connection).map_err(|error| port_error("a write", error))?);
        }
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), WriteError>) {
        let answer = match (result, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(WriteError::NotDone(PortError::unavailable("the write was not run"))),
            (Err(error), _) => Err(error),
        };
        // A caller that has gone away does not undo the write.
        let _ = self.reply.send(answer);
    }
}

/// What a database's owner adds to every group. It runs on the writing thread.
pub(super) trait GroupHook: Send {
    /// First in the transaction.
    fn begin(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    /// Last in the transaction.
    fn finish(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    /// Once it is durable, before the callers are answered.
    fn committed(&mut self) {}
}

/// Nothing to add.
pub(super) struct NoHook;

impl GroupHook for NoHook {}

/// The handle of a writing thread. The thread ends, with everything done, when the handle is closed or dropped.
pub(super) struct Writer {
    health: StatusCell,
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        name: &str,
        urgency: Urgency,
        connection: Connection,
        hook: impl GroupHook + 'static,
        alarm: &DamageAlarm,
    ) -> Result<Arc<Self>, FolderError> {
        let (sender, receiver) = mpsc::channel();
        let health = StatusCell::up();
        let thread = {
            let file = FileWatch::on(Path::new(connection.path().unwrap_or_default()));
            let alarm = alarm.clone();
            let (health, hook, runtime) = (health.clone(), Box::new(hook), Handle::try_current().ok());
            let (last_group, begun) = (0, Instant::now());
            let mut desk = Desk { connection, file, health, hook, alarm, runtime, last_group, begun };
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                urgency.apply();
                desk.work(&receiver);
                desk.close();
            })
        };
        let thread = thread.map_err(FolderError::Thread)?;
        Ok(Arc::new(Self { health, jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) }))
    }

    /// Runs the work in the next transaction and answers once that is durable. Cancellation: what was begun is done.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let answer = self.begin(work).map_err(WriteError::NotDone)?;
        answer.await.unwrap_or_else(|_| Err(WriteError::Unknown(PortError::closed("the writer ended"))))
    }

    /// Like [`Writer::write`], without waiting.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, WriteError>>, PortError> {
        let (reply, answer) = oneshot::channel();
        let job = TypedJob { work: Some(Box::new(work)), value: None, reply };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || PortError::closed("the embedded engine is closed");
        jobs.as_ref().ok_or_else(closed)?.send(Box::new(job)).map_err(|_| closed())?;
        Ok(answer)
    }

    /// Whether the last write succeeded.
    pub(super) fn health(&self) -> StatusCell {
        self.health.clone()
    }

    /// Finishes what was begun and ends the thread. Blocks.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            error!("a database's writing thread panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread has in hand.
struct Desk {
    connection: Connection,
    file: FileWatch,
    health: StatusCell,
    hook: Box<dyn GroupHook>,
    alarm: DamageAlarm,
    /// Absent where nobody waits in a runtime.
    runtime: Option<Handle>,
    /// How many jobs the last group had, and when it began.
    last_group: usize,
    begun: Instant,
}

impl Desk {
    fn work(&mut self, jobs: &mpsc::Receiver<Box<dyn Job>>) {
        loop {
            if let Err(error) = self.file.look() {
                self.alarm.note(self.file.file(), &error);
            }
            match jobs.recv_timeout(LOOK_AGAIN) {
                Ok(first) => {
                    let group = self.gather(first, jobs);
                    self.run(group);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.look_again(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn gather(&mut self, first: Box<dyn Job>, jobs: &mpsc::Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(GROUP - 1));
        while self.last_group > CROWD && group.len() < ENOUGH && self.begun.elapsed() < INTERVAL {
            thread::sleep(SLICE);
            group.extend(jobs.try_iter().take(GROUP - group.len()));
        }
        (self.last_group, self.begun) = (group.len(), Instant::now());
        group
    }

    fn run(&mut self, mut group: Vec<Box<dyn Job>>) {
        let result = commit_group(&mut self.connection, &mut *self.hook, &mut group);
        match &result {
            Ok(()) => {
                self.recovered();
                self.hook.committed();
            }
            Err(failure) => self.failed(failure.error(), group.len()),
        }
        let failed = result.is_err();
        self.answer(group, result);
        if failed {
            // A full or failing disk does not get better by being asked ten thousand times a second.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waking a task from a thread of its own is expensive: many are woken by a task, while the next group is written.
    fn answer(&self, group: Vec<Box<dyn Job>>, result: Result<(), GroupFailure>) {
        match self.runtime.as_ref().filter(|_| group.len() > FEW) {
            Some(runtime) => drop(runtime.spawn(async move { answer_all(group, &result) })),
            None => answer_all(group, &result),
        }
    }

    /// Writes a little while nobody writes, so that a recovery is seen without traffic.
    fn look_again(&mut self) {
        if self.health.status().is_up() {
            return;
        }
        let version = self.connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        if version.and_then(|version| self.connection.pragma_update(None, "user_version", version)).is_ok() {
            self.recovered();
        }
    }

    fn recovered(&self) {
        if self.health.set(Status::Up) {
            info!("writing works again");
        }
    }

    /// Logged when it begins, not for every group that it hits.
    fn failed(&self, error: &PortError, writes: usize) {
        self.alarm.note(self.file.file(), error);
        if self.health.set(Status::Down("the disk refuses writes".to_owned())) {
            error!(error = %ErrorChain(error), writes, "a group of writes failed");
        }
    }

    /// What is left in the log is moved into the database, so that the next start has nothing to recover.
    fn close(self) {
        let _ = self.connection.pragma_update(None, "wal_checkpoint", "truncate");
        if let Err((_, error)) = self.connection.close() {
            error!(error = %ErrorChain(&error), "a database did not close cleanly");
        }
    }
}

fn answer_all(group: Vec<Box<dyn Job>>, result: &Result<(), GroupFailure>) {
    for job in group {
        job.done(result.as_ref().map(|_| ()).map_err(GroupFailure::for_caller));
    }
}

/// A group's failure, told to each of its callers.
enum GroupFailure {
    Before(PortError),
    AtCommit(PortError),
}

impl GroupFailure {
    fn error(&self) -> &PortError {
        match self {
            Self::Before(error) | Self::AtCommit(error) => error,
        }
    }

    fn for_caller(&self) -> WriteError {
        match self {
            Self::Before(error) => WriteError::NotDone(error.retold()),
            Self::AtCommit(error) => WriteError::Unknown(error.retold()),
        }
    }
}

fn commit_group(
    connection: &mut Connection,
    hook: &mut dyn GroupHook,
    group: &mut [Box<dyn Job>],
) -> Result<(), GroupFailure> {
    let before = |error| GroupFailure::Before(port_error("a write", error));
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| GroupFailure::Before(port_error("beginning a write", error)))?;
    hook.begin(&transaction).map_err(before)?;
    for job in group {
        job.run(&transaction).map_err(GroupFailure::Before)?;
    }
    hook.finish(&transaction).map_err(before)?;
    transaction.commit().map_err(|error| {
        let certain = left_nothing(&error);
        let error = port_error("syncing a write", error);
        if certain { GroupFailure::Before(error) } else { GroupFailure::AtCommit(error) }
    })
}
