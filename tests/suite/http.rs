//! The HTTP contract, end to end on the built binary: every case runs on each backend.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::service::{Answer, Service, log};

/// Runs every case against a service with an empty store.
pub fn every_case(service: &Service) {
    the_root_greets(service);
    health_has_the_old_fields(service);
    an_empty_store_has_an_empty_page(service);
    a_log_is_taken_stored_read_and_deleted(service);
    logs_come_back_as_they_went_in(service);
    numbers_and_booleans_become_text(service);
    timestamps_are_read_in_every_form(service);
    bad_bodies_name_the_field(service);
    other_content_types_are_refused(service);
    packed_bodies_are_unpacked_and_bounded(service);
    the_body_limit_is_inclusive(service);
    pages_and_filters_work_together(service);
    nonsense_in_the_query_is_refused(service);
    ids_are_decimal_digits(service);
    unknown_routes_and_methods_have_the_one_error_form(service);
    a_repeated_key_is_one_log(service);
    a_deleted_log_does_not_come_back(service);
    receipts_tell_what_became_of_an_event(service);
    head_works_on_every_get(service);
    request_ids_are_kept_or_made(service);
    large_answers_are_packed(service);
    browsers_get_no_cors_headers_unless_asked_for(service);
    a_head_that_is_too_large_is_refused(service);
    the_documents_are_served(service);
    a_page_of_large_logs_is_refused_whole(service);
}

fn error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.body["message"].is_string(), "{answer:?}");
    let known = ["message", "code", "error"];
    assert!(answer.body.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{answer:?}");
}

fn the_root_greets(service: &Service) {
    let answer = service.get("/");
    assert_eq!((answer.status, answer.text.as_str()), (200, "EyeGo User Activity Log Service is running."));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(service.get("/livez").status, 200);
}

fn health_has_the_old_fields(service: &Service) {
    for path in ["/health", "/health/"] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200);
        assert_eq!((&answer.body["mongo"], &answer.body["kafka"]), (&json!("up"), &json!("up")));
    }
    for path in ["/readyz", "/readyz?for=write", "/readyz?for=read"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    error(&service.get("/readyz?for=tea"), 400, "invalid_purpose");
}

fn an_empty_store_has_an_empty_page(service: &Service) {
    let answer = service.get("/api/logs");
    assert_eq!(answer.status, 200);
    let cursor = answer.body["nextCursor"].clone();
    let page = json!({"logs": [], "total": 0, "page": 1, "limit": 10, "totalPages": 0});
    let more = json!({"totalIsExact": true, "nextCursor": cursor});
    let both = page.as_object().unwrap().clone().into_iter().chain(more.as_object().unwrap().clone());
    assert_eq!(answer.body, Value::Object(both.collect()));
    assert!(cursor.is_string());
    let answer = service.get("/api/logs/0");
    error(&answer, 404, "log_not_found");
    assert_eq!(answer.body["message"], "Log not found");
}

fn a_log_is_taken_stored_read_and_deleted(service: &Service) {
    let answer = service.post(&json!({
        "userId": "user1", "action": "login", "timestamp": "2025-05-21T12:34:56.789Z", "metadata": {"ip": "127.0.0.1"}
    }));
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.body["message"],
        "Log sent to Kafka for processing. It may take a moment to appear in the logs list."
    );
    let event_id = answer.body["eventId"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/api/logs/events/{event_id}").as_str()));
    let stored = service.get(&format!("/api/logs/events/{event_id}?wait=30"));
    let expected = r#"{"id":0,"userId":"user1","action":"login","timestamp":"2025-05-21T12:34:56.789Z","metadata":{"ip":"127.0.0.1"}}"#;
    assert_eq!((stored.status, stored.text.as_str()), (200, expected), "the first id is 0");
    for path in ["/api/logs/0", "/api/logs/0/", "/api/logs/00", "/api/logs/%30"] {
        assert_eq!(service.get(path).text, expected, "{path}");
    }
    let list = service.get("/api/logs/");
    let old_fields = format!("{{\"logs\":[{expected}],\"total\":1,\"page\":1,\"limit\":10,\"totalPages\":1,");
    assert!(list.text.starts_with(&old_fields), "{}", list.text);
    let deleted = service.delete("/api/logs/0");
    assert_eq!((deleted.status, deleted.text.as_str()), (200, r#"{"message":"Log deleted successfully"}"#));
    error(&service.delete("/api/logs/0"), 404, "log_not_found");
    error(&service.get("/api/logs/0"), 404, "log_not_found");
    assert!(service.store(&log("user1", "again"))["id"].as_i64().unwrap() > 0, "ids are never reused");
}

fn logs_come_back_as_they_went_in(service: &Service) {
    let deep = format!("{}1{}", "{\"a\":".repeat(99), "}".repeat(99));
    for metadata in [
        "{}",
        r#"{"z":1,"a":{"":[]},"empty":{},"list":[{},[],null,true,"x"]}"#,
        r#"{"$oid":"5f","$date":{"$numberLong":"1"},"a.b":{"$gt":1},"__proto__":2,"_id":3}"#,
        r#"{"id":{"$oid":"507f1f77bcf86cd799439011"},"at":{"$date":"2025-01-01T00:00:00Z"},"b":{"$binary":{"base64":"","subType":"00"}}}"#,
        r#"{"max":9223372036854775807,"min":-9223372036854775808,"int":2147483648,"small":-1}"#,
        r#"{"one":1.0,"tenth":0.1,"tiny":5e-324,"huge":1.7976931348623157e+308,"third":0.3333333333333333}"#,
        "{\"unicode\":\"Grüße 😀 \u{2028}\",\"nul\":\"a\\u0000b\",\"tab\":\"\\t\"}",
        &format!(r#"{{"deep":{deep}}}"#),
        &format!(r#"{{"long":"{}"}}"#, "x".repeat(100_000)),
    ] {
        let answer = service.post_text(&format!(r#"{{"userId":"shape","action":"keep","metadata":{metadata}}}"#));
        assert_eq!(answer.status, 202, "{metadata} {answer:?}");
        let stored = service.get(&format!("{}?wait=30", answer.header("location").unwrap()));
        let end = format!("\"metadata\":{metadata}}}");
        assert!(stored.text.ends_with(&end), "{metadata} came back as {}", stored.text);
    }
    let answer = service
        .post_text(r#"{"userId":"shape","action":"cast","metadata":{"a":1,"b":1e2,"a":[2],"u":18446744073709551616}}"#);
    let stored = service.get(&format!("{}?wait=30", answer.header("location").unwrap()));
    assert!(stored.text.ends_with(r#""metadata":{"a":[2],"b":100.0,"u":1.8446744073709552e+19}}"#), "{}", stored.text);
}

fn numbers_and_booleans_become_text(service: &Service) {
    for (value, text) in [
        ("7", "7"),
        ("1.0", "1"),
        ("1e21", "1e+21"),
        ("true", "true"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("\" x \"", " x "),
        ("\"a\\u0000b\"", "a\0b"),
    ] {
        let answer = service.post_text(&format!(r#"{{"userId":{value},"action":{value},"id":99,"_id":"x","__v":1}}"#));
        assert_eq!(answer.status, 202, "{value} {answer:?}");
        let stored = service.get(&format!("{}?wait=30", answer.header("location").unwrap())).body;
        assert_eq!((stored["userId"].as_str(), stored["action"].as_str()), (Some(text), Some(text)), "{value}");
        assert_eq!(stored.as_object().unwrap().len(), 5);
    }
}

fn timestamps_are_read_in_every_form(service: &Service) {
    for (timestamp, expected) in [
        (json!("2025-05-21"), "2025-05-21T00:00:00.000Z"),
        (json!("2025-05"), "2025-05-01T00:00:00.000Z"),
        (json!("2025-05-21 12:34:56.7899+02:00"), "2025-05-21T10:34:56.789Z"),
        (json!("2025-05-21t12:34z"), "2025-05-21T12:34:00.000Z"),
        (json!(0), "1970-01-01T00:00:00.000Z"),
        (json!(-1.5), "1969-12-31T23:59:59.999Z"),
        (json!("1747830896789"), "2025-05-21T12:34:56.789Z"),
        (json!("0001-01-01"), "0001-01-01T00:00:00.000Z"),
        (json!("9999-12-31T23:59:59.999Z"), "9999-12-31T23:59:59.999Z"),
    ] {
        let stored = service.store(&json!({"userId": "time", "action": "a", "timestamp": timestamp}));
        assert_eq!(stored["timestamp"], expected, "{timestamp}");
    }
    let stored = service.store(&json!({"userId": "time", "action": "now", "timestamp": null, "metadata": null}));
    assert_eq!(stored["metadata"], json!({}));
    assert!(stored["timestamp"].as_str().unwrap() > "2025-05-21");
}

fn bad_bodies_name_the_field(service: &Service) {
    for body in ["{}", "[]", "", r#"{"userId":null,"action":"a"}"#, r#"{"userId":"u"}"#] {
        let answer = service.post_text(body);
        error(&answer, 400, "missing_fields");
        assert_eq!(answer.body["message"], "Missing required fields: userId, action");
    }
    for (body, code) in [
        ("{", "invalid_json"),
        ("[1]", "not_an_object"),
        (r#"{"userId":"","action":"a"}"#, "invalid_user_id"),
        (r#"{"userId":"u","action":{}}"#, "invalid_action"),
        (r#"{"userId":"u","action":"a","timestamp":"2025-02-30"}"#, "invalid_timestamp"),
        (r#"{"userId":"u","action":"a","timestamp":""}"#, "invalid_timestamp"),
        (r#"{"userId":"u","action":"a","metadata":[]}"#, "invalid_metadata"),
        (r#"{"userId":"u","action":"a","metadata":{"\u0000":1}}"#, "invalid_metadata"),
        (r#"{"userId":"u","action":"a","action":"b"}"#, "repeated_field"),
        (r#"{"userId":"u","action":"a","x":1,"x":2}"#, "repeated_field"),
        (r#"{"userId":"u","action":"a","metadata":{"x":"\ud800"}}"#, "invalid_json"),
        (r#"{"userId":"u","action":"a","metadata":{"x":1e400}}"#, "invalid_json"),
    ] {
        error(&service.post_text(body), 400, code);
    }
    let request = service.request("POST", "/api/logs").header("content-type", "application/json");
    error(
        &Answer::of(request.body(b"{\"userId\":\"\xff\",\"action\":\"a\"}".to_vec()).send().unwrap()),
        400,
        "invalid_json",
    );
    assert_eq!(service.post_text("\u{feff}{\"userId\":\"bom\",\"action\":\"a\"}").status, 202);
}

fn other_content_types_are_refused(service: &Service) {
    let send = |content_type: Option<&str>, body: &str| {
        let request = service.request("POST", "/api/logs").body(body.to_owned());
        Answer::of(
            content_type
                .into_iter()
                .fold(request, |request, value| request.header("content-type", value))
                .send()
                .unwrap(),
        )
    };
    let body = r#"{"userId":"u","action":"type"}"#;
    error(&send(None, body), 415, "unsupported_media_type");
    error(&send(Some("text/plain"), body), 415, "unsupported_media_type");
    error(&send(Some("application/json; charset=utf-16"), body), 415, "unsupported_media_type");
    error(&send(None, ""), 400, "missing_fields");
    let chunked = reqwest::blocking::Body::new(std::io::empty());
    error(&Answer::of(service.request("POST", "/api/logs").body(chunked).send().unwrap()), 400, "missing_fields");
    let chunked = reqwest::blocking::Body::new(std::io::Cursor::new(body));
    error(
        &Answer::of(service.request("POST", "/api/logs").body(chunked).send().unwrap()),
        415,
        "unsupported_media_type",
    );
    assert_eq!(send(Some("application/json; charset=UTF-8"), body).status, 202);
}

fn packed_bodies_are_unpacked_and_bounded(service: &Service) {
    let send = |encoding: &str, body: Vec<u8>| {
        let request = service.request("POST", "/api/logs").header("content-type", "application/json");
        Answer::of(request.header("content-encoding", encoding).body(body).send().unwrap())
    };
    let body = br#"{"userId":"packed","action":"a"}"#;
    assert_eq!(send("gzip", gzip(body)).status, 202);
    assert_eq!(send("deflate", zlib(body)).status, 202);
    assert_eq!(send("zstd", zstd::encode_all(&body[..], 3).unwrap()).status, 202);
    error(&send("gzip", body.to_vec()), 400, "invalid_body");
    error(&send("compress", body.to_vec()), 415, "unsupported_encoding");
    error(&send("gzip, gzip", gzip(&gzip(body))), 415, "unsupported_encoding");
    error(&send("gzip", gzip(&vec![b' '; 10 << 20])), 413, "body_too_large");
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn the_body_limit_is_inclusive(service: &Service) {
    let of_size = |bytes: usize| {
        let start = r#"{"userId":"large","action":"a","metadata":{"x":""#;
        format!("{start}{}\"}}}}", "y".repeat(bytes - start.len() - 3))
    };
    assert_eq!(of_size(1000).len(), 1000);
    assert_eq!(service.post_text(&of_size(262_144)).status, 202);
    error(&service.post_text(&of_size(262_145)), 413, "body_too_large");
    let chunked = reqwest::blocking::Body::new(std::io::Cursor::new(of_size(300_000)));
    let request = service.request("POST", "/api/logs").header("content-type", "application/json").body(chunked);
    error(&Answer::of(request.send().unwrap()), 413, "body_too_large");
}

fn pages_and_filters_work_together(service: &Service) {
    for day in 1..=9 {
        let (user, action) = (format!("page-{}", day % 2), format!("act {}", day % 3));
        service.store(&json!({"userId": user, "action": action, "timestamp": format!("2024-01-0{day}T12:00:00Z")}));
    }
    let days = |query: &str| -> Vec<String> {
        let answer = service.get(&format!("/api/logs?startDate=2024-01-01&endDate=2024-01-31&{query}"));
        assert_eq!(answer.status, 200, "{query} {answer:?}");
        let logs = answer.body["logs"].as_array().unwrap().clone();
        let ids: Vec<i64> = logs.iter().map(|log| log["id"].as_i64().unwrap()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "by ascending id: {ids:?}");
        logs.iter().map(|log| log["timestamp"].as_str().unwrap()[8..10].to_owned()).collect()
    };
    assert_eq!(days("").len(), 9);
    assert_eq!(days("userId=page-1"), ["01", "03", "05", "07", "09"]);
    assert_eq!(days("userId=page-1&action=act+0"), ["03", "09"]);
    assert_eq!(days("userId=page-1&userId=page-0&action=act%200"), ["03", "06", "09"]);
    assert_eq!(days("userId=PAGE-1"), Vec::<String>::new());
    assert_eq!(days("page=2&limit=4"), ["05", "06", "07", "08"]);
    assert_eq!(days("page=4&limit=4"), Vec::<String>::new());
    assert_eq!(days("page=1000&limit=1000"), Vec::<String>::new());
    let day =
        |query: &str| service.get(&format!("/api/logs?userId=page-1&userId=page-0&{query}")).body["total"].clone();
    assert_eq!(day("startDate=2024-01-03T12:00:00Z&endDate=2024-01-03T12:00:00Z"), 1);
    assert_eq!(day("startDate=2024-01-03T14:00:00+02:00&endDate=2024-01-03"), 1);
    assert_eq!(day("endDate=2024-01-03"), 3);
    assert_eq!(day("endDate=2024-01"), 9);
    assert_eq!(day("startDate=1704283200000&endDate=1704283200000"), 1);
    let answer = service.get("/api/logs?userId=page-1&limit=2&page=&order=x&Limit=3&order=y&%C3%BC=1");
    assert_eq!(answer.body["totalPages"], 3);
    assert_eq!(answer.header("ignored-parameters"), Some("order,Limit,%C3%BC"));
}

fn nonsense_in_the_query_is_refused(service: &Service) {
    for (query, code) in [
        ("page=0", "invalid_page"),
        ("page=1.5", "invalid_page"),
        ("page=1&page=1", "repeated_parameter"),
        ("limit=1001", "invalid_limit"),
        ("limit=-1", "invalid_limit"),
        ("startDate=yesterday", "invalid_start_date"),
        ("endDate=2025-02-30", "invalid_end_date"),
        ("userId=%ff", "invalid_query"),
        ("page=9007199254740991&limit=1000", "page_too_deep"),
        ("cursor=abc", "invalid_cursor"),
        ("sort=user", "invalid_sort"),
        ("count=all", "invalid_count"),
        ("eventId=7", "invalid_event_id"),
        ("metadata.a..b=7", "invalid_metadata_filter"),
    ] {
        error(&service.get(&format!("/api/logs?{query}")), 400, code);
    }
}

fn a_page_of_large_logs_is_refused_whole(service: &Service) {
    let text = "z".repeat(240_000);
    let mut last = Value::Null;
    for n in 0..40 {
        let answer = service.post(&json!({"userId": "heavy", "action": format!("{n}"), "metadata": {"text": text}}));
        assert_eq!(answer.status, 202);
        last = answer.body["eventId"].clone();
    }
    assert_eq!(service.get(&format!("/api/logs/events/{}?wait=30", last.as_str().unwrap())).status, 200);
    crate::service::eventually("all of them", || {
        (service.get("/api/logs?userId=heavy&limit=1").body["total"] == 40).then_some(())
    });
    error(&service.get("/api/logs?userId=heavy&limit=50"), 400, "page_too_large");
    let answer = service.get("/api/logs?userId=heavy&limit=10&page=4");
    assert_eq!((answer.status, answer.body["logs"].as_array().unwrap().len()), (200, 10));
}

fn ids_are_decimal_digits(service: &Service) {
    for id in ["abc", "1.0", "1e0", "0x1", "%20", "+1", "1%002", "%ff"] {
        for answer in [service.get(&format!("/api/logs/{id}")), service.delete(&format!("/api/logs/{id}"))] {
            error(&answer, 400, "invalid_log_id");
            assert_eq!(answer.body["message"], "Invalid log ID format");
        }
    }
    for id in ["-1", "-0", "9223372036854775807", "9223372036854775808", "99999999999999999999999"] {
        error(&service.get(&format!("/api/logs/{id}")), 404, "log_not_found");
    }
}

fn unknown_routes_and_methods_have_the_one_error_form(service: &Service) {
    for path in ["/nope", "/api", "/API/logs", "/api/logs/1/2", "//", "/api/logs//"] {
        error(&service.get(path), 404, "route_not_found");
    }
    let answer = Answer::of(service.request("PUT", "/api/logs").send().unwrap());
    error(&answer, 405, "method_not_allowed");
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

fn a_repeated_key_is_one_log(service: &Service) {
    let send = |user: &str, action: &str, key: &str| {
        let request = service.request("POST", "/api/logs").header("idempotency-key", key);
        Answer::of(request.json(&log(user, action)).send().unwrap())
    };
    let first = send("keyed", "first", "order-7");
    let again = send("keyed", "second", "order-7");
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body["eventId"], again.body["eventId"]);
    assert_ne!(first.body["eventId"], send("other", "first", "order-7").body["eventId"], "a key is one user's");
    let stored = service.get(&format!("{}?wait=30", first.header("location").unwrap())).body;
    assert_eq!(stored["action"], "first", "the first body counts");
    let marker = service.store(&log("keyed", "marker"));
    assert!(marker["id"].is_i64());
    assert_eq!(service.get("/api/logs?userId=keyed&action=first&action=second").body["total"], 1);
    error(&send("keyed", "a", "two words"), 400, "invalid_idempotency_key");
    error(&send("keyed", "a", &"k".repeat(256)), 400, "invalid_idempotency_key");
    assert_eq!(send("keyed", "long", &"k".repeat(255)).status, 202);
}

fn a_deleted_log_does_not_come_back(service: &Service) {
    let send = || {
        let request = service.request("POST", "/api/logs").header("idempotency-key", "gone");
        Answer::of(request.json(&log("deleter", "a")).send().unwrap())
    };
    let answer = send();
    let receipt = answer.header("location").unwrap().to_owned();
    let stored = service.get(&format!("{receipt}?wait=30")).body;
    assert_eq!(service.delete(&format!("/api/logs/{}", stored["id"])).status, 200);
    error(&service.get(&receipt), 410, "log_deleted");
    let again = send();
    assert_eq!((again.status, &again.body["eventId"]), (202, &answer.body["eventId"]));
    service.store(&log("deleter", "marker"));
    error(&service.get(&receipt), 410, "log_deleted");
    assert_eq!(service.get("/api/logs?userId=deleter").body["total"], 1);
}

fn receipts_tell_what_became_of_an_event(service: &Service) {
    error(&service.get("/api/logs/events/0196f1e2-7c3a-7000-8000-00000000dead"), 404, "event_not_found");
    error(&service.get("/api/logs/events/0196f1e2-7c3a-7000-8000-00000000dead?wait=0.05"), 404, "event_not_found");
    error(&service.get("/api/logs/events/7"), 400, "invalid_event_id");
    error(&service.get("/api/logs/events/0196f1e2-7c3a-7000-8000-00000000dead?wait=31"), 400, "invalid_wait");
}

fn head_works_on_every_get(service: &Service) {
    for path in ["/", "/livez", "/health", "/readyz", "/api/logs", "/openapi.json"] {
        let answer = Answer::of(service.request("HEAD", path).send().unwrap());
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
}

fn request_ids_are_kept_or_made(service: &Service) {
    let send = |id: &str| Answer::of(service.request("GET", "/nope").header("x-request-id", id).send().unwrap());
    assert_eq!(send("abc-123").header("x-request-id"), Some("abc-123"));
    for bad in ["two words", &"x".repeat(129), ""] {
        assert_eq!(send(bad).header("x-request-id").unwrap().len(), 36, "{bad}");
    }
    assert_eq!(service.get("/").header("x-request-id").unwrap().len(), 36);
}

fn large_answers_are_packed(service: &Service) {
    let send = |path: &str, encoding: &str| {
        let request = service.request("GET", path).header("accept-encoding", encoding);
        let response = request.send().unwrap();
        response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(send("/api/logs?limit=100", "gzip").as_deref(), Some("gzip"));
    assert_eq!(send("/api/logs?limit=100", "zstd").as_deref(), Some("zstd"));
    assert_eq!(send("/health", "gzip"), None);
}

fn browsers_get_no_cors_headers_unless_asked_for(service: &Service) {
    let answer = Answer::of(service.request("GET", "/").header("origin", "https://example.org").send().unwrap());
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

fn a_head_that_is_too_large_is_refused(service: &Service) {
    let raw = |head: String| {
        let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        let _ = stream.write_all(head.as_bytes());
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8_lossy(&status).into_owned()
    };
    let big = "x".repeat(70_000);
    assert_eq!(raw(format!("GET / HTTP/1.1\r\nhost: x\r\nbig: {big}\r\n\r\n")), "HTTP/1.1 431");
    let status = raw(format!("GET /{big} HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert!(["HTTP/1.1 431", "HTTP/1.1 414"].contains(&status.as_str()), "{status}");
    assert_eq!(raw("GET / HTTP/9\r\n\r\n".to_owned()), "HTTP/1.1 400");
}

fn the_documents_are_served(service: &Service) {
    let document: Value = service.get("/openapi.json").body;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/logs/{id}"]["delete"].is_object());
    let page = Answer::of(service.request("GET", "/docs/").send().unwrap());
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
}
