//! Opening a database: durability, limits, its soundness, and the schema with its version.

use std::{
    fs::File,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, functions::FunctionFlags};
use tracing::{info, warn};

use super::{
    folder::{is_there, length, wal_of},
    folder_error::FolderError,
};
use crate::domain::{InvalidMetadataMatch, MetadataMatch};

/// The pages a WAL may grow to before it is moved into the database: large enough that a bulk insert touches a page
/// many times before it is written back.
const CHECKPOINT_PAGES: u32 = 10_000;
/// How long a start may look through one file. Enough for a gigabyte or more; beyond that verification has to do it.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// In KiB, as SQLite wants it: negative. There are several readers, and the system caches the file anyway.
const READER_CACHE: i32 = -2_048;

/// A database's schema: one script per version, run in order.
pub(super) struct Schema(pub(super) &'static [&'static str]);

impl Schema {
    fn version(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }
}

/// Whether a file is looked through before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is as it was left by a clean end.
    AsLeft,
    Checked,
}

/// Opens the file for writing. A commit returns only once it is synced to disk.
pub(super) fn open_writer(file: &Path, schema: &Schema, trust: Trust) -> Result<Connection, FolderError> {
    let failed = |error| FolderError::database(file, error);
    let existed = is_there(file);
    if existed && trust == Trust::Checked {
        sync(file)?;
    }
    let mut connection = Connection::open(file).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        return Err(FolderError::ReadOnly(file.to_owned()));
    }
    connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    if existed && trust == Trust::Checked {
        check(&connection, file)?;
    }
    migrate(&mut connection, file, schema)?;
    Ok(connection)
}

/// What a process that was killed had written, but not synced, is in the memory of the system alone. It has to be on disk
/// before anything is concluded from it: what the other database keeps of it would outlive it.
///
/// To be called while nobody has the file open: closing it here would take the locks of whoever has.
fn sync(file: &Path) -> Result<(), FolderError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    for path in [file, &wal_of(file), folder] {
        // What cannot be opened, SQLite will miss and name.
        let Ok(opened) = File::open(path) else { continue };
        opened.sync_all().map_err(|error| FolderError::Unsynced(path.to_owned(), error))?;
    }
    Ok(())
}

/// Opens the file for reading beside the writer.
pub(super) fn open_reader(file: &Path) -> Result<Connection, FolderError> {
    let failed = |error| FolderError::database(file, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection.pragma_update(None, "cache_size", READER_CACHE).map_err(failed)?;
    add_functions(&connection).map_err(failed)?;
    Ok(connection)
}

/// `metadata_has(metadata, path, text)`: whether a [`MetadataMatch`] holds.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("metadata_has", 3, flags, |context| {
        let condition = context.get_or_create_aux(1, |_| -> Result<_, InvalidMetadataMatch> {
            let text = |index| context.get_raw(index).as_str().unwrap_or_default();
            MetadataMatch::parse(text(1), text(2))
        })?;
        Ok(condition.holds_for(context.get_raw(0).as_str().unwrap_or_default()))
    })
}

/// Opens the file for reading whether or not a service runs, and leaves nothing behind.
pub(super) fn open_onlooker(file: &Path, schema: &Schema) -> Result<Connection, FolderError> {
    let failed = |error| FolderError::database(file, error);
    if !is_there(file) {
        return Err(FolderError::Absent(file.to_owned()));
    }
    // Where there is no WAL nobody writes, and an ordinary reader would have to make one.
    let connection = if wal_of(file).exists() {
        open_reader(file)?
    } else {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let path = file.to_string_lossy();
        let path = utf8_percent_encode(&path, NON_ALPHANUMERIC);
        let connection = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        add_functions(&connection).map_err(failed)?;
        connection
    };
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let found = user_version(&connection, file)?;
    let known = schema.version();
    match found {
        _ if found > known => Err(FolderError::TooNew(file.to_owned(), found, known)),
        _ if found < known => Err(FolderError::TooOld(file.to_owned(), found, known)),
        _ => Ok(connection),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -8_192)
}

/// Looks through the structure of the whole file, within bounds.
fn check(connection: &Connection, file: &Path) -> Result<(), FolderError> {
    let begun = Instant::now();
    let interrupt = connection.get_interrupt_handle();
    let (done, wait) = mpsc::channel::<()>();
    let found = thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(CHECK_TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        drop(done);
        found
    });
    let (name, bytes) = (file.display(), length(file) + length(&wal_of(file)));
    match found {
        Ok(found) if found == "ok" => {
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(file = %name, bytes, duration_ms = took, "looked through after an end that was not clean");
            Ok(())
        }
        Ok(found) => Err(FolderError::Damaged(file.to_owned(), found.replace('\n', " "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            warn!(file = %name, bytes, "too large to be looked through at start; run eyego verify");
            Ok(())
        }
        Err(error) => Err(FolderError::database(file, error)),
    }
}

fn user_version(connection: &Connection, file: &Path) -> Result<i64, FolderError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    version.map_err(|error| FolderError::database(file, error))
}

fn migrate(connection: &mut Connection, file: &Path, schema: &Schema) -> Result<(), FolderError> {
    let failed = |error| FolderError::database(file, error);
    let (found, known) = (user_version(connection, file)?, schema.version());
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
