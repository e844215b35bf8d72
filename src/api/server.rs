//! Serving connections: bounded in number, in the time and size of their heads, and finished before the end.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header::CONNECTION},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    router::{App, app},
    short_reads::ShortReads,
};
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
    let serving = Serving { requests: requests.clone(), stop: stop.clone() };
    let app = app(router.layer(from_fn_with_state(serving, counted)));
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    while let Some((stream, permit)) = accept(&listener, &permits, &stop).await {
        while connections.try_join_next().is_some() {}
        let connection = connection(stream, app.clone(), limits);
        let connection = graceful.watch(connection);
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

/// Counts a request from its head to its answer's head.
async fn counted(State(serving): State<Serving>, request: Request, next: Next) -> Response {
    let _counted = serving.requests.token();
    let mut response = next.run(request).await;
    if serving.stop.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[derive(Clone)]
struct Serving {
    requests: TaskTracker,
    stop: CancellationToken,
}

fn connection(
    stream: TcpStream,
    app: App,
    limits: ServerLimits,
) -> http1::Connection<TokioIo<ShortReads>, TowerToHyperService<App>> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(ShortReads::new(stream)), TowerToHyperService::new(app))
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
