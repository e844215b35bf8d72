//! Opening a database: durability, limits, and the schema with its version.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::folder::FolderError;

/// The pages a WAL may grow to before it is moved into the database: large enough that a bulk insert touches a page
/// many times before it is written back.
const CHECKPOINT_PAGES: u32 = 10_000;

/// A database's schema: one script per version, run in order.
pub(super) struct Schema(pub(super) &'static [&'static str]);

/// Opens the file for writing. A commit returns only once it is synced to disk.
pub(super) fn open_writer(file: &Path, schema: &Schema) -> Result<Connection, FolderError> {
    let failed = |error| FolderError::Database(file.to_owned(), error);
    let mut connection = Connection::open(file).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    migrate(&mut connection, file, schema)?;
    Ok(connection)
}

/// Opens the file for reading beside the writer.
pub(super) fn open_reader(file: &Path) -> Result<Connection, FolderError> {
    let failed = |error| FolderError::Database(file.to_owned(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -8_192)
}

fn migrate(connection: &mut Connection, file: &Path, schema: &Schema) -> Result<(), FolderError> {
    let failed = |error| FolderError::Database(file.to_owned(), error);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(schema.0.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(FolderError::TooNew(file.to_owned(), found, known));
    }
    let missing = schema.0.iter().skip(usize::try_from(found).unwrap_or(0));
    for (script, version) in missing.zip(found + 1..) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(script).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
