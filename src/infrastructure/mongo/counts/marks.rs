//! Marks: who is about to change which quarter, and which quarters are in doubt.

use std::{collections::BTreeSet, time::Duration};

use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use uuid::Uuid;

use crate::{
    domain::{Span, ports::PortError},
    infrastructure::mongo::{erasure_rules::time, handles::Handles, store::MongoStore},
};

/// The owner of marks of doubt.
const NOBODY: &str = "?";
/// What tells, among the counts, that the marks are others than before. It is changed after they were left or taken away.
pub(super) const VERSION: &str = "marks";
/// How many go in one command.
const AT_ONCE: usize = 1000;

/// A quarter whose logs are about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) quarter: i64,
    /// No log with a lower id is stored meanwhile; the highest number where none is stored at all.
    pub(super) first_id: i64,
}

impl Claim {
    pub(super) fn of_any(quarter: i64) -> Self {
        Self { quarter, first_id: i64::MIN }
    }
}

/// A mark as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub(super) quarter: i64,
    /// It says that the quarter is in doubt, or its owner has not renewed it for too long.
    pub(super) is_doubt: bool,
    document: Document,
}

impl Mark {
    /// Selects this very mark, not a later one of the same owner.
    pub(super) fn itself(&self) -> Document {
        self.document.clone()
    }
}

pub(super) fn date(millis: i64) -> Bson {
    Bson::DateTime(DateTime::from_millis(millis))
}

fn key(quarter: i64, owner: &str) -> Document {
    doc! {"q": date(quarter), "w": owner}
}

/// Those that say that a quarter has to be recounted: by the server's clock, which is that of the marks.
fn of_doubt(lease: Duration) -> Document {
    let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    doc! {"$or": [{"$eq": ["$_id.w", NOBODY]}, {"$lt": ["$at", {"$subtract": ["$$NOW", lease]}]}]}
}

impl MongoStore {
    /// Leaves marks, or renews them.
    pub(super) async fn mark(&self, owner: &str, quarters: &[Claim]) -> Result<(), PortError> {
        for some in quarters.chunks(AT_ONCE) {
            let mark = |claim: &Claim| {
                doc! {
                    "q": {"_id": key(claim.quarter, owner)},
                    "u": {"$currentDate": {"at": true}, "$min": {"f": claim.first_id}},
                    "upsert": true,
                }
            };
            let updates = some.iter().map(mark).collect();
            self.update_many("mark quarters", Handles::count_marks, updates).await?;
        }
        if quarters.is_empty() {
            return Ok(());
        }
        self.marks_have_changed().await
    }

    /// Lets those who keep the marks in memory read them again.
    pub(super) async fn marks_have_changed(&self) -> Result<(), PortError> {
        let version = doc! {"$set": {"version": Uuid::now_v7().simple().to_string()}};
        let anew = doc! {"q": {"_id": VERSION}, "u": version, "upsert": true};
        self.update_many("say that the marks have changed", Handles::counts, vec![anew]).await.map(drop)
    }

    pub(super) async fn doubt(&self, quarters: &[Claim]) -> Result<(), PortError> {
        self.mark(NOBODY, quarters).await
    }

    pub(super) async fn unmark(&self, owner: &str, quarters: &[i64]) -> Result<(), PortError> {
        for some in quarters.chunks(AT_ONCE) {
            let keys: Vec<Document> = some.iter().map(|quarter| key(*quarter, owner)).collect();
            self.call(super::open::PATIENCE, move |handles| async move {
                handles.count_marks().delete_many(doc! {"_id": {"$in": keys}}).await
            })
            .await
            .map_err(|failure| failure.while_trying("unmark quarters"))?;
        }
        if quarters.is_empty() { Ok(()) } else { self.marks_have_changed().await }
    }
}

/// The marks of these quarters; of all where none are named.
pub(super) async fn marks(
    handles: &Handles,
    quarters: Option<&[i64]>,
    lease: Duration,
) -> mongodb::error::Result<Vec<Mark>> {
    let mut stages = Vec::new();
    if let Some(quarters) = quarters {
        let dates: Vec<Bson> = quarters.iter().copied().map(date).collect();
        stages.push(doc! {"$match": {"_id.q": {"$in": dates}}});
    }
    stages.push(doc! {"$addFields": {"doubt": of_doubt(lease)}});
    let mut cursor = handles.count_marks().aggregate(stages).await?;
    let mut found = Vec::new();
    while let Some(document) = cursor.try_next().await? {
        let mut document = document;
        let is_doubt = matches!(document.remove("doubt"), Some(Bson::Boolean(true)));
        let quarter = document.get_document("_id").ok().and_then(|key| key.get_datetime("q").ok());
        if let Some(quarter) = quarter.map(|quarter| quarter.timestamp_millis()) {
            found.push(Mark { quarter, is_doubt, document });
        }
    }
    Ok(found)
}

/// The quarters of this stretch of time whose counts must not be believed. To be asked for before the counts are read.
pub(in crate::infrastructure::mongo) async fn in_doubt(
    handles: &Handles,
    span: Span,
    lease: Duration,
    max_time: Duration,
) -> mongodb::error::Result<BTreeSet<i64>> {
    let range = doc! {"$gte": date(span.from), "$lt": date(span.end)};
    let condition = doc! {"_id.q": range, "$expr": of_doubt(lease)};
    let found = handles.count_marks_to_read().find(condition).max_time(max_time).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    Ok(found.iter().filter_map(|mark| quarter(mark)).collect())
}

fn quarter(mark: &RawDocument) -> Option<i64> {
    time(mark.get_document("_id").ok()?, "q").map(crate::domain::Timestamp::as_millis)
}
