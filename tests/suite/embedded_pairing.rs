//! Each of the embedded engine's files knows how far the other had come: a lost end is noticed, not passed over.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use eyego::infrastructure::embedded::FolderError;

use crate::{
    place::{Place, contents, open, refusal, verify},
    support::some_events,
};

/// A page with its header, as it lies in a WAL.
const FRAME: u64 = 4096 + 24;

fn cut(folder: &Path, file: &str, keep: impl FnOnce(u64) -> u64) {
    let file = OpenOptions::new().write(true).open(folder.join(file)).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 0, "there is something to cut");
    file.set_len(keep(length)).unwrap();
}

/// Ten events stored, and what the process noted is not there to help.
async fn drained() -> Place {
    let place = Place::new();
    place.publish(&some_events(4)).await;
    place.drain().await;
    place.publish(&some_events(6)).await;
    place.drain().await;
    place
}

#[tokio::test]
async fn a_folder_as_a_kill_leaves_it_is_taken() {
    let place = drained().await;
    place.publish(&some_events(3)).await;
    let crashed = place.crashed();
    let engine = open(crashed.path()).unwrap();
    engine.close();
    assert_eq!(verify(crashed.path()).await.summary.pending, 3);
}

#[tokio::test]
async fn a_shortened_queue_is_noticed_by_what_the_store_has_seen() {
    let place = drained().await;
    for keep in [0, 20, 32 + FRAME] {
        let crashed = place.crashed();
        fs::remove_file(crashed.path().join("eyego.lock")).unwrap();
        cut(crashed.path(), "queue.db-wal", |_| keep);
        let refusal = refusal(crashed.path());
        let lost = "queue.db has lost its end: 10 events (sequence 1 to 10) are gone from it; these are stored";
        assert!(refusal.contains(lost), "{refusal}");
        assert!(refusal.contains("restore queue.db and logs.db from one backup"), "{refusal}");
    }
}

#[tokio::test]
async fn what_was_not_stored_yet_is_named_apart() {
    let place = drained().await;
    place.publish(&some_events(3)).await;
    let before = place.crashed();
    // Stores one batch while more waits, so that the store hears of all of it.
    place.publish(&some_events(2000)).await;
    place.drain_some(1).await;
    let crashed = place.crashed();
    fs::copy(before.path().join("queue.db-wal"), crashed.path().join("queue.db-wal")).unwrap();
    let refusal = refusal(crashed.path());
    let lost = "2000 events (sequence 14 to 2013) are gone from it, and of these 1003 events (sequence 1011 to 2013)";
    assert!(refusal.contains(lost), "{refusal}");
    let verdict = verify(crashed.path()).await;
    assert_eq!(verdict.summary.missing, 1003, "{verdict:?}");
}

#[tokio::test]
async fn a_shortened_store_is_noticed_by_the_position() {
    let place = drained().await;
    for (cut_to, lost) in [(0, "10 events (sequence 1 to 10)"), (1, "6 events (sequence 5 to 10)")] {
        let crashed = place.crashed();
        cut(crashed.path(), "logs.db-wal", |length| if cut_to == 0 { 0 } else { length - FRAME });
        let refusal = refusal(crashed.path());
        assert!(refusal.contains(&format!("logs.db has lost its end: {lost} were stored and are gone")), "{refusal}");
    }
}

/// Also what nobody but the client has heard of.
#[tokio::test]
async fn a_queue_that_lost_what_was_just_acknowledged_is_noticed() {
    let place = drained().await;
    place.publish(&some_events(1)).await;
    for lost in [FRAME, 1] {
        let crashed = place.crashed();
        cut(crashed.path(), "queue.db-wal", |length| length - lost);
        let refusal = refusal(crashed.path());
        assert!(refusal.contains("1 event (sequence 11), acknowledged, are gone"), "{refusal}");
        assert!(refusal.contains("remove eyego.lock"), "{refusal}");
        fs::remove_file(crashed.path().join("eyego.lock")).unwrap();
        open(crashed.path()).unwrap().close();
    }
}

#[tokio::test]
async fn garbage_in_a_wal_is_a_lost_end() {
    let place = drained().await;
    for file in ["queue.db-wal", "logs.db-wal"] {
        let crashed = place.crashed();
        let mut wal = fs::read(crashed.path().join(file)).unwrap();
        wal[..32].fill(0xA5);
        fs::write(crashed.path().join(file), wal).unwrap();
        let refusal = refusal(crashed.path());
        assert!(refusal.contains("has lost its end"), "{file}: {refusal}");
    }
}

#[tokio::test]
async fn a_file_of_another_day_is_noticed() {
    let place = Place::new();
    place.publish(&some_events(4)).await;
    place.drain().await;
    let old = place.crashed();
    place.publish(&some_events(6)).await;
    place.drain().await;
    for file in ["queue.db", "logs.db"] {
        let mixed = place.crashed();
        for name in [file.to_owned(), format!("{file}-wal")] {
            fs::copy(old.path().join(&name), mixed.path().join(&name)).unwrap();
        }
        let refusal = refusal(mixed.path());
        assert!(refusal.contains(&format!("{file} has lost its end: 6 events (sequence 5 to 10)")), "{refusal}");
    }
}

#[tokio::test]
async fn a_missing_file_is_named_and_nothing_is_made_in_its_place() {
    let mut place = drained().await;
    let crashed = place.crashed();
    place.stop();
    for folder in [place.path(), crashed.path()] {
        for (file, other) in [("queue.db", "logs.db"), ("logs.db", "queue.db")] {
            let copy = tempfile::tempdir().unwrap();
            for (path, bytes) in contents(folder) {
                fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            }
            for empty in [false, true] {
                let path = copy.path().join(file);
                fs::remove_file(&path).unwrap_or_default();
                if empty {
                    fs::write(&path, "").unwrap();
                }
                let refusal = refusal(copy.path());
                assert!(refusal.contains(&format!("{file} is missing, but ")), "{refusal}");
                assert!(refusal.contains(&format!("{other} is there and h")), "{refusal}");
                assert_eq!(fs::metadata(&path).map_or(0, |found| found.len()), 0);
            }
        }
    }
}

#[test]
fn a_crash_in_the_midst_of_the_first_start_is_no_loss() {
    for file in ["queue.db", "logs.db"] {
        let mut place = Place::new();
        place.stop();
        fs::remove_file(place.path().join(file)).unwrap();
        place.restart();
        place.stop();
        fs::write(place.path().join(file), "").unwrap();
        place.restart();
    }
}

/// The lock file alone says nothing of a folder that is begun anew.
#[tokio::test]
async fn a_folder_without_its_databases_begins_anew_and_starts_ever_after() {
    let mut place = drained().await;
    place.stop();
    for file in ["queue.db", "logs.db"] {
        fs::remove_file(place.path().join(file)).unwrap();
    }
    place.start();
    place.restart();
    place.publish(&some_events(1)).await;
    open(place.crashed().path()).unwrap().close();
}

#[tokio::test]
async fn files_of_two_folders_do_not_fit() {
    let (mut one, mut two) = (drained().await, drained().await);
    one.stop();
    two.stop();
    one.tamper("queue.db", "UPDATE sequence SET first = 3");
    assert!(matches!(open(one.path()), Err(FolderError::Strangers(..))));
}
