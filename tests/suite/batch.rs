//! `POST /api/logs/batch` as a client meets it, on the built binary and each backend: what becomes of every item, keys,
//! order, packing and limits. What happens to streams is in `batch_streams`.

use std::{collections::HashSet, io::Write};

use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    service::{Answer, Service, eventually, log},
};

pub const JSON: &str = "application/json";
pub const LINES: &str = "application/x-ndjson";
/// More than one chunk on its way to the bus.
const MANY: usize = 3500;

/// Posts a body as it is.
pub fn send(service: &Service, kind: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let request = service.request("POST", "/api/logs/batch").header("content-type", kind).body(body.into());
    Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().unwrap())
}

/// Items in both forms, with the content type of each.
fn in_both_forms(items: &[String]) -> [(&'static str, String); 2] {
    [(JSON, format!("[{}]", items.join(","))), (LINES, items.join("\n") + "\n")]
}

/// How many items were accepted, rejected, unavailable and unknown.
pub fn counts(body: &Value) -> [u64; 4] {
    ["accepted", "rejected", "unavailable", "unknown"].map(|status| body[status].as_u64().unwrap())
}

pub fn results(body: &Value) -> &[Value] {
    body["results"].as_array().unwrap()
}

fn event_ids(answer: &Answer) -> Vec<&str> {
    results(&answer.body).iter().map(|result| result["eventId"].as_str().unwrap()).collect()
}

fn all_accepted(answer: &Answer, items: usize) {
    assert_eq!((answer.status, counts(&answer.body)), (200, [items as u64, 0, 0, 0]), "{answer:?}");
}

fn refused(answer: &Answer, status: u16, code: &str, detail: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    assert!(answer.body["error"].as_str().unwrap_or_default().contains(detail), "{detail} in {answer:?}");
}

fn total(service: &Service, user: &str) -> u64 {
    service.get(&format!("/api/logs?limit=1&userId={user}")).body["total"].as_u64().unwrap()
}

/// Waits until so many logs of the user are stored, and whatever else was taken before: no more may come.
pub fn stored(service: &Service, user: &str, count: u64) {
    eventually(&format!("{count} logs of {user}"), || (total(service, user) >= count).then_some(()));
    service.store(&log(user, "marker"));
    assert_eq!(total(service, user), count + 1, "logs of {user} and the marker");
}

fn actions(service: &Service, user: &str) -> Vec<String> {
    let mut actions = Vec::new();
    for page in 1.. {
        let answer = service.get(&format!("/api/logs?limit=1000&page={page}&userId={user}"));
        let logs = answer.body["logs"].as_array().unwrap();
        actions.extend(logs.iter().map(|log| log["action"].as_str().unwrap().to_owned()));
        if logs.len() < 1000 {
            break;
        }
    }
    actions
}

/// A log of exactly so many bytes.
fn of_size(user: &str, bytes: usize) -> String {
    let start = format!(r#"{{"userId":"{user}","action":"a","metadata":{{"x":""#);
    format!("{start}{}\"}}}}", "y".repeat(bytes - start.len() - 3))
}

#[test]
fn batches_are_taken_on_the_embedded_engine() {
    let place = Place::embedded();
    every_case(&place);
    limits_are_named(&place);
}

#[test]
fn batches_are_taken_on_kafka_and_mongodb() {
    let Some(place) = Place::servers() else { return };
    every_case(&place);
    limits_are_named(&place);
}

fn every_case(place: &Place) {
    let service = place.start();
    each_item_has_its_own_result(&service);
    lines_may_be_no_text_at_all(&service);
    an_item_may_be_as_long_as_a_body(&service);
    what_is_no_batch_says_why(&service);
    who_wants_little_gets_the_failures(&service);
    a_users_items_are_stored_in_order(&service);
    ten_thousand_packed_lines_are_taken(&service);
    other_packings_are_refused(&service);
    an_items_own_key_goes_first(&service);
    a_batch_sent_again_stores_nothing_twice(&service);
    the_route_knows_its_methods(&service);
    service.stop();
}

fn each_item_has_its_own_result(service: &Service) {
    let (large, long) = (of_size("mixed", 262_145), "k".repeat(256));
    let items = [
        (r#"{"userId":"mixed","action":"first"}"#, None, ""),
        (r#"{"userId":"mixed","action":"a","timestamp":"2025-02-30"}"#, Some("invalid_timestamp"), "timestamp"),
        (large.as_str(), Some("body_too_large"), "MAX_BODY_BYTES is 262144"),
        ("7", Some("not_an_object"), ""),
        ("{}", Some("missing_fields"), "userId and action"),
        (r#"{"userId":"","action":"a"}"#, Some("invalid_user_id"), "userId"),
        (r#"{"userId":"mixed","action":[]}"#, Some("invalid_action"), "action"),
        (r#"{"userId":"mixed","action":"a","metadata":[]}"#, Some("invalid_metadata"), "metadata"),
        (r#"{"userId":"mixed","action":"a","action":"b"}"#, Some("repeated_field"), "action"),
        (
            r#"{"userId":"mixed","action":"a","idempotencyKey":"two words"}"#,
            Some("invalid_idempotency_key"),
            "idempotencyKey",
        ),
        (r#"{"userId":"mixed","action":"a","idempotencyKey":""}"#, Some("invalid_idempotency_key"), "idempotencyKey"),
        (
            &format!(r#"{{"userId":"mixed","action":"a","idempotencyKey":"{long}"}}"#),
            Some("invalid_idempotency_key"),
            "255",
        ),
        (r#"{"userId":"mixed","action":"last","unknown":1,"id":9}"#, None, ""),
    ];
    let texts = items.map(|(text, ..)| text.to_owned());
    for (kind, body) in in_both_forms(&texts) {
        let answer = send(service, kind, &[], body);
        assert_eq!((answer.status, counts(&answer.body)), (207, [2, 11, 0, 0]), "{kind} {answer:?}");
        assert_eq!((answer.header("content-type"), answer.header("retry-after")), (Some(JSON), None));
        assert_eq!(results(&answer.body).len(), items.len());
        for (index, (result, (text, code, detail))) in results(&answer.body).iter().zip(&items).enumerate() {
            let text = &text[..text.len().min(100)];
            assert_eq!(result["index"], index, "{text}");
            if let Some(code) = code {
                assert_eq!((&result["status"], &result["code"]), (&json!("rejected"), &json!(code)), "{text}");
                assert!(result["message"].as_str().unwrap().contains(detail), "{text} {result}");
                assert!(result["eventId"].is_null(), "{result}");
            } else {
                assert_eq!(result["status"], "accepted", "{text}");
                let receipt = service.get(&format!("/api/logs/events/{}?wait=30", result["eventId"].as_str().unwrap()));
                assert_eq!((receipt.status, &receipt.body["userId"]), (200, &json!("mixed")), "{receipt:?}");
            }
        }
    }
    stored(service, "mixed", 4);
}

fn lines_may_be_no_text_at_all(service: &Service) {
    let mut body = b"\xef\xbb\xbf{\"userId\":\"lines\",\"action\":\"first\"}\r\n\r\n \t\n".to_vec();
    body.extend_from_slice(b"{\"userId\":\"lines\",\n\"action\":\"broken\"}\n");
    body.extend_from_slice(b"{\"userId\":\"lines\",\"action\":\"\xff\"}\n\x00\n[]\n");
    body.extend_from_slice(b"{\"userId\":\"lines\",\"action\":\"a\"}{\"userId\":\"lines\",\"action\":\"b\"}\n");
    body.extend_from_slice(b"   {\"userId\":\"lines\",\"action\":\"last\"}");
    for kind in [LINES, "application/ndjson", "application/jsonl; charset=utf-8"] {
        let answer = send(service, kind, &[], body.clone());
        assert_eq!((answer.status, counts(&answer.body)), (207, [2, 6, 0, 0]), "{answer:?}");
        let codes: Vec<_> = results(&answer.body).iter().map(|result| result["code"].as_str().unwrap_or("")).collect();
        let broken = "invalid_json";
        assert_eq!(codes, ["", broken, "not_an_object", broken, broken, "missing_fields", broken, ""]);
    }
    stored(service, "lines", 6);
}

fn an_item_may_be_as_long_as_a_body(service: &Service) {
    let longest = of_size("longest", 262_144);
    let bodies = [
        (JSON, format!("[ {longest} ,\r\n{longest}\n]")),
        (LINES, format!("{longest}\r\n{longest}\n")),
        (LINES, format!("{longest}\n{longest}\r\n")),
        (LINES, format!("{longest}\n{longest}")),
    ];
    for (kind, body) in bodies {
        all_accepted(&send(service, kind, &[], body), 2);
    }
    let answer = send(service, LINES, &[], format!("{longest} \n{longest}\r\n"));
    assert_eq!(counts(&answer.body), [1, 1, 0, 0]);
    stored(service, "longest", 9);
}

fn what_is_no_batch_says_why(service: &Service) {
    for (kind, body, code) in [
        (JSON, "", "empty_batch"),
        (JSON, "[]", "empty_batch"),
        (JSON, " [ ] ", "empty_batch"),
        (JSON, "{}", "not_an_array"),
        (JSON, "null", "not_an_array"),
        (JSON, r#"{"userId":"none","action":"a"}"#, "not_an_array"),
        (JSON, r#"[{"userId":"none","action":"a"},"#, "invalid_json"),
        (JSON, r#"[{"userId":"none","action":"a"}] x"#, "invalid_json"),
        (JSON, r#"[{"userId":"none","action":"a"}{}]"#, "invalid_json"),
        (JSON, r#"[{"userId":"none","action":"a"},]"#, "invalid_json"),
        (JSON, "{\"userId\":\"none\",\"action\":\"a\"}\n{\"userId\":\"none\",\"action\":\"a\"}\n", "not_an_array"),
        (LINES, "", "empty_batch"),
        (LINES, "\n", "empty_batch"),
        (LINES, " \r\n\t\n\n  ", "empty_batch"),
    ] {
        refused(&send(service, kind, &[], body), 400, code, "");
    }
    let mut no_text = br#"[{"userId":"none","action":"a"},{"userId":"none","action":""#.to_vec();
    no_text.extend_from_slice(b"\xff\"}]");
    refused(&send(service, JSON, &[], no_text), 400, "invalid_json", "");
    for kind in ["text/plain", "application/xml", "application/json; charset=latin1"] {
        refused(&send(service, kind, &[], "[7]"), 415, "unsupported_media_type", LINES);
    }
    refused(&send(service, JSON, &[("idempotency-key", "two words")], "[7]"), 400, "invalid_idempotency_key", "");
    stored(service, "none", 0);
}

fn who_wants_little_gets_the_failures(service: &Service) {
    let items = [log("little", "a").to_string(), "7".to_owned(), log("little", "b").to_string()];
    for (kind, body) in in_both_forms(&items) {
        for prefer in ["return=minimal", "respond-async, Return=Minimal"] {
            let answer = send(service, kind, &[("prefer", prefer)], body.as_str());
            assert_eq!((answer.status, counts(&answer.body)), (207, [2, 1, 0, 0]), "{answer:?}");
            assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
            let [failure] = results(&answer.body) else { panic!("{answer:?}") };
            assert_eq!((&failure["index"], &failure["code"]), (&json!(1), &json!("not_an_object")));
        }
        let answer = send(service, kind, &[("prefer", "return=representation")], body);
        assert_eq!((results(&answer.body).len(), answer.header("preference-applied")), (3, None));
    }
    let answer = send(service, JSON, &[("prefer", "return=minimal")], format!("[{}]", items[0]));
    assert_eq!((answer.status, results(&answer.body).len()), (200, 0), "{answer:?}");
}

fn a_users_items_are_stored_in_order(service: &Service) {
    for (kind, user) in [(JSON, "array-order"), (LINES, "lines-order")] {
        let items: Vec<_> = (0..MANY).map(|n| log(user, &n.to_string()).to_string()).collect();
        let (_, body) = in_both_forms(&items).into_iter().find(|(form, _)| *form == kind).unwrap();
        let answer = send(service, kind, &[], body);
        all_accepted(&answer, MANY);
        assert!(results(&answer.body).iter().enumerate().all(|(n, result)| result["index"] == n));
        assert_eq!(event_ids(&answer).into_iter().collect::<HashSet<_>>().len(), MANY);
        stored(service, user, MANY as u64);
        let mut found = actions(service, user);
        assert_eq!(found.pop().as_deref(), Some("marker"));
        assert!(found.iter().enumerate().all(|(n, action)| *action == n.to_string()), "{kind}");
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn ten_thousand_packed_lines_are_taken(service: &Service) {
    let lines = |user: &str| (0..10_000).map(|n| log(user, &n.to_string()).to_string() + "\n").collect::<String>();
    let zstd = |body: &str| zstd::encode_all(body.as_bytes(), 3).unwrap();
    let (gzipped, zstded) = (gzip(lines("gzip").as_bytes()), zstd(&lines("zstd")));
    let minimal = ("prefer", "return=minimal");
    all_accepted(&send(service, LINES, &[("content-encoding", "gzip"), minimal], gzipped.clone()), 10_000);
    all_accepted(&send(service, LINES, &[("content-encoding", "zstd"), minimal], zstded.clone()), 10_000);
    // Packed files are put together by putting one behind the other; a line may go over the seam.
    let (start, rest) = (r#"{"userId":"seam","#, "\"action\":\"a\"}\n");
    let two = [gzip(start.as_bytes()), gzip(rest.as_bytes())].concat();
    all_accepted(&send(service, LINES, &[("content-encoding", "gzip")], two), 1);
    all_accepted(&send(service, LINES, &[("content-encoding", "zstd")], [zstd(start), zstd(rest)].concat()), 1);
    all_accepted(&send(service, JSON, &[("content-encoding", "zstd")], zstd(&format!("[{start}{rest}]"))), 1);
    for (user, count) in [("gzip", 10_000), ("zstd", 10_000), ("seam", 3)] {
        stored(service, user, count);
    }
    // What breaks off inside is no end, and neither is what is packed in another way.
    for (encoding, packed) in [("gzip", gzipped), ("zstd", zstded)] {
        let answer = send(service, LINES, &[("content-encoding", encoding)], &packed[..packed.len() / 2]);
        let last = results(&answer.body).last().unwrap();
        assert_eq!((answer.status, &last["code"]), (207, &json!("invalid_body")), "{encoding}");
        assert!(last["message"].as_str().unwrap().contains("not read"), "{last}");
        assert_eq!(counts(&answer.body)[1..], [1, 0, 0]);
        for kind in [JSON, LINES] {
            let plain = format!("[{}]", log("plain", "a"));
            refused(&send(service, kind, &[("content-encoding", encoding)], plain), 400, "invalid_body", "");
        }
    }
    let answer = send(service, JSON, &[("content-encoding", "gzip")], &gzip(b"[7,7,7]")[..12]);
    refused(&answer, 400, "invalid_body", "");
}

fn other_packings_are_refused(service: &Service) {
    let body = log("packed", "a").to_string();
    for kind in [JSON, LINES] {
        for encoding in ["deflate", "br", "compress", "gzip, gzip"] {
            let answer = send(service, kind, &[("content-encoding", encoding)], body.as_str());
            refused(&answer, 415, "unsupported_encoding", "gzip and zstd");
        }
    }
}

fn an_items_own_key_goes_first(service: &Service) {
    let keyed =
        |action: &str, key: Value| json!({"userId": "own", "action": action, "idempotencyKey": key}).to_string();
    let items =
        [keyed("a", json!("k1")), keyed("b", json!("k1")), keyed("c", Value::Null), log("own", "d").to_string()];
    let mut ids = HashSet::new();
    for (kind, body) in in_both_forms(&items) {
        let answer = send(service, kind, &[("idempotency-key", "batch")], body);
        all_accepted(&answer, 4);
        let found = event_ids(&answer);
        assert_eq!(found[0], found[1], "one key is one log");
        ids.extend(found.into_iter().map(str::to_owned));
    }
    assert_eq!(ids.len(), 3);
    for (key, action) in [("k1", "e"), ("batch#2", "f"), ("batch#3", "g")] {
        let request = service.request("POST", "/api/logs").header("idempotency-key", key).json(&log("own", action));
        let answer = Answer::of(request.send().unwrap());
        assert!(ids.contains(answer.body["eventId"].as_str().unwrap()), "{key} {answer:?}");
    }
    stored(service, "own", 3);
    assert_eq!(actions(service, "own"), ["a", "c", "d", "marker"], "the first body of a key counts");
    // A single log's field of that name is one that nobody knows.
    let single = service.store(&json!({"userId": "own", "action": "h", "idempotencyKey": "k1"}));
    assert_eq!(single["action"], "h");
}

fn a_batch_sent_again_stores_nothing_twice(service: &Service) {
    let key = "k".repeat(255);
    let items: Vec<_> = (0..1500).map(|n| log("again", &n.to_string()).to_string()).collect();
    let mut first = None;
    for (kind, body) in in_both_forms(&items) {
        for packed in [false, true] {
            let (encoding, body) =
                if packed { ("gzip", gzip(body.as_bytes())) } else { ("identity", body.clone().into()) };
            let answer = send(service, kind, &[("idempotency-key", &key), ("content-encoding", encoding)], body);
            all_accepted(&answer, 1500);
            let ids = answer.body["results"].clone();
            assert_eq!(*first.get_or_insert(ids.clone()), ids, "{kind} {encoding}");
        }
    }
    let other = send(service, JSON, &[("idempotency-key", "other")], format!("[{}]", items[0]));
    assert_ne!(event_ids(&other)[0], first.unwrap()[0]["eventId"], "another key is another log");
    stored(service, "again", 1501);
}

fn the_route_knows_its_methods(service: &Service) {
    let body = format!("[{}]", log("slash", "a"));
    let request = service.request("POST", "/api/logs/batch/").header("content-type", JSON).body(body);
    all_accepted(&Answer::of(request.send().unwrap()), 1);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let answer = Answer::of(service.request(method, "/api/logs/batch").send().unwrap());
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method} {answer:?}");
    }
}

/// The same on a service with little room.
fn limits_are_named(place: &Place) {
    let service = place.start_with(&[
        ("MAX_BATCH_ITEMS", "5"),
        ("MAX_BATCH_BYTES", "4096"),
        ("MAX_BODY_BYTES", "1024"),
        ("MAX_INFLIGHT_BYTES", "1048576"),
    ]);
    service.wait_until_ready();
    let item = |action: &str| log("limits", action).to_string();
    let five = vec![item("five"); 5];
    for (kind, body) in in_both_forms(&five) {
        all_accepted(&send(&service, kind, &[], body), 5);
    }
    let [(_, array), (_, lines)] = in_both_forms(&vec![item("seven"); 7]);
    refused(&send(&service, JSON, &[], array), 413, "batch_limit", "MAX_BATCH_ITEMS is 5");
    let answer = send(&service, LINES, &[], lines);
    assert_eq!((answer.status, counts(&answer.body)), (207, [5, 2, 0, 0]), "{answer:?}");
    for result in &results(&answer.body)[5..] {
        assert_eq!((&result["status"], &result["code"]), (&json!("rejected"), &json!("batch_limit")));
        assert!(result["message"].as_str().unwrap().contains("MAX_BATCH_ITEMS is 5"), "{result}");
    }
    many_bytes_are_named(&service);
    far_beyond_a_limit_is_not_read(&service);
    let [(_, array), (_, lines)] = in_both_forms(&[item("small"), of_size("limits", 1025), of_size("limits", 1024)]);
    for answer in [send(&service, JSON, &[], array), send(&service, LINES, &[], lines)] {
        assert_eq!((answer.status, counts(&answer.body)), (207, [2, 1, 0, 0]), "{answer:?}");
        let refused = &results(&answer.body)[1];
        assert_eq!(refused["code"], "body_too_large");
        assert!(refused["message"].as_str().unwrap().contains("MAX_BODY_BYTES is 1024"), "{refused}");
    }
    // Twice five, five of the lines, 4 and 4 of many bytes, 5 far beyond, twice two.
    stored(&service, "limits", 10 + 5 + 8 + 5 + 4);
    service.stop();
}

fn many_bytes_are_named(service: &Service) {
    let kilobyte = of_size("limits", 1023);
    let whole = format!("[{}]", [kilobyte.as_str(); 4].join(","));
    let whole = format!("{whole:4096}");
    assert_eq!(whole.len(), 4099 - 2, "four items, three commas and two brackets");
    let name = "MAX_BATCH_BYTES is 4096";
    refused(&send(service, JSON, &[], whole.as_str()), 413, "body_too_large", name);
    refused(&send(service, JSON, &[("content-encoding", "gzip")], gzip(whole.as_bytes())), 413, "body_too_large", name);
    let exact =
        format!("[{}]", [of_size("limits", 1020), kilobyte.clone(), kilobyte.clone(), kilobyte.clone()].join(","));
    all_accepted(&send(service, JSON, &[("prefer", "return=minimal")], format!("{exact:4096}")), 4);
    let lines = [kilobyte.as_str(); 5].join("\n");
    let answer = send(service, LINES, &[("content-encoding", "gzip")], gzip(lines.as_bytes()));
    assert_eq!((answer.status, counts(&answer.body)), (207, [4, 1, 0, 0]), "{answer:?}");
    let last = &results(&answer.body)[4];
    assert_eq!(last["code"], "batch_limit");
    assert!(last["message"].as_str().unwrap().contains(name), "{last}");
}

fn far_beyond_a_limit_is_not_read(service: &Service) {
    let line = log("limits", "far").to_string() + "\n";
    let answer = send(service, LINES, &[], line.repeat(40_000));
    let (last, found) = (results(&answer.body).last().unwrap(), counts(&answer.body));
    assert_eq!((answer.status, found[0], &last["code"]), (207, 5, &json!("batch_limit")));
    assert!(last["message"].as_str().unwrap().contains("was not read"), "{last}");
    assert!(found[1] < 10_000, "{found:?}");
    for body in ["\n".repeat(1_500_000), "x".repeat(1_500_000)] {
        let answer = send(service, LINES, &[], body);
        assert!([413, 207].contains(&answer.status) && answer.text.contains("batch_limit"), "{answer:?}");
    }
    let array = format!("[{}]", vec![log("limits", "far").to_string(); 40_000].join(","));
    refused(&send(service, JSON, &[], array), 413, "body_too_large", "MAX_BATCH_BYTES is 4096");
}
