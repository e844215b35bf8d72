//! Rows of `logs.db`: its schema, and reading one of them.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, types::ValueRef};

use super::{counts::CountChanges, database::Schema, metadata_index::MetadataIndexes};
use crate::domain::{ActivityLog, EventId, LogId, Metadata, PartBuilder, StoredLog, Timestamp, ports::Receipt};

pub(super) const SCHEMA: Schema = Schema(&["
    CREATE TABLE logs (
        id INTEGER PRIMARY KEY,
        event_id BLOB NOT NULL,
        user_id TEXT NOT NULL,
        action TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        metadata TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX logs_event_id ON logs (event_id);
    -- Each index ends in the row's id, so a filtered page comes out in order.
    CREATE INDEX logs_user_id ON logs (user_id);
    CREATE INDEX logs_action ON logs (action);
    CREATE INDEX logs_timestamp ON logs (timestamp);
    -- next_id: the next id that nobody has; stored: how many logs there are, kept because counting them is a scan.
    CREATE TABLE counters (only INTEGER PRIMARY KEY CHECK (only = 0), next_id INTEGER NOT NULL, stored INTEGER NOT NULL) STRICT;
    INSERT INTO counters (only, next_id, stored) VALUES (0, 0, 0);
    CREATE TABLE tombstones (event_id BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        event_id BLOB NOT NULL,
        position INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        value BLOB,
        UNIQUE (event_id, position)
    ) STRICT;
", "
    -- seq: the sequence number of the record. Rows from before there was a sequence have none, and no checksum.
    ALTER TABLE logs ADD COLUMN seq INTEGER;
    ALTER TABLE logs ADD COLUMN crc INTEGER;
    CREATE INDEX logs_before_sequence ON logs (id) WHERE seq IS NULL;
    ALTER TABLE tombstones ADD COLUMN seq INTEGER;
    ALTER TABLE tombstones ADD COLUMN crc INTEGER;
    CREATE INDEX tombstones_seq ON tombstones (seq);
    ALTER TABLE dead_letters ADD COLUMN crc INTEGER;
    CREATE INDEX dead_letters_position ON dead_letters (position);
    -- Records whose event is stored or deleted under another number.
    CREATE TABLE duplicates (seq INTEGER PRIMARY KEY, event_id BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
    -- Deleted logs whose tombstones are gone.
    CREATE TABLE forgotten (seq INTEGER PRIMARY KEY) STRICT;
    -- first is not known before the queue is: it may be older.
    CREATE TABLE ledger (
        only INTEGER PRIMARY KEY CHECK (only = 0),
        first INTEGER,
        next INTEGER,
        stored INTEGER NOT NULL,
        duplicates INTEGER NOT NULL,
        dead_lettered INTEGER NOT NULL,
        queue_last INTEGER NOT NULL
    ) STRICT;
    INSERT INTO ledger (only, stored, duplicates, dead_lettered, queue_last) VALUES (0, 0, 0, 0, 0);
", "
    CREATE TABLE erasure_jobs (
        id BLOB PRIMARY KEY,
        kind TEXT NOT NULL,
        user_id TEXT,
        before INTEGER,
        received_up_to INTEGER,
        state TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        finished_at INTEGER,
        erased INTEGER NOT NULL
    ) STRICT;
    -- What stays away: events of this user (the digest of the id), of an earlier time, received up to then.
    CREATE TABLE erasure_rules (id BLOB PRIMARY KEY, user BLOB, before INTEGER, received_up_to INTEGER) STRICT, WITHOUT ROWID;
    ALTER TABLE counters ADD COLUMN rules_version INTEGER NOT NULL DEFAULT 0;
", "
    -- How many logs there are: of a quarter of an hour, of an action in one, of an action on a day (UTC). Each changes in
    -- the transaction that changes the logs; start is in milliseconds since 1970.
    CREATE TABLE quarter_counts (start INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
    CREATE TABLE quarter_action_counts (
        start INTEGER NOT NULL, action TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (start, action)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE day_action_counts (
        start INTEGER NOT NULL, action TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (start, action)
    ) STRICT, WITHOUT ROWID;
    -- Not grouped, which would sort all of them: in the order of an index it needs no memory.
    INSERT INTO quarter_action_counts (start, action, n)
        SELECT timestamp - ((timestamp % 900000) + 900000) % 900000, action, 1
        FROM logs INDEXED BY logs_timestamp WHERE timestamp IS NOT NULL ORDER BY timestamp
        ON CONFLICT DO UPDATE SET n = n + 1;
    INSERT INTO quarter_counts (start, n) SELECT start, sum(n) FROM quarter_action_counts GROUP BY start;
    INSERT INTO day_action_counts (start, action, n)
        SELECT start - ((start % 86400000) + 86400000) % 86400000 AS day, action, sum(n)
        FROM quarter_action_counts GROUP BY day, action;
", "
    -- Between which ids the logs of a quarter, and of a day (UTC), lie: what is sought in a stretch of time and wanted in
    -- the order of ids is found without walking over what is before it.
    ALTER TABLE quarter_counts ADD COLUMN first_id INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE quarter_counts ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;
    UPDATE quarter_counts SET (first_id, last_id) = (
        SELECT ifnull(min(id), 0), ifnull(max(id), 0) FROM logs INDEXED BY logs_timestamp
        WHERE timestamp >= start AND timestamp < start + 900000
    );
    CREATE TABLE day_counts (
        start INTEGER PRIMARY KEY, n INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL
    ) STRICT;
    INSERT INTO day_counts (start, n, first_id, last_id)
        SELECT start - ((start % 86400000) + 86400000) % 86400000 AS day, sum(n), min(first_id), max(last_id)
        FROM quarter_counts GROUP BY day;
    -- Paths of metadata whose values are kept beside the logs: building (logs from next_id on have not been looked at),
    -- complete or dropped. A number is never used again.
    CREATE TABLE metadata_indexes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, state TEXT NOT NULL, next_id INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE metadata_values (
        number INTEGER NOT NULL, value TEXT NOT NULL, log_id INTEGER NOT NULL, PRIMARY KEY (number, value, log_id)
    ) STRICT, WITHOUT ROWID;
", "
    -- The users of each block of ids by themselves, and which blocks there are: see `id_blocks`.
    DROP INDEX logs_user_id;
    CREATE INDEX logs_user_id ON logs (id >> 17, user_id);
    CREATE TABLE block_counts (block INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
    INSERT INTO block_counts (block, n)
        SELECT id >> 17 AS block, count(*) FROM logs INDEXED BY logs_user_id GROUP BY block;
"]);

pub(super) const LOG_COLUMNS: &str = "id, user_id, action, timestamp, metadata";

pub(super) fn log(row: &Row<'_>) -> rusqlite::Result<ActivityLog> {
    Ok(ActivityLog {
        id: Some(LogId::new(row.get(0)?)),
        user_id: Some(text(row, 1)?.into_owned()),
        action: Some(text(row, 2)?.into_owned()),
        timestamp: Some(Timestamp::from_millis(row.get(3)?)),
        metadata: Metadata::from_canonical(text(row, 4)?),
    })
}

/// [`LOG_COLUMNS`] and what [`push_stored`] reads behind them.
pub(super) const STORED_COLUMNS: &str = "id, user_id, action, timestamp, metadata, event_id, received_at";

pub(super) fn push_stored(part: &mut PartBuilder, row: &Row<'_>) -> rusqlite::Result<()> {
    part.push(&StoredLog {
        id: Some(LogId::new(row.get(0)?)),
        event_id: EventId::from_bytes(row.get(5)?),
        user_id: Some(&text(row, 1)?),
        action: Some(&text(row, 2)?),
        timestamp: Some(Timestamp::from_millis(row.get(3)?)),
        received_at: Some(Timestamp::from_millis(row.get(6)?)),
        metadata: &text(row, 4)?,
    });
    Ok(())
}

/// One odd row never breaks a page.
fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Cow<'a, str>> {
    match row.get_ref(column)? {
        // Looking for what is wrong takes several times as long as seeing that nothing is.
        ValueRef::Text(text) => Ok(str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)),
        other => Err(rusqlite::Error::InvalidColumnType(column, LOG_COLUMNS.to_owned(), other.data_type())),
    }
}

pub(super) fn get(connection: &Connection, id: LogId) -> rusqlite::Result<Option<ActivityLog>> {
    connection
        .prepare_cached(&format!("SELECT {LOG_COLUMNS} FROM logs WHERE id = ?"))?
        .query_row([id.get()], log)
        .optional()
}

pub(super) fn receipt(connection: &Connection, event_id: EventId) -> rusqlite::Result<Receipt> {
    let key = event_id.as_bytes();
    let stored = connection
        .prepare_cached(&format!("SELECT {LOG_COLUMNS} FROM logs WHERE event_id = ?"))?
        .query_row([key], log)
        .optional()?;
    if let Some(log) = stored {
        return Ok(Receipt::Stored(log));
    }
    if connection.prepare_cached("SELECT 1 FROM tombstones WHERE event_id = ?")?.exists([key])? {
        return Ok(Receipt::Deleted);
    }
    let reason = connection
        .prepare_cached("SELECT reason FROM dead_letters WHERE event_id = ? LIMIT 1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(reason.map_or(Receipt::Unknown, Receipt::DeadLettered))
}

/// Whether anything was ever kept here.
pub(super) fn ever_held(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT next_id > 0 OR EXISTS (SELECT 1 FROM dead_letters) OR EXISTS (SELECT 1 FROM tombstones) FROM counters",
        [],
        |row| row.get(0),
    )
}

/// Deletes one log; `true` where there was one. The caller writes the changed counts in the same transaction.
pub(super) fn delete_one(
    connection: &Connection,
    id: i64,
    counts: &mut CountChanges<'_>,
    indexes: &MetadataIndexes,
) -> rusqlite::Result<bool> {
    let deleted: Option<(i64, String, String)> = connection
        .prepare_cached("DELETE FROM logs WHERE id = ? RETURNING timestamp, action, metadata")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((timestamp, action, metadata)) = deleted else { return Ok(false) };
    indexes.remove(connection, id, &metadata)?;
    connection.prepare_cached("UPDATE counters SET stored = stored - 1")?.execute([])?;
    counts.add(id, timestamp, action, -1);
    Ok(true)
}
