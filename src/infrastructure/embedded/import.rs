//! What an import needs besides storing: whose ids are whose.
//!
//! Which ids are set aside stands in a table that is there until the import is finished, and changes in the transaction
//! that moves the counter.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{store::EmbeddedStore, writer::WriteError};
use crate::domain::{
    EventId, LogId,
    ports::{ImportIds, LogImport, PortError},
};

/// Ids above this one would leave too few for those that follow.
const HIGHEST: i64 = 1 << 53;

const IS_UNDER_WAY: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'import_ids')";
const IS_EMPTY: &str = "SELECT next_id = 0 AND NOT EXISTS (SELECT 1 FROM logs) FROM counters";
const BEGIN: &str =
    "CREATE TABLE import_ids (below INTEGER NOT NULL) STRICT; INSERT INTO import_ids (below) VALUES (0);";

#[async_trait]
impl LogImport for EmbeddedStore {
    async fn begin(&self) -> Result<ImportIds, PortError> {
        // An id that was taken and not stored yet is known here alone.
        let untouched = self.next_id().load(Ordering::Relaxed) == 0;
        self.write_import(move |connection| begin(connection, untouched)).await
    }

    async fn set_aside(&self, from: LogId, to: LogId) -> Result<bool, PortError> {
        let (from, to) = (from.get(), to.get());
        if to >= HIGHEST {
            return Ok(false);
        }
        let taken = self.next_id().compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        // Where the write before failed, the counter is there already.
        if taken.is_err_and(|next| next != to) {
            return Ok(false);
        }
        self.write_import(move |connection| {
            let aside = connection.execute("UPDATE import_ids SET below = ?2 WHERE below IN (?1, ?2)", [from, to])?;
            connection.execute("UPDATE counters SET next_id = max(next_id, ?)", [to])?;
            Ok(aside == 1)
        })
        .await
    }

    /// There are no others.
    async fn under_foreign_keys(&self, _: &[LogId]) -> Result<Vec<EventId>, PortError> {
        Ok(Vec::new())
    }

    async fn finish(&self) -> Result<(), PortError> {
        self.write_import(|connection| connection.execute_batch("DROP TABLE IF EXISTS import_ids")).await
    }
}

impl EmbeddedStore {
    async fn write_import<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        self.writer().write(work).await.map_err(WriteError::into_port_error)
    }
}

fn begin(connection: &Connection, untouched: bool) -> rusqlite::Result<ImportIds> {
    let says = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, bool>(0));
    if says(IS_UNDER_WAY)? {
        let below = connection.query_row("SELECT below FROM import_ids", [], |row| row.get(0))?;
        return Ok(ImportIds::Kept { below: LogId::new(below) });
    }
    if !untouched || !says(IS_EMPTY)? {
        return Ok(ImportIds::New);
    }
    connection.execute_batch(BEGIN)?;
    Ok(ImportIds::Kept { below: LogId::new(0) })
}
