//! Deleting: the tombstone first, then the log, so that no redelivery brings it back.

use std::time::Duration;

use bson::{Document, doc, raw::RawBson};

use super::{document, find, store::MongoStore};
use crate::domain::{
    EventId, LogId,
    ports::{DeleteOutcome, PortError},
};

/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn delete(store: &MongoStore, id: LogId) -> Result<DeleteOutcome, PortError> {
    let Some(key) = key_of(store, id).await? else {
        return Ok(DeleteOutcome::NotFound);
    };
    match document::event_id(key.as_raw_bson_ref()) {
        Some(event_id) => {
            if let Some(unsure) = bury(store, event_id).await? {
                return Ok(unsure);
            }
            // From here on it is marked: "nothing has been deleted or marked" would not be true.
            Ok(remove(store, key).await.unwrap_or(DeleteOutcome::Unconfirmed))
        }
        // What the old service stored is on the bus without an event id: nothing could bring it back by one.
        None => remove(store, key).await,
    }
}

async fn key_of(store: &MongoStore, id: LogId) -> Result<Option<RawBson>, PortError> {
    let query = doc! {"id": id.get()};
    let found = store
        .call(find::PATIENCE, |handles| async move {
            handles.logs_to_look_up().find_one(query).projection(doc! {"_id": 1}).await
        })
        .await
        .map_err(|failure| failure.while_trying("find the log to delete"))?;
    Ok(found.and_then(|document| document.get("_id").ok().flatten().map(RawBson::from)))
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

async fn remove(store: &MongoStore, key: RawBson) -> Result<DeleteOutcome, PortError> {
    let mut query = Document::new();
    query.insert(
        "_id",
        bson::Bson::try_from(key)
            .map_err(|error| PortError::corrupt("the key of the log cannot be read").caused_by(error))?,
    );
    let removed = store.call(PATIENCE, |handles| async move { handles.logs().delete_one(query).await }).await;
    match removed {
        // None deleted: somebody else was faster.
        Ok(_) => Ok(DeleteOutcome::Deleted),
        Err(failure) if failure.wrote_nothing() => Err(failure.while_trying("delete a log")),
        Err(_) => Ok(DeleteOutcome::Unconfirmed),
    }
}
