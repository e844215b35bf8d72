//! Serving connections: bounded in number, in the time and size of their heads, and finished before the end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header::CONNECTION},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{front, short_reads::ShortReads};
use crate::domain::ports::ErrorChain;

/// A request's line and headers together; above it 431.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Further connections wait in the listener's queue.
    pub connections: usize,
    /// How long a connection may idle between requests or take to send a request's head.
    pub header_timeout: Duration,
}

/// How long the last answers may take to reach their clients, once every request is dealt with.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long busy connections may go on once the end has begun.
const LINGER: Duration = Duration::from_millis(300);

/// Serves until `stop`, then takes no new connection and lets each finish the request it is at. A connection that is at
/// none (idle, or in the middle of a head) holds up nothing.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, stop: CancellationToken) {
    let requests = TaskTracker::new();
    let serving = Serving { router, requests: requests.clone(), stop: stop.clone() };
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    while let Some((stream, permit)) = accept(&listener, &permits, &stop).await {
        while connections.try_join_next().is_some() {}
        let connection = connection(stream, serving.clone(), limits, graceful.watcher());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = %ErrorChain(&error), "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    linger(&mut connections).await;
    requests.close();
    let finished = graceful.shutdown();
    tokio::pin!(finished);
    tokio::select! {
        () = &mut finished => {}
        () = requests.wait() => {
            let _ = timeout(LAST_ANSWERS, finished).await;
        }
    }
    connections.shutdown().await;
}

/// A client that is busy on a connection may have sent its next request already: it still gets its answer, and learns
/// from that one that the connection closes. A connection that stays quiet is closed afterwards.
async fn linger(connections: &mut JoinSet<()>) {
    let _ = timeout(LINGER, async { while connections.join_next().await.is_some() {} }).await;
}

/// What every connection serves with.
#[derive(Clone)]
struct Serving {
    router: Router,
    requests: TaskTracker,
    stop: CancellationToken,
}

impl Serving {
    /// Counts the request from its head to its answer's head.
    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let _counted = self.requests.token();
        let mut response = front::answer(self.router, request.map(Body::new)).await;
        if self.stop.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

async fn connection(
    stream: TcpStream,
    serving: Serving,
    limits: ServerLimits,
    watcher: Watcher,
) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request| serving.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(ShortReads::new(stream)), answer);
    watcher.watch(connection).await
}

/// The next connection together with its place; `None` when stopped.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let accepted = stop.run_until_cancelled(async {
            let permit = Arc::clone(permits).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        });
        match accepted.await?? {
            (Ok((stream, _)), permit) => {
                let _ = stream.set_nodelay(true);
                return Some((stream, permit));
            }
            (Err(error), _) => {
                // Out of file descriptors, most likely: others have to close first.
                warn!(error = %ErrorChain(&error), "a connection could not be accepted");
                stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(50))).await?;
            }
        }
    }
}
