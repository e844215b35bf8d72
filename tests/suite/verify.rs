//! `eyego verify` and the ledger, on the built binary: nothing is reported of what is right, and everything that was
//! tampered with is named.

use std::path::Path;

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use mongodb::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    end_to_end::Place,
    service::{Service, eventually, eyego, log},
};

/// What `eyego verify` said: exit code and lines.
pub struct Verified {
    pub code: Option<i32>,
    pub lines: Vec<String>,
}

pub fn verify(place: &Place) -> Verified {
    let environment: Vec<_> = place.environment().collect();
    let output = eyego(place.path(), &environment).arg("verify").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    Verified { code: output.status.code(), lines: text.lines().map(str::to_owned).collect() }
}

fn ledger(service: &Service) -> Value {
    service.get("/api/ledger").body
}

/// Logs, a repeated key, a deleted log: of everything something.
fn fill(service: &Service, logs: usize) -> Vec<String> {
    let mut events = Vec::new();
    for n in 0..logs {
        let answer = service.post(&log(&format!("user{}", n % 7), &n.to_string()));
        assert_eq!(answer.status, 202);
        events.push(answer.body["eventId"].as_str().unwrap().to_owned());
    }
    for _ in 0..3 {
        let request = service.request("POST", "/api/logs").header("idempotency-key", "again").json(&log("keyed", "k"));
        assert_eq!(request.send().unwrap().status(), 202);
    }
    let gone = service.store(&log("gone", "g"));
    assert_eq!(service.delete(&format!("/api/logs/{}", gone["id"])).status, 200);
    eventually("everything is drained", || (ledger(service)["total"]["pending"] == 0).then_some(()));
    events
}

fn nothing_is_missing(place: &Place) {
    let service = place.start();
    fill(&service, 200);
    let account = ledger(&service);
    assert_eq!(account["balanced"], true, "{account}");
    assert_eq!(account["total"]["accepted"], 204, "{account}");
    assert_eq!((&account["total"]["stored"], &account["total"]["duplicates"]), (&json!(202), &json!(2)), "{account}");
    let beside = verify(place);
    assert_eq!(beside.code, Some(0), "{:?}", beside.lines);
    service.stop();
    let without = verify(place);
    assert_eq!(without.code, Some(0), "{:?}", without.lines);
    assert!(without.lines.iter().any(|line| line.contains("0 missing, 0 damaged")), "{:?}", without.lines);
}

#[test]
fn a_healthy_store_is_clean_beside_the_service_and_without_it_on_servers() {
    if let Some(place) = Place::servers() {
        nothing_is_missing(&place);
    }
}

#[test]
fn a_healthy_store_is_clean_beside_the_service_and_without_it_embedded() {
    nothing_is_missing(&Place::embedded());
}

#[test]
fn ten_of_ten_documents_and_a_tombstone_that_were_removed_behind_our_back_are_named() {
    let Some(place) = Place::servers() else { return };
    let service = place.start();
    let events = fill(&service, 200);
    let gone = service.store(&log("gone too", "g"));
    assert_eq!(service.delete(&format!("/api/logs/{}", gone["id"])).status, 200);
    service.stop();
    let removed: Vec<String> = events.iter().step_by(19).take(10).cloned().collect();
    let tombstone = tokio::runtime::Runtime::new().unwrap().block_on(remove(&place, &removed));
    let verified = verify(&place);
    assert_eq!(verified.code, Some(1), "{:?}", verified.lines);
    for event in removed.iter().chain([&tombstone]) {
        assert!(verified.lines.iter().any(|line| line.contains(event.as_str())), "{event}: {:?}", verified.lines);
    }
    assert!(verified.lines.iter().any(|line| line.starts_with("11 missing")), "{:?}", verified.lines);
}

/// Removes the events' documents and the last tombstone, and returns the event of that.
async fn remove(place: &Place, events: &[String]) -> String {
    let (_, uri) = place.environment().find(|(name, _)| *name == "MONGO_URI").unwrap();
    let database = Client::with_uri_str(uri).await.unwrap().default_database().unwrap();
    let logs = database.collection::<Document>("useractivitylogs");
    for event in events {
        let bytes = Uuid::parse_str(event).unwrap().as_bytes().to_vec();
        let key = Binary { subtype: BinarySubtype::Uuid, bytes };
        assert_eq!(logs.delete_one(doc! {"_id": key}).await.unwrap().deleted_count, 1);
    }
    let tombstones = database.collection::<Document>("deletedlogs");
    let last = tombstones.find_one_and_delete(doc! {}).sort(doc! {"at": -1}).await.unwrap().unwrap();
    match last.get("_id").unwrap() {
        Bson::Binary(key) => Uuid::from_slice(&key.bytes).unwrap().to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_that_are_away_leave_it_unverified() {
    let folder = tempfile::tempdir().unwrap();
    let environment =
        [("KAFKA_BROKERS", "127.0.0.1:1"), ("MONGO_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500")];
    let output = eyego(Path::new(folder.path()), &environment).arg("verify").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("MongoDB does not answer"));
}
