//! Exports for clients: a few at a time, cut off rather than ended where something is missing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, StreamExt};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    export::{Export, ExportCare, ExportRequest},
    pages::Pages,
    slots::{Slot, Slots},
};
use crate::{
    application::{
        log_service::ServiceError,
        paging::{PageLimits, store_error},
        tip_watch::TipWatch,
    },
    domain::{
        StoredLogs, Timestamp,
        ports::{Clock, ErrorChain, LogExport, PortError},
    },
};

/// More at a time would only make each of them slower, and all other reading with them.
const MOST_EXPORTS: usize = 4;

/// What the handler of exports calls.
pub struct ExportService {
    source: Option<Arc<dyn LogExport>>,
    clock: Arc<dyn Clock>,
    tip: Arc<TipWatch>,
    limits: PageLimits,
    slots: Slots,
}

impl ExportService {
    /// `source` is empty in a process that only takes logs in.
    pub fn new(
        source: Option<Arc<dyn LogExport>>,
        clock: Arc<dyn Clock>,
        tip: Arc<TipWatch>,
        limits: PageLimits,
    ) -> Self {
        Self { source, clock, tip, limits, slots: Slots::new(MOST_EXPORTS) }
    }

    /// Begins an export, and returns once its first logs were read: what fails until then can be answered.
    pub async fn begin(&self, request: ExportRequest) -> Result<RunningExport, ServiceError> {
        let source = self.source.clone().ok_or(ServiceError::StoreNotConfigured)?;
        let slot = self.slots.take(Instant::now()).ok_or(ServiceError::TooManyExports)?;
        let PageLimits { max_time, cursor_lag: lag, .. } = self.limits;
        let care = ExportCare { max_time, settled: self.tip.settled_id(), lag };
        let export = Export::begin(source, request, care).await.map_err(store_error)?;
        let mut pages = Pages::of(export);
        let first = pages.next().await.transpose().map_err(store_error)?;
        Ok(RunningExport { first, pages, slot, logs: 0 })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// An export on its way to a client.
pub struct RunningExport {
    first: Option<StoredLogs>,
    pages: Pages,
    slot: Slot,
    logs: u64,
}

/// Why an export was cut off; the log has more.
#[derive(Debug, thiserror::Error)]
#[error("the export was cut off")]
pub struct CutOff(#[source] Option<PortError>);

impl Stream for RunningExport {
    type Item = Result<StoredLogs, CutOff>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.slot.goes_on(Instant::now()) {
            warn!(logs = self.logs, "an export was cut off: its client took nothing, and another one waited");
            return Poll::Ready(Some(Err(CutOff(None))));
        }
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(self.pages.poll_next_unpin(context)),
        };
        match next {
            Some(Ok(logs)) => {
                self.logs += logs.len() as u64;
                Poll::Ready(Some(Ok(logs)))
            }
            Some(Err(error)) => {
                warn!(logs = self.logs, error = %ErrorChain(&error), "an export was cut off");
                Poll::Ready(Some(Err(CutOff(Some(error)))))
            }
            None => {
                debug!(logs = self.logs, "an export is complete");
                Poll::Ready(None)
            }
        }
    }
}
