//! The parts of an export as a stream, always one ahead: while one is on its way to the client, the store reads the next.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, future::BoxFuture};

use super::export::Export;
use crate::domain::{StoredLogs, ports::PortError};

type Read = Result<Option<StoredLogs>, PortError>;

/// Ends after the last part or with the first error. Dropping it gives up what is being read.
pub(super) struct Pages {
    reading: Option<BoxFuture<'static, (Export, Read)>>,
}

impl Pages {
    pub(super) fn of(export: Export) -> Self {
        Self { reading: Some(read(export)) }
    }
}

fn read(mut export: Export) -> BoxFuture<'static, (Export, Read)> {
    Box::pin(async move {
        let read = export.next().await;
        (export, read)
    })
}

impl Stream for Pages {
    type Item = Result<StoredLogs, PortError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let Poll::Ready((export, read_now)) = reading.as_mut().poll(context) else { return Poll::Pending };
        self.reading = None;
        match read_now {
            Ok(Some(logs)) => {
                self.reading = Some(begun(read(export), context));
                Poll::Ready(Some(Ok(logs)))
            }
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

/// The store works on a read from its first poll on, whether or not it is polled again. One that is done at once keeps its
/// value.
fn begun(
    mut reading: BoxFuture<'static, (Export, Read)>,
    context: &mut Context<'_>,
) -> BoxFuture<'static, (Export, Read)> {
    match reading.as_mut().poll(context) {
        Poll::Ready(done) => Box::pin(std::future::ready(done)),
        Poll::Pending => reading,
    }
}
