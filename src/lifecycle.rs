//! The life of the process: signals, tasks that are owned by name, and an ordered end.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The same on every platform that this runs on.
const SIGXFSZ: i32 = 25;

/// What a task ends with.
pub type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;

/// The signals that ask for an end. From its making on they are kept for [`Lifecycle::run`] instead of ending the process.
#[derive(Debug)]
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// # Errors
    /// Where the signals cannot be listened to.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Asked to, and everything was finished.
    Clean,
    /// A task died; the process must not go on as if it were alive.
    TaskDied,
    /// The end was cut short by a second signal or the deadline. Nothing acknowledged is lost by that.
    CutShort,
}

/// Owns the tasks. A task that ends before the stop, well or not, brings the process down.
#[derive(Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when the process should end: finish what is in hand, take nothing new.
    stop: CancellationToken,
    tasks: Arc<Mutex<JoinSet<(&'static str, TaskResult)>>>,
}

impl Lifecycle {
    /// The token that every task watches.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// To be called before [`Lifecycle::run`].
    pub async fn spawn(&self, name: &'static str, task: impl Future<Output = TaskResult> + Send + 'static) {
        self.tasks.lock().await.spawn(async move { (name, task.await) });
    }

    /// Makes a write beyond the limit on a file's size fail instead of ending the process.
    ///
    /// # Errors
    /// Where the signal cannot be caught.
    pub fn survive_file_size_limit(&self) -> std::io::Result<()> {
        // Catching it once is enough: the handler stays.
        signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
    }

    /// Waits for a signal or a dying task, then lets the tasks finish within the budget.
    pub async fn run(self, signals: EndSignals, budget: Duration) -> Verdict {
        let EndSignals { mut terminate, mut interrupt } = signals;
        let mut tasks = self.tasks.lock().await;
        let died = tokio::select! {
            _ = terminate.recv() => { info!(signal = "SIGTERM", "shutting down"); false }
            _ = interrupt.recv() => { info!(signal = "SIGINT", "shutting down"); false }
            ended = tasks.join_next() => { report_death(ended); true }
        };
        self.stop.cancel();
        let finished = tokio::select! {
            finished = timeout(budget, finish(&mut tasks)) => finished.ok(),
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        match finished {
            _ if died => Verdict::TaskDied,
            Some(true) => Verdict::Clean,
            Some(false) => Verdict::TaskDied,
            None => {
                warn!("the shutdown is cut short");
                Verdict::CutShort
            }
        }
    }
}

type Ended = Option<Result<(&'static str, TaskResult), tokio::task::JoinError>>;

fn report_death(ended: Ended) {
    match ended {
        Some(Ok((task, Ok(())))) => error!(task, "a task ended although nobody asked it to"),
        Some(Ok((task, Err(failure)))) => error!(task, error = failure.as_ref() as &dyn Error, "a task failed"),
        Some(Err(failure)) => error!(error = &failure as &dyn Error, "a task panicked"),
        None => error!("there is no task to run"),
    }
}

/// Waits for all tasks; `false` where one of them failed.
async fn finish(tasks: &mut JoinSet<(&'static str, TaskResult)>) -> bool {
    let mut clean = true;
    while let Some(ended) = tasks.join_next().await {
        if !matches!(ended, Ok((_, Ok(())))) {
            report_death(Some(ended));
            clean = false;
        }
    }
    clean
}
