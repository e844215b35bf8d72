//! The built binary as a process of a scenario: on a port that it keeps, its output in a file.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{eventually, patience, servers};

/// How the service is started, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) folder: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    /// What runs it, such as a shell that sets limits first.
    pub(crate) wrapper: Vec<String>,
    pub(crate) port: u16,
}

impl Recipe {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = crate::environment("EYEGO_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_eyego").to_owned());
        let mut words = self.wrapper.iter().cloned().chain([binary]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(arguments).current_dir(&self.folder).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("PORT", self.port.to_string());
        command.envs(&self.environment).stdin(Stdio::null());
        command
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("service-{}.log", self.port))
    }

    /// Everything that the service has written so far.
    pub(crate) fn said(&self) -> String {
        fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Starts it without waiting for anything.
    pub(crate) fn spawn(&self) -> Service {
        let free = TcpListener::bind(("127.0.0.1", self.port)).is_ok();
        assert!(free, "somebody listens on the service's port {} already", self.port);
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&[]);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        servers::note_started(child.id());
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Service { child, recipe: self.clone(), client }
    }

    /// Starts it and returns when it listens.
    pub(crate) fn start(&self) -> Service {
        let mut service = self.spawn();
        eventually("the service listens", || {
            if let Some(status) = service.child.try_wait().unwrap() {
                let said = self.said();
                panic!("the service ended at its start ({status}): {said}");
            }
            service.get("/livez").is_some_and(|(status, _)| status == 200)
        });
        service
    }
}

/// A running service. It is killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) recipe: Recipe,
    client: reqwest::blocking::Client,
}

impl Service {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.recipe.port)
    }

    /// `None` where there is no answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, Value)> {
        answer(self.client.get(self.url(path)).send())
    }

    pub(crate) fn delete(&self, path: &str) -> Option<(u16, Value)> {
        answer(self.client.delete(self.url(path)).send())
    }

    pub(crate) fn post(&self, body: &str) -> Option<(u16, Value)> {
        let request = self.client.post(self.url("/api/logs")).header("content-type", "application/json");
        answer(request.body(body.to_owned()).send())
    }

    /// How often an alarm was raised; `None` where the service has no metrics.
    pub(crate) fn alarms(&self, name: &str) -> Option<u64> {
        let (200, Value::String(metrics)) = self.get("/metrics")? else { return None };
        let start = format!("eyego_alarms_total{{alarm=\"{name}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        Some(line.map_or(0, |count| count.trim().parse().unwrap()))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    pub(crate) fn wait_until_ready(&self) {
        eventually("the service is ready", || self.is_ready());
    }

    pub(crate) fn signal(&self, signal: &str) {
        servers::signal(self.pid(), signal);
    }

    /// As a crash does; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        servers::note_ended(self.pid());
    }

    /// Returns when it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the end of the process", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        servers::note_ended(self.pid());
        ended.unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM; the exit code has to be 0.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after SIGTERM");
    }

    /// The most memory it has had resident, in MB; `None` when it is gone.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(Path::new("/proc").join(self.pid().to_string()).join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn answer(sent: reqwest::Result<reqwest::blocking::Response>) -> Option<(u16, Value)> {
    let response = sent.ok()?;
    let status = response.status().as_u16();
    let text = response.text().ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// A port that no outgoing connection is given (as `port_of` in `tests/servers.sh` has it) and nobody listens on.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 11_000) as u16;
    let mut port = 0;
    patience(Duration::from_secs(10), "a free port", || {
        port = 20_000 + (first - 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) * 7) % 12_000;
        TcpListener::bind(("127.0.0.1", port)).is_ok()
    });
    port
}
