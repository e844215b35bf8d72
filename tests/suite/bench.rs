//! `eyego bench` on the built binary: against the service itself, and against services that lie.

use std::{
    collections::HashMap,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    routing::{get, post},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    end_to_end::Place,
    service::{eventually, eyego},
};

fn bench(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = eyego(folder, environment);
    command.arg("bench").args(arguments);
    command
}

/// How a run ended: exit code and JSON.
fn report(output: &Output) -> (Option<i32>, Value) {
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), report)
}

/// What a fake does with the log of so many before it: the status, and how often it stores it.
type Manner = fn(usize) -> (u16, usize);

/// A service of the test's own. It serves until the test process ends.
struct Fake {
    url: String,
    taken: Arc<Taken>,
}

struct Taken {
    manner: Manner,
    count: AtomicUsize,
    by_user: Mutex<HashMap<String, Vec<Value>>>,
}

impl Fake {
    fn start(manner: Manner) -> Self {
        let taken = Arc::new(Taken { manner, count: AtomicUsize::new(0), by_user: Mutex::default() });
        let router = Router::new()
            .route("/api/logs", post(take_one).get(list))
            .route("/api/logs/batch", post(take_many))
            .route("/readyz", get(async || "ready"))
            .with_state(Arc::clone(&taken));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { url, taken }
    }

    fn bench(&self, arguments: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        bench(folder.path(), &[], &["--url", &self.url, "--drain-timeout", "300ms"]).args(arguments).output().unwrap()
    }
}

impl Taken {
    fn take(&self, log: &Value) -> u16 {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let (status, copies) = (self.manner)(number);
        let mut by_user = self.by_user.lock().unwrap();
        let logs = by_user.entry(log["userId"].as_str().unwrap().to_owned()).or_default();
        for copy in 0..copies {
            let mut stored = log.clone();
            stored["id"] = json!(number * 10 + copy);
            logs.push(stored);
        }
        status
    }
}

async fn take_one(State(taken): State<Arc<Taken>>, Json(log): Json<Value>) -> (StatusCode, Json<Value>) {
    let status = StatusCode::from_u16(taken.take(&log)).unwrap();
    (status, Json(json!({"message": "m", "eventId": Uuid::now_v7()})))
}

async fn take_many(State(taken): State<Arc<Taken>>, Json(logs): Json<Vec<Value>>) -> (StatusCode, Json<Value>) {
    let statuses = logs.iter().map(|log| match taken.take(log) {
        202 => "accepted",
        503 => "unavailable",
        504 => "unknown",
        _ => "rejected",
    });
    let results: Vec<_> = statuses
        .enumerate()
        .filter(|(_, status)| *status != "accepted")
        .map(|(index, status)| json!({"index": index, "status": status, "code": "c"}))
        .collect();
    let status = if results.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    (status, Json(json!({"accepted": logs.len() - results.len(), "results": results})))
}

async fn list(State(taken): State<Arc<Taken>>, uri: Uri) -> Json<Value> {
    let values = |name| {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value).collect::<Vec<_>>()
    };
    let number = |name| values(name).first().map_or(1, |text| text.parse::<usize>().unwrap());
    let by_user = taken.by_user.lock().unwrap();
    let logs: Vec<_> = values("userId").iter().filter_map(|user| by_user.get(*user)).flatten().collect();
    let page: Vec<_> = logs.iter().skip((number("page") - 1) * number("limit")).take(number("limit")).collect();
    Json(json!({"logs": page, "total": logs.len()}))
}

#[test]
fn a_run_on_an_empty_folder_loses_nothing_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let environment = [("TMPDIR", temporary.to_str().unwrap())];
    let (code, report) = report(&bench(folder.path(), &environment, &["--logs", "2000", "--json"]).output().unwrap());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["check"]["stored"], 2000, "{report}");
    assert_eq!((&report["check"]["lost"], &report["check"]["twice"]), (&json!(0), &json!(0)), "{report}");
    for (part, name) in
        [("latency_ms", "p99"), ("readable_ms", "p99"), ("service", "cpu_us_per_log"), ("service", "rss_peak_mb")]
    {
        assert!(report[part][name].is_number(), "{part}.{name}: {report}");
    }
    assert!(report["drain"]["stored_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0, "the temporary folder is left behind");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn the_text_ends_with_the_judgement() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        bench(folder.path(), &[], &["--logs", "300", "--rate", "1000", "--connections", "4"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("300 acknowledged, 300 stored, 0 lost, 0 twice\n"), "{text}");
    assert!(text.contains("p99.9"), "{text}");
}

#[test]
fn a_run_on_kafka_and_mongodb_loses_nothing() {
    let Some(place) = Place::servers() else { return };
    let environment: Vec<_> = place.environment().collect();
    let (code, report) = report(&bench(place.path(), &environment, &["--logs", "2000", "--json"]).output().unwrap());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!((&report["check"]["stored"], &report["check"]["lost"]), (&json!(2000), &json!(0)), "{report}");
    assert_eq!(report["drain"]["left"], 0, "{report}");
}

#[test]
fn a_service_that_stores_nothing_of_what_it_acknowledges_is_found_out() {
    let fake = Fake::start(|_| (202, 0));
    let output = fake.bench(&["--logs", "200"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.ends_with("200 acknowledged, 0 stored, 200 lost, 0 twice\n"), "{text}");
    let named: Vec<_> = text.lines().filter(|line| line.starts_with("lost: event ")).collect();
    assert_eq!(named.len(), 10, "{text}");
    assert!(named[3].contains("-0003, number 3") && !named[3].contains("unknown id"), "{text}");
}

#[test]
fn a_service_that_loses_one_in_a_hundred_or_stores_it_twice_is_found_out() {
    let losing = Fake::start(|number| (202, usize::from(number % 100 != 7)));
    let (code, report_of_losing) = report(&losing.bench(&["--logs", "500", "--json"]));
    assert_eq!((code, &report_of_losing["check"]["lost"]), (Some(1), &json!(5)), "{report_of_losing}");
    let doubling = Fake::start(|number| (202, 1 + usize::from(number % 100 == 7)));
    let (code, report) = report(&doubling.bench(&["--logs", "500", "--json"]));
    assert_eq!(
        (code, &report["check"]["twice"], &report["check"]["lost"]),
        (Some(1), &json!(5), &json!(0)),
        "{report}"
    );
    assert_eq!(report["check"]["offenders"][0]["fault"], "stored twice", "{report}");
    assert_eq!(report["verdict"], "broken");
}

#[test]
fn what_was_refused_may_not_be_stored_and_what_is_unknown_may() {
    let honest = Fake::start(|number| if number % 3 == 0 { (503, 0) } else { (202, 1) });
    let (code, of_honest) = report(&honest.bench(&["--logs", "300", "--json"]));
    assert_eq!((code, &of_honest["check"]["stored"]), (Some(0), &json!(200)), "{of_honest}");
    assert_eq!(of_honest["load"]["refused_by"], json!({"503": 100}), "{of_honest}");
    let unsure = Fake::start(|number| if number % 3 == 0 { (504, number % 2) } else { (202, 1) });
    let (code, of_unsure) = report(&unsure.bench(&["--logs", "300", "--json"]));
    assert_eq!((code, &of_unsure["load"]["unknown"]), (Some(0), &json!(100)), "{of_unsure}");
    let taking_anyway = Fake::start(|number| if number % 3 == 0 { (503, 1) } else { (202, 1) });
    let (code, report) = report(&taking_anyway.bench(&["--logs", "300", "--json"]));
    assert_eq!((code, &report["check"]["stored_though_refused"]), (Some(1), &json!(100)), "{report}");
}

#[test]
fn batches_are_judged_log_by_log() {
    let honest = Fake::start(|number| if number % 7 == 0 { (503, 0) } else { (202, 1) });
    let (code, of_honest) = report(&honest.bench(&["--logs", "250", "--batch", "100", "--json"]));
    assert_eq!((code, &of_honest["load"]["requests"]), (Some(0), &json!(3)), "{of_honest}");
    assert_eq!(of_honest["load"]["refused_by"], json!({"c": 36}), "{of_honest}");
    let losing = Fake::start(|number| (202, usize::from(number != 42)));
    let (code, report) = report(&losing.bench(&["--logs", "250", "--batch", "100", "--json"]));
    assert_eq!((code, &report["check"]["lost"]), (Some(1), &json!(1)), "{report}");
}

#[test]
fn without_the_check_nothing_is_read_back() {
    let fake = Fake::start(|_| (202, 0));
    let output = fake.bench(&["--logs", "100", "--no-check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("not judged\n"));
}

#[test]
fn where_nobody_listens_or_takes_anything_there_is_nothing_to_judge() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), &[], &["--url", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nobody answers at http://127.0.0.1:1"));
    let refusing = Fake::start(|_| (503, 0));
    let output = refusing.bench(&["--logs", "10"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no log was acknowledged"));
    let output = bench(folder.path(), &[], &["--url", "https://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("https is not supported"));
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn an_interrupt_ends_the_load_and_what_was_acknowledged_until_then_is_judged() {
    let fake = Fake::start(|_| (202, 1));
    let folder = tempfile::tempdir().unwrap();
    let mut command = bench(folder.path(), &[], &["--url", &fake.url, "--duration", "10m", "--json"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    eventually("the load has begun", || (fake.taken.count.load(Ordering::Relaxed) > 500).then_some(()));
    signal(&child, "-INT");
    let (code, report) = report(&child.wait_with_output().unwrap());
    assert_eq!((code, &report["check"]["lost"]), (Some(0), &json!(0)), "{report}");
    assert!(report["check"]["stored"].as_u64().unwrap() > 500, "{report}");
}

#[test]
fn an_end_at_once_takes_the_service_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = bench(folder.path(), &[], &["--duration", "10m"]).stdout(Stdio::piped()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let service = eventually("the service is started", || {
        let children = std::fs::read_to_string(&children).unwrap();
        children.split_whitespace().next().map(str::to_owned)
    });
    eventually("the service is the one to be loaded", || {
        std::fs::read(format!("/proc/{service}/cmdline")).unwrap().ends_with(b"serve\0").then_some(())
    });
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(!Path::new("/proc").join(service).exists(), "the service lives on");
}
#[test]
fn batches_on_an_empty_folder_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--logs", "5050", "--batch", "100", "--connections", "8", "--json"];
    let (code, report) = report(&bench(folder.path(), &[], &arguments).output().unwrap());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!((&report["check"]["stored"], &report["load"]["requests"]), (&json!(5050), &json!(51)), "{report}");
    assert!(report["readable_ms"]["samples"].as_u64().unwrap() > 0, "{report}");
}
