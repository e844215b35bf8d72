//! Asking the service things beside the load: one GET at a time, again on a new connection where a kept one broke.

use std::{io, net::SocketAddr, rc::Rc, time::Instant};

use super::{
    connection::{Answer, Connection, ExchangeError},
    target::Target,
};

/// Why there is no answer to a question.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no answer")]
    Exchange(#[source] ExchangeError),
}

pub(super) struct Client {
    target: Rc<Target>,
    connection: Option<Connection>,
    request: Vec<u8>,
}

impl Client {
    pub(super) fn new(target: Rc<Target>) -> Self {
        Self { target, connection: None, request: Vec::new() }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer<'_>, AskError> {
        self.request.clear();
        self.target.push_head(&mut self.request, "GET", path);
        self.request.extend_from_slice(b"\r\n");
        let address = self.target.address;
        let connection = match self.connection.take().filter(Connection::is_idle) {
            Some(connection) => connection,
            None => Connection::open(address).await.map_err(AskError::Connect)?,
        };
        let connection = self.connection.insert(connection);
        connection.exchange(&self.request, Instant::now()).await.map_err(AskError::Exchange)
    }

    /// The body of the last answer.
    pub(super) fn last_body(&self) -> &[u8] {
        self.connection.as_ref().map_or(&[], Connection::last_body)
    }

    /// Both ends of a connection to the service.
    pub(super) async fn ends(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        let connection = Connection::open(self.target.address).await?;
        Ok((connection.local_address()?, self.target.address))
    }
}
