//! Counting over HTTP on the built binary: groups, histograms by local clocks, and counts that survive a kill.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    service::{Answer, Service, eventually},
};

/// A quarter of which a process that was killed said that it changes it is recounted after two minutes.
const RECOUNTED: Duration = Duration::from_secs(240);

#[test]
fn logs_are_counted_over_http_on_the_embedded_engine() {
    logs_are_counted(&Place::embedded());
}

#[test]
fn logs_are_counted_over_http_on_servers() {
    if let Some(place) = Place::servers() {
        logs_are_counted(&place);
    }
}

#[test]
fn counts_survive_kills_on_the_embedded_engine() {
    counts_survive_kills(&Place::embedded());
}

#[test]
fn counts_survive_kills_on_servers() {
    if let Some(place) = Place::servers() {
        counts_survive_kills(&place);
    }
}

fn counted(service: &Service, query: &str) -> Value {
    let answer = service.get(&format!("/api/logs/stats?{query}"));
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    answer.body
}

fn post(service: &Service, logs: &[Value]) -> Answer {
    let lines: String = logs.iter().map(|log| format!("{log}\n")).collect();
    let request = service.request("POST", "/api/logs/batch").header("content-type", "application/x-ndjson");
    Answer::of(request.header("prefer", "return=minimal").body(lines).send().unwrap())
}

fn refusals(service: &Service) {
    for (query, code) in [
        ("", "missing_grouping"),
        ("groupBy=x", "invalid_group_by"),
        ("groupBy=action&top=0", "invalid_top"),
        ("groupBy=action&interval=1h", "invalid_interval"),
        ("interval=1h&tz=Mars/Olympus", "invalid_time_zone"),
        ("interval=15m&startDate=2020-01-01&endDate=2025-01-01", "too_many_buckets"),
        ("interval=1h&limit=5", "unknown_parameter"),
        ("interval=1h&startDate=x", "invalid_start_date"),
    ] {
        let answer = service.get(&format!("/api/logs/stats?{query}"));
        assert_eq!((answer.status, answer.code()), (400, code), "{query}");
    }
}

fn logs_are_counted(place: &Place) {
    let service = place.start();
    refusals(&service);
    // The night in which Berlin puts its clocks back.
    let hours = ["21:59", "22:00", "23:30", "00:15", "01:15", "01:45", "22:59", "23:00"];
    let log = |(index, time): (usize, &&str)| {
        let day = if index < 3 { 25 } else { 26 };
        let action = if index % 2 == 0 { "auth.login" } else { "view" };
        json!({"userId": format!("u{}", index % 3), "action": action, "timestamp": format!("2025-10-{day}T{time}:00Z")})
    };
    let logs: Vec<Value> = hours.iter().enumerate().map(log).collect();
    assert_eq!(post(&service, &logs).status, 200);
    eventually("all are counted", || (counted(&service, "groupBy=action")["total"] == 8).then_some(()));
    let groups = counted(&service, "groupBy=userId&top=2");
    let expected = json!([{"value": "u0", "count": 3}, {"value": "u1", "count": 3}]);
    assert_eq!((&groups["groupBy"], &groups["total"], &groups["groups"]), (&json!("userId"), &json!(8), &expected));
    let groups = counted(&service, "groupBy=action&actionPrefix=auth.&startDate=2025-10-25T22:00Z");
    assert_eq!((&groups["total"], &groups["groups"]), (&json!(3), &json!([{"value": "auth.login", "count": 3}])));
    let range = "startDate=2025-10-25T22:00Z&endDate=2025-10-26T22:59:59.999Z";
    let days = counted(&service, &format!("interval=1d&tz=europe/berlin&{range}"));
    let expected = json!({
        "interval": "1d", "tz": "Europe/Berlin", "total": 6,
        "buckets": [{"start": "2025-10-25T22:00:00.000Z", "count": 6}],
    });
    assert_eq!(days, expected);
    let hours = counted(&service, &format!("interval=1h&tz=Europe/Berlin&{range}"));
    let hours = hours["buckets"].as_array().unwrap();
    assert_eq!(hours.len(), 25, "one comes twice");
    let of_hours: Vec<u64> = hours.iter().map(|hour| hour["count"].as_u64().unwrap()).collect();
    assert_eq!((&of_hours[..4], of_hours[24], of_hours.iter().sum::<u64>()), (&[1, 1, 1, 2][..], 1, 6));
    let now = counted(&service, "interval=1d&action=auth.login");
    assert!((30..=31).contains(&now["buckets"].as_array().unwrap().len()), "{now}");
    assert_eq!(now["total"], 0);
    let backwards = counted(&service, "interval=1h&startDate=2025-02-01&endDate=2025-01-01");
    assert_eq!(backwards["buckets"], json!([]));
    service.stop();
}

fn counts_survive_kills(place: &Place) {
    let mut service = place.start();
    for round in 0..3 {
        for batch in 0..8 {
            let log =
                |n: usize| json!({"userId": format!("u{n}"), "action": format!("a{}", n % 7), "metadata": {"n": n}});
            let logs: Vec<Value> = (0..500).map(|n| log(n + batch)).collect();
            assert_eq!(post(&service, &logs).status, 200);
        }
        service.kill();
        service = place.start();
        let answer = post(&service, &[json!({"userId": "last", "action": "last", "metadata": {"round": round}})]);
        assert_eq!(answer.status, 200);
    }
    let begun = Instant::now();
    loop {
        let groups = counted(&service, "groupBy=action&top=1000");
        let buckets = counted(&service, "interval=1h");
        let of_each = |groups: &Value| {
            groups.as_array().unwrap().iter().all(|group| {
                let action = group["value"].as_str().unwrap();
                let found = service.get(&format!("/api/logs?action={action}&limit=1"));
                found.body["total"] == group["count"]
            })
        };
        if (&groups["total"], &buckets["total"]) == (&json!(12_003), &json!(12_003)) && of_each(&groups["groups"]) {
            break;
        }
        assert!(begun.elapsed() < RECOUNTED, "{groups}");
        std::thread::sleep(Duration::from_millis(500));
    }
    service.stop();
}
