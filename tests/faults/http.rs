//! An HTTP/1.1 client that knows what a general one hides: whether a request had begun to be sent when it failed.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Why there is no answer.
pub(crate) enum Failure {
    /// There was no connection: the service cannot have seen anything of it.
    NotSent,
    /// Something of it was sent: the service may have taken it.
    Broken,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) body: Vec<u8>,
    keep: bool,
}

impl Reply {
    /// 503 and 429 have to.
    pub(crate) fn says_when_to_retry(&self) -> bool {
        self.retry_after || !matches!(self.status, 503 | 429)
    }
}

pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::NotSent)?;
        stream.set_nodelay(true).map_err(|_| Failure::NotSent)?;
        Ok(Self(stream))
    }

    /// A connection that the service has closed while it was idle must not turn a request into an unknown one.
    pub(crate) fn is_idle(&self) -> bool {
        let read = self.0.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a whole request in these pieces; gives the connection back where it may be used again.
    pub(crate) async fn send(mut self, pieces: &[Vec<u8>], pause: Duration) -> Result<(Reply, Option<Self>), Failure> {
        let exchanged = async {
            for (n, piece) in pieces.iter().enumerate() {
                if n > 0 {
                    sleep(pause).await;
                }
                self.0.write_all(piece).await?;
            }
            self.read().await
        };
        let reply = exchanged.await.map_err(|_| Failure::Broken)?;
        let kept = reply.keep.then_some(self);
        Ok((reply, kept))
    }

    async fn read(&mut self) -> io::Result<Reply> {
        let mut bytes = Vec::with_capacity(512);
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut bytes).await?;
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim).map(str::to_owned))
        };
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while bytes.len() < head_end + length {
            self.more(&mut bytes).await?;
        }
        let keep = header("connection").is_none_or(|value| value != "close");
        Ok(Reply { status, retry_after: header("retry-after").is_some(), body: bytes.split_off(head_end), keep })
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self.0.read_buf(bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

pub(crate) fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /api/logs HTTP/1.1\r\nhost: faults\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
