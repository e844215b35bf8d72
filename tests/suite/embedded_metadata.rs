//! Indexes of metadata in the embedded store: how they are built, and that they leave nothing behind.

use eyego::domain::{
    Event, LogFilter, Metadata, MetadataMatch, MetadataPath, NewLog, NumberedEvent,
    ports::{DeleteOutcome, LogRepository},
};
use eyego::infrastructure::{
    clock::SystemClock,
    embedded::{DataFolder, EmbeddedStore},
};
use rusqlite::Connection;
use std::{path::Path, sync::Arc};

use crate::support::{MAX_TIME, event, log, store};

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&DataFolder::open(folder).unwrap(), Arc::new(SystemClock), 0).unwrap()
}

fn rows(folder: &Path, table: &str) -> i64 {
    let logs = Connection::open(folder.join("logs.db")).unwrap();
    logs.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

async fn store_some(store_of: &EmbeddedStore, count: usize) -> Vec<NumberedEvent> {
    let metadata = |number: usize| Metadata::from_canonical(format!(r#"{{"a":["x",{}]}}"#, number % 3));
    let events: Vec<Event> =
        (0..count).map(|number| event(NewLog { metadata: metadata(number), ..log("u", "a") })).collect();
    store(store_of, &events).await
}

async fn with(store: &EmbeddedStore, text: &str) -> u64 {
    let filter = LogFilter { metadata: vec![MetadataMatch::parse("a", text).unwrap()], ..LogFilter::default() };
    store.count(&filter, u64::MAX, MAX_TIME).await.unwrap().number
}

#[tokio::test]
async fn an_index_is_finished_after_a_restart_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = MetadataPath::parse("a").unwrap();
    let logs = open(folder.path());
    let stored = store_some(&logs, 1500).await;
    logs.index_metadata(std::slice::from_ref(&path)).await.unwrap();
    assert!(logs.tend_metadata_indexes().await.unwrap(), "the first part of it");
    assert_eq!(logs.delete(stored[1].id).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(logs.delete(stored[1400].id).await.unwrap(), DeleteOutcome::Deleted);
    store_some(&logs, 30).await;
    assert_eq!((with(&logs, "x").await, with(&logs, "2").await), (1528, 509), "it is not asked yet");
    logs.close();

    let logs = open(folder.path());
    logs.index_metadata(std::slice::from_ref(&path)).await.unwrap();
    logs.build_metadata_indexes().await;
    assert_eq!((with(&logs, "x").await, with(&logs, "2").await), (1528, 509));
    assert_eq!(rows(folder.path(), "metadata_values"), 2 * 1528);
    for log in &stored[2..40] {
        logs.delete(log.id).await.unwrap();
    }
    assert_eq!(rows(folder.path(), "metadata_values"), 2 * 1490);

    logs.index_metadata(&[]).await.unwrap();
    assert_eq!(with(&logs, "x").await, 1490);
    logs.build_metadata_indexes().await;
    assert_eq!((rows(folder.path(), "metadata_values"), rows(folder.path(), "metadata_indexes")), (0, 0));
    logs.close();
}
