//! A connection that is read in small pieces, so that its read buffer stays small.
//!
//! hyper doubles a connection's buffer whenever a read fills it, up to what a head may take, and keeps it: a thousand
//! connections with large bodies would hold 64 MiB of buffers. Bodies are copied out of it anyway.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take},
    net::TcpStream,
};

/// One less than a size that the buffer takes on its way up: it is never filled, so it grows no further.
const MOST: u64 = (16 << 10) - 1;

pub(super) struct ShortReads(Take<TcpStream>);

impl ShortReads {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream.take(MOST))
    }
}

impl AsyncRead for ShortReads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.set_limit(MOST);
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ShortReads {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(context)
    }
}
