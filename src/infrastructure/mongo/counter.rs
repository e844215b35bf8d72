//! The numeric ids: blocks out of the old service's counter document, whose `seq` is the next id nobody has.

use std::time::Duration;

use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::{options::ReturnDocument, results::UpdateResult};

use super::{
    document::{floor, integer},
    error::{Failure, is_duplicate},
    handles::Handles,
    store::MongoStore,
};
use crate::domain::{IdRange, ports::PortError};

pub(super) const COUNTER: &str = "userActivityLogId";
/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first use of the counter by two processes at once is one upsert too many; the second try finds it there.
const TRIES: usize = 3;
/// Up to here a double counts in steps of one.
pub(super) const MAX_EXACT: i64 = 1 << 53;

pub(super) async fn reserve(store: &MongoStore, count: u32) -> Result<IdRange, PortError> {
    let count = i64::from(count);
    let after = store
        .call(PATIENCE, move |handles| async move { retrying(|| take(&handles, count)).await })
        .await
        .map_err(|failure| failure.while_trying("reserve ids"))?;
    let next = after.as_deref().and_then(next_id).ok_or_else(|| PortError::corrupt("the id counter is no number"))?;
    Ok(IdRange::new(next - count, next))
}

async fn take(handles: &Handles, count: i64) -> mongodb::error::Result<Option<RawDocumentBuf>> {
    let counter = handles.counters();
    counter
        .find_one_and_update(doc! {"_id": COUNTER}, doc! {"$inc": {"seq": count}})
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await
}

/// A double that no longer counts in steps of one would hand out the same ids twice.
pub(super) fn next_id(counter: &RawDocument) -> Option<i64> {
    let seq = counter.get("seq").ok().flatten()?;
    match seq {
        RawBsonRef::Double(_) => integer(seq).filter(|next| next.abs() < MAX_EXACT),
        RawBsonRef::Int32(_) | RawBsonRef::Int64(_) => integer(seq),
        _ => None,
    }
}

/// Raises the counter above every stored id; never lowers it, so a block that somebody holds stays theirs.
pub(super) async fn raise(store: &MongoStore) -> Result<(), PortError> {
    store
        .call(PATIENCE, |handles| async move {
            let next = highest_id(&handles).await?.map_or(0, |highest| highest + 1);
            retrying(|| raise_to(&handles, next)).await
        })
        .await
        .map(|_| ())
        .map_err(|failure: Failure| failure.while_trying("raise the id counter"))
}

async fn raise_to(handles: &Handles, next: i64) -> mongodb::error::Result<UpdateResult> {
    handles.counters().update_one(doc! {"_id": COUNTER}, doc! {"$max": {"seq": next}}).upsert(true).await
}

/// Old data may hold ids that are text, NaN, infinite or missing: comparing with numbers leaves them out.
async fn highest_id(handles: &Handles) -> mongodb::error::Result<Option<i64>> {
    let numbers: Document = doc! {"id": {"$gte": -MAX_EXACT, "$lte": MAX_EXACT}};
    let logs = handles.logs();
    let highest = logs.find_one(numbers).sort(doc! {"id": -1}).projection(doc! {"_id": 0, "id": 1}).await?;
    // An id with a fraction is no log's number, but the next one still has to be above it.
    Ok(highest.and_then(|document| document.get("id").ok().flatten().and_then(floor)))
}

async fn retrying<T, F>(mut attempt: impl FnMut() -> F) -> mongodb::error::Result<T>
where
    F: Future<Output = mongodb::error::Result<T>>,
{
    for _ in 1..TRIES {
        match attempt().await {
            Err(error) if is_duplicate(&error) => {}
            settled => return settled,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use bson::Bson;

    use super::*;

    #[test]
    fn counters_of_every_numeric_type_count() {
        let next = |seq: Bson| next_id(&RawDocumentBuf::try_from(&doc! {"seq": seq}).unwrap());
        assert_eq!(next(Bson::Int32(5)), Some(5));
        assert_eq!(next(Bson::Int64(1 << 60)), Some(1 << 60));
        assert_eq!(next(Bson::Double(5.0)), Some(5));
        for odd in [Bson::Double(5.5), Bson::Double(f64::NAN), Bson::Double(1e16), Bson::from("5"), Bson::Null] {
            assert_eq!(next(odd.clone()), None, "{odd:?}");
        }
    }
}
