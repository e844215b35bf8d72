//! The writes of `logs.db`, each inside a transaction of the writing thread.

use rusqlite::{Connection, OptionalExtension, params};

use super::log_rows::delete_one;
use crate::domain::{
    LogId, NumberedEvent, Timestamp,
    ports::{AppendOutcome, DeadLetter, DeleteOutcome},
};

pub(super) fn append(connection: &Connection, batch: &[NumberedEvent]) -> rusqlite::Result<Vec<AppendOutcome>> {
    let outcomes = batch.iter().map(|event| append_one(connection, event)).collect::<rusqlite::Result<Vec<_>>>()?;
    let stored = outcomes.iter().filter(|outcome| **outcome == AppendOutcome::Stored).count();
    let next_id = batch.iter().map(|event| event.id.get() + 1).max().unwrap_or(0);
    connection
        .prepare_cached("UPDATE counters SET stored = stored + ?, next_id = max(next_id, ?)")?
        .execute(params![i64::try_from(stored).unwrap_or(0), next_id])?;
    Ok(outcomes)
}

fn append_one(connection: &Connection, numbered: &NumberedEvent) -> rusqlite::Result<AppendOutcome> {
    let (event, log) = (&numbered.event, &numbered.event.log);
    let key = event.id.as_bytes();
    // In the same transaction as the insert, so no delete can come between.
    if connection.prepare_cached("SELECT 1 FROM tombstones WHERE event_id = ?")?.exists([key])? {
        return Ok(AppendOutcome::Deleted);
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO logs (id, event_id, user_id, action, timestamp, received_at, metadata)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            numbered.id.get(),
            key,
            log.user_id.as_str(),
            log.action.as_str(),
            log.timestamp.as_millis(),
            event.received_at.as_millis(),
            log.metadata.as_str(),
        ])?;
    if inserted == 1 {
        return Ok(AppendOutcome::Stored);
    }
    let known = connection.prepare_cached("SELECT 1 FROM logs WHERE event_id = ?")?.exists([key])?;
    Ok(if known { AppendOutcome::AlreadyStored } else { AppendOutcome::IdTaken })
}

/// The next id that is free, by the counter and by the data.
pub(super) fn next_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT max(next_id, (SELECT ifnull(max(id), -1) + 1 FROM logs)) FROM counters", [], |row| {
        row.get(0)
    })
}

pub(super) fn delete(connection: &Connection, id: LogId, now: Timestamp) -> rusqlite::Result<DeleteOutcome> {
    let event_id: Option<[u8; 16]> = connection
        .prepare_cached("SELECT event_id FROM logs WHERE id = ?")?
        .query_row([id.get()], |row| row.get(0))
        .optional()?;
    let Some(event_id) = event_id else { return Ok(DeleteOutcome::NotFound) };
    connection
        .prepare_cached("INSERT OR IGNORE INTO tombstones (event_id, at) VALUES (?, ?)")?
        .execute(params![event_id, now.as_millis()])?;
    delete_one(connection, "id", &id.get())?;
    Ok(DeleteOutcome::Deleted)
}

pub(super) fn forget_tombstones(connection: &Connection, older_than: Timestamp) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM tombstones WHERE at < ?", [older_than.as_millis()]).map(drop)
}

pub(super) fn bury(connection: &Connection, letters: &[DeadLetter]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO dead_letters (position, event_id, reason, at, value) VALUES (?, ?, ?, ?, ?)",
    )?;
    for letter in letters {
        statement.execute(params![
            letter.position.offset,
            letter.event_id.as_bytes(),
            letter.reason.as_str(),
            letter.timestamp.as_millis(),
            letter.record.value,
        ])?;
    }
    Ok(())
}
