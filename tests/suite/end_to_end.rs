//! The built binary as its users meet it: both backends, starts and ends, roles, kills.

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    http,
    service::{Answer, Service, eventually, eyego, log},
    support::{service, unique_name},
};

/// A folder to run in, and what to set for a backend of one's own.
pub struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    pub fn embedded() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// A topic, a group and a database that nobody else has; `None` where there are no servers.
    pub fn servers() -> Option<Self> {
        let (brokers, uri) = (service("KAFKA_BROKERS")?, service("MONGO_URI")?);
        let name = unique_name("e2e");
        let (hosts, options) = uri.split_once('?').unwrap_or((&uri, ""));
        let (scheme, hosts) = hosts.split_once("://").unwrap();
        let hosts = hosts.split('/').next().unwrap();
        let environment = [
            ("KAFKA_BROKERS", brokers),
            ("MONGO_URI", format!("{scheme}://{hosts}/{name}?{options}")),
            ("KAFKA_TOPIC", name.clone()),
            ("KAFKA_CONSUMER_GROUP", name),
            ("KAFKA_PROPERTIES", "session.timeout.ms=6000".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Some(Self { folder: tempfile::tempdir().unwrap(), environment })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn start_with(&self, more: &[(&str, &str)]) -> Service {
        let environment: Vec<_> = self.environment().chain(more.iter().copied()).collect();
        Service::start(self.path(), &environment)
    }

    pub fn start(&self) -> Service {
        let service = self.start_with(&[]);
        service.wait_until_ready();
        service
    }
}

#[test]
fn the_http_contract_holds_on_the_embedded_engine() {
    let place = Place::embedded();
    let service = place.start();
    assert_eq!(service.get("/health").body["backend"], "embedded");
    http::every_case(&service);
    service.stop();
}

#[test]
fn the_http_contract_holds_on_kafka_and_mongodb() {
    let Some(place) = Place::servers() else { return };
    let service = place.start();
    assert_eq!(service.get("/health").body["backend"], "kafka-mongodb");
    http::every_case(&service);
    service.stop();
}

#[test]
fn a_restart_keeps_logs_queue_keys_and_tombstones_embedded() {
    a_restart_keeps_everything(&Place::embedded());
}

#[test]
fn a_restart_keeps_logs_queue_keys_and_tombstones_on_servers() {
    if let Some(place) = Place::servers() {
        a_restart_keeps_everything(&place);
    }
}

fn a_restart_keeps_everything(place: &Place) {
    let send = |service: &Service| {
        let request = service.request("POST", "/api/logs").header("idempotency-key", "once");
        Answer::of(request.json(&log("keyed", "a")).send().unwrap())
    };
    let service = place.start();
    let kept = service.store(&log("kept", "a"));
    let gone = service.store(&log("gone", "a"));
    let first = send(&service).body["eventId"].clone();
    assert_eq!(service.delete(&format!("/api/logs/{}", gone["id"])).status, 200);
    service.stop();
    let service = place.start();
    assert_eq!(service.get(&format!("/api/logs/{}", kept["id"])).body, kept);
    assert_eq!(service.get(&format!("/api/logs/{}", gone["id"])).status, 404);
    assert_eq!(send(&service).body["eventId"], first);
    let marker = service.store(&log("marker", "a"));
    assert!(marker["id"].as_i64() > gone["id"].as_i64(), "ids are not reused");
    eventually("one log of the key", || (service.get("/api/logs?userId=keyed").body["total"] == 1).then_some(()));
    service.stop();
}

#[test]
fn killed_under_load_every_acknowledged_log_is_stored_once_embedded() {
    killed_under_load(&Place::embedded(), &LOAD);
}

#[test]
fn killed_under_load_every_acknowledged_log_is_stored_once_on_servers() {
    if let Some(place) = Place::servers() {
        killed_under_load(&place, &LOAD);
    }
}

struct Load {
    posts: usize,
    connections: usize,
    /// After how many posts the service is killed.
    kills: [usize; 2],
}

const LOAD: Load = Load { posts: 20_000, connections: 64, kills: [7_000, 14_000] };

/// Posts distinct logs, kills and restarts the service in the middle, and accounts for everything.
fn killed_under_load(place: &Place, load: &Load) {
    let mut service = place.start();
    let port = service.url.rsplit_once(':').unwrap().1.to_owned();
    let sent = AtomicUsize::new(0);
    let url = service.url.clone();
    let acknowledged: HashSet<String> = std::thread::scope(|scope| {
        let posters: Vec<_> =
            (0..load.connections).map(|_| scope.spawn(|| post_all(&url, load.posts, &sent))).collect();
        for kill_at in load.kills {
            eventually("the middle of the load", || (sent.load(Ordering::Relaxed) > kill_at).then_some(()));
            service.kill();
            service = place.start_with(&[("PORT", &port)]);
        }
        posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > load.posts / 2, "only {} of {} were taken", acknowledged.len(), load.posts);
    service.wait_until_ready();
    service.store(&log("marker", "the end"));
    eventually("everything acknowledged", || acknowledged.is_subset(&stored_actions(&service)).then_some(()));
    service.stop();
}

/// What is stored of the load; no log and no id may be there twice.
fn stored_actions(service: &Service) -> HashSet<String> {
    let (mut actions, mut ids) = (HashSet::new(), HashSet::new());
    for page in 1.. {
        let answer = service.get(&format!("/api/logs?userId=load&limit=1000&page={page}"));
        let logs = answer.body["logs"].as_array().unwrap().clone();
        for log in &logs {
            assert!(actions.insert(log["action"].as_str().unwrap().to_owned()), "stored twice: {log}");
            assert!(ids.insert(log["id"].as_i64().unwrap()), "id used twice: {log}");
        }
        if logs.len() < 1000 {
            break;
        }
    }
    actions
}

/// Posts until all are sent, each once, whatever the answer; returns those that were acknowledged.
fn post_all(url: &str, posts: usize, sent: &AtomicUsize) -> Vec<String> {
    let client = reqwest::blocking::Client::new();
    let mut taken = Vec::new();
    loop {
        let n = sent.fetch_add(1, Ordering::Relaxed);
        if n >= posts {
            return taken;
        }
        let action = n.to_string();
        match client.post(format!("{url}/api/logs")).json(&log("load", &action)).send() {
            Ok(response) if response.status() == 202 => taken.push(action),
            // Not taken, or unknown: the outage is short and these do not count.
            Ok(response) => assert!([503, 504].contains(&response.status().as_u16()), "{response:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let place = Place::embedded();
    let service = place.start();
    let second = eyego(place.path(), &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another eyego process"));
    service.stop();
}

#[test]
fn a_taken_port_is_named() {
    let place = Place::embedded();
    let service = place.start();
    let port = service.url.rsplit_once(':').unwrap().1.to_owned();
    let other = tempfile::tempdir().unwrap();
    let second = eyego(other.path(), &[("PORT", &port)]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&format!("cannot listen on 127.0.0.1:{port}")));
    service.stop();
}

#[test]
fn every_mistake_in_the_settings_is_named_and_the_exit_is_64() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("PORT", "x"),
        ("MONGO_URI", "mongodb://me:hunter2@h:x"),
        ("LOG_LEVEL", "a=b=c"),
        ("KAFKA_START", "soon"),
        ("ROLE", "worker"),
    ];
    for command in [&[][..], &["serve"], &["check-config"], &["healthcheck"]] {
        let output = eyego(folder.path(), &environment).args(command).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{command:?}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        for setting in ["PORT", "MONGO_URI", "LOG_LEVEL", "KAFKA_START", "KAFKA_BROKERS"] {
            assert!(errors.contains(setting), "{setting} in {errors}");
        }
        assert!(!format!("{errors}{}", String::from_utf8_lossy(&output.stdout)).contains("hunter2"));
    }
    for bad in [
        [("KAFKA_BROKERS", "h:1"), ("MONGO_URI", "mongodb://h"), ("KAFKA_PROPERTIES", "no.such.property=1")],
        [("KAFKA_BROKERS", "h:1"), ("MONGO_URI", "mongodb://h/?maxPoolSize=x"), ("LOG_LEVEL", "a=b=c")],
    ] {
        let output = eyego(folder.path(), &bad).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{bad:?}");
    }
    assert_eq!(eyego(folder.path(), &[]).arg("--no-such-flag").output().unwrap().status.code(), Some(64));
    assert_eq!(eyego(folder.path(), &[]).arg("--help").output().unwrap().status.code(), Some(0));
}

#[test]
fn check_config_says_what_is_in_force_and_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = "PORT=1\nMAX_WAITERS=7\nMONGO_URI=mongodb://me:hunter2@h\nDATA_DIR=/with $blank # and a comment\n";
    std::fs::write(folder.path().join(".env"), file).unwrap();
    let environment = [("KAFKA_BROKERS", "h:1"), ("PORT", "2")];
    let output = eyego(folder.path(), &environment).args(["check-config", "--role", "api"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "PORT=2  [environment]",
        "MAX_WAITERS=7  [.env]",
        "ROLE=api  [flag]",
        "MONGO_URI=***  [.env]",
        "HOST=127.0.0.1  [default]",
        "DATA_DIR=/with $blank  [.env]",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_copied_example_serves_embedded() {
    let place = Place::embedded();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    std::fs::copy(example, place.path().join(".env")).unwrap();
    let service = place.start();
    assert_eq!(service.get("/health").body["backend"], "embedded");
    service.stop();
}

#[test]
fn the_healthcheck_asks_the_running_service() {
    let place = Place::embedded();
    let service = place.start();
    let port = service.url.rsplit_once(':').unwrap().1.to_owned();
    let check = || eyego(place.path(), &[("HOST", "0.0.0.0"), ("PORT", &port)]).arg("healthcheck").output().unwrap();
    assert_eq!(check().status.code(), Some(0));
    service.stop();
    assert_eq!(check().status.code(), Some(1));
}

#[test]
fn the_http_server_is_up_while_kafka_and_mongodb_are_away() {
    let place = Place::embedded();
    let nowhere = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("MONGO_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300&connectTimeoutMS=300"),
    ];
    let service = place.start_with(&nowhere);
    assert_eq!(service.get("/livez").status, 200);
    let health = service.get("/health");
    assert_eq!((health.status, &health.body["mongo"], &health.body["kafka"]), (200, &json!("down"), &json!("down")));
    let ready = service.get("/readyz");
    assert_eq!((ready.status, ready.code()), (503, "not_ready"));
    for part in ["bus", "store", "worker"] {
        assert!(ready.body["error"].as_str().unwrap().contains(part), "{}", ready.text);
    }
    let answer = service.post(&log("u", "a"));
    assert_eq!((answer.status, answer.code()), (503, "queue_unavailable"));
    assert!(answer.header("retry-after").is_some());
    let started = Instant::now();
    let answer = service.get("/api/logs");
    assert_eq!((answer.status, answer.code()), (503, "store_unavailable"));
    assert!(answer.header("retry-after").is_some() && started.elapsed() < Duration::from_secs(5));
    assert!(!answer.text.contains("127.0.0.1"), "no driver text reaches a client: {}", answer.text);
    service.stop();
}

#[test]
fn api_and_worker_run_apart() {
    let Some(place) = Place::servers() else { return };
    let api = place.start_with(&[("ROLE", "api")]);
    api.wait_until_ready();
    let answer = api.post(&log("apart", "a"));
    assert_eq!(answer.status, 202);
    assert_eq!(api.get(answer.header("location").unwrap()).status, 404, "nobody drains yet");
    let worker = place.start_with(&[("ROLE", "worker")]);
    let stored = api.get(&format!("{}?wait=30", answer.header("location").unwrap()));
    assert_eq!(stored.status, 200, "{stored:?}");
    worker.wait_until_ready();
    assert_eq!((worker.get("/livez").status, worker.get("/api/logs").status), (200, 404));
    assert_eq!(worker.get("/readyz?for=write").status, 503);
    api.stop();
    worker.stop();
}

#[test]
fn an_api_without_a_store_only_takes_logs() {
    let Some(place) = Place::servers() else { return };
    let environment: Vec<_> = place.environment.iter().filter(|(name, _)| name != "MONGO_URI").cloned().collect();
    let place = Place { folder: tempfile::tempdir().unwrap(), environment };
    let api = place.start_with(&[("ROLE", "api")]);
    api.wait_until_ready();
    assert_eq!(api.post(&log("u", "a")).status, 202);
    for path in ["/api/logs", "/api/logs/0", "/api/logs/events/0196f1e2-7c3a-7000-8000-00000000dead"] {
        let answer = api.get(path);
        assert_eq!((answer.status, answer.code()), (503, "store_not_configured"), "{path}");
    }
    assert_eq!((api.get("/readyz?for=write").status, api.get("/readyz?for=read").status), (200, 503));
    api.stop();
}

#[test]
fn browsers_are_let_in_from_the_named_origins() {
    let place = Place::embedded();
    let service = place.start_with(&[("CORS_ORIGINS", "https://a.example,https://b.example")]);
    let allowed = |origin: &str| {
        let answer = Answer::of(service.request("GET", "/").header("origin", origin).send().unwrap());
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(allowed("https://b.example").as_deref(), Some("https://b.example"));
    assert_eq!(allowed("https://c.example"), None);
    let preflight = service.request("OPTIONS", "/api/logs").header("origin", "https://a.example");
    let preflight = Answer::of(preflight.header("access-control-request-method", "POST").send().unwrap());
    assert_eq!(preflight.status, 200);
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    service.stop();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    use std::{io::Write, net::TcpStream};
    let place = Place::embedded();
    let mut service = place.start();
    // A request whose body never comes holds up the shutdown.
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    let head = b"POST /api/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    stream.write_all(head).unwrap();
    eventually("the request is being served", || (service.get("/livez").status == 200).then_some(()));
    service.signal("-TERM");
    eventually("the shutdown begins", || service.errors().contains("shutting down").then_some(()));
    service.signal("-INT");
    assert_eq!(service.wait().code(), Some(1));
    drop(stream);
}

#[test]
fn who_waits_and_who_dawdles_holds_up_nothing() {
    use std::{io::Write, net::TcpStream};
    let place = Place::embedded();
    let mut service = place.start();
    let address = service.url.trim_start_matches("http://").to_owned();
    let mut half_a_head = TcpStream::connect(&address).unwrap();
    half_a_head.write_all(b"GET / HT").unwrap();
    let waiting = service.request("GET", "/api/logs/events/0196f1e2-7c3a-7000-8000-00000000dead?wait=30");
    let waiting = std::thread::spawn(move || Answer::of(waiting.send().unwrap()));
    eventually("the request waits", || (service.get("/livez").status == 200).then_some(()));
    let began = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0), "{}", service.errors());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop((waiting, half_a_head));
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };
    let place = Place::embedded();
    let mut service = place.start();
    let body = br#"{"userId":"u","action":"late"}"#;
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /api/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The interim answer shows that the handler is waiting for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"));
    service.signal("-TERM");
    eventually("the shutdown begins", || service.errors().contains("shutting down").then_some(()));
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(service.wait().code(), Some(0));
    let service = place.start();
    eventually("the log", || (service.get("/api/logs?action=late").body["total"] == 1).then_some(()));
    service.stop();
}
