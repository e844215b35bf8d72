//! A TCP proxy that makes a network slow and unreliable.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinSet,
    time::sleep,
};

#[derive(Default)]
struct Weather {
    delay_ms: AtomicU64,
    /// One in so many pieces ends its connection; none at 0.
    drops: AtomicU64,
    pieces: AtomicU64,
}

impl Weather {
    /// Waits as long as a piece has to, also when the weather changes meanwhile.
    async fn pass(&self) {
        let came = Instant::now();
        let left = || Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)).saturating_sub(came.elapsed());
        while !left().is_zero() {
            sleep(left().min(Duration::from_millis(20))).await;
        }
    }
}

/// Runs until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    weather: Arc<Weather>,
    _runtime: Runtime,
}

impl Proxy {
    pub(crate) fn before(server: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Weather::default());
        let serving = Arc::clone(&weather);
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, server.clone(), Arc::clone(&serving)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, weather, _runtime: runtime }
    }

    /// Each piece comes so much later, and one in `drops` takes its connection with it.
    pub(crate) fn set(&self, delay: Duration, drops: u64) {
        self.weather.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
        self.weather.drops.store(drops, Ordering::Relaxed);
    }
}

async fn forward(client: TcpStream, server: String, weather: Arc<Weather>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, &weather) => {}
        () = copy(from_server, to_client, &weather) => {}
    }
}

async fn copy(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, weather: &Weather) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let piece = weather.pieces.fetch_add(1, Ordering::Relaxed);
        let drops = weather.drops.load(Ordering::Relaxed);
        if drops > 0 && piece % drops == drops - 1 {
            return;
        }
        weather.pass().await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
