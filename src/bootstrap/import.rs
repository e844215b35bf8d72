//! The store as `eyego import` writes it: the embedded engine alone in its folder, MongoDB beside running services.

use std::{
    io::{self, BufReader, Read},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{StartError, TransferError, export::beside};
use crate::{
    application::transfer::{
        import::{Import, ImportParts, Piece},
        line_batches::{LineBatch, LineBatches, highest_id},
    },
    config::{Backend, EmbeddedSettings, MongoSettings, Settings},
    domain::ports::{ImportIds, ImportReporter, ImportSummary, PortError, Probe, Status},
    infrastructure::{
        clock::SystemClock,
        embedded::EmbeddedEngine,
        mongo::{MongoOptions, MongoStore},
    },
};

/// How long a server may take to answer and be prepared: an index that is missing has to be built first.
const PREPARE: Duration = Duration::from_secs(60);
/// Its one writing thread takes one batch at a time.
const EMBEDDED_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN;
/// While one batch waits for the disks of a majority, the server works on the next.
const MONGO_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
/// How many batches are read ahead.
const PIECES_AHEAD: usize = 2;

/// What is imported.
pub trait ImportInput: Send + Sync + 'static {
    /// From the beginning, unpacked. To be called again only where that is [possible](ImportInput::can_be_read_twice).
    ///
    /// # Errors
    /// Where it cannot be opened.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;
    fn can_be_read_twice(&self) -> bool;
    /// Bytes read so far, as they lie there.
    fn bytes_read(&self) -> u64;
}

/// What is imported, and how.
pub struct ImportOrder {
    pub input: Arc<dyn ImportInput>,
    pub skip_bad: bool,
    /// Ends the import after the batch in hand.
    pub stop: CancellationToken,
}

/// Stores what the input holds. The summary is that of what was done, also where it ended early.
///
/// # Errors
/// Where the backend cannot be opened, or the import ended before its input did.
pub async fn import(
    settings: &Settings,
    order: ImportOrder,
    reporter: &mut dyn ImportReporter,
) -> (ImportSummary, Result<(), TransferError>) {
    let ended = match &settings.backend {
        Backend::Embedded(embedded) => into_folder(settings, embedded, order, reporter).await,
        Backend::Servers { mongo, .. } => into_mongodb(settings, mongo, order, reporter).await,
        Backend::KafkaOnly(_) => Err(StartError::NoStore.into()),
    };
    match ended {
        Ok((summary, ended)) => (summary, ended),
        Err(error) => (ImportSummary::default(), Err(error)),
    }
}

type Ended = Result<(ImportSummary, Result<(), TransferError>), TransferError>;

async fn into_folder(
    settings: &Settings,
    embedded: &EmbeddedSettings,
    order: ImportOrder,
    reporter: &mut dyn ImportReporter,
) -> Ended {
    let engine = EmbeddedEngine::open(&embedded.data_dir, Arc::new(SystemClock), settings.tombstone_days)
        .map_err(StartError::Folder)?;
    let parts = ImportParts {
        repository: engine.store.clone(),
        target: engine.store.clone(),
        in_flight: EMBEDDED_IN_FLIGHT,
        leaves_out: order.skip_bad,
    };
    let ended = run(parts, order, reporter).await;
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    closed.map_err(|error| TransferError::Store(PortError::unavailable("the store did not close").caused_by(error)))?;
    ended
}

async fn into_mongodb(
    settings: &Settings,
    mongo: &MongoSettings,
    order: ImportOrder,
    reporter: &mut dyn ImportReporter,
) -> Ended {
    let options = MongoOptions::parse(mongo.uri.reveal(), settings.tombstone_days).map_err(StartError::MongoUri)?;
    let store = Arc::new(MongoStore::new(options));
    let parts = ImportParts {
        repository: store.clone(),
        target: store.clone(),
        in_flight: MONGO_IN_FLIGHT,
        leaves_out: order.skip_bad,
    };
    let supervised = Arc::clone(&store).supervise(CancellationToken::new());
    let ended = beside(
        async {
            if timeout(PREPARE, store.prepared()).await.is_err() {
                let why = match store.probe().status() {
                    Status::Down(why) => why,
                    Status::Up => "MongoDB is not ready".to_owned(),
                };
                return Err(TransferError::Store(PortError::unavailable(why)));
            }
            run(parts, order, reporter).await
        },
        supervised,
    )
    .await;
    store.close().await;
    ended
}

async fn run(parts: ImportParts, order: ImportOrder, reporter: &mut dyn ImportReporter) -> Ended {
    let ImportOrder { input, stop, .. } = order;
    let import = Import::begin(parts).await.map_err(TransferError::Import)?;
    reporter.begins(import.ids());
    if matches!(import.ids(), ImportIds::Kept { .. })
        && input.can_be_read_twice()
        && let Some(highest) = highest(&input).await?
    {
        import.set_aside(highest).await.map_err(TransferError::Import)?;
    }
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    // It ends with its input, or once nobody takes what it reads.
    let reading = tokio::task::spawn_blocking(move || read(&*input, &sender));
    let (summary, ended) = import.run(pieces, reporter, &stop).await;
    // Standard input may never end: nobody waits for it.
    drop(reading);
    Ok((summary, ended.map_err(TransferError::Import)))
}

async fn highest(input: &Arc<dyn ImportInput>) -> Result<Option<crate::domain::LogId>, TransferError> {
    let input = Arc::clone(input);
    let looking = tokio::task::spawn_blocking(move || highest_id(BufReader::with_capacity(1 << 16, input.open()?)));
    let found = looking.await.map_err(io::Error::other).and_then(|found| found);
    found.map_err(TransferError::Input)
}

fn read(input: &dyn ImportInput, pieces: &mpsc::Sender<Piece>) {
    let mut batches = match input.open() {
        Ok(reader) => LineBatches::of(BufReader::with_capacity(1 << 16, reader)),
        Err(error) => return drop(pieces.blocking_send((Err(error), 0))),
    };
    loop {
        let batch = batches.read();
        if batch.as_ref().is_ok_and(LineBatch::is_empty) {
            return;
        }
        let failed = batch.is_err();
        if pieces.blocking_send((batch, input.bytes_read())).is_err() || failed {
            return;
        }
    }
}

/// Counts what is read through it.
pub struct Counted<R> {
    pub input: R,
    pub count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
