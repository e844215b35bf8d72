//! Rows of `logs.db`: its schema, and the queries that readers ask.

use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, params, params_from_iter,
    types::{Value, ValueRef},
};

use super::database::Schema;
use crate::domain::{
    ActivityLog, EventId, LogFilter, LogId, LogPage, Metadata, PageBuilder, PageRequest, Timestamp, ports::Receipt,
};

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
"]);

const LOG_COLUMNS: &str = "id, user_id, action, timestamp, metadata";

fn log(row: &Row<'_>) -> rusqlite::Result<ActivityLog> {
    Ok(ActivityLog {
        id: Some(LogId::new(row.get(0)?)),
        user_id: Some(text(row, 1)?),
        action: Some(text(row, 2)?),
        timestamp: Some(Timestamp::from_millis(row.get(3)?)),
        metadata: Metadata::from_canonical(text(row, 4)?),
    })
}

/// One odd row never breaks a page.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
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

pub(super) fn find(connection: &Connection, filter: &LogFilter, page: PageRequest) -> rusqlite::Result<LogPage> {
    let total = count(connection, filter)?;
    if page.offset() >= total {
        return Ok(PageBuilder::default().finish(total));
    }
    let (condition, mut values) = condition(filter);
    values.push(Value::from(i64::from(page.limit())));
    values.push(Value::from(i64::try_from(page.offset()).unwrap_or(i64::MAX)));
    let sql = format!("SELECT {LOG_COLUMNS} FROM logs {condition} ORDER BY id LIMIT ? OFFSET ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut logs = PageBuilder::default();
    while let Some(row) = rows.next()? {
        if !logs.push(log(row)?) {
            break;
        }
    }
    Ok(logs.finish(total))
}

fn count(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<u64> {
    let total: i64 = if filter.is_empty() {
        connection.prepare_cached("SELECT stored FROM counters")?.query_row([], |row| row.get(0))?
    } else {
        let (condition, values) = condition(filter);
        connection
            .prepare_cached(&format!("SELECT count(*) FROM logs {condition}"))?
            .query_row(params_from_iter(values), |row| row.get(0))?
    };
    Ok(u64::try_from(total).unwrap_or(0))
}

/// The WHERE clause of a filter, with its values bound and never spliced in.
fn condition(filter: &LogFilter) -> (String, Vec<Value>) {
    let mut parts = Vec::new();
    let mut values = Vec::new();
    for (column, texts) in [("user_id", &filter.user_ids), ("action", &filter.actions)] {
        if !texts.is_empty() {
            parts.push(format!("{column} IN ({})", vec!["?"; texts.len()].join(",")));
            values.extend(texts.iter().cloned().map(Value::from));
        }
    }
    for (comparison, bound) in [("timestamp >= ?", filter.from), ("timestamp <= ?", filter.to)] {
        if let Some(bound) = bound {
            parts.push(comparison.to_owned());
            values.push(Value::from(bound.as_millis()));
        }
    }
    let condition = if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) };
    (condition, values)
}

/// Whether anything was ever kept here.
pub(super) fn ever_held(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT next_id > 0 OR EXISTS (SELECT 1 FROM dead_letters) OR EXISTS (SELECT 1 FROM tombstones) FROM counters",
        [],
        |row| row.get(0),
    )
}

/// Deletes one log by a unique column; `true` where there was one.
pub(super) fn delete_one(connection: &Connection, column: &'static str, key: &dyn ToSql) -> rusqlite::Result<bool> {
    let deleted = connection.prepare_cached(&format!("DELETE FROM logs WHERE {column} = ?"))?.execute(params![key])?;
    if deleted > 0 {
        connection.prepare_cached("UPDATE counters SET stored = stored - 1")?.execute([])?;
    }
    Ok(deleted > 0)
}
