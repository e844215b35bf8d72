//! What became of many events at once, for those who hold the bus against the store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bson::{Binary, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::Collection;

use super::{document, store::MongoStore};
use crate::domain::{
    EventId,
    ports::{EventFate, EventFates, PortError},
};

/// Looking up thousands of keys on a busy server takes its time, and nobody waits for it with a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks events up by their keys, in the order in which an event moves: see [`super::receipt`].
#[derive(Debug, Clone)]
pub struct MongoFates(Arc<MongoStore>);

impl MongoFates {
    pub fn new(store: Arc<MongoStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl EventFates for MongoFates {
    async fn fates(&self, events: &[EventId]) -> Result<Vec<EventFate>, PortError> {
        let wanted: HashSet<EventId> = events.iter().copied().collect();
        let found = self
            .0
            .call(PATIENCE, move |handles| async move {
                let mut open = wanted;
                let stored = take(&handles.logs_to_look_up(), &mut open).await?;
                let deleted = take(&handles.tombstones_to_look_up(), &mut open).await?;
                let dead_lettered = take(&handles.marks_to_look_up(), &mut open).await?;
                Ok(Found { stored, deleted, dead_lettered })
            })
            .await
            .map_err(|failure| failure.while_trying("look events up"))?;
        Ok(events.iter().map(|id| found.fate(id)).collect())
    }
}

struct Found {
    stored: HashSet<EventId>,
    deleted: HashSet<EventId>,
    dead_lettered: HashSet<EventId>,
}

impl Found {
    fn fate(&self, id: &EventId) -> EventFate {
        if self.stored.contains(id) {
            EventFate::Stored
        } else if self.deleted.contains(id) {
            EventFate::Deleted
        } else if self.dead_lettered.contains(id) {
            EventFate::DeadLettered
        } else {
            EventFate::Unknown
        }
    }
}

/// Takes those events out of `open` that the collection holds, and returns them. The index alone answers.
async fn take(
    collection: &Collection<RawDocumentBuf>,
    open: &mut HashSet<EventId>,
) -> mongodb::error::Result<HashSet<EventId>> {
    if open.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: Vec<Binary> = open.iter().copied().map(document::key).collect();
    let by_keys = doc! {"_id": {"$in": keys}};
    let limit = u32::try_from(open.len()).unwrap_or(u32::MAX);
    let cursor = collection.find(by_keys).projection(doc! {"_id": 1}).batch_size(limit).await?;
    let documents: Vec<RawDocumentBuf> = cursor.try_collect().await?;
    let key = |document: &RawDocumentBuf| document.get("_id").ok().flatten().and_then(document::event_id);
    let found: HashSet<EventId> = documents.iter().filter_map(key).collect();
    open.retain(|id| !found.contains(id));
    Ok(found)
}
