//! Reading from end to end, with all that is kept of each log.
//!
//! Everything is read from the primary: another member may not have yet what this one showed, and an export that goes on
//! behind it would have missed it.

use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, RawDocument, doc};

use super::{
    counts::Ids,
    document,
    filter::{of_filter_and, within},
    find::{GRACE, PATIENCE},
    handles::Handles,
    store::MongoStore,
};
use crate::domain::{
    ExportPart, ExportQuery, ExportRange, LogId, PartBuilder, UnnumberedPlace,
    ports::{LogExport, PortError},
};

/// How long the server may look for the highest id, which is one seek.
const NEWEST_TIME: Duration = Duration::from_secs(10);

#[async_trait]
impl LogExport for MongoStore {
    async fn newest(&self) -> Result<Option<LogId>, PortError> {
        self.call(PATIENCE, |handles| async move { newest(&handles).await })
            .await
            .map_err(|failure| failure.while_trying("look for the newest log"))
    }

    async fn part(&self, query: &ExportQuery) -> Result<ExportPart, PortError> {
        let query = query.clone();
        let bounds = self.counts().id_bounds();
        self.call(query.max_time + GRACE, move |handles| async move {
            match query.range.clone() {
                ExportRange::Numbered { from, to } => {
                    let ids = match bounds {
                        Some(bounds) => bounds.of(&handles, &query.filter, query.max_time).await?,
                        None => None,
                    };
                    numbered(&handles, &query, (from, to), ids).await
                }
                ExportRange::Unnumbered { after } => unnumbered(&handles, &query, after).await,
            }
        })
        .await
        .map_err(|failure| failure.while_trying("export logs"))
    }
}

/// Numbers of every type; what is no number that an id can be is not among them.
fn whole_range() -> Document {
    doc! {"$gte": i64::MIN, "$lte": i64::MAX}
}

/// All that [`whole_range`] leaves. Its opposite as one condition would be no range of the index: the server would read
/// every log there is.
fn outside_of_range() -> Document {
    doc! {"$or": [{"id": {"$not": {"$gte": i64::MIN}}}, {"id": {"$not": {"$lte": i64::MAX}}}]}
}

async fn newest(handles: &Handles) -> mongodb::error::Result<Option<LogId>> {
    let logs = handles.logs_to_look_up();
    let by_id = logs.find_one(doc! {"id": whole_range()}).sort(doc! {"id": -1});
    let found = by_id.projection(doc! {"_id": 0, "id": 1}).max_time(NEWEST_TIME).await?;
    Ok(found.and_then(|log| log.get("id").ok().flatten().and_then(document::floor)).map(LogId::new))
}

async fn numbered(
    handles: &Handles,
    query: &ExportQuery,
    (from, to): (LogId, LogId),
    ids: Option<Ids>,
) -> mongodb::error::Result<ExportPart> {
    let range = match to.get().checked_add(1) {
        Some(end) => doc! {"$gte": from.get(), "$lt": end},
        None => doc! {"$gte": from.get(), "$lte": to.get()},
    };
    let within: Vec<Document> = [doc! {"id": range}].into_iter().chain(ids.into_iter().flat_map(within)).collect();
    let condition = of_filter_and(&query.filter, doc! {"$and": within});
    // One more than is wanted tells where the rest begins.
    let mut most = query.rows + 1;
    loop {
        let found = Numbered::read(handles, query, condition.clone(), most).await?;
        if let Some(from) = found.rest {
            return Ok(found.part.finish(Some(ExportRange::Numbered { from, to })));
        }
        if found.seen < most {
            return Ok(found.part.finish(None));
        }
        // As many as were asked for, and all of the last ones with a fraction: the next with a number lies behind them.
        most *= 2;
    }
}

struct Numbered {
    part: PartBuilder,
    seen: usize,
    rest: Option<LogId>,
}

impl Numbered {
    /// Stops before a log with a whole number, so that no fraction is left out or comes twice.
    async fn read(
        handles: &Handles,
        query: &ExportQuery,
        condition: Document,
        most: usize,
    ) -> mongodb::error::Result<Self> {
        let mut found = Self { part: PartBuilder::new(query), seen: 0, rest: None };
        let mut json = Vec::new();
        let mut cursor = handles
            .logs_to_look_up()
            .find(condition)
            .sort(doc! {"id": 1})
            .limit(i64::try_from(most).unwrap_or(i64::MAX))
            .batch_size(u32::try_from(most).unwrap_or(u32::MAX))
            .max_time(query.max_time)
            .await?;
        while cursor.advance().await? {
            found.seen += 1;
            let log = cursor.current();
            if found.part.is_full()
                && let Some(id) = document::log_id(log)
            {
                found.rest = Some(id);
                break;
            }
            document::push_stored(&mut found.part, log, &mut json);
        }
        Ok(found)
    }
}

/// Only old data has such logs, and few: they are sorted by their keys, which are compared across all types.
async fn unnumbered(
    handles: &Handles,
    query: &ExportQuery,
    after: Option<UnnumberedPlace>,
) -> mongodb::error::Result<ExportPart> {
    let mut condition = outside_of_range();
    if let Some(key) = after.as_ref().and_then(key_of) {
        condition.insert("$expr", doc! {"$gt": ["$_id", {"$literal": key}]});
    }
    let mut part = PartBuilder::new(query);
    let (mut last, mut json) = (None, Vec::new());
    let mut cursor = handles
        .logs_to_look_up()
        .find(of_filter_and(&query.filter, condition))
        .sort(doc! {"_id": 1})
        .limit(i64::try_from(query.rows + 1).unwrap_or(i64::MAX))
        .allow_disk_use(true)
        .max_time(query.max_time)
        .await?;
    while cursor.advance().await? {
        if part.is_full() {
            return Ok(part.finish(Some(ExportRange::Unnumbered { after: last })));
        }
        document::push_stored(&mut part, cursor.current(), &mut json);
        last = cursor.current().get("_id").ok().flatten().map(|key| {
            let key = document::value_bytes(key);
            UnnumberedPlace::new(key.into_bytes())
        });
    }
    Ok(part.finish(None))
}

fn key_of(place: &UnnumberedPlace) -> Option<bson::Bson> {
    let document = RawDocument::from_bytes(place.as_bytes()).ok()?;
    bson::RawBson::from(document.get("").ok().flatten()?).try_into().ok()
}
