//! Between which ids the logs of a stretch of time lie, so that a page in the order of ids need not walk over all of the
//! years before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::{
    ids::Ids,
    marks::{VERSION, date},
};
use crate::{
    domain::{DAY, LogFilter, QUARTER_HOUR, Span},
    infrastructure::mongo::{document::integer, erasure_rules::time, handles::Handles},
};

/// Marks that change all the time are read so often, and then nothing is known.
const TRIES: usize = 3;

/// The marks as they were read last: there are few new ones.
#[derive(Debug, Clone, Default)]
pub(in crate::infrastructure::mongo) struct IdBounds(Arc<Mutex<Option<Arc<Seen>>>>);

#[derive(Debug)]
struct Seen {
    version: String,
    marks: Vec<(i64, Ids)>,
}

impl IdBounds {
    /// Between which ids everything lies that the filter selects and that was there when this was called. `None`:
    /// nothing is known, or nothing is gained.
    pub(in crate::infrastructure::mongo) async fn of(
        &self,
        handles: &Handles,
        filter: &LogFilter,
        max_time: Duration,
    ) -> mongodb::error::Result<Option<Ids>> {
        let span = Span::of(filter);
        if span == Span::ALL || span.is_empty() || filter.event_id.is_some() {
            return Ok(None);
        }
        let span = Span { from: first_quarter(span.from), ..span };
        for _ in 0..TRIES {
            let Some((version, ids)) = kept(handles, span, max_time).await? else { return Ok(None) };
            let seen = self.seen();
            let Some(seen) = seen.filter(|seen| seen.version == version) else {
                let marks = marks(handles, max_time).await?;
                self.see(Seen { version, marks });
                continue;
            };
            let is_within = |quarter: i64| quarter >= span.from && quarter < span.end;
            let marks = seen.marks.iter().filter(|(quarter, _)| is_within(*quarter));
            let ids = marks.fold(ids, |all, (_, ids)| all.and(*ids));
            return Ok(Some(ids).filter(|ids| !ids.is_none()));
        }
        Ok(None)
    }

    fn seen(&self) -> Option<Arc<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(seen));
    }
}

/// The version of the marks, and after that the kept ids. Marks of that version together with these leave nothing out:
/// what a mark stood for is kept before it goes.
async fn kept(handles: &Handles, span: Span, max_time: Duration) -> mongodb::error::Result<Option<(String, Ids)>> {
    let counts = handles.counts_to_read();
    let (before, days, behind) = span.split(DAY);
    let mut stages = vec![doc! {"$match": {"_id": VERSION}}, doc! {"$project": {"_id": 0, "version": 1}}];
    let parts = [(before, false), (days, true), (behind, false)];
    stages.extend(parts.into_iter().filter(|(part, _)| !part.is_empty()).map(|(part, is_of_days)| {
        let bound = |millis: i64| if is_of_days { Bson::from(day_key(millis)) } else { date(millis) };
        doc! {"$unionWith": {"coll": counts.name(), "pipeline": [
            {"$match": {"_id": {"$gte": bound(part.from), "$lt": bound(part.end)}}},
            {"$project": {"_id": 0, "f": {"$ifNull": ["$f", i64::MIN]}, "l": {"$ifNull": ["$l", i64::MAX]}}},
        ]}}
    }));
    stages.push(doc! {"$group": {
        "_id": Bson::Null,
        "version": {"$max": "$version"},
        "f": {"$min": "$f"},
        "l": {"$max": "$l"},
    }});
    let found = counts.aggregate(stages).with_type::<RawDocumentBuf>().max_time(max_time).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    let read = |kept: &RawDocumentBuf| {
        let version = kept.get_str("version").ok()?.to_owned();
        let ids = match (bound(kept, "f"), bound(kept, "l")) {
            (Some(first), Some(last)) => Ids { first, last },
            _ => Ids::NONE,
        };
        Some((version, ids))
    };
    Ok(found.first().and_then(read))
}

/// All of them: what may be stored under each.
async fn marks(handles: &Handles, max_time: Duration) -> mongodb::error::Result<Vec<(i64, Ids)>> {
    let found = handles.count_marks_to_read().find(doc! {}).max_time(max_time).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    let read = |mark: &RawDocumentBuf| {
        let quarter = time(mark.get_document("_id").ok()?, "q")?.as_millis();
        let ids = match bound(mark, "f") {
            Some(i64::MAX) => Ids::NONE,
            first => Ids { first: first.unwrap_or(i64::MIN), last: i64::MAX },
        };
        Some((quarter, ids))
    };
    Ok(found.iter().filter_map(read).collect())
}

/// The key of what is kept of a whole day.
pub(super) fn day_key(day: i64) -> Document {
    doc! {"day": date(day)}
}

fn bound(document: &RawDocument, name: &str) -> Option<i64> {
    integer(document.get(name).ok().flatten()?)
}

fn first_quarter(from: i64) -> i64 {
    if from == i64::MIN { from } else { from.div_euclid(QUARTER_HOUR).saturating_mul(QUARTER_HOUR) }
}
