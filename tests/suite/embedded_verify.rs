//! Verification of a data folder: silent on a healthy one, and naming each row that is gone or changed.

use std::fs;

use eyego::{
    domain::{
        Event,
        ports::{Verification, VerificationSummary},
    },
    infrastructure::embedded::{EmbeddedVerification, FolderError},
};

use crate::{
    pipeline::Dice,
    place::{Place, Verdict, contents, poison, query, verify},
    support::{eventually, some_events},
};

/// Some of everything: of the numbers 1 to 16, 4 is a dead letter, 6 and 7 are duplicates of 1 and 2, 2 is deleted, and
/// 13 to 16 wait.
async fn filled() -> Place {
    let place = Place::new();
    let events = some_events(10);
    place.publish(&events[..3]).await;
    place.publish(&[poison()]).await;
    place.publish(&events[3..4]).await;
    place.publish(&events[..2]).await;
    place.publish(&events[4..9]).await;
    place.drain().await;
    eventually("the drained rows are removed", async || {
        query(place.path(), "queue.db", "SELECT count(*) FROM events") == [0]
    })
    .await;
    place.delete(1).await;
    place.publish(&some_events(4)).await;
    place
}

fn expected() -> VerificationSummary {
    VerificationSummary {
        read: 16,
        looked_up: 16,
        stored: 8,
        duplicates: 2,
        dead_lettered: 1,
        deleted: 1,
        pending: 4,
        ..VerificationSummary::default()
    }
}

fn assert_clean(verdict: &Verdict) {
    assert_eq!((verdict.summary, verdict.faults.as_slice()), (expected(), &[][..]));
}

#[tokio::test]
async fn a_healthy_folder_is_clean_beside_the_service_and_without_it() {
    let mut place = filled().await;
    let verdict = place.verify().await;
    assert_clean(&verdict);
    let last = verdict.progress.last().unwrap();
    assert_eq!(last.done, last.total);
    let crashed = place.crashed();
    assert_clean(&verify(crashed.path()).await);
    place.stop();
    assert_clean(&place.verify().await);
}

#[tokio::test]
async fn nothing_is_changed_by_looking() {
    let mut place = filled().await;
    let crashed = place.crashed();
    let before = contents(crashed.path());
    verify(crashed.path()).await;
    let mut after = contents(crashed.path());
    // The index of a WAL is made anew by whoever reads it.
    after.retain(|(file, _)| file.extension().is_none_or(|extension| extension != "db-shm"));
    assert!(before == after, "a folder as a crash left it");
    place.stop();
    let before = contents(place.path());
    verify(place.path()).await;
    assert!(before == contents(place.path()), "a folder as a clean end left it");
}

#[tokio::test]
async fn each_deletion_behind_the_back_is_named() {
    for (file, sql, seq) in [
        ("logs.db", "DELETE FROM logs WHERE seq = 1", 1),
        ("logs.db", "DELETE FROM logs WHERE seq = 8", 8),
        ("logs.db", "DELETE FROM logs WHERE seq = 12", 12),
        ("logs.db", "DELETE FROM tombstones", 2),
        ("logs.db", "DELETE FROM dead_letters", 4),
        ("logs.db", "DELETE FROM duplicates WHERE seq = 6", 6),
        ("queue.db", "DELETE FROM events WHERE seq = 13", 13),
        ("queue.db", "DELETE FROM events WHERE seq = 14", 14),
        ("queue.db", "DELETE FROM events WHERE seq = 16", 16),
    ] {
        let mut place = filled().await;
        place.tamper(file, sql);
        for stopped in [false, true] {
            if stopped {
                place.stop();
            }
            let verdict = place.verify().await;
            let [fault] = verdict.faults.as_slice() else { panic!("{sql}: {verdict:?}") };
            assert!(fault.starts_with(&format!("sequence {seq}: missing")), "{sql}: {fault}");
            assert_eq!((verdict.summary.missing, verdict.summary.damaged), (1, 0), "{sql}");
        }
        if file == "queue.db" {
            place.start();
            place.worker().await.step().await.unwrap();
            assert_eq!(place.verify().await.summary.missing, 1, "{sql}: also once the others are drained");
        }
    }
}

#[tokio::test]
async fn each_changed_value_is_named() {
    for (file, sql, named) in [
        ("logs.db", "UPDATE logs SET user_id = 'other' WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE logs SET action = 'other' WHERE id = 0", "log 0 (event "),
        ("logs.db", "UPDATE logs SET timestamp = timestamp + 1 WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE logs SET received_at = 0 WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE logs SET metadata = '{\"a\":1}' WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE logs SET event_id = randomblob(16) WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE logs SET event_id = x'00' WHERE id = 3", "log 3 (sequence 5)"),
        ("logs.db", "UPDATE logs SET id = 99 WHERE id = 3", "log 99 (event "),
        ("logs.db", "UPDATE logs SET crc = NULL WHERE id = 3", "log 3 (event "),
        ("logs.db", "UPDATE tombstones SET at = 1", "tombstone (event "),
        ("logs.db", "UPDATE tombstones SET event_id = randomblob(16)", "tombstone (event "),
        ("logs.db", "UPDATE dead_letters SET reason = 'not_json'", "dead letter (event "),
        ("logs.db", "UPDATE dead_letters SET value = x'00'", "dead letter (event "),
        ("logs.db", "UPDATE duplicates SET event_id = randomblob(16) WHERE seq = 6", "duplicate (event "),
        ("queue.db", "UPDATE events SET value = x'7b7d' WHERE seq = 15", "queued event (event "),
        ("queue.db", "UPDATE events SET received_at = 0 WHERE seq = 13", "queued event (event "),
    ] {
        let place = filled().await;
        place.tamper(file, sql);
        let verdict = place.verify().await;
        let [fault] = verdict.faults.as_slice() else { panic!("{sql}: {verdict:?}") };
        assert!(fault.starts_with(named) && fault.ends_with("changed after it was written"), "{sql}: {fault}");
        assert_eq!((verdict.summary.missing, verdict.summary.damaged), (0, 1), "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_named() {
    for (file, sql, named) in [
        ("logs.db", "INSERT INTO forgotten (seq) VALUES (3)", "forgotten tombstone (sequence 3)"),
        ("logs.db", "UPDATE counters SET stored = 7", "logs.db: the counter of logs says 7, the rows say 8"),
        ("logs.db", "UPDATE ledger SET duplicates = 3", "logs.db: the account of duplicates says 3, the rows say 2"),
        ("logs.db", "UPDATE ledger SET stored = 1", "logs.db: the account of stored logs says 1, the rows say 9"),
        ("logs.db", "UPDATE ledger SET queue_last = 17", "queue.db: it ends at sequence 16, but logs.db has seen 17"),
        ("queue.db", "UPDATE consumer SET next = 15", "logs.db: it ends at sequence 12, but 14 was drained"),
    ] {
        let place = filled().await;
        place.tamper(file, sql);
        let verdict = place.verify().await;
        assert!(verdict.faults.iter().any(|fault| fault.starts_with(named)), "{sql}: {verdict:?}");
        assert!(!verdict.summary.is_clean(), "{sql}");
    }
    let place = filled().await;
    place.tamper("logs.db", "UPDATE logs SET seq = 9 WHERE seq = 8");
    let verdict = place.verify().await;
    assert!(verdict.faults.iter().any(|fault| fault.contains("accounted for twice")), "{verdict:?}");
    assert!(verdict.faults.iter().any(|fault| fault.starts_with("sequence 8: missing")), "{verdict:?}");
}

#[tokio::test]
async fn a_position_that_was_moved_ahead_skips_nothing_unnoticed() {
    let mut place = filled().await;
    place.tamper("queue.db", "UPDATE consumer SET next = 15");
    let verdict = place.verify().await;
    for seq in [13, 14] {
        let fault = format!("sequence {seq} (event ");
        let named =
            verdict.faults.iter().find(|named| named.starts_with(&fault)).unwrap_or_else(|| panic!("{verdict:?}"));
        assert!(named.contains("still in queue.db"), "{named}");
    }
    place.stop();
}

#[tokio::test]
async fn a_long_stretch_is_named_as_one() {
    let place = Place::new();
    place.publish(&some_events(500)).await;
    place.drain().await;
    let file = rusqlite::Connection::open(place.path().join("logs.db")).unwrap();
    file.execute("DELETE FROM logs WHERE seq BETWEEN 101 AND 400", []).unwrap();
    let verdict = place.verify().await;
    assert_eq!(verdict.summary.missing, 300);
    assert!(verdict.faults[0].starts_with("sequence 101 to 400: 300 events are missing"), "{verdict:?}");
}

#[tokio::test]
async fn a_verification_beside_a_busy_service_is_clean() {
    let place = Place::new();
    let mut events: Vec<Event> = Vec::new();
    let work = async {
        for round in 0..40 {
            let mut batch = some_events(600);
            batch.extend_from_slice(&events[events.len().saturating_sub(50)..]);
            place.publish(&batch).await;
            events.extend(batch);
            if round % 2 == 1 {
                place.drain_some(3).await;
            }
            for id in place.ids().await.iter().take(3) {
                place.delete(*id).await;
            }
        }
        place.drain().await;
    };
    let looking = async {
        for _ in 0..15 {
            let verdict = place.verify().await;
            assert!(verdict.summary.is_clean(), "{verdict:?}");
        }
    };
    tokio::join!(work, looking);
    let summary = place.verify().await.summary;
    assert!(summary.is_clean() && summary.pending == 0, "{summary:?}");
    assert_eq!(place.account().await.tally.sum(), summary.read);
}

#[tokio::test]
async fn what_is_no_folder_of_this_version_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedVerification::open(empty.path()), Err(FolderError::Absent(_))));
    assert_eq!(contents(empty.path()), []);
    let mut place = Place::new();
    place.stop();
    place.tamper("logs.db", "UPDATE counters SET stored = 0");
    let file = rusqlite::Connection::open(place.path().join("logs.db")).unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
    assert!(matches!(EmbeddedVerification::open(place.path()), Err(FolderError::TooOld(_, 1, _))));
}

#[tokio::test]
async fn a_service_that_starts_meanwhile_spoils_the_verification() {
    let mut place = filled().await;
    place.stop();
    let verification = EmbeddedVerification::open(place.path()).unwrap();
    place.start();
    let error = verification.verify(&mut Verdict::default()).await.unwrap_err();
    assert!(error.to_string().contains("started meanwhile"), "{error}");
}

/// Whatever happens to a folder, nothing is unaccounted for; and then any one row is missed.
#[tokio::test]
async fn after_any_history_all_is_accounted_for_and_any_one_row_is_missed() {
    for seed in 0..16 {
        let dice = Dice::new(seed);
        let mut place = Place::new();
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..30 {
            match dice.roll(10) {
                0..4 => {
                    let mut batch = some_events(1 + dice.roll(20));
                    batch.extend((0..dice.roll(4)).filter(|_| dice.hit(3)).map(|_| poison()));
                    batch.extend((0..dice.roll(5)).filter_map(|_| events.get(dice.roll(events.len().max(1)))).cloned());
                    place.publish(&batch).await;
                    events.extend(batch);
                }
                4..6 => place.drain_some(1 + dice.roll(2)).await,
                6..8 => {
                    let ids = place.ids().await;
                    if let Some(id) = ids.get(dice.roll(ids.len().max(1))) {
                        place.delete(*id).await;
                    }
                }
                8 => place.restart(),
                _ => {
                    let verdict = place.verify().await;
                    assert!(verdict.summary.is_clean(), "seed {seed}: {verdict:?}");
                }
            }
        }
        if dice.hit(2) {
            place.drain().await;
            let account = place.account().await;
            assert_eq!(account.tally.sum(), (account.next - account.first).unsigned_abs(), "seed {seed}");
        }
        place.stop();
        let verdict = place.verify().await;
        assert!(verdict.summary.is_clean(), "seed {seed}: {verdict:?}");
        any_one_row_is_missed(&place, &dice).await;
    }
}

async fn any_one_row_is_missed(place: &Place, dice: &Dice) {
    for (file, table, number) in [
        ("logs.db", "logs", "seq"),
        ("logs.db", "tombstones", "seq"),
        ("logs.db", "duplicates", "seq"),
        ("logs.db", "dead_letters", "position"),
        ("queue.db", "events", "seq"),
    ] {
        let waiting = if table == "events" { "WHERE seq >= (SELECT next FROM consumer)" } else { "" };
        let rows = query(place.path(), file, &format!("SELECT {number} FROM {table} {waiting}"));
        let Some(seq) = rows.get(dice.roll(rows.len().max(1))) else { continue };
        let before = fs::read(place.path().join(file)).unwrap();
        place.tamper(file, &format!("DELETE FROM {table} WHERE {number} = {seq}"));
        let verdict = place.verify().await;
        assert_eq!(verdict.faults.len(), 1, "{table} {seq}: {verdict:?}");
        assert!(verdict.faults[0].starts_with(&format!("sequence {seq}: missing")), "{table}: {verdict:?}");
        fs::write(place.path().join(file), before).unwrap();
    }
}
