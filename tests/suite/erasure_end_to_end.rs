//! Erasing over HTTP on the built binary: dry run, token, job; kills in the middle; a replay of the whole topic.

use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    service::{Answer, Service, eventually, log},
    support::unique_name,
};

#[test]
fn a_user_is_erased_over_http_on_the_embedded_engine() {
    a_user_is_erased(&Place::embedded());
}

#[test]
fn a_user_is_erased_over_http_on_servers() {
    if let Some(place) = Place::servers() {
        a_user_is_erased(&place);
    }
}

#[test]
fn an_erasure_that_is_killed_goes_on_embedded() {
    an_erasure_that_is_killed_goes_on(&Place::embedded());
}

#[test]
fn an_erasure_that_is_killed_goes_on_on_servers() {
    if let Some(place) = Place::servers() {
        an_erasure_that_is_killed_goes_on(&place);
    }
}

fn total(service: &Service, query: &str) -> u64 {
    let answer = service.get(&format!("/api/logs?{query}"));
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    answer.body["total"].as_u64().unwrap()
}

/// Posts so many logs of the user, in lines.
fn post_many(service: &Service, user: &str, count: usize) {
    let lines: String =
        (0..count).map(|n| format!("{}\n", json!({"userId": user, "action": format!("a{n}")}))).collect();
    let request = service.request("POST", "/api/logs/batch").header("content-type", "application/x-ndjson");
    let answer = Answer::of(request.header("prefer", "return=minimal").body(lines).send().unwrap());
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(count)), "{answer:?}");
}

/// Dry run and job; returns the job's path.
fn erase(service: &Service, query: &str) -> String {
    let preview = service.delete(&format!("/api/logs?{query}&dryRun=true"));
    assert_eq!(preview.status, 200, "{preview:?}");
    let token = preview.body["token"].as_str().unwrap();
    let path = format!("/api/logs?{query}&token={token}");
    let begun = service.delete(&path);
    assert_eq!(begun.status, 202, "{begun:?}");
    let again = service.delete(&path);
    assert_eq!((again.status, &again.body["id"]), (202, &begun.body["id"]), "the same token is the same job");
    begun.header("location").unwrap().to_owned()
}

fn wait_until_done(service: &Service, job: &str) -> Value {
    eventually("the job is done", || {
        let answer = service.get(job);
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.body["state"] == "done").then_some(answer.body)
    })
}

fn refusals(service: &Service) {
    let code = |path: &str, status: u16| {
        let answer = service.delete(path);
        assert_eq!(answer.status, status, "{path} {answer:?}");
        answer.code().to_owned()
    };
    assert_eq!(code("/api/logs", 400), "missing_selection");
    assert_eq!(code("/api/logs?userId=u", 400), "invalid_token");
    assert_eq!(code("/api/logs?userId=u&token=x", 400), "invalid_token");
    assert_eq!(code("/api/logs?userId=u&action=x", 400), "unknown_parameter");
    assert_eq!(code("/api/logs?before=tomorrow&dryRun=true", 400), "invalid_before");
    assert_eq!(code("/api/jobs/7", 400), "invalid_job_id");
    let unknown = "/api/jobs/0196f1e2-7c3a-7000-8000-000000000001";
    assert_eq!(code(unknown, 404), "job_not_found");
    assert_eq!(service.get(unknown).code(), "job_not_found");
    let other = service.delete("/api/logs?userId=u&dryRun=true").body["token"].clone();
    assert_eq!(code(&format!("/api/logs?userId=v&token={}", other.as_str().unwrap()), 400), "invalid_token");
}

fn a_user_is_erased(place: &Place) {
    let mut service = place.start();
    refusals(&service);
    post_many(&service, "gone", 1200);
    post_many(&service, "kept", 30);
    eventually("all are stored", || (total(&service, "") == 1230).then_some(()));
    let preview = service.delete("/api/logs?userId=gone&dryRun=true").body;
    assert_eq!((&preview["matching"], &preview["matchingIsExact"]), (&json!(1200), &json!(true)));
    assert_eq!(total(&service, "userId=gone"), 1200, "a dry run erases nothing");
    let job = erase(&service, "userId=gone");
    let done = wait_until_done(&service, &job);
    assert_eq!((&done["erased"], &done["userId"], &done["kind"]), (&json!(1200), &Value::Null, &json!("erasure")));
    assert_eq!((total(&service, "userId=gone"), total(&service, "")), (0, 30));
    let jobs = service.get("/api/jobs").body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "{jobs}");
    assert_eq!(service.delete(&job).body, done, "what is done stays done");
    let later = service.store(&log("gone", "later"));
    assert_eq!((total(&service, "userId=gone"), &later["action"]), (1, &json!("later")), "what comes later is kept");
    service.kill();
    let service = place.start();
    assert_eq!((total(&service, "userId=gone"), total(&service, "")), (1, 31));
    service.stop();
}

fn an_erasure_that_is_killed_goes_on(place: &Place) {
    const LOGS: usize = 8000;
    let mut service = place.start();
    post_many(&service, "gone", LOGS);
    post_many(&service, "kept", 20);
    eventually("all are stored", || (total(&service, "") == LOGS as u64 + 20).then_some(()));
    let job = erase(&service, "userId=gone");
    eventually("some are erased", || (service.get(&job).body["erased"] != 0).then_some(()));
    service.kill();
    let service = place.start();
    let done = wait_until_done(&service, &job);
    assert!(done["erased"].as_u64().unwrap() <= LOGS as u64, "{done}");
    assert_eq!((total(&service, "userId=gone"), total(&service, "")), (0, 20));
    service.stop();
}

#[test]
fn nobody_erased_comes_back_when_the_whole_topic_is_replayed() {
    let Some(place) = Place::servers() else { return };
    let service = place.start();
    post_many(&service, "gone", 300);
    post_many(&service, "kept", 40);
    eventually("all are stored", || (total(&service, "") == 340).then_some(()));
    let job = erase(&service, "userId=gone");
    wait_until_done(&service, &job);
    post_many(&service, "gone", 5);
    eventually("what comes later is stored", || (total(&service, "userId=gone") == 5).then_some(()));
    service.stop();
    // A group that never committed reads from the beginning, as one that was reset.
    let group = unique_name("replay");
    let service = place.start_with(&[("KAFKA_CONSUMER_GROUP", &group)]);
    service.wait_until_ready();
    let replayed = service.store(&log("last", "a"));
    eventually("the replay is over", || {
        let ledger = service.get("/api/ledger").body;
        let pending: i64 = ledger["partitions"].as_array()?.iter().filter_map(|one| one["pending"].as_i64()).sum();
        (pending == 0).then_some(())
    });
    assert_eq!(replayed["userId"], "last");
    assert_eq!((total(&service, "userId=gone"), total(&service, "userId=kept"), total(&service, "")), (5, 40, 46));
    service.stop();
}

#[test]
fn old_logs_go_day_by_day_embedded() {
    let place = Place::embedded();
    let old = json!({"userId": "u", "action": "old", "timestamp": "2020-01-01"});
    let service = place.start();
    service.store(&old);
    service.store(&log("u", "new"));
    service.stop();
    let service = place.start_with(&[("RETENTION_DAYS", "30")]);
    service.wait_until_ready();
    let jobs = eventually("the retention's job", || {
        let jobs = service.get("/api/jobs").body["jobs"].as_array().unwrap().clone();
        (jobs.len() == 1 && jobs[0]["state"] == "done").then_some(jobs)
    });
    assert_eq!((&jobs[0]["kind"], &jobs[0]["erased"]), (&json!("retention"), &json!(1)));
    assert_eq!(service.post(&old).status, 202);
    service.store(&log("u", "after"));
    assert_eq!((total(&service, "action=old"), total(&service, "")), (0, 2));
    assert!(service.get("/metrics").text.contains("eyego_erased_logs_total{kind=\"retention\"} 1"));
    service.stop();
    // Without a retention old logs are taken again.
    let service = place.start();
    eventually("the rule is moved", || {
        service.post(&old);
        (total(&service, "action=old") > 0).then_some(())
    });
    service.stop();
}
