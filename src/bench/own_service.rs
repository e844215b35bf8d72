//! A service of the run's own: this executable on a temporary folder and a free port.

use std::{
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{sync::oneshot, time::sleep};

use super::BenchError;
use crate::config::BenchTarget;

const START_PATIENCE: Duration = Duration::from_secs(60);
/// Beyond the longest `SHUTDOWN_TIMEOUT` that makes sense.
const END_PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Killed when dropped, and its folder removed.
#[derive(Debug)]
pub(super) struct OwnService {
    child: Child,
    pub(super) target: BenchTarget,
    /// Removed after the child has ended.
    _folder: TempDir,
}

impl OwnService {
    /// Starts it with these settings, as names and values, and returns when it listens.
    pub(super) async fn start(settings: &[(String, String)]) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new().prefix("eyego-bench-").tempdir().map_err(BenchError::Start)?;
        let program = std::env::current_exe().map_err(BenchError::Start)?;
        let mut command = Command::new(program);
        command.arg("serve").envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("DATA_DIR", folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // Ctrl-C in a terminal ends the load; the service has to live on to be judged.
        command.process_group(0);
        let mut child = command.spawn().map_err(BenchError::Start)?;
        let address = greeting(&mut child);
        // From here on a failure ends the child.
        let mut service = Self {
            child,
            target: BenchTarget { host: String::new(), port: 0, prefix: String::new() },
            _folder: folder,
        };
        match tokio::time::timeout(START_PATIENCE, address).await {
            Ok(Ok(target)) => service.target = target,
            _ => return Err(BenchError::NoGreeting),
        }
        Ok(service)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for that.
    pub(super) async fn stop(mut self) -> Result<(), BenchError> {
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + END_PATIENCE;
        while asked.is_ok() && Instant::now() < deadline {
            match self.child.try_wait().map_err(BenchError::End)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(BenchError::EndedBadly(status)),
                None => sleep(LOOK_AGAIN).await,
            }
        }
        Err(BenchError::End(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for OwnService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _: io::Result<ExitStatus> = self.child.wait();
    }
}

/// Where it says that it listens. What it says afterwards is read and dropped, so that it never blocks on it.
fn greeting(child: &mut Child) -> oneshot::Receiver<BenchTarget> {
    let (told, address) = oneshot::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok);
        let target = lines.find_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()));
        if let Some(target) = target {
            let _ = told.send(target);
        }
        lines.for_each(drop);
    });
    address
}
