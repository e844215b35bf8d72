//! The adapter as the application sees it; each operation has its own file.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bson::{doc, oid::ObjectId};
use tokio::sync::watch;

use super::{
    append, call, counter, counts::Counts, delete, erasure_rules::RuleCache, find, handles::Handles,
    options::MongoOptions, reach::Reach, receipt, totals::Totals,
};
use crate::{
    domain::{
        ActivityLog, Count, EventId, IdRange, LogFilter, LogId, LogQuery, LogSlice, NumberedEvent,
        ports::{AppendOutcome, DeleteOutcome, LegacyLogs, LogRepository, PortError, Receipt, Status},
    },
    infrastructure::status_cell::StatusCell,
};

/// How far the database is ready to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Preparation {
    Pending,
    /// With what stands in the way, for an operator.
    Failed(String),
    Done,
}

/// Logs in MongoDB. Answers `Unavailable` until [`MongoStore::supervise`] runs and has found the server.
#[derive(Debug)]
pub struct MongoStore {
    pub(super) options: MongoOptions,
    handles: OnceLock<Handles>,
    reach: Reach,
    preparation: watch::Sender<Preparation>,
    totals: Totals,
    rules: RuleCache,
    counts: Counts,
    status: StatusCell,
    /// The server answers, but refuses the credentials.
    refused: AtomicBool,
}

impl MongoStore {
    /// Does no I/O.
    pub fn new(options: MongoOptions) -> Self {
        let counts = Counts::new(options.count_lease);
        Self {
            options,
            handles: OnceLock::new(),
            reach: Reach::unknown(),
            preparation: watch::Sender::new(Preparation::Pending),
            totals: Totals::default(),
            rules: RuleCache::default(),
            counts,
            status: StatusCell::down("not connected yet"),
            refused: AtomicBool::new(false),
        }
    }

    /// What the supervisor last saw.
    pub fn probe(&self) -> StatusCell {
        self.status.clone()
    }

    /// Waits until logs may be appended: the unique index on the id stands and the counter is above the data.
    pub async fn prepared(&self) {
        // Fails only when the sender is gone, and that is `self`.
        let _ = self.preparation.subscribe().wait_for(|state| *state == Preparation::Done).await;
    }

    /// Closes the connections. To be called once nobody calls any more.
    pub async fn close(&self) {
        self.close_counts().await;
        if let Some(handles) = self.handles() {
            handles.close().await;
        }
    }

    pub(super) fn handles(&self) -> Option<Handles> {
        self.handles.get().cloned()
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn rule_cache(&self) -> &RuleCache {
        &self.rules
    }

    /// Makes the clients, once. A `mongodb+srv` URI needs the DNS for it.
    pub(super) async fn connect(&self) -> Result<Handles, mongodb::error::Error> {
        if let Some(handles) = self.handles() {
            return Ok(handles);
        }
        let options = self.options.clone();
        let opening = call::start(async move { Handles::open(&options).await });
        let opened = opening.await.map_err(|died| mongodb::error::Error::custom(died.to_string()))??;
        Ok(self.handles.get_or_init(|| opened).clone())
    }

    pub(super) fn refused_is(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    pub(super) fn preparation_is(&self, state: Preparation) {
        self.preparation.send_replace(state);
        self.publish_status();
    }

    /// Tells the probe, and the log where that is news.
    pub(super) fn publish_status(&self) {
        let status = match (self.reach.is_up(), &*self.preparation.borrow()) {
            (false, _) if self.refused.load(Ordering::Relaxed) => {
                Status::Down("MongoDB refuses the credentials".to_owned())
            }
            (false, _) => Status::Down("MongoDB does not answer".to_owned()),
            (true, Preparation::Pending) => Status::Down("its indexes and counter are being checked".to_owned()),
            (true, Preparation::Failed(reason)) => Status::Down(reason.clone()),
            (true, Preparation::Done) => Status::Up,
        };
        if self.status.set(status.clone()) {
            match status {
                Status::Up => tracing::info!(mongo.database = %self.options.database, "mongodb is up"),
                Status::Down(reason) if self.reach.is_up() => tracing::info!(reason, "mongodb is not ready yet"),
                Status::Down(reason) => tracing::warn!(reason, "mongodb is down"),
            }
        }
    }
}

#[async_trait]
impl LogRepository for MongoStore {
    async fn reserve(&self, count: u32) -> Result<IdRange, PortError> {
        counter::reserve(self, count).await
    }

    async fn append(&self, batch: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError> {
        append::append(self, batch).await
    }

    async fn raise_counter(&self) -> Result<(), PortError> {
        counter::raise(self).await
    }

    async fn find(&self, query: &LogQuery) -> Result<LogSlice, PortError> {
        find::find(self, query).await
    }

    async fn count(&self, filter: &LogFilter, cap: u64, max_time: Duration) -> Result<Count, PortError> {
        find::count(self, filter, cap, max_time).await
    }

    async fn get(&self, id: LogId) -> Result<Option<ActivityLog>, PortError> {
        find::get(self, id).await
    }

    async fn receipt(&self, event_id: EventId) -> Result<Receipt, PortError> {
        receipt::receipt(self, event_id).await
    }

    async fn delete(&self, id: LogId) -> Result<DeleteOutcome, PortError> {
        delete::delete(self, id).await
    }
}

#[async_trait]
impl LegacyLogs for MongoStore {
    /// One seek: the old service's keys are ObjectIds, and keys are ordered by type first.
    async fn exist(&self) -> Result<bool, PortError> {
        let query = doc! {"_id": {"$gte": ObjectId::from_bytes([0; 12])}};
        self.call(find::PATIENCE, |handles| async move { handles.logs().find_one(query).await })
            .await
            .map(|found| found.is_some())
            .map_err(|failure| failure.while_trying("look for logs of the old service"))
    }
}
