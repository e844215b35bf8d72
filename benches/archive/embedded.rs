//! `logs.db`, through the engine and through bare SQLite.

use std::{path::Path, sync::Arc, time::Instant};

use eyego::{
    domain::{IdRange, NumberedEvent, ports::LogRepository},
    infrastructure::{
        clock::SystemClock,
        embedded::{EmbeddedEngine, raw},
    },
};
use rusqlite::params;

use crate::{
    logs::{Logs, Times},
    tell,
};

/// As the worker does.
const BATCH: u64 = 5000;

pub(crate) async fn fill(folder: &Path, total: u64, times: Times) {
    let engine = EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap();
    let mut logs = Logs::new(total, times);
    let begun = Instant::now();
    for _ in 0..total.div_ceil(BATCH) {
        let ids = engine.store.reserve(u32::try_from(BATCH).unwrap()).await.unwrap();
        engine.store.append(&logs.batch(ids)).await.unwrap();
    }
    tell(total, begun);
    engine.close();
}

/// With the primary key and the event id alone.
pub(crate) fn fill_bare(folder: &Path, total: u64) {
    EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap().close();
    let connection = raw::open_logs(folder).unwrap();
    for index in ["logs_user_id", "logs_action", "logs_timestamp", "logs_before_sequence"] {
        connection.execute_batch(&format!("DROP INDEX {index}")).unwrap();
    }
    let mut insert = connection
        .prepare(
            "INSERT INTO logs (id, event_id, user_id, action, timestamp, received_at, metadata, seq, crc)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .unwrap();
    let mut logs = Logs::new(total, Times::Live);
    let begun = Instant::now();
    for number in 0..i64::try_from(total.div_ceil(BATCH)).unwrap() {
        let size = i64::try_from(BATCH).unwrap();
        let batch: Vec<NumberedEvent> = logs.batch(IdRange::new(number * size, (number + 1) * size));
        let transaction = connection.unchecked_transaction().unwrap();
        for NumberedEvent { id, event, .. } in &batch {
            let row = params![
                id.get(),
                event.id.as_bytes(),
                event.log.user_id.as_str(),
                event.log.action.as_str(),
                event.log.timestamp.as_millis(),
                event.received_at.as_millis(),
                event.log.metadata.as_str(),
                id.get() + 1,
                0x7fff_ffff,
            ];
            insert.execute(row).unwrap();
        }
        transaction.commit().unwrap();
    }
    tell(total, begun);
}

/// What an export reads, and nothing done with it.
pub(crate) fn read(folder: &Path) {
    let connection = raw::open_logs(folder).unwrap();
    let mut all = connection
        .prepare("SELECT id, event_id, user_id, action, timestamp, received_at, metadata FROM logs ORDER BY id")
        .unwrap();
    let (begun, mut count, mut bytes) = (Instant::now(), 0, 0);
    let mut rows = all.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        bytes += row.get::<_, [u8; 16]>(1).unwrap().len();
        bytes += [2, 3, 6].map(|column| row.get::<_, String>(column).unwrap().len()).iter().sum::<usize>();
        count += u64::from(row.get::<_, i64>(4).unwrap() > row.get::<_, i64>(0).unwrap());
    }
    assert!(bytes > 0);
    tell(count, begun);
}
