//! The embedded engine on a disk that is full: nothing is taken that cannot be kept, and it goes on by itself when
//! there is room again.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    place::verify,
    service::{Service, eventually},
};

/// Lets no file of the process grow beyond so many bytes; `None` is no limit.
pub fn limit_files(service: &Service, bytes: Option<u64>) {
    let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let pid = service.id().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
    assert!(done.success());
}

pub fn largest(data: &Path) -> u64 {
    let files = fs::read_dir(data).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    files.max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let summary = tokio::task::block_in_place(|| fill_and_recover(folder.path(), &data));
    let verdict = verify(&data).await;
    assert!(verdict.summary.is_clean(), "{verdict:?}");
    assert_eq!((verdict.summary.stored, verdict.summary.pending), (summary, 0));
}

fn fill_and_recover(folder: &Path, data: &Path) -> u64 {
    let service = Service::start(folder, &[]);
    service.wait_until_ready();
    let mut taken = 0;
    let mut post = || {
        let answer = service.post(&json!({"userId": "u", "action": "a", "metadata": {"text": "x".repeat(3000)}}));
        taken += u64::from(answer.status == 202);
        answer
    };
    for _ in 0..20 {
        assert_eq!(post().status, 202);
    }
    for round in 0..3 {
        limit_files(&service, Some(largest(data) + 50_000));
        let refused = eventually("a refusal", || Some(post()).filter(|answer| answer.status != 202));
        assert_eq!((refused.status, refused.code()), (503, "queue_unavailable"), "round {round}: {refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        for _ in 0..10 {
            assert_eq!(post().status, 503);
        }
        eventually("not ready", || (service.get("/readyz").status == 503).then_some(()));
        assert_eq!(service.get("/api/logs?limit=1").status, 200, "reading goes on");
        limit_files(&service, None);
        eventually("room again", || (service.get("/readyz").status == 200).then_some(()));
        assert_eq!(post().status, 202);
    }
    eventually("all is drained", || (service.get("/api/logs?limit=1").body["total"] == taken).then_some(()));
    assert!(service.errors().contains("a group of writes failed"), "{}", service.errors());
    service.stop();
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_on_a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = tokio::task::block_in_place(|| {
        let mut service = Service::start(folder.path(), &[]);
        service.wait_until_ready();
        let body = json!({"userId": "u", "action": "a", "metadata": {"text": "x".repeat(3000)}});
        limit_files(&service, Some(200_000));
        let mut taken = 0;
        eventually("ten refusals", || {
            let status = service.post(&body).status;
            assert!(status == 202 || status == 503, "{status}");
            taken += u64::from(status == 202);
            let refusals = service.errors().contains("a group of writes failed");
            refusals.then_some(())
        });
        service.kill();
        let service = Service::start(folder.path(), &[]);
        eventually("all is drained", || (service.get("/api/logs?limit=1").body["total"] == taken).then_some(()));
        service.stop();
        taken
    });
    let verdict = verify(&data).await;
    assert!(verdict.summary.is_clean() && verdict.summary.stored == taken, "{verdict:?}");
}
