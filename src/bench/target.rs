//! Where the service is, and how requests to it begin.

use std::{io, net::SocketAddr};

use crate::config::BenchTarget;

use super::connection::Connection;

pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// What people call it.
    pub(super) url: String,
    host: String,
    prefix: String,
}

impl Target {
    /// Looks its name up and takes the first address at which somebody listens.
    pub(super) async fn find(target: &BenchTarget) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in tokio::net::lookup_host((target.host.as_str(), target.port)).await? {
            match Connection::open(address).await {
                Ok(_) => return Ok(Self::at(target, address)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn at(target: &BenchTarget, address: SocketAddr) -> Self {
        let url = target.to_string();
        let host = url["http://".len()..url.len() - target.prefix.len()].to_owned();
        Self { address, url, host, prefix: target.prefix.clone() }
    }

    /// The request line and `Host`; further headers and the empty line follow.
    pub(super) fn push_head(&self, request: &mut Vec<u8>, method: &str, path: &str) {
        for part in [method, " ", &self.prefix, path, " HTTP/1.1\r\nHost: ", &self.host, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
    }
}
