//! What became of an event.

use bson::doc;

use super::{document, find::PATIENCE, handles::Handles, store::MongoStore};
use crate::domain::{
    EventId,
    ports::{PortError, Receipt},
};

pub(super) async fn receipt(store: &MongoStore, id: EventId) -> Result<Receipt, PortError> {
    store
        .call(PATIENCE, move |handles| async move { look_up(&handles, id).await })
        .await
        .map_err(|failure| failure.while_trying("look up an event"))
}

/// In the order in which an event moves: one that is stored and deleted meanwhile is found as deleted. A dead letter
/// that was repaired and sent again is stored, so its mark is asked for last.
async fn look_up(handles: &Handles, id: EventId) -> mongodb::error::Result<Receipt> {
    let by_key = || doc! {"_id": document::key(id)};
    if let Some(log) = handles.logs_to_look_up().find_one(by_key()).await? {
        return Ok(Receipt::Stored(document::decode(&log)));
    }
    if handles.tombstones_to_look_up().find_one(by_key()).await?.is_some() {
        return Ok(Receipt::Deleted);
    }
    Ok(match handles.marks_to_look_up().find_one(by_key()).await? {
        Some(mark) => Receipt::DeadLettered(mark.get_str("reason").unwrap_or_default().to_owned()),
        None => Receipt::Unknown,
    })
}
