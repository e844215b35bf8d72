//! The embedded engine's sequence and account: every number is given once and accounted for once.

use std::sync::Arc;

use eyego::{
    domain::{
        Tally,
        ports::{BusOffsets, DeadLetterReason, DeadLetters, Ledger, LogRepository},
    },
    infrastructure::embedded::EmbeddedEngine,
};

use crate::{
    place::{Place, Stopped, poison, query, verify},
    repository::letter,
    support::{eventually, number, some_events},
};

const DAY: i64 = 86_400_000;

fn tally(stored: u64, duplicates: u64, dead_lettered: u64) -> Tally {
    Tally { stored, duplicates, dead_lettered, ..Tally::default() }
}

#[tokio::test]
async fn the_sequence_begins_at_one_and_has_no_gaps() {
    let mut place = Place::new();
    place.publish(&some_events(3)).await;
    futures_util::future::join_all((0..20).map(|_| async { place.publish(&some_events(2)).await })).await;
    place.drain().await;
    place.restart();
    place.publish(&some_events(2)).await;
    place.drain().await;
    let numbers = query(place.path(), "logs.db", "SELECT seq FROM logs ORDER BY id");
    assert_eq!(numbers, (1..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_that_fails_leaves_no_gap() {
    let place = Place::new();
    place.publish(&some_events(3)).await;
    let locked = rusqlite::Connection::open(place.path().join("queue.db")).unwrap();
    locked.execute_batch("CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END").unwrap();
    let refused = eyego::domain::ports::EventPublisher::publish(&*place.engine().queue, some_events(4)).await;
    assert!(refused.iter().all(|one| matches!(one, eyego::domain::ports::PublishOutcome::Refused(_))), "{refused:?}");
    locked.execute_batch("DROP TRIGGER refuse").unwrap();
    place.publish(&some_events(1)).await;
    assert_eq!(query(place.path(), "queue.db", "SELECT seq FROM events ORDER BY seq"), [1, 2, 3, 4]);
}

/// Where nothing comes any more no later commit makes up for it.
#[tokio::test]
async fn a_position_that_could_not_be_written_is_written_later() {
    let place = Place::new();
    place.publish(&some_events(3)).await;
    let other = rusqlite::Connection::open(place.path().join("queue.db")).unwrap();
    other
        .execute_batch("CREATE TRIGGER refuse BEFORE UPDATE ON consumer BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let mut worker = place.worker().await;
    worker.step().await.unwrap();
    worker.step().await.unwrap();
    assert_eq!(query(place.path(), "queue.db", "SELECT next FROM consumer"), [1]);
    other.execute_batch("DROP TRIGGER refuse").unwrap();
    let written = async || {
        worker.step().await.unwrap();
        query(place.path(), "queue.db", "SELECT next FROM consumer") == [4]
            && query(place.path(), "queue.db", "SELECT count(*) FROM events") == [0]
    };
    eventually("the position is written and the rows are removed", written).await;
}

#[tokio::test]
async fn every_record_is_in_the_account_once() {
    let mut place = Place::new();
    let events = some_events(5);
    place.publish(&events).await;
    place.publish(&[poison()]).await;
    place.publish(&events[1..3]).await;
    let offsets = place.engine().queue.offsets().await.unwrap()[0];
    assert_eq!((offsets.low, offsets.end, offsets.committed), (1, 9, Some(1)));
    place.drain().await;
    let account = place.account().await;
    assert_eq!((account.first, account.next, account.tally), (1, 9, tally(5, 2, 1)));
    place.delete(2).await;
    place.publish(&events[2..4]).await;
    place.drain().await;
    place.restart();
    let account = place.account().await;
    assert_eq!((account.first, account.next, account.tally), (1, 11, tally(5, 4, 1)));
    assert_eq!(place.engine().queue.offsets().await.unwrap()[0].committed, Some(11));
}

#[tokio::test]
async fn a_redelivery_of_the_same_record_counts_nothing() {
    let place = Place::new();
    let store = &place.engine().store;
    let mut batch = number(&**store, &some_events(3)).await;
    batch.iter_mut().for_each(|event| event.offset += 1);
    let letters = [letter(batch[0].event.id, DeadLetterReason::NotJson)];
    for _ in 0..3 {
        store.append(&batch).await.unwrap();
        store.publish(&letters).await.unwrap();
    }
    let account = store.accounts().await.unwrap()[0];
    assert_eq!((account.next, account.tally), (8, tally(3, 0, 1)));
    place.delete(0).await;
    store.append(&batch).await.unwrap();
    assert_eq!(store.accounts().await.unwrap()[0], account);
    assert_eq!(query(place.path(), "logs.db", "SELECT count(*) FROM duplicates"), [0]);
}

#[tokio::test]
async fn a_forgotten_tombstone_leaves_its_number() {
    let mut place = Place::new();
    place.publish(&some_events(4)).await;
    place.drain().await;
    place.delete(1).await;
    place.delete(2).await;
    place.stop();
    let engine = EmbeddedEngine::open(place.path(), Arc::new(Stopped(2 * DAY)), 1).unwrap();
    assert_eq!(query(place.path(), "logs.db", "SELECT count(*) FROM tombstones"), [0]);
    assert_eq!(query(place.path(), "logs.db", "SELECT seq FROM forgotten"), [2, 3]);
    let verdict = verify(place.path()).await;
    assert!(verdict.summary.is_clean(), "{verdict:?}");
    assert_eq!((verdict.summary.stored, verdict.summary.deleted), (2, 2));
    engine.close();
}
