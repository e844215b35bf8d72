//! Deleting: the tombstone first, then the log, so that no redelivery brings it back.

use std::time::Duration;

use bson::{Bson, RawBsonRef, RawDocument, RawDocumentBuf, doc, raw::RawBson};

use super::{
    counts::{Change, Ids, quarter_of},
    document,
    erasure_rules::time,
    find,
    store::MongoStore,
};
use crate::domain::{
    EventId, LogId,
    ports::{DeleteOutcome, PortError},
};

/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn delete(store: &MongoStore, id: LogId) -> Result<DeleteOutcome, PortError> {
    let Some(log) = look_up(store, id).await? else {
        return Ok(DeleteOutcome::NotFound);
    };
    let key = log.get("_id").ok().flatten().ok_or_else(|| PortError::corrupt("the log to delete has no key"))?;
    match document::event_id(key) {
        Some(event_id) => {
            if let Some(unsure) = bury(store, event_id).await? {
                return Ok(unsure);
            }
            // From here on it is marked: "nothing has been deleted or marked" would not be true.
            Ok(remove(store, &log).await.unwrap_or(DeleteOutcome::Unconfirmed))
        }
        // What the old service stored is on the bus without an event id: nothing could bring it back by one.
        None => remove(store, &log).await,
    }
}

/// Its key, and what its place in the counts depends on.
async fn look_up(store: &MongoStore, id: LogId) -> Result<Option<RawDocumentBuf>, PortError> {
    let query = doc! {"id": id.get()};
    store
        .call(find::PATIENCE, |handles| async move {
            let projection = doc! {"_id": 1, "timestamp": 1, "action": 1};
            handles.logs_to_look_up().find_one(query).projection(projection).await
        })
        .await
        .map_err(|failure| failure.while_trying("find the log to delete"))
}

/// Writes the tombstone. The time is the server's: one clock for all that expire.
async fn bury(store: &MongoStore, event_id: EventId) -> Result<Option<DeleteOutcome>, PortError> {
    let query = doc! {"_id": document::key(event_id)};
    let written = store
        .call(PATIENCE, |handles| async move {
            handles.tombstones().update_one(query, doc! {"$currentDate": {"at": true}}).upsert(true).await
        })
        .await;
    match written {
        Ok(_) => Ok(None),
        Err(failure) if failure.wrote_nothing() => Err(failure.while_trying("mark a log as deleted")),
        Err(_) => Ok(Some(DeleteOutcome::Unconfirmed)),
    }
}

async fn remove(store: &MongoStore, log: &RawDocument) -> Result<DeleteOutcome, PortError> {
    let key = Bson::try_from(RawBson::from(log.get("_id").ok().flatten().unwrap_or(RawBsonRef::Null)))
        .map_err(|error| PortError::corrupt("the key of the log cannot be read").caused_by(error))?;
    let counting =
        store.counting(one_less(log).map(|change| (change.quarter, Ids::NONE)).into_iter().collect()).await?;
    let removed =
        store.call(PATIENCE, |handles| async move { handles.logs().delete_one(doc! {"_id": key}).await }).await;
    match removed {
        Ok(removed) => {
            // None deleted: somebody else was faster, and has counted it.
            counting.settle(one_less(log).filter(|_| removed.deleted_count == 1), []);
            Ok(DeleteOutcome::Deleted)
        }
        Err(failure) if failure.wrote_nothing() => {
            counting.nothing();
            Err(failure.while_trying("delete a log"))
        }
        Err(_) => {
            counting.doubt();
            Ok(DeleteOutcome::Unconfirmed)
        }
    }
}

/// What a log that goes takes off the counts; one without a time is in none.
pub(super) fn one_less(log: &RawDocument) -> Option<Change<'_>> {
    Some(Change { quarter: quarter_of(time(log, "timestamp")?), action: log.get_str("action").ok(), by: -1 })
}
