//! Paths of metadata that an operator wants logs to be found by: a table of path, value and log, kept in the transaction
//! that changes the logs. What was stored before is added in the background, and until then the table is not asked.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::time::sleep;

use super::{store::EmbeddedStore, writer::WriteError};
use crate::domain::{LogFilter, MetadataPath, ports::PortError};

/// So many logs are looked at, or values forgotten, in one transaction: others wait for it for some milliseconds.
const AT_ONCE: i64 = 500;
const RETRY: Duration = Duration::from_secs(1);
/// More than this is not worth being sorted.
const FEW: i64 = 10_000;

/// The indexes that are kept, complete or not.
#[derive(Debug)]
pub(super) struct MetadataIndexes(Vec<(i64, MetadataPath)>);

impl MetadataIndexes {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement =
            connection.prepare_cached("SELECT number, path FROM metadata_indexes WHERE state <> 'dropped'")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let indexes = rows.map(|row| row.map(|(number, path)| Some((number, MetadataPath::parse(&path).ok()?))));
        indexes.filter_map(Result::transpose).collect::<rusqlite::Result<_>>().map(Self)
    }

    pub(super) fn add(&self, connection: &Connection, id: i64, metadata: &str) -> rusqlite::Result<()> {
        self.0.iter().try_for_each(|(number, path)| add(connection, *number, path, id, metadata))
    }

    pub(super) fn remove(&self, connection: &Connection, id: i64, metadata: &str) -> rusqlite::Result<()> {
        for (number, path) in &self.0 {
            for key in keys(path, metadata) {
                connection
                    .prepare_cached("DELETE FROM metadata_values WHERE number = ? AND value = ? AND log_id = ?")?
                    .execute(params![number, key, id])?;
            }
        }
        Ok(())
    }
}

fn keys(path: &MetadataPath, metadata: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    path.each_value(metadata, |value| keys.extend(value.index_key()));
    keys
}

fn add(connection: &Connection, number: i64, path: &MetadataPath, id: i64, metadata: &str) -> rusqlite::Result<()> {
    for key in keys(path, metadata) {
        connection
            .prepare_cached("INSERT OR IGNORE INTO metadata_values (number, value, log_id) VALUES (?, ?, ?)")?
            .execute(params![number, key, id])?;
    }
    Ok(())
}

/// The logs that an index has under one value: all that a condition holds for, and perhaps some others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hits {
    pub(super) number: i64,
    pub(super) value: String,
}

impl Hits {
    /// Of the first condition that there is a complete index for.
    pub(super) fn of(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<Option<Self>> {
        for condition in &filter.metadata {
            let number = connection
                .prepare_cached("SELECT number FROM metadata_indexes WHERE path = ? AND state = 'complete'")?
                .query_row([condition.path().to_string()], |row| row.get(0))
                .optional()?;
            if let Some(number) = number {
                return Ok(Some(Self { number, value: condition.index_key() }));
            }
        }
        Ok(None)
    }

    pub(super) fn are_few(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) < ?3 FROM
            (SELECT 1 FROM metadata_values WHERE number = ?1 AND value = ?2 LIMIT ?3)";
        connection.prepare_cached(sql)?.query_row(params![self.number, self.value, FEW], |row| row.get(0))
    }
}

impl EmbeddedStore {
    /// Keeps indexes of these paths from now on, and of no others. [`EmbeddedStore::tend_metadata_indexes`] builds what is
    /// new.
    ///
    /// # Errors
    /// Where the disk refuses it.
    pub async fn index_metadata(&self, paths: &[MetadataPath]) -> Result<(), PortError> {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        self.writer().write(move |connection| list(connection, &paths)).await.map_err(WriteError::into_port_error)
    }

    /// Looks at some of the logs that were stored before there was an index, and forgets some of what was in one that is
    /// not wanted any more. Returns whether more is to be done.
    ///
    /// # Errors
    /// Where the disk refuses it.
    pub async fn tend_metadata_indexes(&self) -> Result<bool, PortError> {
        self.writer().write(tend).await.map_err(WriteError::into_port_error)
    }

    /// Does all of it. Cancellation: it goes on where it was.
    pub async fn build_metadata_indexes(&self) {
        loop {
            match self.tend_metadata_indexes().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "indexes of metadata could not be built yet");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

fn list(connection: &Connection, paths: &[String]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT number, path FROM metadata_indexes WHERE state <> 'dropped'")?;
    let kept: Vec<(i64, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (number, _) in kept.iter().filter(|(_, path)| !paths.contains(path)) {
        connection.execute("UPDATE metadata_indexes SET state = 'dropped' WHERE number = ?", [number])?;
    }
    for path in paths.iter().filter(|path| !kept.iter().any(|(_, kept)| kept == *path)) {
        connection.execute(
            "INSERT INTO metadata_indexes (path, state, next_id) VALUES (?, 'building', ?)",
            params![path, i64::MIN],
        )?;
    }
    Ok(())
}

fn tend(connection: &Connection) -> rusqlite::Result<bool> {
    let one_of = |state: &str| {
        connection
            .prepare_cached("SELECT number, path, next_id FROM metadata_indexes WHERE state = ? LIMIT 1")?
            .query_row([state], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))
            .optional()
    };
    if let Some((number, ..)) = one_of("dropped")? {
        return forget(connection, number).map(|()| true);
    }
    let Some((number, path, next_id)) = one_of("building")? else { return Ok(false) };
    build(connection, number, MetadataPath::parse(&path).ok().as_ref(), next_id).map(|()| true)
}

fn forget(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM metadata_values WHERE (number, value, log_id) IN
                (SELECT number, value, log_id FROM metadata_values WHERE number = ? LIMIT ?)",
        )?
        .execute([number, AT_ONCE])?;
    if forgotten == 0 {
        connection.execute("DELETE FROM metadata_indexes WHERE number = ?", [number])?;
    }
    Ok(())
}

fn build(connection: &Connection, number: i64, path: Option<&MetadataPath>, next_id: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT id, metadata FROM logs WHERE id >= ? ORDER BY id LIMIT ?")?;
    let mut rows = statement.query([next_id, AT_ONCE])?;
    let (mut looked_at, mut next_id) = (0, next_id);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if let (Some(path), Ok(metadata)) = (path, row.get_ref(1)?.as_str()) {
            add(connection, number, path, id, metadata)?;
        }
        next_id = id + 1;
        looked_at += 1;
    }
    // Logs that come from here on are added by whoever stores them.
    let state = if looked_at < AT_ONCE { "complete" } else { "building" };
    connection
        .prepare_cached("UPDATE metadata_indexes SET state = ?, next_id = ? WHERE number = ?")?
        .execute(params![state, next_id, number])?;
    Ok(())
}
