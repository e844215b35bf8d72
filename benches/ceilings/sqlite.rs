//! Bare SQLite: prepared inserts into the engine's own files, opened as the engine opens them.

use std::{fs, path::Path, sync::Arc, time::Instant};

use eyego::{
    domain::NumberedEvent,
    infrastructure::{
        clock::SystemClock,
        embedded::{EmbeddedEngine, raw},
        wire,
    },
};
use rusqlite::{Connection, Statement, params};

use crate::{Ceiling, logs::Logs};

/// The column is written; adding it up is not SQLite's work.
const CRC: i64 = 0x7fff_ffff;

pub(crate) fn queue(folder: &Path, count: usize) {
    let events = Logs::new().numbered(count);
    let rows: Vec<(&NumberedEvent, Vec<u8>)> =
        events.iter().map(|event| (event, wire::encode_value(&event.event.log))).collect();
    let mut ceiling = Ceiling::new("sqlite-queue");
    for per_transaction in [500, 1_000, 5_000] {
        made_by_the_engine(folder);
        let connection = raw::open_queue(folder).unwrap();
        let sql = "INSERT INTO events (seq, event_id, received_at, value, crc) VALUES (?, ?, ?, ?, ?)";
        let begun = Instant::now();
        insert(&connection, sql, rows.chunks(per_transaction), |statement, (numbered, value)| {
            let event = &numbered.event;
            let row = params![numbered.offset + 1, event.id.as_bytes(), event.received_at.as_millis(), value, CRC];
            statement.execute(row).unwrap();
        });
        ceiling.variant(&format!("{per_transaction} rows per transaction"), count, begun);
    }
    fs::remove_dir_all(folder).unwrap();
    ceiling.finish();
}

pub(crate) fn logs(folder: &Path, count: usize) {
    let rows = Logs::new().numbered(count);
    let mut ceiling = Ceiling::new("sqlite-logs");
    for per_transaction in [500, 1_000, 5_000] {
        made_by_the_engine(folder);
        let connection = raw::open_logs(folder).unwrap();
        let sql = "INSERT INTO logs (id, event_id, user_id, action, timestamp, received_at, metadata, seq, crc)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let begun = Instant::now();
        insert(&connection, sql, rows.chunks(per_transaction), |statement, numbered| {
            let (event, log) = (&numbered.event, &numbered.event.log);
            let row = params![
                numbered.id.get(),
                event.id.as_bytes(),
                log.user_id.as_str(),
                log.action.as_str(),
                log.timestamp.as_millis(),
                event.received_at.as_millis(),
                log.metadata.as_str(),
                numbered.offset + 1,
                CRC,
            ];
            statement.execute(row).unwrap();
        });
        ceiling.variant(&format!("{per_transaction} rows per transaction"), count, begun);
    }
    fs::remove_dir_all(folder).unwrap();
    ceiling.finish();
}

/// Leaves a folder with both files, empty.
fn made_by_the_engine(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap().close();
}

/// One transaction per chunk, each on disk before the next begins.
fn insert<'r, T: 'r>(
    connection: &Connection,
    sql: &str,
    chunks: impl Iterator<Item = &'r [T]>,
    execute: impl Fn(&mut Statement<'_>, &T),
) {
    let mut statement = connection.prepare(sql).unwrap();
    for chunk in chunks {
        let transaction = connection.unchecked_transaction().unwrap();
        for row in chunk {
            execute(&mut statement, row);
        }
        transaction.commit().unwrap();
    }
}
