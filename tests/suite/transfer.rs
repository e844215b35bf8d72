//! Exports and imports on the built binary: over HTTP, from the shell, between backends, and when something breaks.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    proxy::Proxy,
    service::{Answer, PATIENCE, Service, eventually, eyego, log},
};

/// Lines of an export, of `bytes` each, about.
fn made_up(count: usize, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    let line = |n: usize| {
        format!(
            "{{\"id\":{n},\"eventId\":\"0196f1e2-7c3a-7000-8000-{n:012x}\",\"userId\":\"user{}\",\"action\":\"made.up\",\
             \"timestamp\":\"2025-05-21T12:34:56.{:03}Z\",\"metadata\":{{\"n\":{n},\"text\":\"{text}\"}},\
             \"receivedAt\":\"2025-05-21T12:34:57.000Z\"}}\n",
            n % 7,
            n % 1000
        )
    };
    (0..count).map(line).collect()
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    let environment: Vec<_> = place.environment().collect();
    eyego(place.path(), &environment).args(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Puts the lines into a store that is not in use.
fn fill(place: &Place, lines: &str) -> PathBuf {
    let file = place.path().join("in.ndjson");
    fs::write(&file, lines).unwrap();
    let output = run(place, &["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    file
}

fn exported(place: &Place) -> String {
    let output = run(place, &["export"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn verified(place: &Place) {
    let output = run(place, &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn everything_that_was_stored_is_exported_embedded() {
    everything_that_was_stored_is_exported(&Place::embedded());
}

#[test]
fn everything_that_was_stored_is_exported_on_servers() {
    if let Some(place) = Place::servers() {
        everything_that_was_stored_is_exported(&place);
    }
}

fn everything_that_was_stored_is_exported(place: &Place) {
    let service = place.start();
    let empty = service.get("/api/logs/export");
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    for n in 0..6 {
        let metadata = json!({"n": n, "text": "=1+1"});
        service.store(&json!({"userId": format!("u{}", n % 2), "action": "=a", "metadata": metadata}));
    }
    let logs = service.get("/api/logs").body["logs"].clone();
    let whole = service.get("/api/logs/export");
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(whole.header("content-length"), None);
    let name = whole.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"eyego-logs-20") && name.ends_with("Z.ndjson\""), "{name}");
    let lines: Vec<Value> = whole.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, log) in lines.iter().zip(logs.as_array().unwrap()) {
        let receipt = service.get(&format!("/api/logs/events/{}", line["eventId"].as_str().unwrap()));
        assert_eq!(&receipt.body, log);
        for field in ["id", "userId", "action", "timestamp", "metadata"] {
            assert_eq!(line[field], log[field]);
        }
        assert_eq!(line["timestamp"], line["receivedAt"], "none was given");
    }
    assert_eq!(lines.len(), 6);
    parts_are_those_of_the_whole(&service, &whole.text);
    a_table_is_harmless(&service, &lines);
    nonsense_is_refused(&service);
    assert_eq!(exported(place), whole.text, "beside the service");
    service.stop();
    assert_eq!(exported(place), whole.text, "without it");
}

fn parts_are_those_of_the_whole(service: &Service, whole: &str) {
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let get = |query: &str| service.get(&format!("/api/logs/export?{query}")).text;
    let of_one: String = lines.iter().step_by(2).copied().collect();
    assert_eq!(get("userId=u0"), of_one);
    assert_eq!(get("metadata.n=3"), lines[3]);
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
    assert_eq!(get(&format!("afterId={}&sort=id&format=ndjson", id(lines[3]))), lines[4..].concat());
    assert_eq!(get(&format!("afterId={}", id(lines[5]))), "");
    let page = service.get("/api/logs?limit=2&userId=u0");
    let cursor = page.body["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(get(&format!("userId=u0&cursor={cursor}")), lines[4]);
}

fn a_table_is_harmless(service: &Service, lines: &[Value]) {
    let answer = service.get("/api/logs/export?format=csv");
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert!(answer.header("content-disposition").unwrap().ends_with(".csv\""));
    let rows: Vec<&str> = answer.text.split_terminator("\r\n").collect();
    assert_eq!(rows[0], "id,eventId,userId,action,timestamp,receivedAt,metadata");
    assert_eq!(rows.len(), 7);
    let first = &lines[0];
    let field = |name: &str| first[name].as_str().unwrap().to_owned();
    let (event, user, time) = (field("eventId"), field("userId"), field("timestamp"));
    let expected =
        format!("{},{event},{user},'=a,{time},{time},\"{{\"\"n\"\":0,\"\"text\"\":\"\"=1+1\"\"}}\"", first["id"]);
    assert_eq!(rows[1], expected);
    let none = service.get("/api/logs/export?format=csv&userId=nobody");
    assert_eq!(none.text, "id,eventId,userId,action,timestamp,receivedAt,metadata\r\n");
}

fn nonsense_is_refused(service: &Service) {
    for (query, code, part) in [
        ("format=xml", "invalid_format", "ndjson or csv"),
        ("afterId=x", "invalid_after_id", "afterId"),
        ("cursor=x", "invalid_cursor", "cursor"),
        ("sort=-id", "invalid_sort", "sorted by id"),
        ("page=1&limit=5", "unknown_parameter", "page, limit"),
        ("startDate=x", "invalid_start_date", "startDate"),
    ] {
        let answer = service.get(&format!("/api/logs/export?{query}"));
        assert_eq!((answer.status, answer.code()), (400, code), "{query}");
        assert!(answer.body["error"].as_str().unwrap().contains(part), "{query}: {answer:?}");
    }
    let mut old = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    old.write_all(b"GET /api/logs/export HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 505") && answer.contains("needs_http_1_1"), "{answer}");
}

#[test]
fn an_export_is_packed_as_the_client_likes() {
    let place = Place::embedded();
    let lines = made_up(5000, 100);
    fill(&place, &lines);
    let service = place.start();
    for packing in ["gzip", "zstd"] {
        let answer = service.request("GET", "/api/logs/export").header("accept-encoding", packing).send().unwrap();
        assert_eq!(answer.headers()["content-encoding"], packing);
        let bytes = answer.bytes().unwrap();
        assert!(bytes.len() < lines.len() / 5, "{packing}: {}", bytes.len());
        let mut text = String::new();
        match packing {
            "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            _ => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        };
        assert!(text == lines, "{packing}");
    }
    assert!(service.get("/api/logs/export").text == lines);
    service.stop();
}

/// An export of which only the head was taken.
struct Stuck(TcpStream);

impl Stuck {
    fn on(service: &Service) -> Self {
        let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /api/logs/export HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        Self(stream)
    }

    /// Whether what comes is complete, and how much it is.
    fn read(mut self) -> (bool, usize) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        (rest.ends_with(b"\r\n0\r\n\r\n"), rest.len())
    }
}

/// More than what lies between a client that takes nothing and the store.
const LARGE: (usize, usize) = (4000, 10_000);

#[test]
fn a_few_exports_run_at_a_time_and_one_that_is_given_up_makes_room() {
    let place = Place::embedded();
    fill(&place, &made_up(LARGE.0, LARGE.1));
    let service = place.start();
    let mut stuck: Vec<Stuck> = (0..4).map(|_| Stuck::on(&service)).collect();
    let refused = service.get("/api/logs/export?userId=user1");
    assert_eq!((refused.status, refused.code()), (429, "too_many_exports"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(service.get("/api/logs?limit=1").status, 200, "nobody else waits for them");
    drop(stuck.pop());
    let (complete, bytes) = eventually("a place is free", || {
        let answer = service.request("HEAD", "/api/logs/export").send().unwrap();
        (answer.status() == 200).then(|| Stuck::on(&service).read())
    });
    assert!(complete && bytes > LARGE.0 * LARGE.1, "{bytes}");
    for one in stuck {
        let (complete, bytes) = one.read();
        assert!(complete && bytes > LARGE.0 * LARGE.1, "slow is no fault: {bytes}");
    }
    service.stop();
}

#[test]
fn an_export_that_the_end_of_the_service_cuts_off_is_not_taken_for_whole() {
    let place = Place::embedded();
    fill(&place, &made_up(LARGE.0, LARGE.1));
    let service = place.start();
    let stuck = Stuck::on(&service);
    service.stop();
    let (complete, bytes) = stuck.read();
    assert!(!complete && bytes < LARGE.0 * LARGE.1, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_store_goes_away_is_cut_off_and_the_rest_can_be_had_later() {
    let Some(place) = Place::servers() else { return };
    let lines = made_up(LARGE.0, LARGE.1);
    tokio::task::block_in_place(|| fill(&place, &lines));
    let (_, uri) = place.environment().find(|(name, _)| *name == "MONGO_URI").unwrap();
    let (host, rest) = uri.trim_start_matches("mongodb://").split_once('/').unwrap();
    let proxy = Proxy::before(host.to_owned()).await;
    let through = format!("mongodb://{}/{rest}", proxy.address);
    tokio::task::block_in_place(|| {
        let service = place.start_with(&[("MONGO_URI", through.as_str())]);
        service.wait_until_ready();
        let mut stuck = Stuck::on(&service);
        stuck.0.read_exact(&mut [0; 200_000]).unwrap();
        proxy.go();
        let (complete, bytes) = stuck.read();
        // What is left of the first part, which was on its way, still comes.
        assert!(!complete && bytes > 50_000 && bytes < LARGE.0 * LARGE.1, "{bytes}");
        eventually("it is told", || service.errors().contains("an export was cut off").then_some(()));
        eventually("who begins now is told", || {
            (service.get("/api/logs/export").code() == "store_unavailable").then_some(())
        });
        proxy.come_back();
        service.wait_until_ready();
        let rest = service.get("/api/logs/export?afterId=1999").text;
        assert!(lines.ends_with(&rest) && rest.lines().count() == LARGE.0 - 2000);
        service.stop();
    });
}

#[test]
fn a_process_without_a_store_exports_nothing() {
    let place = Place::embedded();
    let servers = [("KAFKA_BROKERS", "127.0.0.1:1"), ("ROLE", "api")];
    let service = place.start_with(&servers);
    let answer = service.get("/api/logs/export");
    assert_eq!((answer.status, answer.code()), (503, "store_not_configured"));
    for command in ["export", "import"] {
        let output = eyego(place.path(), &servers).arg(command).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(errors(&output).contains("has no store"), "{}", errors(&output));
    }
    service.stop();
}

#[test]
fn a_store_moves_to_servers_and_back_unchanged() {
    let Some(place) = Place::servers() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/move.sh");
    let (_, uri) = place.environment().find(|(name, _)| *name == "MONGO_URI").unwrap();
    let mut command = std::process::Command::new(script);
    command.args([env!("CARGO_BIN_EXE_eyego"), "3000"]).env("MONGO_URI", uri).env("WORK", place.path());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("identical"), "{said}");
}

#[test]
fn a_store_in_use_keeps_its_logs_and_takes_others_embedded() {
    let place = Place::embedded();
    let service = place.start();
    for n in 0..5 {
        service.store(&log("own", &n.to_string()));
    }
    let gone = service.store(&log("gone", "g"));
    assert_eq!(service.delete(&format!("/api/logs/{}", gone["id"])).status, 200);
    let lines = made_up(2500, 10);
    fs::write(place.path().join("in.ndjson"), &lines).unwrap();
    let refused = run(&place, &["import", "in.ndjson"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("is in use by another eyego process"), "{}", errors(&refused));
    service.stop();
    let before = exported(&place);
    let output = run(&place, &["import", "in.ndjson"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("logs get new ones"), "{}", errors(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("2500 lines read: 2500 stored, 0 stored already, 0 deleted before, 0 left out"), "{said}");
    assert!(said.contains("2500 of those stored got a new id"), "{said}");
    let after = exported(&place);
    assert!(after.starts_with(&before) && after.lines().count() == 2505);
    verified(&place);
    let service = place.start();
    let next = service.store(&log("own", "next"))["id"].as_i64().unwrap();
    assert!(next >= 2506, "{next}");
    assert_eq!(service.get("/api/logs?userId=user3&limit=1").body["total"], 357);
    let imported = service.get("/api/logs?userId=user3&limit=1").body["logs"][0]["id"].clone();
    assert_eq!(service.delete(&format!("/api/logs/{imported}")).status, 200);
    assert_eq!(service.get("/api/ledger").body["balanced"], true);
    verified(&place);
    service.stop();
    verified(&place);
    let again = run(&place, &["import", "in.ndjson"]);
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(said.starts_with("2500 lines read: 0 stored, 2499 stored already, 1 deleted before"), "{said}");
    verified(&place);
}

#[test]
fn logs_are_imported_beside_a_running_service_on_servers() {
    let Some(place) = Place::servers() else { return };
    let service = place.start();
    service.store(&log("own", "before"));
    let lines = made_up(2500, 10);
    fill(&place, &lines);
    let own = service.store(&log("own", "after"));
    assert!(own["id"].as_i64().unwrap() >= 2501, "{own}");
    assert_eq!(service.get("/api/logs?actionPrefix=made.&limit=1").body["total"], 2500);
    assert_eq!(service.get("/api/ledger").body["balanced"], true);
    verified(&place);
    service.stop();
}

#[test]
fn an_import_that_is_asked_to_end_goes_on_when_it_is_run_again() {
    let place = Place::embedded();
    let lines = made_up(5000, 10);
    let environment: Vec<_> = place.environment().collect();
    let mut command = eyego(place.path(), &environment);
    let mut child = command
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let half: String = lines.split_inclusive('\n').take(3000).collect();
    let mut input = child.stdin.take().unwrap();
    input.write_all(half.as_bytes()).unwrap();
    eventually("some of it is stored", || {
        let output = run(&place, &["export"]);
        (!output.stdout.is_empty()).then_some(())
    });
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(ended.status.code(), Some(1));
    assert!(errors(&ended).contains("run it again"), "{}", errors(&ended));
    let file = place.path().join("all.ndjson.gz");
    let mut packer = flate2::write::GzEncoder::new(fs::File::create(&file).unwrap(), flate2::Compression::fast());
    packer.write_all(lines.as_bytes()).unwrap();
    packer.finish().unwrap();
    let output = run(&place, &["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("was broken off: it goes on, ids are kept"), "{}", errors(&output));
    assert!(exported(&place) == lines);
    verified(&place);
}

#[test]
fn what_cannot_be_imported_is_named_with_its_line() {
    let place = Place::embedded();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let line = made_up(1, 1);
    let table = "id,eventId,userId,action,timestamp,receivedAt,metadata\r\n";
    for (name, text, part) in [
        ("table.csv", table.to_owned(), "line 1: it is the header of a CSV table"),
        (
            "page",
            r#"{"id":0,"userId":"u","action":"a","timestamp":null,"metadata":{}}"#.to_owned(),
            "not those of a list",
        ),
        ("cut", format!("{line}{}", &line[..50]), "line 2: it is no JSON object"),
    ] {
        let output = run(&place, &["import", &file(name, &text)]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(errors(&output).contains(part), "{name}: {}", errors(&output));
    }
    let output = run(&place, &["import", "--skip-bad", &file("some", &format!("x\n{line}"))]);
    assert_eq!(output.status.code(), Some(1), "what is left out has to be noticed");
    assert!(errors(&output).contains("line 1: it is no JSON object"), "{}", errors(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 stored already"));
    let output = run(&place, &["import", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("the input could not be read"), "{}", errors(&output));
    let nothing = Place::embedded();
    let output = run(&nothing, &["export"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("there is nothing to read at"), "{}", errors(&output));
}

#[test]
fn an_export_from_the_shell_is_whole_or_has_no_name() {
    let place = Place::embedded();
    let lines = made_up(3000, 10);
    fill(&place, &lines);
    let out = place.path().join("out.ndjson.zst");
    let output = run(&place, &["export", "--output", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("3,000 logs exported"));
    assert!(zstd::decode_all(fs::File::open(&out).unwrap()).unwrap() == lines.as_bytes());
    assert!(!place.path().join("out.ndjson.zst.part").exists());
    let some = run(
        &place,
        &["export", "--after-id", "2989", "--user-id", "user1", "--metadata", "n=2990", "--user-id", "user2"],
    );
    assert!(String::from_utf8(some.stdout).unwrap() == lines.split_inclusive('\n').nth(2990).unwrap_or_default());
    let nowhere = run(&place, &["export", "--output", "no/such/folder"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let wrong = run(&place, &["export", "--start-date", "x", "--metadata", "a", "--event-id", "b"]);
    assert_eq!(wrong.status.code(), Some(64));
    for flag in ["--start-date", "--metadata", "--event-id"] {
        assert!(errors(&wrong).contains(flag), "{}", errors(&wrong));
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = eyego(place.path(), &[]).arg("export").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("the output could not be written"), "{}", errors(&output));
}

#[test]
fn an_answer_read_whole_is_a_whole_export() {
    let place = Place::embedded();
    let lines = made_up(3000, 10);
    fill(&place, &lines);
    let service = place.start();
    let answer = Answer::of(service.request("GET", "/api/logs/export/?afterId=9").send().unwrap());
    assert!(answer.text == lines.split_inclusive('\n').skip(10).collect::<String>());
    service.stop();
}
