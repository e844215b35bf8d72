//! The watcher: finds out whether the server answers, and prepares the database whenever it has come back.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bson::{Document, doc};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    call,
    handles::Handles,
    store::{MongoStore, Preparation},
};
use crate::domain::ports::PortError;

/// With [`PING_PATIENCE`] it bounds how long a read may wait for a server that hangs: 2 s (contract C5).
const PING_EVERY: Duration = Duration::from_millis(700);
const PING_EVERY_WHEN_DOWN: Duration = Duration::from_millis(250);
const PING_PATIENCE: Duration = Duration::from_secs(1);
const SECOND_PING_PATIENCE: Duration = Duration::from_millis(300);
/// A ping that hangs is waited for this long before another one is sent, on another connection: a server that was
/// stopped answers the first one, a connection that went dead never does.
const PING_GIVEN_UP: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

impl MongoStore {
    /// Keeps the store connected and prepared, and its probe right, until `stop`.
    pub async fn supervise(self: Arc<Self>, stop: CancellationToken) {
        let watching =
            async { tokio::join!(self.watch(), self.keep_prepared(), self.keep_totals(), self.keep_counts()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = watching => {}
        }
    }

    /// Keeps the store connected for as long as it is polled, and changes nothing in it: for commands that only read.
    pub async fn observe(&self) -> Infallible {
        self.watch().await
    }

    /// Waits until the server answers.
    pub async fn answers(&self) {
        self.reach().gained().await;
    }

    async fn watch(&self) -> Infallible {
        let handles = self.connected().await;
        let mut pinger = Pinger { handles, pending: None, refused: false };
        loop {
            let up = pinger.answers(self.reach().is_up()).await;
            self.refused_is(pinger.refused);
            self.reach().set(up);
            self.publish_status();
            sleep(if up { PING_EVERY } else { PING_EVERY_WHEN_DOWN }).await;
        }
    }

    async fn connected(&self) -> Handles {
        let mut wait = FIRST_RETRY;
        loop {
            match self.connect().await {
                Ok(handles) => return handles,
                Err(error) => {
                    tracing::warn!(error = %error.kind, "cannot make a client for mongodb");
                    self.publish_status();
                    sleep(wait).await;
                    wait = (wait * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Prepares, and once more each time the server was away: it may have come back restored from a backup, or empty.
    async fn keep_prepared(&self) {
        loop {
            let failed = |error: &PortError| self.preparation_is(Preparation::Failed(error.to_string()));
            self.persist(Self::prepare, failed).await;
            self.check_counts().await;
            self.preparation_is(Preparation::Done);
            // Nobody waits for these: on a large old collection they take their time, and logs can be appended and
            // read without them.
            self.persist(Self::prepare_queries, |_| {}).await;
            self.persist(Self::complete_counts, |_| {}).await;
            self.persist(Self::prepare_metadata_indexes, |_| {}).await;
            self.reach().lost().await;
        }
    }

    /// Takes the step again until it succeeds, whenever the server is there.
    async fn persist(&self, step: impl AsyncFn(&Self) -> Result<(), PortError>, failed: impl Fn(&PortError)) {
        let mut wait = FIRST_RETRY;
        loop {
            self.reach().gained().await;
            let Err(error) = step(self).await else { return };
            if self.reach().is_up() {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, cause, "mongodb is not fully prepared");
                failed(&error);
            }
            sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }
}

fn is_refusal(error: &mongodb::error::Error) -> bool {
    matches!(*error.kind, mongodb::error::ErrorKind::Authentication { .. })
}

type Ping = JoinHandle<mongodb::error::Result<Document>>;

struct Pinger {
    handles: Handles,
    /// The ping that has not been answered yet, and since when.
    pending: Option<(Instant, Ping)>,
    /// The last answer was that the credentials are wrong.
    refused: bool,
}

impl Pinger {
    /// Whether the server answers. Where it just did, an error may mean a connection that was closed while it lay
    /// idle, so that counts only the second time.
    async fn answers(&mut self, just_did: bool) -> bool {
        match self.ping(PING_PATIENCE).await {
            Some(answered) => answered || (just_did && self.ping(SECOND_PING_PATIENCE).await == Some(true)),
            None => false,
        }
    }

    /// `None` where there is no answer in time.
    async fn ping(&mut self, patience: Duration) -> Option<bool> {
        let (since, mut ping) = match self.pending.take() {
            Some((since, ping)) if since.elapsed() < PING_GIVEN_UP => (since, ping),
            _ => (Instant::now(), self.send()),
        };
        match timeout(patience, &mut ping).await {
            Ok(answer) => {
                self.refused = matches!(&answer, Ok(Err(error)) if is_refusal(error));
                Some(matches!(answer, Ok(Ok(_))))
            }
            Err(_) => {
                self.pending = Some((since, ping));
                None
            }
        }
    }

    fn send(&self) -> Ping {
        let watcher = self.handles.watcher().clone();
        call::start(async move { watcher.run_command(doc! {"ping": 1}).await })
    }
}
