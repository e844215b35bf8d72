//! Files of the embedded engine that are damaged: refused at start, or the end of the service, always by name.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use eyego::{
    domain::{LogFilter, PageRequest, ports::PortErrorKind},
    infrastructure::embedded::FolderError,
};

use crate::{
    place::{Place, open, refusal},
    service::{Service, eventually, eyego, log},
    support::{list, some_events},
};

/// Enough to fill many pages.
async fn filled() -> Place {
    let place = Place::new();
    place.publish(&some_events(3000)).await;
    place.drain().await;
    place.publish(&some_events(3000)).await;
    place
}

/// Overwrites the second half of a file.
fn scribble(folder: &Path, file: &str) {
    let file = OpenOptions::new().write(true).open(folder.join(file)).unwrap();
    let length = file.metadata().unwrap().len();
    let half = length / 2 / 4096 * 4096;
    file.write_all_at(&vec![0xA5; usize::try_from(length - half).unwrap()], half).unwrap();
}

fn truncate(folder: &Path, file: &str) {
    let file = OpenOptions::new().write(true).open(folder.join(file)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2 / 4096 * 4096).unwrap();
}

fn assert_damaged(folder: &Path, file: &str) {
    let refused = open(folder).err();
    assert!(matches!(refused, Some(FolderError::Damaged(..))), "{refused:?}");
    let refusal = refusal(folder);
    assert!(refusal.contains(&format!("{file} is damaged (")), "{refusal}");
    assert!(refusal.contains("restore queue.db and logs.db from one backup"), "{refusal}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_after_a_clean_end() {
    for file in ["queue.db", "logs.db"] {
        for damage in [scribble, truncate, |folder: &Path, file: &str| {
            fs::write(folder.join(file), "this is no database, not any more, but it is longer than a header of one is")
                .unwrap();
        }] {
            let mut place = filled().await;
            place.stop();
            tokio::time::sleep(Duration::from_millis(20)).await;
            damage(place.path(), file);
            assert_damaged(place.path(), file);
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_after_a_kill() {
    for file in ["queue.db", "logs.db"] {
        for damage in [scribble, truncate] {
            let mut place = filled().await;
            place.restart();
            place.publish(&some_events(10)).await;
            let crashed = place.crashed();
            damage(crashed.path(), file);
            assert_damaged(crashed.path(), file);
        }
    }
}

#[tokio::test]
async fn a_start_after_a_kill_takes_no_time_to_speak_of() {
    let place = Place::new();
    for _ in 0..4 {
        place.publish(&some_events(5000)).await;
        place.drain().await;
    }
    let crashed = place.crashed();
    let begun = std::time::Instant::now();
    let engine = open(crashed.path()).unwrap();
    let took = begun.elapsed();
    engine.close();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn files_are_looked_through_only_after_an_end_that_was_not_clean() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let service = Service::start(folder.path(), &[("LOG_LEVEL", "info")]);
        service.wait_until_ready();
        let looked = service.errors().matches("looked through after an end that was not clean").count();
        (service, looked)
    };
    let (service, looked) = start();
    assert_eq!(looked, 0, "there is nothing yet");
    service.stop();
    let (service, looked) = start();
    assert_eq!(looked, 0, "after an end that nothing came before");
    service.store(&log("u", "a"));
    service.stop();
    let (mut service, looked) = start();
    assert_eq!(looked, 0, "after a clean end");
    service.kill();
    let (service, looked) = start();
    assert_eq!(looked, 2, "after a kill");
    service.stop();
}

#[tokio::test]
async fn whoever_meets_damage_raises_the_alarm() {
    let mut place = filled().await;
    place.restart();
    scribble(place.path(), "logs.db");
    let store = &place.engine().store;
    let everything = LogFilter { user_ids: vec!["user1".to_owned()], ..LogFilter::default() };
    let mut kinds = Vec::new();
    for page in 1..=3 {
        if let Err(error) = list(&**store, &everything, PageRequest::new(page, 1000).unwrap()).await {
            kinds.push(error.kind());
        }
    }
    assert!(kinds.contains(&PortErrorKind::Corrupt), "{kinds:?}");
    let alarm = place.engine().alarm();
    let damage = tokio::time::timeout(Duration::from_secs(5), alarm.raised()).await.unwrap().to_string();
    assert!(damage.contains("logs.db is damaged (a read failed: "), "{damage}");
}

#[tokio::test]
async fn one_odd_row_breaks_no_page() {
    let place = Place::new();
    place.publish(&some_events(3)).await;
    place.drain().await;
    place.tamper(
        "logs.db",
        "UPDATE logs SET user_id = CAST(x'ff41' AS TEXT), metadata = CAST(x'ff' AS TEXT) WHERE id = 1",
    );
    assert_eq!(place.ids().await, [0, 1, 2]);
    assert_eq!(place.verify().await.summary.damaged, 1);
}

fn expect_failure(folder: &Path, environment: &[(&str, &str)]) -> String {
    let output = eyego(folder, environment).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_does_not_start_on_a_damaged_folder() {
    let mut place = filled().await;
    place.stop();
    tokio::time::sleep(Duration::from_millis(20)).await;
    truncate(place.path(), "logs.db");
    let data = place.path().to_str().unwrap();
    let errors = expect_failure(place.path(), &[("DATA_DIR", data)]);
    assert!(errors.contains("logs.db is damaged ("), "{errors}");
}

#[test]
fn the_service_ends_when_it_meets_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = Service::start(folder.path(), &[]);
    service.wait_until_ready();
    for n in 0..400 {
        assert_eq!(service.post(&log("u", &format!("{n} {}", "long ".repeat(100)))).status, 202);
    }
    service.store(&log("u", "last"));
    service.stop();
    let mut service = Service::start(folder.path(), &[]);
    service.wait_until_ready();
    scribble(&data, "logs.db");
    let mut page = 0;
    let status = eventually("the end of the process", || {
        page = page % 9 + 1;
        let _ = service.request("GET", &format!("/api/logs?limit=50&page={page}")).send();
        service.ended()
    });
    assert_eq!(status.code(), Some(1), "{}", service.errors());
    let errors = service.errors();
    assert!(errors.contains("a task failed") && errors.contains("logs.db is damaged"), "{errors}");
    let errors = expect_failure(folder.path(), &[]);
    assert!(errors.contains("logs.db is damaged ("), "no start makes it sound: {errors}");
}

#[test]
fn the_service_ends_when_a_file_is_taken_away() {
    for (file, replaced) in [("queue.db", false), ("logs.db", false), ("logs.db", true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join(file);
        let mut service = Service::start(folder.path(), &[]);
        service.wait_until_ready();
        service.store(&log("u", "a"));
        fs::rename(&path, folder.path().join("away")).unwrap();
        if replaced {
            fs::copy(folder.path().join("away"), &path).unwrap();
        }
        let status = service.wait();
        assert_eq!(status.code(), Some(1), "{}", service.errors());
        let what = if replaced { "it was replaced by another file" } else { "it was removed" };
        let errors = service.errors();
        assert!(errors.contains(&format!("{file} is damaged ({what})")), "{errors}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let below_a_file = folder.path().join("file/data");
    for data in [below_a_file.to_str().unwrap(), "/proc/eyego"] {
        let errors = expect_failure(folder.path(), &[("DATA_DIR", data)]);
        assert!(errors.contains(&format!("the data folder {data} cannot be made or written to")), "{errors}");
    }
}

/// Rights mean nothing to root, so that it may see nothing here.
#[test]
fn a_read_only_folder_is_named() {
    let mut place = Place::new();
    place.stop();
    let rights = |mode| fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
    rights(0o500);
    let writable = fs::write(place.path().join("probe"), "").is_ok();
    if !writable {
        let data = place.path().to_str().unwrap();
        fs::remove_file(place.path().join("eyego.lock")).unwrap_or_default();
        let errors = expect_failure(Path::new("/"), &[("DATA_DIR", data)]);
        assert!(errors.contains(data), "{errors}");
    }
    rights(0o700);
}
