//! Counting quarters in doubt anew, from the logs.

use std::collections::{BTreeMap, HashMap};

use bson::{Bson, Document, RawBson, RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::{
    days::day_of,
    field::field_of,
    ids::Ids,
    marks::{Mark, date, marks},
    open::{PATIENCE, Quarters},
    tally::MAX_ACTIONS,
};
use crate::{
    domain::{DAY, QUARTER_HOUR, ports::PortError},
    infrastructure::mongo::{
        document::{floor, integer},
        erasure_rules::time,
        filter,
        handles::Handles,
        store::MongoStore,
    },
};

/// A day of a large store takes its time.
const COUNT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

/// What a document of counts is at: the number of its recounts, and of its changes.
type Versions = HashMap<i64, (i64, i64)>;

/// The logs of a quarter.
#[derive(Debug)]
struct Counted {
    logs: i64,
    ids: Ids,
    of_actions: BTreeMap<String, i64>,
}

impl Default for Counted {
    fn default() -> Self {
        Self { logs: 0, ids: Ids::NONE, of_actions: BTreeMap::new() }
    }
}

impl MongoStore {
    /// Recounts what is in doubt and open nowhere: the quarters of one day, the newest first. Returns whether there may be
    /// more.
    pub(super) async fn recount_some(&self) -> Result<bool, PortError> {
        let lease = self.counts().lease();
        let marks = self
            .call(PATIENCE, move |handles| async move { marks(&handles, None, lease).await })
            .await
            .map_err(|failure| failure.while_trying("look for quarters in doubt"))?;
        let free = free(&marks);
        let free: Vec<i64> = free.into_iter().filter(|quarter| !self.counts().has_open(*quarter)).collect();
        let Some(newest) = free.last() else { return Ok(false) };
        let day = newest.div_euclid(DAY);
        let of_day: Vec<i64> = free.iter().copied().filter(|quarter| quarter.div_euclid(DAY) == day).collect();
        let more = of_day.len() < free.len();
        self.recount(of_day).await?;
        Ok(more)
    }

    async fn recount(&self, quarters: Vec<i64>) -> Result<(), PortError> {
        let lease = self.counts().lease();
        let failed = |failure: crate::infrastructure::mongo::error::Failure| failure.while_trying("recount quarters");
        // In this order: whoever opens one after the versions were read is seen by his mark, or changes in vain.
        let (versions, marks) = self
            .call(PATIENCE, {
                let quarters = quarters.clone();
                move |handles| async move {
                    let versions = versions(&handles, &quarters).await?;
                    Ok((versions, marks(&handles, Some(&quarters), lease).await?))
                }
            })
            .await
            .map_err(failed)?;
        let free = free(&marks);
        let (Some(first), Some(last)) = (free.first().copied(), free.last().copied()) else { return Ok(()) };
        let mut counted = self
            .call(COUNT_PATIENCE, move |handles| async move { count(&handles, first, last + QUARTER_HOUR).await })
            .await
            .map_err(failed)?;
        let mut days = Quarters::new();
        for (quarter, counted) in &counted {
            let ids = counted.ids;
            days.entry(day_of(*quarter)).and_modify(|all| *all = all.and(ids)).or_insert(ids);
        }
        self.widen_days(days).await?;
        let updates = free.iter().map(|quarter| {
            let version = versions.get(quarter).copied().unwrap_or_default();
            update(*quarter, version, counted.remove(quarter).unwrap_or_default())
        });
        let missed = self.update_counts(updates.collect()).await?;
        let done: Vec<i64> =
            free.iter().enumerate().filter(|(index, _)| !missed.contains(index)).map(|(_, quarter)| *quarter).collect();
        let settled: Vec<Document> =
            marks.iter().filter(|mark| done.binary_search(&mark.quarter).is_ok()).map(Mark::itself).collect();
        if settled.is_empty() {
            return Ok(());
        }
        self.call(PATIENCE, move |handles| async move {
            handles.count_marks().delete_many(doc! {"$or": settled}).await.map(drop)
        })
        .await
        .map_err(failed)?;
        self.marks_have_changed().await
    }
}

/// The quarters of which every mark is one of doubt, ascending.
fn free(marks: &[Mark]) -> Vec<i64> {
    let mut quarters: BTreeMap<i64, bool> = BTreeMap::new();
    for mark in marks {
        *quarters.entry(mark.quarter).or_insert(true) &= mark.is_doubt;
    }
    quarters.into_iter().filter(|(_, is_free)| *is_free).map(|(quarter, _)| quarter).collect()
}

async fn versions(handles: &Handles, quarters: &[i64]) -> mongodb::error::Result<Versions> {
    let dates: Vec<Bson> = quarters.iter().copied().map(date).collect();
    let found = handles.counts().find(doc! {"_id": {"$in": dates}}).projection(doc! {"e": 1, "v": 1}).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    let number = |document: &RawDocumentBuf, field| document.get(field).ok().flatten().and_then(integer).unwrap_or(0);
    let read = |document: &RawDocumentBuf| {
        Some((time(document, "_id")?.as_millis(), (number(document, "e"), number(document, "v"))))
    };
    Ok(found.iter().filter_map(read).collect())
}

async fn count(handles: &Handles, from: i64, end: i64) -> mongodb::error::Result<HashMap<i64, Counted>> {
    let quarter = doc! {"$floor": {"$divide": [{"$toLong": "$timestamp"}, QUARTER_HOUR]}};
    let stages = [
        doc! {"$match": {"timestamp": {"$gte": date(from), "$lt": date(end)}}},
        doc! {"$group": {
            "_id": {"q": quarter, "a": filter::text_of("action")},
            "n": {"$sum": 1_i64},
            "first": {"$min": "$id"},
            "last": {"$max": "$id"},
            "odd": {"$sum": {"$cond": [{"$isNumber": "$id"}, 0, 1]}},
        }},
    ];
    let mut groups = handles.logs().aggregate(stages).allow_disk_use(true).await?;
    let mut counted: HashMap<i64, Counted> = HashMap::new();
    while let Some(group) = groups.try_next().await? {
        let Ok(key) = group.get_document("_id") else { continue };
        let Some(quarter) = key.get("q").and_then(whole) else { continue };
        let logs = group.get("n").and_then(whole).unwrap_or(0);
        let entry = counted.entry(quarter * QUARTER_HOUR).or_default();
        entry.logs += logs;
        entry.ids = entry.ids.and(ids_of(&group));
        if entry.of_actions.len() <= MAX_ACTIONS {
            entry.of_actions.insert(field_of(key.get_str("a").ok()), logs);
        }
    }
    Ok(counted)
}

/// Logs of the old service may have ids that are no whole numbers, or none.
fn ids_of(group: &Document) -> Ids {
    let bound = |name: &str| floor(RawBson::try_from(group.get(name)?.clone()).ok()?.as_raw_bson_ref());
    match (bound("first"), bound("last"), group.get("odd").and_then(whole)) {
        (Some(first), Some(last), Some(0)) => Ids { first, last: last.saturating_add(1) },
        _ => Ids::ANY,
    }
}

/// A number that the server computed.
pub(in crate::infrastructure::mongo) fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "it was rounded, and is far below the limits")]
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// On condition that nobody has changed or recounted it meanwhile.
fn update(quarter: i64, (epoch, version): (i64, i64), counted: Counted) -> Document {
    let Counted { logs, ids, of_actions } = counted;
    let mut set = doc! {"n": logs, "f": ids.first, "l": ids.last};
    let grown = doc! {"e": 1_i64, "v": 1_i64};
    let change = if of_actions.len() > MAX_ACTIONS {
        set.insert("o", true);
        doc! {"$inc": grown, "$set": set, "$unset": {"a": ""}}
    } else {
        let of_actions: Document = of_actions.into_iter().map(|(field, count)| (field, Bson::from(count))).collect();
        set.insert("a", of_actions);
        doc! {"$inc": grown, "$set": set, "$unset": {"o": ""}}
    };
    let unchanged = doc! {"_id": date(quarter), "e": epoch, "v": version};
    doc! {"q": unchanged, "u": change, "upsert": true}
}
