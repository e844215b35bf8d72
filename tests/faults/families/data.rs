//! Data: what lies on the topic besides good logs, and dead letters that cannot be written.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{admin::AdminOptions, message::Message};
use serde_json::{Value, json};

use super::oddities::make_topics;
use crate::{
    eventually,
    kafka::{Kafka, header},
    rig::Rig,
    scenario::{Scenario, Setup::Shared},
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("data-garbage", Shared, garbage).quick(),
    Scenario::on("data-odd-but-valid", Shared, odd_but_valid),
    Scenario::on("data-dead-letters-away", Shared, dead_letters_away),
];

const BEFORE: Duration = Duration::from_secs(6);
const ROOMY: [(&str, &str); 1] = [("max.message.bytes", "20000000")];

type Place = (i32, i64);

/// What is no log, and why.
fn no_logs() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let log = |fields: &str| Some(format!(r#"{{"userId":"u","action":"a",{fields}}}"#).into_bytes());
    let deep = |depth: usize| format!(r#""metadata":{}1{}"#, r#"{"d":"#.repeat(depth), "}".repeat(depth));
    vec![
        ("not_json", Some(b"no log at all".to_vec())),
        ("not_json", Some(b"\xff\xfe\x00".to_vec())),
        ("not_json", Some([vec![b'5'; 5 << 20], b"x".to_vec()].concat())),
        ("not_an_object", Some(b"[1,2,3]".to_vec())),
        ("not_an_object", Some(b"null".to_vec())),
        ("empty_value", None),
        ("empty_value", Some(Vec::new())),
        ("missing_user_id", Some(br#"{"action":"a"}"#.to_vec())),
        ("missing_action", Some(br#"{"userId":"u"}"#.to_vec())),
        ("invalid_user_id", Some(br#"{"userId":{"a":1},"action":"a"}"#.to_vec())),
        ("invalid_action", Some(br#"{"userId":"u","action":["a"]}"#.to_vec())),
        ("invalid_timestamp", log(r#""timestamp":"yesterday""#)),
        ("metadata_too_deep", log(&deep(200))),
        ("nul_in_name", log(r#""metadata":{"a\u0000b":1}"#)),
        ("store_rejected", log(&format!(r#""metadata":"{}""#, "x".repeat(17 << 20)))),
    ]
}

/// Puts every kind of garbage between good records, in rounds over all partitions; returns how many.
fn litter(kafka: &Kafka, rounds: usize) -> usize {
    let no_logs = no_logs();
    for round in 0..rounds {
        let spread = (0..).map(move |n: i32| n.wrapping_add(round as i32) % 3);
        // The two large ones once: they are about size, not number.
        let small = no_logs.iter().filter(|(_, value)| round == 0 || value.as_ref().is_none_or(|v| v.len() < 1 << 20));
        kafka.put(spread.zip(small).map(|(partition, (_, value))| (Some(partition), value.as_deref())));
    }
    let large = no_logs.iter().filter(|(_, value)| value.as_ref().is_some_and(|v| v.len() >= 1 << 20)).count();
    no_logs.len() * rounds - large * (rounds - 1)
}

/// The dead letters are the garbage, each with its reason, its place and its bytes; nothing else is among them.
fn dead_letters_tell_all(kafka: &Kafka, littered: usize) {
    let reasons: BTreeMap<Option<Vec<u8>>, &str> =
        no_logs().into_iter().map(|(reason, value)| (value, reason)).collect();
    let place = |record: &rdkafka::message::OwnedMessage| -> Place { (record.partition(), record.offset()) };
    let lying: BTreeMap<Place, Option<Vec<u8>>> = kafka
        .records(&kafka.topic)
        .iter()
        .map(|record| (place(record), record.payload().map(<[u8]>::to_vec)))
        .filter(|(_, value)| reasons.contains_key(value))
        .collect();
    assert_eq!(lying.len(), littered, "the garbage lies on the topic");
    let mut found = BTreeMap::new();
    for letter in kafka.records(&kafka.dead_letter_topic()) {
        let word = |name: &str| header(&letter, name).unwrap_or_else(|| panic!("a dead letter without {name}"));
        assert_eq!(word("dlq.topic"), kafka.topic);
        let place: Place = (word("dlq.partition").parse().unwrap(), word("dlq.offset").parse().unwrap());
        let value = letter.payload().map(<[u8]>::to_vec);
        let bytes = value.as_ref().map(Vec::len);
        assert!(
            lying.get(&place) == Some(&value),
            "the dead letter of {place:?} ({bytes:?} bytes) is not what lies there"
        );
        assert_eq!(word("dlq.reason"), reasons[&value], "of {bytes:?} bytes at {place:?}");
        found.insert(place, ());
    }
    assert_eq!(found.len(), littered, "each piece of garbage has a dead letter");
}

fn garbage(rig: &mut Rig) {
    let kafka = rig.kafka();
    make_topics(rig, &[&kafka.topic], &ROOMY);
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let littered = litter(&kafka, 10);
    rig.exceptions.dead_letters = littered;
    rig.fault_ended(&load);
    rig.account(load);
    dead_letters_tell_all(&kafka, littered);
    rig.row.note(format!("{littered} dead letters"));
}

/// The dead-letter topic goes away: nothing is skipped, and once it is back everything is accounted for.
fn dead_letters_away(rig: &mut Rig) {
    let kafka = rig.kafka();
    make_topics(rig, &[&kafka.topic], &ROOMY);
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let dead_letters = kafka.dead_letter_topic();
    let deleted = rig
        .store()
        .on_mongo(async |_| kafka.admin().delete_topics(&[dead_letters.as_str()], &AdminOptions::new()).await.unwrap());
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let before = kafka.ends(&kafka.topic).unwrap();
    let littered = litter(&kafka, 3);
    rig.exceptions.dead_letters = littered;
    eventually("the worker tries to bury", || rig.service().recipe.said().contains("dead_letter"));
    load.run_for(Duration::from_secs(6));
    let committed = kafka.committed().unwrap();
    let ends = kafka.ends(&kafka.topic).unwrap();
    let behind = ends.iter().filter(|(partition, (_, high))| committed[*partition] < *high).count();
    assert!(behind > 0, "{committed:?} is committed of {before:?} to {ends:?}, with garbage that nobody kept");
    make_topics(rig, &[&dead_letters], &[("max.message.bytes", "67108864")]);
    rig.fault_ended(&load);
    rig.account(load);
    dead_letters_tell_all(&kafka, littered);
    rig.row.note(format!("{littered} dead letters"));
}

/// As it lies on the topic, and as the service then shows it.
fn odd_ones() -> Vec<(Vec<u8>, Value)> {
    let metadata = |text: &str, shown: Value| {
        (format!(r#"{{"userId":"odd","action":"m","metadata":{text}}}"#).into_bytes(), json!({"metadata": shown}))
    };
    let field = |text: &str, shown: Value| (format!("{{{text}}}").into_bytes(), shown);
    vec![
        metadata("123456789012345678901234567890", json!(1.234_567_890_123_456_8e29)),
        metadata(r#"{"n":18446744073709551616}"#, json!({"n": 18_446_744_073_709_551_616.0})),
        metadata(r#"{"n":9223372036854775807,"m":-9223372036854775808}"#, json!({"n": i64::MAX, "m": i64::MIN})),
        metadata(r#"[1,"x",null]"#, json!([1, "x", null])),
        metadata(r#""text""#, json!("text")),
        metadata("7", json!(7)),
        metadata("true", json!(true)),
        metadata("null", json!({})),
        metadata("{}", json!({})),
        metadata(r#"{"$oid":"507f1f77bcf86cd799439011"}"#, json!({"$oid": "507f1f77bcf86cd799439011"})),
        metadata(
            r#"{"$date":"2025-01-01T00:00:00Z","$numberLong":"1"}"#,
            json!({"$date": "2025-01-01T00:00:00Z", "$numberLong": "1"}),
        ),
        metadata(r#"{"a.b":1,"$where":"x","":2}"#, json!({"a.b": 1, "$where": "x", "": 2})),
        metadata(r#"{"a":1,"b":2,"a":3}"#, json!({"a": 3, "b": 2})),
        metadata(&format!("{}1{}", r#"{"d":"#.repeat(99), "}".repeat(99)), Value::Null),
        metadata(&format!(r#""{}""#, "x".repeat(5 << 20)), Value::Null),
        field(r#""userId":"odd","userId":"odd2","action":"last"}"#.trim_end_matches('}'), json!({"userId": "odd2"})),
        field(r#""userId":7,"action":"odd""#, json!({"userId": "7"})),
        field(r#""userId":"odd","action":true"#, json!({"action": "true"})),
        field(r#""userId":"odd","action":1e21"#, json!({"action": "1e+21"})),
        field(r#""userId":"odd","action":"a","_id":"evil","__v":3,"id":9"#, json!({"userId": "odd"})),
        field(
            r#""userId":"odd","action":"a","timestamp":"Wed, 21 May 2025 12:34:56 GMT""#,
            json!({"timestamp": "2025-05-21T12:34:56.000Z"}),
        ),
        field(
            r#""userId":"odd","action":"a","timestamp":"May 21, 2025 12:34:56 GMT""#,
            json!({"timestamp": "2025-05-21T12:34:56.000Z"}),
        ),
        field(
            r#""userId":"odd","action":"a","timestamp":1747830896789"#,
            json!({"timestamp": "2025-05-21T12:34:56.789Z"}),
        ),
        (b"{\"userId\":\"odd\",\"action\":\"\xff\"}".to_vec(), json!({"action": "\u{fffd}"})),
    ]
}

/// Valid, if only just: each is stored, and shown as the contract says. Each comes twice, and two equal ones are two.
fn odd_but_valid(rig: &mut Rig) {
    let kafka = rig.kafka();
    make_topics(rig, &[&kafka.topic], &ROOMY);
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let odd = odd_ones();
    // All on one partition, so that their order is that of their ids.
    for _ in 0..2 {
        kafka.put(odd.iter().map(|(value, _)| (Some(1), Some(value.as_slice()))));
    }
    rig.fault_ended(&load);
    rig.account(load);
    assert!(kafka.records(&kafka.dead_letter_topic()).is_empty(), "something valid is among the dead letters");
    let mut found: Vec<_> = rig.store().all().into_iter().filter(|log| !log.user.starts_with("user")).collect();
    found.sort_by_key(|log| log.id);
    assert_eq!(found.len(), 2 * odd.len(), "{found:?}");
    for (log, (value, shown)) in found.iter().zip(odd.iter().chain(&odd)) {
        let (status, answer) = rig.service().get(&format!("/api/logs/{}", log.id)).unwrap();
        let sent = String::from_utf8_lossy(&value[..value.len().min(200)]).into_owned();
        assert_eq!(status, 200, "{sent}");
        for (name, wanted) in shown.as_object().into_iter().flatten().filter(|(_, wanted)| !wanted.is_null()) {
            assert_eq!(answer[name], *wanted, "{name} of {sent}");
        }
    }
    rig.row.note(format!("{} odd ones", found.len()));
}
