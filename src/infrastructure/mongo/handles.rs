//! The clients and the collections, opened once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bson::RawDocumentBuf;
use mongodb::{
    Client, Collection, Database,
    options::{ClientOptions, DatabaseOptions, ReadPreference, SelectionCriteria, WriteConcern},
};

use super::options::MongoOptions;

const APP_NAME: &str = "eyego";
/// The driver has no time limit on waiting for a connection, so readers get a pool of their own: they may wait for
/// each other, but never keep the worker and the watcher from writing.
const WRITER_POOL: u32 = 8;
const READER_POOL: u32 = 32;
/// One to ping on, and one for when that has gone dead.
const WATCHER_POOL: u32 = 2;
/// How long a call looks for a server that can take it; a read has to answer within this (contract C5).
const SERVER_SELECTION: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server waits for the majority. Longer than an election, shorter than any caller's patience.
const MAJORITY_WAIT: Duration = Duration::from_secs(10);

/// On disk on a majority: what may be confirmed survives the loss of any one machine.
pub(super) fn durable() -> WriteConcern {
    WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).w_timeout(MAJORITY_WAIT).build()
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handles {
    /// Writes durably and reads from the primary.
    writer: Database,
    /// Reads as the URI says.
    reader: Database,
    /// Reads from the primary, with the readers' connections: for what has to be up to date.
    primary_reader: Database,
    /// A connection of its own for the watcher, so that no load makes the server look away.
    watcher: Database,
    /// Whether a tombstone was ever seen.
    tombstones_seen: Arc<AtomicBool>,
}

impl Handles {
    /// Makes the clients. They connect in the background; only a `mongodb+srv` URI is looked up in the DNS here.
    pub(super) async fn open(options: &MongoOptions) -> mongodb::error::Result<Self> {
        let mut settings = ClientOptions::parse(options.uri.clone()).await?;
        settings.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        settings.connect_timeout.get_or_insert(CONNECT);
        settings.server_selection_timeout = Some(SERVER_SELECTION);
        let mut for_reader = settings.clone();
        for_reader.max_pool_size.get_or_insert(READER_POOL);
        settings.max_pool_size = Some(WRITER_POOL);
        settings.min_pool_size = None;
        let mut for_watcher = settings.clone();
        for_watcher.max_pool_size = Some(WATCHER_POOL);
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let up_to_date = DatabaseOptions::builder().selection_criteria(primary.clone()).build();
        let strict = DatabaseOptions::builder().write_concern(durable()).selection_criteria(primary).build();
        let reader = Client::with_options(for_reader)?;
        Ok(Self {
            writer: Client::with_options(settings)?.database_with_options(&options.database, strict),
            primary_reader: reader.database_with_options(&options.database, up_to_date),
            reader: reader.database(&options.database),
            watcher: Client::with_options(for_watcher)?.database(&options.database),
            tombstones_seen: Arc::default(),
        })
    }

    pub(super) async fn close(self) {
        for database in [self.writer, self.reader, self.watcher] {
            database.client().clone().shutdown().immediate(true).await;
        }
    }

    pub(super) fn writer(&self) -> &Database {
        &self.writer
    }

    pub(super) fn reader(&self) -> &Database {
        &self.reader
    }

    pub(super) fn logs(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("useractivitylogs")
    }

    pub(super) fn logs_to_read(&self) -> Collection<RawDocumentBuf> {
        self.reader.collection("useractivitylogs")
    }

    pub(super) fn watcher(&self) -> &Database {
        &self.watcher
    }

    pub(super) fn logs_to_look_up(&self) -> Collection<RawDocumentBuf> {
        self.primary_reader.collection("useractivitylogs")
    }

    pub(super) fn tombstones_to_look_up(&self) -> Collection<RawDocumentBuf> {
        self.primary_reader.collection("deletedlogs")
    }

    pub(super) fn marks_to_look_up(&self) -> Collection<RawDocumentBuf> {
        self.primary_reader.collection("deadletterlogs")
    }

    pub(super) fn ledger_to_read(&self) -> Collection<RawDocumentBuf> {
        self.primary_reader.collection("ledger")
    }

    pub(super) fn counters(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("counters")
    }

    pub(super) fn tombstones(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("deletedlogs")
    }

    pub(super) fn has_tombstones(&self) -> bool {
        self.tombstones_seen.load(Ordering::Relaxed)
    }

    pub(super) fn note_tombstones(&self) {
        self.tombstones_seen.store(true, Ordering::Relaxed);
    }

    pub(super) fn ledger(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("ledger")
    }

    pub(super) fn erasure_jobs(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("erasurejobs")
    }

    pub(super) fn erasure_rules(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("erasurerules")
    }

    pub(super) fn marks(&self) -> Collection<RawDocumentBuf> {
        self.writer.collection("deadletterlogs")
    }
}
