//! The writes of `logs.db`, each inside a transaction of the writing thread.

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::{
    counts::CountChanges,
    crc::RowCrc,
    ledger_rows::{self, QueueView},
    log_rows::delete_one,
    metadata_index::MetadataIndexes,
};
use crate::domain::{
    ErasureRules, LogId, NewLog, NumberedEvent, Tally, Timestamp,
    ports::{AppendOutcome, DeadLetter, DeleteOutcome},
};

const TOMBSTONE_SEQ: &str = "SELECT seq FROM tombstones WHERE event_id = ?";
const LOG_SEQ: &str = "SELECT seq FROM logs WHERE event_id = ?";
const INSERT: &str = "INSERT INTO logs (id, event_id, user_id, action, timestamp, received_at, metadata, seq, crc)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";

pub(super) fn append(
    connection: &Connection,
    batch: &[NumberedEvent],
    queue: &QueueView,
    rules: &ErasureRules,
) -> rusqlite::Result<Vec<AppendOutcome>> {
    let (mut tally, mut stored, mut next) = (Tally::default(), 0, 0);
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut counts = CountChanges::default();
    let indexes = MetadataIndexes::read(connection)?;
    // In the same transaction as the inserts, so no delete can come between.
    let any_deleted = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tombstones)")?
        .query_row([], |row| row.get::<_, bool>(0))?;
    let mut insert = connection.prepare_cached(INSERT)?;
    for event in batch {
        let seq = queue.seq(event.offset);
        let key = event.event.id.as_bytes();
        let deleted = if any_deleted { seq_of(connection, TOMBSTONE_SEQ, key)? } else { None };
        let outcome = match deleted {
            Some(other) => {
                tally.duplicates += note_duplicate(connection, seq, other, key)?;
                AppendOutcome::Deleted
            }
            None if rules.cover(&event.event) => keep_away(connection, event, seq, &mut tally)?,
            None if insert_one(&mut insert, event, seq)? => {
                tally.stored += u64::from(seq.is_some());
                AppendOutcome::Stored
            }
            None => not_inserted(connection, event, seq, &mut tally)?,
        };
        if outcome == AppendOutcome::Stored {
            stored += 1;
            let NewLog { timestamp, action, metadata, .. } = &event.event.log;
            counts.add(event.id.get(), timestamp.as_millis(), action.as_str(), 1);
            indexes.add(connection, event.id.get(), metadata.as_str())?;
        }
        if outcome != AppendOutcome::IdTaken {
            next = next.max(event.offset + 1);
        }
        outcomes.push(outcome);
    }
    let next_id = batch.iter().map(|event| event.id.get() + 1).max().unwrap_or(0);
    connection
        .prepare_cached("UPDATE counters SET stored = stored + ?, next_id = max(next_id, ?)")?
        .execute(params![stored, next_id])?;
    counts.write(connection)?;
    ledger_rows::add(connection, tally, next, queue)?;
    Ok(outcomes)
}

/// An event that was erased. One that still waits to be is stored.
fn keep_away(
    connection: &Connection,
    numbered: &NumberedEvent,
    seq: Option<i64>,
    tally: &mut Tally,
) -> rusqlite::Result<AppendOutcome> {
    let key = numbered.event.id.as_bytes();
    if let Some(other) = seq_of(connection, LOG_SEQ, key)? {
        tally.duplicates += note_duplicate(connection, seq, other, key)?;
        return Ok(AppendOutcome::AlreadyStored);
    }
    let Some(seq) = seq else { return Ok(AppendOutcome::Deleted) };
    if !connection.prepare_cached("SELECT 1 FROM forgotten WHERE seq = ?")?.exists([seq])? {
        tally.duplicates += note_duplicate(connection, Some(seq), None, key)?;
    }
    Ok(AppendOutcome::Deleted)
}

fn not_inserted(
    connection: &Connection,
    numbered: &NumberedEvent,
    seq: Option<i64>,
    tally: &mut Tally,
) -> rusqlite::Result<AppendOutcome> {
    let key = numbered.event.id.as_bytes();
    let Some(other) = seq_of(connection, LOG_SEQ, key)? else {
        return Ok(AppendOutcome::IdTaken);
    };
    tally.duplicates += note_duplicate(connection, seq, other, key)?;
    Ok(AppendOutcome::AlreadyStored)
}

/// `false` where the id or the event is there already.
fn insert_one(insert: &mut Statement<'_>, numbered: &NumberedEvent, seq: Option<i64>) -> rusqlite::Result<bool> {
    let (event, log) = (&numbered.event, &numbered.event.log);
    let crc = RowCrc::default()
        .integer(numbered.id.get())
        .blob(event.id.as_bytes())
        .text(log.user_id.as_str())
        .text(log.action.as_str())
        .integer(log.timestamp.as_millis())
        .integer(event.received_at.as_millis())
        .text(log.metadata.as_str())
        .optional_integer(seq)
        .finish();
    let inserted = insert.execute(params![
        numbered.id.get(),
        event.id.as_bytes(),
        log.user_id.as_str(),
        log.action.as_str(),
        log.timestamp.as_millis(),
        event.received_at.as_millis(),
        log.metadata.as_str(),
        seq,
        crc,
    ])?;
    Ok(inserted == 1)
}

/// The sequence number of the one row, which may have none.
fn seq_of(connection: &Connection, sql: &str, key: &[u8; 16]) -> rusqlite::Result<Option<Option<i64>>> {
    connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
}

/// Keeps the number of a record whose event is known under another number. The redelivery of the very same record is
/// no duplicate.
fn note_duplicate(
    connection: &Connection,
    seq: Option<i64>,
    other: Option<i64>,
    key: &[u8; 16],
) -> rusqlite::Result<u64> {
    let Some(seq) = seq.filter(|seq| other != Some(*seq)) else { return Ok(0) };
    let crc = RowCrc::default().integer(seq).blob(key).finish();
    let inserted = connection
        .prepare_cached("INSERT OR IGNORE INTO duplicates (seq, event_id, crc) VALUES (?, ?, ?)")?
        .execute(params![seq, key, crc])?;
    Ok(inserted as u64)
}

/// The next id that is free, by the counter and by the data.
pub(super) fn next_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT max(next_id, (SELECT ifnull(max(id), -1) + 1 FROM logs)) FROM counters", [], |row| {
        row.get(0)
    })
}

pub(super) fn delete(connection: &Connection, id: LogId, now: Timestamp) -> rusqlite::Result<DeleteOutcome> {
    let log: Option<([u8; 16], Option<i64>)> = connection
        .prepare_cached("SELECT event_id, seq FROM logs WHERE id = ?")?
        .query_row([id.get()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((event_id, seq)) = log else { return Ok(DeleteOutcome::NotFound) };
    let at = now.as_millis();
    let crc = RowCrc::default().blob(&event_id).integer(at).optional_integer(seq).finish();
    connection
        .prepare_cached("INSERT OR IGNORE INTO tombstones (event_id, at, seq, crc) VALUES (?, ?, ?, ?)")?
        .execute(params![event_id, at, seq, crc])?;
    let mut counts = CountChanges::default();
    delete_one(connection, id.get(), &mut counts, &MetadataIndexes::read(connection)?)?;
    counts.write(connection)?;
    Ok(DeleteOutcome::Deleted)
}

/// Forgets which events were deleted, but not that the sequence numbers are accounted for.
pub(super) fn forget_tombstones(connection: &mut Connection, older_than: Timestamp) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let older_than = [older_than.as_millis()];
    transaction.execute(
        "INSERT OR IGNORE INTO forgotten (seq) SELECT seq FROM tombstones WHERE at < ? AND seq IS NOT NULL",
        older_than,
    )?;
    transaction.execute("DELETE FROM tombstones WHERE at < ?", older_than)?;
    transaction.commit()
}

pub(super) fn bury(connection: &Connection, letters: &[DeadLetter], queue: &QueueView) -> rusqlite::Result<()> {
    let (mut tally, mut next) = (Tally::default(), 0);
    for letter in letters {
        let inserted = bury_one(connection, letter)?;
        let counted = inserted && queue.seq(letter.position.offset).is_some();
        tally.dead_lettered += u64::from(counted);
        next = next.max(letter.position.offset + 1);
    }
    ledger_rows::add(connection, tally, next, queue)
}

fn bury_one(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<bool> {
    let crc = RowCrc::default()
        .blob(letter.event_id.as_bytes())
        .integer(letter.position.offset)
        .text(letter.reason.as_str())
        .integer(letter.timestamp.as_millis())
        .optional_blob(letter.record.value.as_deref())
        .finish();
    let inserted = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO dead_letters (event_id, position, reason, at, value, crc) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            letter.event_id.as_bytes(),
            letter.position.offset,
            letter.reason.as_str(),
            letter.timestamp.as_millis(),
            letter.record.value,
            crc,
        ])?;
    Ok(inserted == 1)
}
