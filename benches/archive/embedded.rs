//! `logs.db`, written through the engine and read through bare SQLite.

use std::{path::Path, sync::Arc, time::Instant};

use crate::{
    logs::{Logs, Times},
    tell,
};
use eyego::{
    domain::ports::LogRepository,
    infrastructure::{
        clock::SystemClock,
        embedded::{EmbeddedEngine, raw},
    },
};

/// As the worker does.
const BATCH: u64 = 5000;

pub(crate) async fn fill(folder: &Path, total: u64) {
    let engine = EmbeddedEngine::open(folder, Arc::new(SystemClock), 0).unwrap();
    let mut logs = Logs::new(total, Times::InOrder);
    let begun = Instant::now();
    for _ in 0..total.div_ceil(BATCH) {
        let ids = engine.store.reserve(u32::try_from(BATCH).unwrap()).await.unwrap();
        engine.store.append(&logs.batch(ids)).await.unwrap();
    }
    tell(total, begun);
    engine.close();
}

/// Leaves the primary key and the event id alone.
pub(crate) fn drop_indexes(folder: &Path) {
    let connection = raw::open_logs(folder).unwrap();
    for index in ["logs_user_id", "logs_action", "logs_timestamp"] {
        connection.execute_batch(&format!("DROP INDEX {index}")).unwrap();
    }
    println!("{{}}");
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
