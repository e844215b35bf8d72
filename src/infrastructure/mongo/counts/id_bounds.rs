//! Between which ids the logs of a stretch of time lie, so that a page in the order of ids need not walk over all of the
//! years before.

use std::time::Duration;

use bson::{Bson, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::{ids::Ids, marks::date};
use crate::{
    domain::{QUARTER_HOUR, Span},
    infrastructure::mongo::{document::integer, handles::Handles},
};

/// Holds for every log that was there when this was called. `None`: nothing is known.
pub(in crate::infrastructure::mongo) async fn id_bounds(
    handles: &Handles,
    span: Span,
    max_time: Duration,
) -> mongodb::error::Result<Option<Ids>> {
    let (from, end) = (date(first_quarter(span.from)), date(span.end));
    let of_marks = doc! {"_id": {"$gte": {"q": &from}, "$lt": {"q": &end}}};
    let stores_nothing = doc! {"$eq": ["$f", i64::MAX]};
    // First the marks: what a mark stood for is in the counts before it goes.
    let stages = [
        doc! {"$match": of_marks},
        doc! {"$project": {
            "_id": 0,
            "f": {"$ifNull": ["$f", i64::MIN]},
            "l": {"$cond": [stores_nothing, i64::MIN, i64::MAX]},
        }},
        doc! {"$unionWith": {"coll": handles.counts().name(), "pipeline": [
            {"$match": {"_id": {"$gte": &from, "$lt": &end}}},
            {"$project": {"_id": 0, "f": {"$ifNull": ["$f", i64::MIN]}, "l": {"$ifNull": ["$l", i64::MAX]}}},
        ]}},
        doc! {"$group": {"_id": Bson::Null, "f": {"$min": "$f"}, "l": {"$max": "$l"}}},
    ];
    let marks = handles.count_marks_to_read();
    let found = marks.aggregate(stages).with_type::<RawDocumentBuf>().max_time(max_time).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    let ids = found.first().and_then(|ids| Some((bound(ids, "f")?, bound(ids, "l")?)));
    Ok(ids.map(|(first, last)| Ids { first, last }).filter(|ids| !ids.is_none()))
}

fn bound(ids: &RawDocument, name: &str) -> Option<i64> {
    integer(ids.get(name).ok().flatten()?)
}

fn first_quarter(from: i64) -> i64 {
    if from == i64::MIN { from } else { from.div_euclid(QUARTER_HOUR).saturating_mul(QUARTER_HOUR) }
}
