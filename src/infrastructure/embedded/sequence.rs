//! The gapless sequence of the queue: taken inside the transaction that publishes, and kept when its rows are gone.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{folder::Witness, writer::GroupHook};

/// Where the queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SequenceRow {
    pub(super) first: i64,
    pub(super) last: i64,
    /// Where the consumer goes on.
    pub(super) position: i64,
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<SequenceRow> {
    connection
        .prepare_cached("SELECT first, last, next FROM sequence, consumer")?
        .query_row([], |row| Ok(SequenceRow { first: row.get(0)?, last: row.get(1)?, position: row.get(2)? }))
}

/// Reads it, raised above every row: others may have put events here.
pub(super) fn open(connection: &Connection) -> rusqlite::Result<SequenceRow> {
    connection.execute("UPDATE sequence SET last = max(last, (SELECT ifnull(max(seq), 0) FROM events))", [])?;
    read(connection)
}

/// Keeps the row in step with the numbers that a group takes, and tells of what is durable.
pub(super) struct Sequence {
    /// As the row says, within the transaction.
    known: i64,
    taken: Arc<AtomicI64>,
    last: Arc<AtomicI64>,
    wake: watch::Sender<u64>,
    witness: Option<Witness>,
}

impl Sequence {
    pub(super) fn new(
        taken: Arc<AtomicI64>,
        last: Arc<AtomicI64>,
        wake: watch::Sender<u64>,
        witness: Option<Witness>,
    ) -> Self {
        Self { known: 0, taken, last, wake, witness }
    }
}

impl GroupHook for Sequence {
    /// Read anew each time: whatever a failed group took is free again.
    fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.known = connection.prepare_cached("SELECT last FROM sequence")?.query_row([], |row| row.get(0))?;
        self.taken.store(self.known, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken != self.known {
            connection.prepare_cached("UPDATE sequence SET last = ?")?.execute([taken])?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.known {
            return;
        }
        self.last.store(taken, Ordering::Release);
        if let Some(witness) = &self.witness {
            witness.note(taken);
        }
        self.wake.send_modify(|commits| *commits = commits.wrapping_add(1));
    }
}
