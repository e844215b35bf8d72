//! One connection that carries one request after another: nothing is allocated for a request, and nothing is lost about
//! how it failed.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep_until, timeout},
};

use super::answer::{AnswerReader, BadAnswer};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Far longer than any answer of a service that works.
const PATIENCE: Duration = Duration::from_secs(40);

/// Why a request that was begun has no answer: what became of it is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

/// An answer that has arrived whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

pub(super) struct Connection {
    stream: TcpStream,
    reader: AnswerReader,
    /// Moved only when it fires: setting a timer for every request would cost more than reading its answer.
    alarm: Pin<Box<Sleep>>,
    usable: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let alarm = Box::pin(sleep_until((Instant::now() + PATIENCE).into()));
        Ok(Self { stream, reader: AnswerReader::new(), alarm, usable: true })
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Whether another request may be sent.
    pub(super) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Whether the other side has not closed it while it was idle.
    pub(super) fn is_idle(&self) -> bool {
        self.usable && self.stream.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and waits for its answer. `begun` is now, to the caller's knowledge.
    pub(super) async fn exchange(&mut self, request: &[u8], begun: Instant) -> Result<Answer<'_>, ExchangeError> {
        self.usable = false;
        self.reader.clear();
        self.send(request).await?;
        let deadline = begun + PATIENCE;
        poll_fn(|context| self.poll_answer(context, deadline)).await?;
        self.usable = self.reader.keep();
        Ok(Answer { status: self.reader.status(), body: self.reader.body() })
    }

    /// The body of the last answer.
    pub(super) fn last_body(&self) -> &[u8] {
        self.reader.body()
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        let sent = match self.stream.try_write(request) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(ExchangeError::Broken(error)),
        };
        if sent == request.len() {
            return Ok(());
        }
        match timeout(PATIENCE, self.stream.write_all(&request[sent..])).await {
            Ok(written) => written.map_err(ExchangeError::Broken),
            Err(_) => Err(ExchangeError::TimedOut),
        }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Result<(), ExchangeError>> {
        loop {
            let mut space = ReadBuf::new(self.reader.space()?);
            match Pin::new(&mut self.stream).poll_read(context, &mut space) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ExchangeError::Broken(error))),
                Poll::Pending => return self.poll_deadline(context, deadline),
            }
            let count = space.filled().len();
            if count == 0 {
                return Poll::Ready(self.reader.close().map_err(ExchangeError::BadAnswer));
            }
            if self.reader.advance(count)? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Result<(), ExchangeError>> {
        while self.alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(ExchangeError::TimedOut));
            }
            self.alarm.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}
