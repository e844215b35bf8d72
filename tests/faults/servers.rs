//! Real servers, started by the functions of `tests/servers.sh` under a run folder of this process.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, OnceLock},
};

use crate::environment;

/// Every process that was started here and may still live.
static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

pub(crate) fn note_started(pid: u32) {
    STARTED.lock().unwrap().insert(pid);
}

pub(crate) fn note_ended(pid: u32) {
    STARTED.lock().unwrap().remove(&pid);
}

/// Nothing that this process started may outlive it.
pub(crate) fn end_all() {
    for pid in STARTED.lock().unwrap().iter() {
        signal(*pid, "KILL");
    }
}

pub(crate) fn signal(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Where servers and services of this run keep their data and logs.
pub(crate) fn run_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let own = || {
            let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
            target.join(format!("faults-{}", std::process::id())).to_str().unwrap().to_owned()
        };
        let folder = PathBuf::from(environment("FAULTS_RUN").unwrap_or_else(own));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// Runs a line of shell that knows the functions of `tests/servers.sh`.
fn shell(line: &str, arguments: &[&str]) -> Output {
    Command::new("bash")
        .args(["-c", &format!(". tests/servers.sh; {line}"), "faults"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("EYEGO_TEST_RUN", run_folder())
        .output()
        .unwrap()
}

fn run(line: &str, arguments: &[&str]) -> String {
    let output = shell(line, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs one of Kafka's own tools.
pub(crate) fn kafka_tool(class: &str, arguments: &[&str]) {
    let words: Vec<_> = [class].iter().chain(arguments).copied().collect();
    run("java -cp \"$CACHE/kafka-$KAFKA_VERSION/*\" \"$@\"", &words);
}

/// Whether Kafka and MongoDB can be started; installs them first if asked to.
pub(crate) fn available(install: bool) -> Result<(), String> {
    let ask = if install {
        "ensure_programs"
    } else {
        "[[ -x $CACHE/mongod && -d $CACHE/kafka-$KAFKA_VERSION ]] && have_java"
    };
    let output = shell(ask, &[]);
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Kafka,
    Mongo,
}

/// One broker or mongod. It is killed when dropped; its data goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    kind: Kind,
    /// Properties of a broker, arguments of a mongod.
    settings: Vec<String>,
    port: u16,
}

impl Server {
    /// Chooses its port; nothing runs yet.
    pub(crate) fn new(kind: Kind, name: &str, settings: &[&str]) -> Self {
        let port = port_of(name, "client");
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { name: name.to_owned(), kind, settings, port }
    }

    pub(crate) fn started(kind: Kind, name: &str, settings: &[&str]) -> Self {
        let server = Self::new(kind, name, settings);
        server.start();
        if kind == Kind::Mongo {
            form_replica_set(&[&server]);
        }
        server
    }

    /// Starts it on the data it left and returns when it answers.
    pub(crate) fn start(&self) {
        let function = match self.kind {
            Kind::Kafka => "start_kafka \"$@\"",
            Kind::Mongo => "start_mongod \"$@\"",
        };
        let mut arguments = vec![self.name.as_str()];
        arguments.extend(self.settings.iter().map(String::as_str));
        run(function, &arguments);
        note_started(self.pid().unwrap());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(run_folder().join(&self.name).join("pid")).ok()?.trim().parse().ok()
    }

    /// As a crash does. Returns when it is gone.
    pub(crate) fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        signal(pid, "KILL");
        run("stop \"$1\" KILL", &[&self.name]);
        let _ = std::fs::remove_file(run_folder().join(&self.name).join("pid"));
        note_ended(pid);
    }

    pub(crate) fn freeze(&self) {
        signal(self.pid().unwrap(), "STOP");
    }

    pub(crate) fn thaw(&self) {
        signal(self.pid().unwrap(), "CONT");
    }

    pub(crate) fn log(&self) -> PathBuf {
        run_folder().join(&self.name).join("log")
    }

    pub(crate) fn set_settings(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            signal(pid, "KILL");
            note_ended(pid);
        }
        let _ = std::fs::remove_dir_all(run_folder().join(&self.name).join("data"));
    }
}

/// Chosen once, then remembered.
pub(crate) fn port_of(name: &str, kind: &str) -> u16 {
    run("port_of \"$@\"", &[name, kind]).parse().unwrap()
}

/// The first of them becomes primary.
pub(crate) fn form_replica_set(members: &[&Server]) {
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    run("form_replica_set \"$@\"", &names);
}

/// A server that no scenario hurts, started when the first one wants it.
pub(crate) fn shared(kind: Kind) -> String {
    static KAFKA: Mutex<Option<Server>> = Mutex::new(None);
    static MONGO: Mutex<Option<Server>> = Mutex::new(None);
    let (place, name) = match kind {
        Kind::Kafka => (&KAFKA, "shared-kafka"),
        Kind::Mongo => (&MONGO, "shared-mongod"),
    };
    let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    place.get_or_insert_with(|| Server::started(kind, name, &[])).address()
}
