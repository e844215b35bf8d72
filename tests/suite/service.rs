//! The built binary as a child of a test, and a client for it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// How long a condition may take to come true; only how long a failing test takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command line of the binary, apart from the test's own environment.
pub fn eyego(folder: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eyego"));
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("PORT", "0");
    command.envs(environment.iter().copied());
    command
}

/// A running service. It is killed when dropped.
pub struct Service {
    child: Child,
    pub url: String,
    client: Client,
    errors: Arc<Mutex<String>>,
}

impl Service {
    /// Starts it in the folder, which also holds its data unless the environment says otherwise.
    pub fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_as(eyego(folder, environment))
    }

    pub fn start_as(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let collected = Arc::clone(&errors);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                collected.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let mut greeting = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("no greeting: {greeting} {}", errors.lock().unwrap())).to_owned();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, url, client, errors }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{path}", self.url)).send().unwrap())
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub fn post(&self, body: &Value) -> Answer {
        Answer::of(self.request("POST", "/api/logs").json(body).send().unwrap())
    }

    pub fn post_text(&self, body: &str) -> Answer {
        let request = self.request("POST", "/api/logs").header("content-type", "application/json");
        Answer::of(request.body(body.to_owned()).send().unwrap())
    }

    pub fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request("DELETE", path).send().unwrap())
    }

    /// Posts a log that has to be taken, and waits until it is stored.
    pub fn store(&self, body: &Value) -> Value {
        let answer = self.post(body);
        assert_eq!(answer.status, 202, "{body} {answer:?}");
        let receipt = self.get(&format!("{}?wait=30", answer.header("location").unwrap()));
        assert_eq!(receipt.status, 200, "{body} {receipt:?}");
        receipt.body
    }

    pub fn wait_until_ready(&self) {
        eventually("ready", || (self.get("/readyz").status == 200).then_some(()));
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap().success());
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.ended())
    }

    /// SIGTERM, and the exit code has to be 0.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.errors());
    }

    /// As a crash does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    pub text: String,
    /// Null where the text is no JSON.
    pub body: Value,
}

impl Answer {
    pub fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// The smallest log.
pub fn log(user: &str, action: &str) -> Value {
    json!({"userId": user, "action": action})
}
