//! What an import needs besides storing: whose ids are whose, and which logs are here under keys of others.
//!
//! Which ids are set aside stands in the counter's own document, so that both change in one step: a field `importBelow`,
//! there until the import is finished, which the old service does not look at.

use std::time::Duration;

use async_trait::async_trait;
use bson::{RawDocumentBuf, doc};

use super::{
    counter::{COUNTER, MAX_EXACT, next_id},
    document,
    handles::Handles,
    store::MongoStore,
};
use crate::domain::{
    EventId, LogId,
    ports::{ImportIds, LogImport, PortError},
};

const BELOW: &str = "importBelow";
/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);
/// Looking up thousands of ids on a busy server takes its time, and nobody waits for it with a request.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(60);

#[async_trait]
impl LogImport for MongoStore {
    async fn begin(&self) -> Result<ImportIds, PortError> {
        self.call(PATIENCE, |handles| async move { begin(&handles).await })
            .await
            .map_err(|failure| failure.while_trying("begin an import"))
    }

    async fn set_aside(&self, from: LogId, to: LogId) -> Result<bool, PortError> {
        if to.get().abs() >= MAX_EXACT {
            return Ok(false);
        }
        self.call(PATIENCE, move |handles| async move { set_aside(&handles, from.get(), to.get()).await })
            .await
            .map_err(|failure| failure.while_trying("set ids aside"))
    }

    async fn under_foreign_keys(&self, ids: &[LogId]) -> Result<Vec<EventId>, PortError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        self.call(LOOK_UP_PATIENCE, move |handles| async move { under_foreign_keys(&handles, ids).await })
            .await
            .map_err(|failure| failure.while_trying("look for logs of the old service"))
    }

    async fn finish(&self) -> Result<(), PortError> {
        self.call(PATIENCE, |handles| async move {
            handles.counters().update_one(doc! {"_id": COUNTER}, doc! {"$unset": {BELOW: ""}}).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.while_trying("finish an import"))
    }
}

async fn begin(handles: &Handles) -> mongodb::error::Result<ImportIds> {
    if let Some(below) = below(handles).await? {
        return Ok(ImportIds::Kept { below });
    }
    if handles.logs().find_one(doc! {}).projection(doc! {"_id": 1}).await?.is_some() {
        return Ok(ImportIds::New);
    }
    // Not where anybody has taken an id: his log may be on its way. The counter was made when the store was prepared.
    let never_moved = doc! {"_id": COUNTER, "seq": 0};
    let begun = handles.counters().update_one(never_moved, doc! {"$set": {BELOW: 0_i64}}).await?;
    Ok(if begun.matched_count == 1 { ImportIds::Kept { below: LogId::new(0) } } else { ImportIds::New })
}

async fn below(handles: &Handles) -> mongodb::error::Result<Option<LogId>> {
    let counter = handles.counters().find_one(doc! {"_id": COUNTER}).await?;
    let below = |counter: RawDocumentBuf| counter.get(BELOW).ok().flatten().and_then(document::integer);
    Ok(counter.and_then(below).map(LogId::new))
}

async fn set_aside(handles: &Handles, from: i64, to: i64) -> mongodb::error::Result<bool> {
    let mine = doc! {"_id": COUNTER, "seq": from, BELOW: from};
    let moved = handles.counters().update_one(mine, doc! {"$set": {"seq": to, BELOW: to}}).await?;
    if moved.matched_count == 1 {
        return Ok(true);
    }
    // A call whose answer was lost may have done it already.
    let counter = handles.counters().find_one(doc! {"_id": COUNTER}).await?;
    Ok(counter.is_some_and(|counter| {
        let below = counter.get(BELOW).ok().flatten().and_then(document::integer);
        below == Some(to) && next_id(&counter).is_some_and(|next| next >= to)
    }))
}

async fn under_foreign_keys(handles: &Handles, ids: Vec<i64>) -> mongodb::error::Result<Vec<EventId>> {
    // Keys are ordered by type, so this is a seek for each of them. Most stores have none, and nothing more is asked.
    let types = ["objectId", "string", "int", "long", "double", "decimal", "object", "date", "bool"];
    let foreign = doc! {"_id": {"$type": types.as_slice()}};
    let logs = handles.logs_to_look_up();
    if logs.find_one(foreign).projection(doc! {"_id": 1}).await?.is_none() {
        return Ok(Vec::new());
    }
    let batch = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let mut cursor = logs.find(doc! {"id": {"$in": ids}}).projection(doc! {"_id": 1}).batch_size(batch).await?;
    let mut found = Vec::new();
    while cursor.advance().await? {
        let key = cursor.current().get("_id").ok().flatten();
        let foreign = key.filter(|key| document::event_id(*key).is_none());
        found.extend(foreign.map(document::event_id_of_any));
    }
    Ok(found)
}
