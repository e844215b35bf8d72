//! Batches of lines whose client or bus does not play along: streams that break off, dawdle, never end, or meet a full
//! disk or the end of the service.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    batch::{JSON, LINES, counts, results, send, stored},
    embedded_full::{largest, limit_files},
    end_to_end::Place,
    service::{PATIENCE, Service, eventually, log},
};

/// A request whose body is sent piece by piece.
struct Stream(TcpStream);

impl Stream {
    fn open(service: &Service, headers: &str) -> Self {
        let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /api/logs/batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self(stream)
    }

    fn lines(service: &Service, headers: &str) -> Self {
        Self::open(service, &format!("content-type: {LINES}\r\n{headers}"))
    }

    /// `false` where nobody reads any more.
    fn send(&mut self, piece: impl AsRef<[u8]>) -> bool {
        let piece = piece.as_ref();
        let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        self.0.write_all(&framed).is_ok()
    }

    fn end(mut self) -> (u16, Value, String) {
        let _ = self.0.write_all(b"0\r\n\r\n");
        self.answer()
    }

    /// Status, body and head, lower-case, of what comes without the body having ended.
    fn answer(&mut self) -> (u16, Value, String) {
        let mut answer = Vec::new();
        let read = self.0.read_to_end(&mut answer);
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?} {read:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap(), head.to_ascii_lowercase())
    }
}

fn line(user: &str, n: usize) -> String {
    format!("{}\n", log(user, &n.to_string()))
}

fn lines(user: &str, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| line(user, n)).collect()
}

fn total(service: &Service, user: &str) -> u64 {
    service.get(&format!("/api/logs?limit=1&userId={user}")).body["total"].as_u64().unwrap()
}

#[test]
fn a_stream_that_breaks_off_can_be_sent_again_embedded() {
    a_stream_that_breaks_off_can_be_sent_again(&Place::embedded());
}

#[test]
fn a_stream_that_breaks_off_can_be_sent_again_on_servers() {
    if let Some(place) = Place::servers() {
        a_stream_that_breaks_off_can_be_sent_again(&place);
    }
}

fn a_stream_that_breaks_off_can_be_sent_again(place: &Place) {
    let service = place.start();
    for (user, reset) in [("closed", false), ("reset", true)] {
        let key = format!("idempotency-key: {user}\r\n");
        let mut stream = Stream::lines(&service, &key);
        assert!(stream.send(lines(user, 0..2500)));
        eventually("some of it is stored", || (total(&service, user) > 0).then_some(()));
        // All there is of a line but its end.
        assert!(stream.send(log(user, "half").to_string()));
        if reset {
            drop(stream);
        } else {
            stream.0.shutdown(Shutdown::Write).unwrap();
            let (status, body, _) = stream.answer();
            let last = results(&body).last().unwrap();
            assert_eq!((status, &last["code"], &last["index"]), (207, &json!("invalid_body"), &json!(2500)));
            assert_eq!(counts(&body), [2500, 1, 0, 0]);
        }
        let mut again = Stream::lines(&service, &key);
        assert!(again.send(lines(user, 0..4000)));
        let (status, body, _) = again.end();
        assert_eq!((status, counts(&body)), (200, [4000, 0, 0, 0]));
        stored(&service, user, 4000);
        assert_eq!(service.get("/api/logs?limit=1&action=half").body["total"], 0, "{user}");
    }
    let text = service.errors();
    assert!(!text.contains("panicked"), "{text}");
    service.stop();
}

#[test]
fn who_dawdles_is_told_what_was_read() {
    let place = Place::embedded();
    let service = place.start_with(&[("BODY_TIMEOUT", "1s")]);
    service.wait_until_ready();
    for headers in [format!("content-type: {JSON}\r\n"), format!("content-type: {LINES}\r\n")] {
        for start in ["", "[{", "\n\n"] {
            let mut stream = Stream::open(&service, &headers);
            assert!(start.is_empty() || stream.send(start));
            let (status, body, _) = stream.answer();
            assert_eq!((status, &body["code"]), (408, &json!("body_timeout")), "{headers} {start:?}");
        }
    }
    let mut stream = Stream::lines(&service, "");
    assert!(stream.send(lines("slow", 0..3)) && stream.send(r#"{"userId":"slow","action":"half"}"#));
    let (status, body, _) = stream.answer();
    assert_eq!((status, counts(&body)), (207, [3, 1, 0, 0]), "{body}");
    let last = &results(&body)[3];
    assert_eq!(
        (&last["index"], &last["status"], &last["code"]),
        (&json!(3), &json!("rejected"), &json!("body_timeout"))
    );
    assert!(last["message"].as_str().unwrap().contains("what follows was not read"), "{last}");
    stored(&service, "slow", 3);
    a_trickle_has_an_end(&service);
    service.stop();
}

/// Every pause is short, and yet it does not go on for ever.
fn a_trickle_has_an_end(service: &Service) {
    let mut stream = Stream::lines(service, "");
    let began = Instant::now();
    stream.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = 0;
    while stream.0.peek(&mut [0]).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on and on");
        assert!(stream.send(line("trickle", sent)));
        sent += 1;
    }
    stream.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let (status, body, _) = stream.answer();
    assert_eq!((status, &results(&body).last().unwrap()["code"]), (207, &json!("body_timeout")));
    assert!(began.elapsed() > Duration::from_secs(4) && sent > 10, "{sent} lines in {:?}", began.elapsed());
    stored(service, "trickle", counts(&body)[0]);
}

#[test]
fn the_end_of_the_service_does_not_wait_for_a_stream() {
    let place = Place::embedded();
    let mut service = place.start();
    let mut streams: Vec<_> = (0..4).map(|_| Stream::lines(&service, "")).collect();
    for (n, stream) in streams.iter_mut().enumerate().skip(1) {
        // One sends nothing, one less than a chunk, the others more.
        assert!(stream.send(lines("ending", 0..[0, 10, 1500, 2000][n])));
    }
    eventually("some of it is stored", || (total(&service, "ending") >= 2000).then_some(()));
    let began = Instant::now();
    service.signal("-TERM");
    let answers: Vec<_> = streams.iter_mut().map(Stream::answer).collect();
    assert_eq!(service.wait().code(), Some(0), "{}", service.errors());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (status, body, head) = &answers[0];
    assert_eq!((*status, &body["code"]), (503, &json!("queue_unavailable")));
    assert!(head.contains("retry-after"), "{head}");
    for ((status, body, head), sent) in answers[1..].iter().zip([10, 1500, 2000]) {
        assert_eq!((*status, counts(body)), (207, [sent, 0, 1, 0]), "{head}");
        let last = results(body).last().unwrap();
        assert_eq!((&last["status"], &last["code"]), (&json!("unavailable"), &json!("queue_unavailable")));
        assert!(head.contains("retry-after: 1"), "{head}");
    }
    let service = place.start();
    stored(&service, "ending", 3510);
    service.stop();
}

#[test]
fn a_batch_without_a_bus_is_refused_and_taken_later() {
    let place = Place::embedded();
    let service = place.start();
    let data = place.path().join("data");
    let array = format!("[{}]", log("full", "array"));
    let mut stream = Stream::lines(&service, "");
    assert!(stream.send(lines("full", 0..1000)));
    eventually("the first chunk is stored", || (total(&service, "full") == 1000).then_some(()));
    limit_files(&service, Some(largest(&data)));
    eventually("a refusal", || {
        let refused = send(&service, JSON, &[], array.as_str());
        assert!([200, 503].contains(&refused.status), "{refused:?}");
        (refused.status == 503).then_some(())
    });
    // Whether there is room for storing it is another matter.
    let before = service.get("/api/ledger").body["total"]["accepted"].as_u64().unwrap();
    for (kind, body) in
        [(JSON, array.clone()), (LINES, lines("full", 0..5000)), (LINES, "7\n".to_owned() + &line("full", 0))]
    {
        let refused = send(&service, kind, &[], body);
        assert_eq!((refused.status, refused.code()), (503, "queue_unavailable"), "{refused:?}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert!(stream.send(lines("full", 1000..1010)));
    let (status, body, head) = stream.end();
    assert_eq!((status, counts(&body)), (207, [1000, 0, 10, 0]));
    let refused = results(&body).last().unwrap();
    assert_eq!((&refused["status"], &refused["code"]), (&json!("unavailable"), &json!("queue_unavailable")));
    assert!(refused["eventId"].is_null() && head.contains("retry-after: 1"), "{head}");
    limit_files(&service, None);
    eventually("room again", || (service.get("/readyz").status == 200).then_some(()));
    assert_eq!(send(&service, LINES, &[], lines("full", 0..2000)).status, 200);
    stored(&service, "full", before + 2000);
    service.stop();
}

#[test]
fn a_batch_without_kafka_is_refused() {
    let place = Place::embedded();
    let nowhere = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("MONGO_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300&connectTimeoutMS=300"),
    ];
    let service = place.start_with(&nowhere);
    for (kind, body) in [(JSON, format!("[{}]", log("u", "a"))), (LINES, lines("u", 0..3000))] {
        let refused = send(&service, kind, &[], body);
        assert_eq!((refused.status, refused.code()), (503, "queue_unavailable"), "{refused:?}");
        assert!(refused.header("retry-after").is_some());
    }
    service.stop();
}

/// What the process has in memory at most, in MB.
fn peak_memory(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_stream_without_end_takes_little_memory() {
    let place = Place::embedded();
    let service = place.start_with(&[("MAX_BATCH_BYTES", "67108864"), ("MAX_INFLIGHT_BYTES", "67108864")]);
    service.wait_until_ready();
    let good = of_bytes("endless", 20_000);
    let round = [good.clone(), of_bytes("endless", 300_000), "{}\n".repeat(5), "\n".repeat(50_000)].concat();
    let (mut sent, mut taken, mut first) = (0, 0, 0);
    for _ in 0..2 {
        let mut stream = Stream::lines(&service, "prefer: return=minimal\r\n");
        // Twice the limit is read, and then some.
        let most = sent + (136 << 20);
        while sent < most && stream.send(&round) {
            sent += round.len();
        }
        let (status, body, _) = stream.answer();
        assert_eq!((status, &results(&body).last().unwrap()["code"]), (207, &json!("batch_limit")));
        taken += counts(&body)[0];
        if first == 0 {
            first = peak_memory(&service);
        }
    }
    let peak = peak_memory(&service);
    assert!(peak < 160 && peak < first + 40, "{peak} MB, after the first stream {first} MB");
    stored(&service, "endless", taken);
    service.stop();
}

/// A line of about so many bytes.
fn of_bytes(user: &str, bytes: usize) -> String {
    json!({"userId": user, "action": "a", "metadata": {"x": "y".repeat(bytes)}}).to_string() + "\n"
}

/// Whoever is refused while it still sends gets to see why.
#[test]
fn a_large_body_that_is_refused_gets_its_answer() {
    let place = Place::embedded();
    let service = place.start();
    let large = vec![b' '; 20 << 20];
    for (kind, encoding, status, code) in [
        (JSON, "identity", 413, "body_too_large"),
        (JSON, "gzip", 400, "invalid_body"),
        (LINES, "gzip", 400, "invalid_body"),
        (LINES, "zstd", 400, "invalid_body"),
        (LINES, "br", 415, "unsupported_encoding"),
        ("text/plain", "identity", 415, "unsupported_media_type"),
    ] {
        for round in 0..3 {
            let answer = send(&service, kind, &[("content-encoding", encoding)], large.clone());
            assert_eq!((answer.status, answer.code()), (status, code), "{kind} {encoding} {round} {answer:?}");
        }
    }
    service.stop();
}
