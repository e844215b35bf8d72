//! The store as `eyego export` reads it: beside a running service or without one, and without changing anything.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{StartError, TransferError};
use crate::{
    application::transfer::{
        ExportFormat,
        export::{Export, ExportCare, ExportRequest},
    },
    config::{Backend, FileFormat, Settings},
    domain::{
        LogFilter, LogId,
        ports::{LogExport, PortError},
    },
    infrastructure::{
        embedded::EmbeddedOnlooker,
        mongo::{MongoOptions, MongoStore},
    },
};

/// How long a server may take to answer for the first time.
const CONNECT: Duration = Duration::from_secs(15);

/// What is exported, and as what.
#[derive(Debug, Clone)]
pub struct ExportOrder {
    pub format: FileFormat,
    pub filter: LogFilter,
    pub after: Option<LogId>,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportProgress {
    pub logs: u64,
    /// The ids that were come to, of those there are.
    pub at: u64,
    pub of: u64,
}

/// Takes the text of an export, piece by piece.
pub trait ExportSink: Send {
    /// # Errors
    /// Where it cannot be written: the export ends there.
    fn write(&mut self, text: &[u8], progress: ExportProgress) -> std::io::Result<()>;
}

/// Reads the store and returns how many logs were written.
///
/// # Errors
/// Where the backend cannot be opened or read to the end, or the sink does not take what is read.
pub async fn export(settings: &Settings, order: ExportOrder, sink: &mut dyn ExportSink) -> Result<u64, TransferError> {
    match &settings.backend {
        Backend::Embedded(embedded) => {
            let store = EmbeddedOnlooker::open(&embedded.data_dir).map_err(StartError::Folder)?;
            // One writer gives out the ids in order: what is not visible yet has a higher one.
            write(settings, Arc::new(store), Duration::ZERO, order, sink).await
        }
        Backend::Servers { mongo, .. } => {
            let options = MongoOptions::parse(mongo.uri.reveal(), settings.tombstone_days);
            let store = Arc::new(MongoStore::new(options.map_err(StartError::MongoUri)?));
            let lag = settings.query.cursor_lag;
            let exported = beside(
                async {
                    timeout(CONNECT, store.answers())
                        .await
                        .map_err(|_| TransferError::Store(PortError::unavailable("MongoDB does not answer")))?;
                    write(settings, Arc::clone(&store) as Arc<dyn LogExport>, lag, order, sink).await
                },
                store.observe(),
            )
            .await;
            store.close().await;
            exported
        }
        Backend::KafkaOnly(_) => Err(StartError::NoStore.into()),
    }
}

/// Runs the work beside what keeps it going.
pub(super) async fn beside<T, N>(work: impl Future<Output = T>, keeping: impl Future<Output = N>) -> T {
    let keeping = async {
        keeping.await;
        // It ended, for whatever reason: the work finds out by itself.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = work => done,
        () = keeping => std::future::pending().await,
    }
}

async fn write(
    settings: &Settings,
    source: Arc<dyn LogExport>,
    lag: Duration,
    order: ExportOrder,
    sink: &mut dyn ExportSink,
) -> Result<u64, TransferError> {
    let ExportOrder { format, filter, after } = order;
    let format = match format {
        FileFormat::Ndjson => ExportFormat::Ndjson,
        FileFormat::Csv => ExportFormat::Csv,
    };
    let care = ExportCare { max_time: settings.query.timeout, settled: None, lag };
    let mut export =
        Export::begin(source, ExportRequest { filter, after }, care).await.map_err(TransferError::Store)?;
    let of = u64::try_from(export.newest().get().saturating_add(1)).unwrap_or(0);
    let mut progress = ExportProgress { of, ..ExportProgress::default() };
    let mut text = Vec::new();
    format.begin(&mut text);
    while let Some(logs) = export.next().await.map_err(TransferError::Store)? {
        format.write(&mut text, logs.iter());
        progress.logs += logs.len() as u64;
        let at = logs.iter().rev().find_map(|log| log.id);
        progress.at = at.and_then(|id| u64::try_from(id.get()).ok()).unwrap_or(progress.at);
        sink.write(&text, progress).map_err(TransferError::Output)?;
        text.clear();
    }
    Ok(progress.logs)
}
