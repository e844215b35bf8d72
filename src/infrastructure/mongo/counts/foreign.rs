//! Logs that others store while this service runs: the old service, or somebody by hand. Their keys are ObjectIds, which
//! grow with time; so one look at the newest tells whether there are more.

use std::sync::{Mutex, PoisonError};

use bson::{RawDocument, RawDocumentBuf, doc, oid::ObjectId};
use futures_util::TryStreamExt;

use super::{build::COMPLETE, marks::Claim, open::PATIENCE, quarter_of};
use crate::{
    domain::ports::PortError,
    infrastructure::mongo::{erasure_rules::time, handles::Handles, store::MongoStore},
};

/// Where the newest key stands that has been seen to.
pub(super) const FOREIGN: &str = "foreign";
/// A key is made before its log is stored, by a clock that may be slow: so many seconds are looked at again.
const LATE: u32 = 60;
/// How many are read at once.
const AT_ONCE: i64 = 10_000;

/// What is known of the logs of others.
#[derive(Debug, Default)]
pub(super) struct Foreign(Mutex<State>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// Up to the newest of the last look; how many of the last minute there were is not known before the first look.
    Known { newest: Option<ObjectId>, late: Option<u64> },
}

impl Foreign {
    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_is(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn known_is(&self, newest: Option<ObjectId>) {
        self.state_is(State::Known { newest, late: None });
    }
}

impl MongoStore {
    /// Puts the quarters of what others have stored since the last look in doubt. What fails is tried again the next
    /// time.
    pub(super) async fn look_for_foreign_logs(&self) {
        let counts = self.counts();
        let State::Known { newest, late } = counts.foreign.state() else { return };
        match self.see_to_foreign_logs(newest, late).await {
            Ok(state) => {
                counts.foreign.state_is(state);
                counts.ids_are_known(counts.are_complete());
            }
            Err(error) => {
                counts.ids_are_known(false);
                tracing::debug!(%error, "logs of others could not be looked for");
            }
        }
    }

    async fn see_to_foreign_logs(&self, known: Option<ObjectId>, late: Option<u64>) -> Result<State, PortError> {
        let look = self.call(PATIENCE, |handles| async move {
            let newest = newest(&handles).await?;
            Ok((newest, late_ones(&handles, newest).await?))
        });
        let (newest, now_late) = look.await.map_err(|failure| failure.while_trying("look for logs of others"))?;
        let state = State::Known { newest, late: Some(now_late) };
        if newest == known && late.is_none_or(|late| late == now_late) {
            return Ok(state);
        }
        self.counts().ids_are_known(false);
        let mut after = known.map(earlier).unwrap_or_else(|| ObjectId::from_bytes([0; 12]));
        while let Some(last) = self.doubt_foreign_logs(after).await? {
            after = last;
        }
        self.call(PATIENCE, move |handles| async move {
            let seen_to = doc! {"$set": {FOREIGN: newest}};
            handles.counts().update_one(doc! {"_id": COMPLETE}, seen_to).await
        })
        .await
        .map_err(|failure| failure.while_trying("keep which logs of others were seen to"))?;
        Ok(state)
    }

    /// The next few; returns the last of them.
    async fn doubt_foreign_logs(&self, after: ObjectId) -> Result<Option<ObjectId>, PortError> {
        let some = self.call(PATIENCE, move |handles| async move {
            let logs = handles.logs();
            let found = logs.find(doc! {"_id": {"$gt": after}}).sort(doc! {"_id": 1}).limit(AT_ONCE);
            found.projection(doc! {"timestamp": 1}).await?.try_collect::<Vec<RawDocumentBuf>>().await
        });
        let some = some.await.map_err(|failure| failure.while_trying("look at logs of others"))?;
        let mut quarters: Vec<i64> = some.iter().filter_map(|log| time(log, "timestamp")).map(quarter_of).collect();
        quarters.sort_unstable();
        quarters.dedup();
        let quarters: Vec<Claim> = quarters.into_iter().map(Claim::of_any).collect();
        self.doubt(&quarters).await?;
        Ok(some.last().and_then(|log| log.get_object_id("_id").ok()))
    }
}

/// What was stored as the newest that has been seen to.
pub(super) fn known(complete: &RawDocument) -> Option<ObjectId> {
    complete.get_object_id(FOREIGN).ok()
}

/// One seek.
pub(super) async fn newest(handles: &Handles) -> mongodb::error::Result<Option<ObjectId>> {
    let foreign = doc! {"_id": {"$type": "objectId"}};
    let newest = handles.logs().find_one(foreign).sort(doc! {"_id": -1}).projection(doc! {"_id": 1}).await?;
    Ok(newest.and_then(|log| log.get_object_id("_id").ok()))
}

/// How many keys there are of the minute before the newest.
async fn late_ones(handles: &Handles, newest: Option<ObjectId>) -> mongodb::error::Result<u64> {
    match newest {
        Some(newest) => handles.logs().count_documents(doc! {"_id": {"$gt": earlier(newest)}}).await,
        None => Ok(0),
    }
}

/// The first key of the minute before.
fn earlier(key: ObjectId) -> ObjectId {
    let mut bytes = [0; 12];
    let [a, b, c, d, ..] = key.bytes();
    bytes[..4].copy_from_slice(&u32::from_be_bytes([a, b, c, d]).saturating_sub(LATE).to_be_bytes());
    ObjectId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minute_before_begins_with_the_lowest_key_of_its_first_second() {
        let key = ObjectId::from_bytes([0, 0, 1, 0, 9, 9, 9, 9, 9, 9, 9, 9]);
        assert_eq!(earlier(key).bytes(), [0, 0, 0, 196, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(earlier(ObjectId::from_bytes([0; 12])).bytes(), [0; 12]);
    }
}
