//! No input makes a 5xx or a panic: requests that are nearly right, over a raw socket, against the built binary.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestRunner};

use crate::service::Service;

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/api/logs".to_owned()),
        Just("/api/logs/batch".to_owned()),
        "/api/logs/[-0-9a-z%.]{0,24}",
        "/api/logs/events/[-0-9a-f%]{0,40}",
        "/api/logs\\?(page|limit|userId|action|startDate|endDate|x)=[-0-9a-zA-Z%:+.&=]{0,24}",
        "/(livez|readyz|health|docs|openapi.json)[/?a-z=%]{0,8}",
        "/[-a-zA-Z0-9%/?&=.]{0,40}",
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let value = || {
        prop_oneof![
            "\"[^\"\\\\\\x00-\\x1f]{0,12}\"",
            "-?[0-9]{1,25}(\\.[0-9]{1,5})?([eE][-+]?[0-9]{1,4})?",
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("{}".to_owned()),
            "\\[{1,200}",
            Just("\"\\ud800\"".to_owned()),
            Just("{\"a\\u0000\":{\"$oid\":[]}}".to_owned()),
        ]
    };
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (value(), value(), value(), value()).prop_map(|(user, action, timestamp, metadata)| format!(
            "{{\"userId\":{user},\"action\":{action},\"timestamp\":{timestamp},\"metadata\":{metadata}}}"
        )
        .into_bytes()),
        prop::collection::vec(value(), 0..5).prop_map(|items| format!("[{}]", items.join(",")).into_bytes()),
        prop::collection::vec(value(), 0..5).prop_map(|items| items.join("\n").into_bytes()),
    ]
}

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("content-type: application/json".to_owned()),
        Just("content-type: application/x-ndjson".to_owned()),
        Just("prefer: return=minimal".to_owned()),
        "content-type: [a-z/;= ]{0,30}",
        "content-encoding: (gzip|deflate|br|zstd|identity|[a-z, ]{0,12})",
        "idempotency-key: [ -~]{0,40}",
        "x-request-id: [ -~]{0,40}",
        "accept-encoding: [a-z,;=0-9.* ]{0,30}",
        "[a-z-]{1,12}: [ -~]{0,40}",
    ]
}

/// The status of the answer; 0 where the server closed without one.
fn status(service: &Service, method: &str, path: &str, headers: &[String], body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").into_bytes();
    for header in headers {
        request.extend_from_slice(format!("{header}\r\n").as_bytes());
    }
    request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    let _ = stream.write_all(&request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
    text.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn no_request_makes_a_server_error() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    service.wait_until_ready();
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    let method = prop_oneof![Just("POST"), Just("GET"), Just("DELETE"), Just("HEAD"), Just("PUT"), Just("OPTIONS")];
    let request = (method, path(), prop::collection::vec(header(), 0..4), body());
    TestRunner::new(config)
        .run(&request, |(method, path, headers, body)| {
            let status = status(&service, method, &path, &headers, &body);
            prop_assert!(status < 500, "{method} {path} {headers:?} answered {status}");
            Ok(())
        })
        .unwrap();
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
    service.stop();
}
