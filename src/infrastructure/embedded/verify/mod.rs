//! Verification of a data folder: every number of the sequence has to be found once, and every row as it was written.
//!
//! `queue.db` is read first and `logs.db` after it: events go from the one to the other, so what has left the first is
//! in the second. Everything is read in short transactions beside a running service, and nothing is changed.

mod counts;
mod queue_pass;
mod ranges;
mod report;
mod source;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;

use self::{
    queue_pass::Queue,
    ranges::Ranges,
    report::{Report, Reports},
    walk::Walk,
};
use super::{
    database::open_onlooker,
    error::port_error,
    folder::{logs_file, queue_file, wal_of},
    folder_error::FolderError,
    ledger_rows, log_rows, queue, sequence,
};
use crate::domain::{
    EventId,
    ports::{PortError, Verification, VerificationReporter, VerificationSummary},
};

/// How many rows one transaction reads.
const CHUNK: usize = 10_000;
/// Missing numbers in a row that are named one by one; more are named as a range.
const NAMED_SINGLY: i64 = 100;

/// Both databases of a folder, opened for reading only.
pub struct EmbeddedVerification(Arc<Mutex<Databases>>);

struct Databases {
    queue: Connection,
    logs: Connection,
    /// WALs that were not there: nobody wrote.
    quiet: Vec<PathBuf>,
}

impl EmbeddedVerification {
    /// Opens the folder, whether or not a service runs on it. The lock is not taken and nothing is changed.
    ///
    /// # Errors
    /// Where one of the files is not there, cannot be read, or was written by another version.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let (queue_file, logs_file) = (queue_file(folder), logs_file(folder));
        let quiet = [&queue_file, &logs_file].map(|file| wal_of(file)).into_iter().filter(|wal| !wal.exists());
        let quiet = quiet.collect();
        let queue = open_onlooker(&queue_file, &queue::SCHEMA)?;
        let logs = open_onlooker(&logs_file, &log_rows::SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(Databases { queue, logs, quiet }))))
    }
}

#[async_trait]
impl Verification for EmbeddedVerification {
    async fn verify(&self, reporter: &mut dyn VerificationReporter) -> Result<VerificationSummary, PortError> {
        let (sender, mut reports) = mpsc::channel(16);
        let databases = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || {
            databases.lock().unwrap_or_else(PoisonError::into_inner).verify(Reports::new(sender))
        });
        while let Some(report) = reports.recv().await {
            match report {
                Report::Progress(progress) => reporter.progress(progress),
                Report::Fault(fault) => reporter.fault(&fault),
            }
        }
        reading.await.map_err(|error| PortError::unavailable("the verification was cut short").caused_by(error))?
    }
}

impl Databases {
    fn verify(&mut self, mut reports: Reports) -> Result<VerificationSummary, PortError> {
        let summary = self.walk(&mut reports);
        if self.quiet.iter().any(|wal| wal.exists()) {
            return Err(PortError::unavailable("the service was started meanwhile: verify again"));
        }
        summary
    }

    fn walk(&mut self, reports: &mut Reports) -> Result<VerificationSummary, PortError> {
        let queue = queue_pass::read(&mut self.queue, reports)?;
        let (ledger, last_id, logs) = self.logs_at_once().map_err(|error| port_error("reading logs.db", error))?;
        // After logs.db: by now the queue has everything that logs.db has heard of.
        let end = sequence::read(&self.queue).map_err(|error| port_error("reading queue.db", error))?.last;
        let mut last = queue.row.last;
        if let Some(ledger) = ledger {
            let known = ledger.queue_last.max(ledger.account.next - 1);
            if known > end {
                reports.damaged(format!("queue.db: it ends at sequence {end}, but logs.db has seen {known}"))?;
                last = known;
            }
            if queue.row.position > ledger.account.next {
                let (position, next) = (queue.row.position, ledger.account.next);
                reports.damaged(format!(
                    "logs.db: it ends at sequence {}, but {} was drained",
                    next - 1,
                    position - 1
                ))?;
            }
        }
        reports.summary.read = u64::try_from(last - queue.row.first + 1).unwrap_or(0);
        reports.total += logs;
        let mut walk = Walk::new(queue.row.first, last, last_id);
        walk.run(&mut self.logs, reports)?;
        for (first, last) in queue.waiting.iter() {
            reports.summary.pending += walk.missing.cut(first, last);
        }
        walk.look_again(&mut self.logs)?;
        self.name_missing(&walk.missing, &queue, reports)?;
        if reports.summary.is_clean() {
            // What is missing makes the counts wrong; that needs no telling.
            let faults = counts::faults(&mut self.logs).map_err(|error| port_error("reading logs.db", error))?;
            faults.into_iter().try_for_each(|fault| reports.damaged(fault))?;
        }
        reports.progress()?;
        Ok(reports.summary)
    }

    fn logs_at_once(&mut self) -> rusqlite::Result<(Option<ledger_rows::LedgerRow>, i64, u64)> {
        let transaction = self.logs.transaction()?;
        let last_id = transaction.query_row("SELECT ifnull(max(id), -1) FROM logs", [], |row| row.get(0))?;
        let logs: i64 = transaction.query_row("SELECT stored FROM counters", [], |row| row.get(0))?;
        Ok((ledger_rows::read(&transaction)?, last_id, u64::try_from(logs).unwrap_or(0)))
    }

    fn name_missing(&self, missing: &Ranges, queue: &Queue, reports: &mut Reports) -> Result<(), PortError> {
        const WHAT: &str = "neither stored, dead-lettered, deleted nor waiting";
        for (first, last) in missing.iter() {
            let count = last - first + 1;
            if count > NAMED_SINGLY {
                let fault = format!("sequence {first} to {last}: {count} events are missing: {WHAT}");
                reports.missing(fault, count.unsigned_abs())?;
                continue;
            }
            for seq in first..=last {
                let known = self.queued(seq).map_err(|error| port_error("reading queue.db", error))?;
                let event = known.map(|event| format!(" (event {event}, drained but still in queue.db)"));
                let drained = if seq < queue.row.position { "" } else { ", though it was never drained" };
                let fault = format!("sequence {seq}{}: missing: {WHAT}{drained}", event.unwrap_or_default());
                reports.missing(fault, 1)?;
            }
        }
        Ok(())
    }

    fn queued(&self, seq: i64) -> rusqlite::Result<Option<EventId>> {
        let mut statement = self.queue.prepare_cached("SELECT event_id FROM events WHERE seq = ?")?;
        Ok(statement.query_row([seq], |row| row.get(0)).optional()?.map(EventId::from_bytes))
    }
}
