//! Reading: parts of the logs, how many there are, and one log by its number.

use std::time::Duration;

use bson::{Document, doc};

use super::{counts::Ids, document, filter, handles::Handles, store::MongoStore, totals};
use crate::domain::{
    ActivityLog, Count, From, LogFilter, LogId, LogQuery, LogSlice, Order, SliceBuilder, ports::PortError,
};

/// How long the server may work on reading one log; it gives up by itself then.
const MAX_TIME: Duration = Duration::from_secs(10);
/// How much longer anybody waits for an answer than the server may work on it.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long anybody waits for one log.
pub(super) const PATIENCE: Duration = Duration::from_secs(12);
/// No collection holds more; the server adds to what it is told to skip, so it must not be told the largest number.
const MAX_SKIP: u64 = 1 << 53;

pub(super) async fn find(store: &MongoStore, query: &LogQuery) -> Result<LogSlice, PortError> {
    let query = query.clone();
    let bounds = store.counts().id_bounds().filter(|_| !query.order.is_by_timestamp());
    store
        .call(query.max_time + GRACE, move |handles| async move {
            let ids = match bounds {
                Some(bounds) => bounds.of(&handles, &query.filter, query.max_time).await?,
                None => None,
            };
            slice(&handles, query, ids).await
        })
        .await
        .map_err(|failure| failure.while_trying("list logs"))
}

async fn slice(handles: &Handles, query: LogQuery, ids: Option<Ids>) -> mongodb::error::Result<LogSlice> {
    let skip = match query.from {
        From::Offset(skip) => skip.min(MAX_SKIP),
        From::After(_) => 0,
    };
    // One more than is asked for tells whether more follow.
    let most = query.limit + 1;
    let mut cursor = handles
        .logs_to_read()
        .find(filter::of_query(&query, ids))
        .sort(order(query.order))
        .skip(skip)
        .limit(i64::from(most))
        .batch_size(most)
        .allow_disk_use(true)
        .max_time(query.max_time)
        .await?;
    let mut slice = SliceBuilder::new(query.limit);
    while cursor.advance().await? {
        if !slice.push(document::decode(cursor.current())) {
            break;
        }
    }
    Ok(slice.finish())
}

fn order(order: Order) -> Document {
    let direction = if order.is_descending() { -1 } else { 1 };
    if order.is_by_timestamp() {
        doc! {"timestamp": direction, "id": direction}
    } else {
        doc! {"id": direction}
    }
}

pub(super) async fn count(
    store: &MongoStore,
    filter: &LogFilter,
    cap: u64,
    max_time: Duration,
) -> Result<Count, PortError> {
    let condition = filter::of_filter(filter);
    let correction = store.totals().correction();
    store
        .call(max_time + GRACE, move |handles| async move {
            if condition.is_empty() {
                return totals::total(&handles, correction, max_time).await.map(Count::exactly);
            }
            let counted = count_up_to(&handles, condition, cap.saturating_add(1), max_time).await?;
            Ok(Count::capped(counted, cap))
        })
        .await
        .map_err(|failure| failure.while_trying("count logs"))
}

/// Not as the driver counts, which is by a pipeline: the server has a shorter way for a range of an index.
async fn count_up_to(
    handles: &Handles,
    condition: Document,
    most: u64,
    max_time: Duration,
) -> mongodb::error::Result<u64> {
    let command = doc! {
        "count": handles.logs_to_read().name(),
        "query": condition,
        "limit": i64::try_from(most).unwrap_or(i64::MAX),
        "maxTimeMS": i64::try_from(max_time.as_millis()).unwrap_or(i64::MAX),
    };
    let reply = handles.reader().run_command(command).await?;
    let counted = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n"));
    Ok(u64::try_from(counted.unwrap_or(0)).unwrap_or(0))
}

pub(super) async fn get(store: &MongoStore, id: LogId) -> Result<Option<ActivityLog>, PortError> {
    // Numbers compare by value: this finds Int32, Int64 and Double alike.
    let query = doc! {"id": id.get()};
    store
        .call(PATIENCE, |handles| async move { handles.logs_to_read().find_one(query).max_time(MAX_TIME).await })
        .await
        .map(|found| found.map(|log| document::decode(&log)))
        .map_err(|failure| failure.while_trying("read a log"))
}
