//! Making sure that every log is counted: also those of before there were counts, and those that others stored.

use std::{convert::Infallible, time::Duration};

use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use tokio::time::sleep;

use super::{
    foreign::{self, FOREIGN},
    marks::{Claim, date},
    open::PATIENCE,
    quarter_of,
    recount::whole,
};
use crate::{
    domain::{QUARTER_HOUR, ports::PortError},
    infrastructure::mongo::{document::integer, erasure_rules::time, filter, handles::Handles, store::MongoStore},
};

/// What says that there are counts of all logs, among them.
pub(super) const COMPLETE: &str = "complete";
/// How often what was gathered is added, and quarters in doubt are looked for.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// On a large store whatever has to look at every log takes its time.
const BUILD_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the start waits for a look at the counts.
const LOOK_TIME: Duration = Duration::from_secs(5);

impl MongoStore {
    /// Adds up and recounts, for as long as it is polled.
    pub(in crate::infrastructure::mongo) async fn keep_counts(&self) -> Infallible {
        loop {
            sleep(TEND_EVERY).await;
            if !self.reach().is_up() {
                continue;
            }
            self.tend_open_quarters().await;
            self.look_for_foreign_logs().await;
            loop {
                match self.recount_some().await {
                    Ok(true) => {
                        self.tend_open_quarters().await;
                        self.look_for_foreign_logs().await;
                    }
                    Ok(false) => break,
                    Err(error) => {
                        tracing::debug!(%error, "quarters could not be recounted yet");
                        break;
                    }
                }
            }
        }
    }

    /// Before anything is stored: whether the counts are those of all logs. They are not where another program has
    /// written to the store, or the server has lost something. Where they are in use nobody can tell, and they are
    /// believed.
    pub(in crate::infrastructure::mongo) async fn check_counts(&self) {
        self.counts().complete_is(false);
        let are_right = self.call(LOOK_TIME * 2, |handles| async move { are_right(&handles).await }).await;
        match are_right {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!("the logs have been changed by others: they are counted anew");
                let forgotten = self
                    .call(PATIENCE, |handles| async move {
                        handles.counts().delete_one(doc! {"_id": COMPLETE}).await.map(drop)
                    })
                    .await;
                if let Err(failure) = forgotten {
                    let error = failure.while_trying("forget counts");
                    tracing::debug!(%error, "counts stay as they are");
                }
            }
            Err(failure) => {
                let error = failure.while_trying("look at the counts");
                tracing::debug!(%error, "the counts were not looked at");
            }
        }
    }

    /// Where counts are not complete, every quarter that has logs or counts is put in doubt: then readers count it
    /// themselves until it has been recounted.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    pub(in crate::infrastructure::mongo) async fn complete_counts(&self) -> Result<(), PortError> {
        let complete = self
            .call(PATIENCE, |handles| async move { handles.counts().find_one(doc! {"_id": COMPLETE}).await })
            .await
            .map_err(|failure| failure.while_trying("look at the counts"))?;
        let (undated, foreign) = match complete {
            Some(complete) => (undated_of(&complete), foreign::known(&complete)),
            None => self.doubt_all().await?,
        };
        self.counts().undated_is(undated != 0);
        self.counts().foreign.known_is(foreign);
        self.counts().complete_is(true);
        Ok(())
    }

    async fn doubt_all(&self) -> Result<(i64, Option<ObjectId>), PortError> {
        let failed = |failure: crate::infrastructure::mongo::error::Failure| failure.while_trying("count logs anew");
        let (quarters, foreign) = self
            .call(BUILD_PATIENCE, |handles| async move {
                let foreign = foreign::newest(&handles).await?;
                let mut quarters = quarters_of_counts(&handles).await?;
                quarters.extend(quarters_of_logs(&handles).await?);
                Ok((quarters, foreign))
            })
            .await
            .map_err(failed)?;
        if !quarters.is_empty() {
            tracing::info!(quarters = quarters.len(), "logs are counted in the background");
        }
        let quarters: Vec<Claim> = quarters.into_iter().map(Claim::of_any).collect();
        self.doubt(&quarters).await?;
        self.call(BUILD_PATIENCE, |handles| async move {
            let undated = undated(&handles).await?;
            let complete = doc! {"$set": {"undated": undated, "ids": true, FOREIGN: foreign}};
            handles.counts().update_one(doc! {"_id": COMPLETE}, complete).upsert(true).await?;
            Ok((undated, foreign))
        })
        .await
        .map_err(failed)
    }
}

/// Whether the server's own number of logs is that of the counts.
async fn are_right(handles: &Handles) -> mongodb::error::Result<bool> {
    let Some(complete) = handles.counts().find_one(doc! {"_id": COMPLETE}).await? else { return Ok(true) };
    // They are of before ids were kept.
    if !complete.get_bool("ids").unwrap_or(false) {
        return Ok(false);
    }
    let figure = handles.logs().estimated_document_count().max_time(LOOK_TIME).await?;
    let sum = [doc! {"$group": {"_id": Bson::Null, "n": {"$sum": "$n"}}}];
    let sum: Vec<Document> = handles.counts().aggregate(sum).max_time(LOOK_TIME).await?.try_collect().await?;
    let sum = sum.first().and_then(|sum| sum.get("n")).and_then(whole).unwrap_or(0);
    // Whoever has marks there now is counting, or has been recounting while this was read.
    if handles.count_marks().find_one(doc! {}).await?.is_some() {
        return Ok(true);
    }
    Ok(sum.saturating_add(undated_of(&complete)) == figure.cast_signed())
}

fn undated_of(complete: &RawDocument) -> i64 {
    complete.get("undated").ok().flatten().and_then(integer).unwrap_or(0)
}

async fn quarters_of_counts(handles: &Handles) -> mongodb::error::Result<Vec<i64>> {
    let found = handles.counts().find(doc! {"n": {"$ne": 0}}).projection(doc! {"_id": 1}).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    Ok(found.iter().filter_map(|document| time(document, "_id")).map(quarter_of).collect())
}

/// By a seek for each: the index on the timestamp leads from one to the next.
async fn quarters_of_logs(handles: &Handles) -> mongodb::error::Result<Vec<i64>> {
    let (mut quarters, mut from) = (Vec::new(), Bson::DateTime(DateTime::MIN));
    loop {
        let next = handles
            .logs()
            .find_one(doc! {"timestamp": {"$gte": from}})
            .sort(doc! {"timestamp": 1, "id": 1})
            .projection(doc! {"_id": 0, "timestamp": 1})
            .await?;
        let Some(at) = next.and_then(|log| time(&log, "timestamp")) else { return Ok(quarters) };
        let quarter = quarter_of(at);
        quarters.push(quarter);
        from = date(quarter.saturating_add(QUARTER_HOUR));
    }
}

/// Logs that are in no histogram.
async fn undated(handles: &Handles) -> mongodb::error::Result<i64> {
    let undated = handles.logs().count_documents(filter::without_time()).await?;
    Ok(undated.cast_signed())
}
