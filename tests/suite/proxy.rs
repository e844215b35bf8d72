//! A TCP proxy that goes away or falls silent on command, so that a test can break the network in front of a server
//! that others use.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Connections stay open and nothing passes.
    Silent,
    /// Connections are closed and new ones refused.
    Gone,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Forward));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, address, server, mode.clone()));
        Self { address, mode, _tasks: tasks }
    }

    pub(crate) fn fall_silent(&self) {
        self.mode.send_replace(Mode::Silent);
    }

    pub(crate) fn go(&self) {
        self.mode.send_replace(Mode::Gone);
    }

    pub(crate) fn come_back(&self) {
        self.mode.send_replace(Mode::Forward);
    }
}

async fn serve(first: TcpListener, address: SocketAddr, server: String, mode: Arc<watch::Sender<Mode>>) {
    let mut listener = Some(first);
    let mut changes = mode.subscribe();
    loop {
        let present = listener.take();
        let Some(open) = present else {
            changes.wait_for(|mode| *mode != Mode::Gone).await.unwrap();
            listener = TcpListener::bind(address).await.ok();
            continue;
        };
        let mut connections = JoinSet::new();
        while *changes.borrow_and_update() != Mode::Gone {
            tokio::select! {
                Ok((client, _)) = open.accept() => {
                    connections.spawn(forward(client, server.clone(), mode.subscribe()));
                }
                _ = changes.changed() => {}
            }
        }
    }
}

async fn forward(mut client: TcpStream, server: String, mut mode: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    loop {
        mode.wait_for(|mode| *mode == Mode::Forward).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = mode.changed() => {}
        }
    }
}
