//! Folders that an earlier version wrote: they open, lose nothing, and have a sequence from then on.

use std::path::Path;

use eyego::application::ingestion::StepOutcome;
use rusqlite::{Connection, params};

use crate::{
    place::{Place, open, query},
    support::some_events,
};

const LOGS: &str = "
    CREATE TABLE logs (id INTEGER PRIMARY KEY, event_id BLOB NOT NULL, user_id TEXT NOT NULL, action TEXT NOT NULL,
        timestamp INTEGER NOT NULL, received_at INTEGER NOT NULL, metadata TEXT NOT NULL) STRICT;
    CREATE UNIQUE INDEX logs_event_id ON logs (event_id);
    CREATE INDEX logs_user_id ON logs (user_id);
    CREATE INDEX logs_action ON logs (action);
    CREATE INDEX logs_timestamp ON logs (timestamp);
    CREATE TABLE counters (only INTEGER PRIMARY KEY CHECK (only = 0), next_id INTEGER NOT NULL, stored INTEGER NOT NULL) STRICT;
    INSERT INTO counters (only, next_id, stored) VALUES (0, 5, 3);
    CREATE TABLE tombstones (event_id BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO tombstones VALUES (randomblob(16), 7);
    CREATE TABLE dead_letters (event_id BLOB NOT NULL, position INTEGER NOT NULL, reason TEXT NOT NULL,
        at INTEGER NOT NULL, value BLOB, UNIQUE (event_id, position)) STRICT;
    INSERT INTO dead_letters VALUES (randomblob(16), 3, 'not_json', 7, x'00');
    PRAGMA user_version = 1;";

const QUEUE: &str = "
    CREATE TABLE events (seq INTEGER PRIMARY KEY, event_id BLOB NOT NULL, received_at INTEGER NOT NULL,
        value BLOB NOT NULL) STRICT;
    CREATE TABLE consumer (only INTEGER PRIMARY KEY CHECK (only = 0), next INTEGER NOT NULL) STRICT;
    INSERT INTO consumer (only, next) VALUES (0, 5);
    PRAGMA user_version = 1;";

/// Three logs, a tombstone, a dead letter; and three records that wait, with a gap between them: one is stored already,
/// and its commit got lost.
fn write(folder: &Path) {
    let logs = Connection::open(folder.join("logs.db")).unwrap();
    logs.execute_batch(LOGS).unwrap();
    for id in 0..3u8 {
        let event_id = [id; 16];
        logs.execute("INSERT INTO logs VALUES (?, ?, 'u', 'a', 1, 2, '{}')", params![id, event_id]).unwrap();
    }
    let queue = Connection::open(folder.join("queue.db")).unwrap();
    queue.execute_batch(QUEUE).unwrap();
    for (seq, event_id) in [(5, [2u8; 16]), (7, [10; 16]), (8, [11; 16])] {
        let value = br#"{"userId":"u","action":"waiting","timestamp":"2025-05-21T12:34:56.789Z","metadata":{}}"#;
        queue.execute("INSERT INTO events VALUES (?, ?, 2, ?)", params![seq, event_id, value]).unwrap();
    }
}

#[tokio::test]
async fn a_folder_of_the_version_before_loses_nothing() {
    let mut place = Place::empty();
    write(place.path());
    place.start();
    assert!(place.verify().await.summary.is_clean());
    assert_eq!(place.logs_of("u").await, 3);
    let mut worker = place.worker().await;
    assert_eq!(worker.step().await.unwrap(), StepOutcome::Done(3));
    assert_eq!(place.ids().await.len(), 5);
    assert_eq!(place.logs_of("u").await, 5);
    let account = place.account().await;
    assert_eq!((account.first, account.next, account.tally.sum()), (9, 9, 0));
    place.publish(&some_events(3)).await;
    place.drain().await;
    let account = place.account().await;
    assert_eq!((account.next, account.tally.stored, account.tally.sum()), (12, 3, 3));
    place.delete(0).await;
    place.restart();
    let verdict = place.verify().await;
    let summary = verdict.summary;
    assert!(summary.is_clean(), "{verdict:?}");
    assert_eq!((summary.read, summary.stored, summary.deleted, summary.dead_lettered), (3, 7, 2, 1));
    place.tamper("logs.db", "DELETE FROM logs WHERE id = 1");
    let verdict = place.verify().await;
    assert_eq!(verdict.faults, ["logs.db: the counter of logs says 7, the rows say 6"], "an old log has no number");
}

#[tokio::test]
async fn an_old_folder_that_was_never_used_begins_at_one() {
    let mut place = Place::empty();
    Connection::open(place.path().join("logs.db"))
        .unwrap()
        .execute_batch(&LOGS.replace("(0, 5, 3)", "(0, 0, 0)"))
        .unwrap();
    Connection::open(place.path().join("queue.db")).unwrap().execute_batch(&QUEUE.replace("(0, 5)", "(0, 0)")).unwrap();
    place.start();
    place.publish(&some_events(1)).await;
    place.drain().await;
    assert_eq!(query(place.path(), "logs.db", "SELECT seq FROM logs"), [1]);
}

/// The two files are brought up to date one after the other.
#[tokio::test]
async fn a_crash_between_the_two_files_is_made_up_for() {
    let place = Place::empty();
    write(place.path());
    open(place.path()).unwrap().close();
    let half = Place::empty();
    write(half.path());
    std::fs::copy(place.path().join("queue.db"), half.path().join("queue.db")).unwrap();
    let engine = open(half.path()).unwrap();
    engine.close();
    assert_eq!(query(half.path(), "logs.db", "SELECT first FROM ledger"), [9]);
}
