//! Logs of the old service, exported and put back: none is lost, and none comes twice.

use bson::{Bson, DateTime, Decimal128, Document, doc, oid::ObjectId};
use eyego::domain::EventId;
use futures_util::TryStreamExt;
use mongodb::Database;
use serde_json::{Value, json};

use crate::{
    contract::Harness,
    embedded::EmbeddedHarness,
    export::lines_of,
    import::{How, import, import_as},
    mongo::MongoHarness,
    repository::RepositoryHarness,
    support::{eventually, some_events, store},
};

fn key(number: u8) -> ObjectId {
    let mut bytes = [0; 12];
    // Made 1,000 s after 1970.
    bytes[..4].copy_from_slice(&1000_u32.to_be_bytes());
    bytes[11] = number;
    ObjectId::from_bytes(bytes)
}

fn old(number: u8, id: impl Into<Bson>) -> Document {
    doc! {
        "_id": key(number), "userId": "user1", "action": "login", "timestamp": DateTime::from_millis(1000),
        "metadata": {"ip": "127.0.0.1"}, "id": id, "__v": 0,
    }
}

fn line(id: &str, event: EventId) -> String {
    format!(
        r#"{{"id":{id},"eventId":"{event}","userId":"user1","action":"login","timestamp":"1970-01-01T00:00:01.000Z","metadata":{{"ip":"127.0.0.1"}},"receivedAt":"1970-01-01T00:16:40.000Z"}}"#
    ) + "\n"
}

fn event(number: u8) -> EventId {
    EventId::for_foreign_key(7, &key(number).bytes())
}

async fn on_old_data(documents: Vec<Document>, test: impl AsyncFnOnce(&mut MongoHarness)) {
    let leave = async |database: &Database| {
        database.collection::<Document>("useractivitylogs").insert_many(documents).await.unwrap();
    };
    let Some(mut harness) = MongoHarness::start_on(leave).await else { return };
    test(&mut harness).await;
    harness.end().await;
}

#[tokio::test]
async fn an_old_log_has_an_event_id_of_its_key_and_the_time_of_it() {
    on_old_data(vec![old(1, 0), old(2, 1_i64), old(3, 2.0)], async |harness| {
        let text = lines_of(harness.export()).await;
        assert_eq!(text, [line("0", event(1)), line("1", event(2)), line("2", event(3))].concat());
    })
    .await;
}

#[tokio::test]
async fn a_log_whose_id_is_none_is_exported_at_its_place_or_at_the_end() {
    let decimal = "8.5".parse::<Decimal128>().unwrap();
    let odd = vec![
        old(1, 7),
        old(2, 7.5),
        old(3, -3),
        old(4, "nine"),
        old(5, Bson::Null),
        old(6, f64::NAN),
        old(7, f64::INFINITY),
        old(8, 1e300),
        old(9, "12"),
        old(10, Bson::from(doc! {"a": 1})),
        old(11, 9_007_199_254_740_993_i64),
        old(12, i64::MAX),
        old(13, 9.223_372_036_854_776e18),
        doc! {"_id": "mine", "id": true},
        doc! {"_id": 6, "id": DateTime::from_millis(0)},
        old(14, 42.25),
        old(15, decimal),
    ];
    on_old_data(odd.clone(), async |harness| {
        let text = lines_of(harness.export()).await;
        let ids: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
        let numbered = [json!(-3), json!(7), json!(null), json!(null), json!(null)];
        assert_eq!(ids[..5], numbered, "{text}");
        assert_eq!(ids[5..7], [json!(9_007_199_254_740_993_i64), json!(i64::MAX)], "{text}");
        // By their keys, and text that reads as a number shows as one.
        let texts: Vec<&Value> = ids[7..].iter().filter(|id| !id.is_null()).collect();
        assert_eq!((ids.len(), texts), (odd.len(), vec![&json!(12)]), "{text}");
        let mut events: Vec<&str> = text.lines().map(|line| &line[line.find("eventId").unwrap()..][..46]).collect();
        events.sort_unstable();
        events.dedup();
        assert_eq!(events.len(), ids.len(), "each once");
    })
    .await;
}

#[tokio::test]
async fn odd_logs_in_great_number_all_come_once() {
    let numbered = (0..40_u32).map(|n| doc! {"id": f64::from(n) + 0.5, "userId": "u", "action": "a"});
    let keyed = (0..2500_i32).map(|n| doc! {"_id": n, "id": format!("x{n}"), "userId": "u", "action": "a"});
    on_old_data(numbered.chain(keyed).collect(), async |harness| {
        let text = lines_of(harness.export()).await;
        let mut events: Vec<&str> = text.lines().map(|line| &line[line.find("eventId").unwrap()..][..46]).collect();
        assert_eq!(events.len(), 2540);
        events.sort_unstable();
        events.dedup();
        assert_eq!(events.len(), 2540);
    })
    .await;
}

/// The queries for logs since the server's profile began.
async fn queries(database: &Database) -> Vec<Document> {
    let profile = database.collection::<Document>("system.profile");
    let of_logs = profile.find(doc! {"op": "query", "command.find": "useractivitylogs"});
    of_logs.await.unwrap().try_collect().await.unwrap()
}

/// How many documents and keys the server looked at for them.
fn looked_at(entries: &[Document]) -> i64 {
    let count = |entry: &Document, of: &str| i64::from(entry.get_i32(of).unwrap());
    entries.iter().map(|entry| count(entry, "docsExamined") + count(entry, "keysExamined")).sum()
}

#[tokio::test]
async fn logs_without_numbers_are_found_without_reading_the_others_again() {
    on_old_data(vec![old(1, "nine"), old(2, f64::NAN)], async |harness| {
        store(&*harness.logs(), &some_events(5000)).await;
        harness.database.run_command(doc! {"profile": 2}).await.unwrap();
        assert_eq!(lines_of(harness.export()).await.lines().count(), 5002);
        let is_last =
            |query: &Document| query.get_document("command").unwrap().get("sort") == Some(&doc! {"_id": 1}.into());
        eventually("the whole export is in the profile", async || {
            let queries = queries(&harness.database).await;
            looked_at(&queries) > 9000 && queries.iter().any(is_last)
        })
        .await;
        let looked_at = looked_at(&queries(&harness.database).await);
        assert!(looked_at < 11_000, "{looked_at} documents and keys for 5,002 logs");
    })
    .await;
}

#[tokio::test]
async fn old_logs_move_to_another_store_and_an_export_of_that_is_the_same() {
    on_old_data(vec![old(1, 0), old(2, 5), old(3, 9.0)], async |harness| {
        store(&*harness.logs(), &some_events(3)).await;
        let text = lines_of(harness.export()).await;
        let embedded = EmbeddedHarness::start().await.unwrap();
        assert_eq!(import(&embedded, &text).await.stored, 6);
        assert_eq!(import(&embedded, &text).await.already_stored, 6);
        assert_eq!(lines_of(embedded.export()).await, text);
        embedded.end().await;
    })
    .await;
}

#[tokio::test]
async fn an_export_put_back_where_it_came_from_stores_nothing_twice() {
    on_old_data(vec![old(1, 0), old(2, 5), old(3, 9.0)], async |harness| {
        store(&*harness.logs(), &some_events(3)).await;
        let text = lines_of(harness.export()).await;
        let again = import(&*harness, &text).await;
        assert_eq!((again.stored, again.already_stored), (0, 6));
        let logs = harness.database.collection::<Document>("useractivitylogs");
        logs.delete_one(doc! {"_id": key(2)}).await.unwrap();
        let again = import(&*harness, &text).await;
        assert_eq!((again.stored, again.already_stored, again.renumbered), (1, 5, 1), "an old log leaves no tombstone");
        assert_eq!(import(&*harness, &text).await.already_stored, 6);
    })
    .await;
}

#[tokio::test]
async fn what_an_old_log_lacks_is_made_up_for_or_named() {
    let mut untimed = old(1, 0);
    untimed.insert("timestamp", Bson::Null);
    let mut nobody = old(2, 1);
    nobody.insert("userId", Bson::Null);
    on_old_data(vec![untimed, nobody, old(3, 2)], async |harness| {
        let text = lines_of(harness.export()).await;
        let embedded = EmbeddedHarness::start().await.unwrap();
        let imported = import_as(&embedded, &text, How { leaves_out: true, ..How::default() }).await;
        imported.ended.unwrap();
        assert_eq!((imported.summary.stored, imported.summary.timed, imported.summary.left_out), (2, 1, 1));
        let lines: Vec<Value> =
            lines_of(embedded.export()).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["timestamp"], lines[0]["receivedAt"]);
        assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&Value::from(0), &Value::from(2)));
        embedded.end().await;
    })
    .await;
}
