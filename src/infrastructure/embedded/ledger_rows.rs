//! The one row of `logs.db` that says what became of every sequence number, moved in the transaction that stores.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use rusqlite::{Connection, params};

use crate::domain::{Account, Tally};

/// The embedded bus has one partition.
const PARTITION: i32 = 0;

/// What a write has to know of the queue.
#[derive(Debug, Clone)]
pub(super) struct QueueView {
    /// Where the sequence begins. What is older is stored but not in the account.
    pub(super) first: i64,
    /// The queue's last sequence number that is synced to disk.
    pub(super) last: Arc<AtomicI64>,
}

impl QueueView {
    /// The number that a row keeps.
    pub(super) fn seq(&self, offset: i64) -> Option<i64> {
        (offset >= self.first).then_some(offset)
    }
}

/// The row as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct LedgerRow {
    pub(super) account: Account,
    /// The queue's last sequence number, as seen when something was last stored.
    pub(super) queue_last: i64,
}

/// `None` until it has met its queue.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<LedgerRow>> {
    connection
        .prepare_cached("SELECT first, next, stored, duplicates, dead_lettered, queue_last FROM ledger")?
        .query_row([], |row| {
            let (first, next): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            let tally = Tally {
                stored: count(row.get(2)?),
                duplicates: count(row.get(3)?),
                dead_lettered: count(row.get(4)?),
                ..Tally::default()
            };
            let account = first.zip(next).map(|(first, next)| Account { partition: PARTITION, first, next, tally });
            let queue_last = row.get(5)?;
            Ok(account.map(|account| LedgerRow { account, queue_last }))
        })
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Opens the account where the queue's sequence begins, unless it is open.
pub(super) fn open(connection: &Connection, first: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE ledger SET first = ?1, next = ?1 WHERE first IS NULL", [first]).map(drop)
}

/// Adds rows that were newly inserted; `next` is the number after the highest that is dealt with.
pub(super) fn add(connection: &Connection, tally: Tally, next: i64, queue: &QueueView) -> rusqlite::Result<()> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE ledger SET stored = stored + ?, duplicates = duplicates + ?, dead_lettered = dead_lettered + ?,
                next = max(next, ?), queue_last = max(queue_last, ?)",
        )?
        .execute(params![
            number(tally.stored),
            number(tally.duplicates),
            number(tally.dead_lettered),
            next,
            queue.last.load(Ordering::Acquire),
        ])
        .map(drop)
}
