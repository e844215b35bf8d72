//! Jobs that erase logs: the collection `erasurejobs`, and erasing step by step.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bson::{Binary, Bson, Document, RawDocument, RawDocumentBuf, doc, raw::RawBson, spec::BinarySubtype};
use futures_util::TryStreamExt;
use mongodb::options::{ReadConcern, ReturnDocument};
use uuid::Uuid;

use super::{
    counts::{Change, Ids},
    delete::one_less,
    document::integer,
    erasure_rules::{date, key, time},
    error::Failure,
    handles::Handles,
    store::MongoStore,
};
use crate::domain::{
    ErasureFilter, ErasureJob, ErasureRules, JobId, JobKind, JobState, LogId, Place, Timestamp,
    ports::{ErasureRequest, ErasureStep, ErasureStore, PortError},
};

const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than the server waits for the majority.
const ERASE_PATIENCE: Duration = Duration::from_secs(60);
/// Longer than an append may go by rules that it read before: see [`super::append`].
const SETTLES_AFTER: Duration = Duration::from_secs(10);

impl MongoStore {
    async fn jobs_where(&self, condition: Document, most: i64) -> Result<Vec<ErasureJob>, PortError> {
        let found: Vec<RawDocumentBuf> = self
            .call(PATIENCE, move |handles| async move {
                let jobs = handles.erasure_jobs();
                let found = jobs.find(condition).sort(doc! {"createdAt": -1, "_id": 1}).limit(most);
                found.read_concern(ReadConcern::majority()).await?.try_collect().await
            })
            .await
            .map_err(|failure| failure.while_trying("read jobs"))?;
        found.iter().map(|document| decode(document)).collect()
    }

    /// Updates one job and returns it as it is afterwards.
    async fn change_job(
        &self,
        condition: Document,
        change: Vec<Document>,
        sort: Document,
    ) -> Result<Option<ErasureJob>, PortError> {
        let changed = self
            .call(PATIENCE, move |handles| async move {
                let jobs = handles.erasure_jobs();
                jobs.find_one_and_update(condition, change).sort(sort).return_document(ReturnDocument::After).await
            })
            .await
            .map_err(|failure| failure.while_trying("change a job"))?;
        changed.as_deref().map(decode).transpose()
    }
}

#[async_trait]
impl ErasureStore for MongoStore {
    async fn begin(&self, job: &ErasureJob) -> Result<ErasureJob, PortError> {
        let (by_id, fields) = (doc! {"_id": key(job.id)}, encode(job));
        self.call(PATIENCE, {
            let by_id = by_id.clone();
            move |handles| async move {
                let jobs = handles.erasure_jobs();
                jobs.update_one(by_id, doc! {"$setOnInsert": fields}).upsert(true).await
            }
        })
        .await
        .map_err(|failure| failure.while_trying("keep a job"))?;
        let kept = self.jobs_where(by_id, 1).await?.pop();
        let kept = kept.ok_or_else(|| PortError::unavailable("a job that was kept is not there"))?;
        // The retention has a rule of its own, and a job that has finished no longer knows whom it was about.
        if kept.kind == JobKind::Erasure && kept.filter().is_some() {
            self.keep_rule(kept.id, kept.rule()).await?;
        }
        Ok(kept)
    }

    fn settles_after(&self) -> Duration {
        SETTLES_AFTER
    }

    async fn retain_from(&self, before: Option<Timestamp>, now: Timestamp) -> Result<(), PortError> {
        self.move_retention(before, now).await
    }

    async fn job(&self, id: JobId) -> Result<Option<ErasureJob>, PortError> {
        Ok(self.jobs_where(doc! {"_id": key(id)}, 1).await?.pop())
    }

    async fn jobs(&self, most: u32) -> Result<Vec<ErasureJob>, PortError> {
        self.jobs_where(Document::new(), i64::from(most)).await
    }

    async fn cancel(&self, id: JobId, now: Timestamp) -> Result<Option<ErasureJob>, PortError> {
        let open = doc! {"_id": key(id), "finishedAt": Bson::Null};
        match self.change_job(open, ended(JobState::Cancelled, now), Document::new()).await? {
            Some(job) => Ok(Some(job)),
            None => self.job(id).await,
        }
    }

    async fn claim(&self, owner: Uuid, lease: Duration) -> Result<Option<ErasureJob>, PortError> {
        let free = doc! {
            "finishedAt": Bson::Null,
            "$or": [
                {"leasedUntil": Bson::Null},
                {"owner": uuid(owner)},
                {"$expr": {"$lt": ["$leasedUntil", "$$NOW"]}},
            ],
        };
        let mut taken = leased(lease);
        taken.extend(doc! {"state": JobState::Running.as_str(), "owner": uuid(owner)});
        self.change_job(free, vec![doc! {"$set": taken}], doc! {"createdAt": 1, "_id": 1}).await
    }

    async fn keep(&self, id: JobId, owner: Uuid, erased: u64, lease: Duration) -> Result<bool, PortError> {
        let ours = doc! {"_id": key(id), "owner": uuid(owner), "finishedAt": Bson::Null};
        let mut kept = leased(lease);
        kept.insert("erased", count(erased));
        Ok(self.change_job(ours, vec![doc! {"$set": kept}], Document::new()).await?.is_some())
    }

    async fn finish(&self, id: JobId, owner: Uuid, erased: u64, now: Timestamp) -> Result<(), PortError> {
        let ours = doc! {"_id": key(id), "owner": uuid(owner), "finishedAt": Bson::Null};
        let mut change = ended(JobState::Done, now);
        change.push(doc! {"$set": {"erased": count(erased)}});
        self.change_job(ours, change, Document::new()).await.map(drop)
    }

    async fn erase(&self, request: &ErasureRequest) -> Result<ErasureStep, PortError> {
        let failed = |failure: Failure| failure.while_trying("erase logs");
        let found = self
            .call(ERASE_PATIENCE, {
                let request = request.clone();
                move |handles| async move { doomed(&handles, &request).await }
            })
            .await
            .map_err(failed)?;
        let is_full = found.len() == request.most as usize;
        // Logs without a number come first, and what is left of them is found by the next pass.
        let none = Place { timestamp: None, id: LogId::new(i64::MIN) };
        let last = found.iter().rev().find_map(|document| place(document)).or(request.after).unwrap_or(none);
        let changes: Vec<Change<'_>> = found.iter().filter_map(|document| one_less(document)).collect();
        let counting = self.counting(changes.iter().map(|change| (change.quarter, Ids::NONE)).collect()).await?;
        let keys: Vec<Bson> = found.iter().filter_map(|document| key_of(document)).collect();
        let erased = match keys.is_empty() {
            true => 0,
            false => {
                self.call(ERASE_PATIENCE, move |handles| async move {
                    handles.logs().delete_many(doc! {"_id": {"$in": keys}}).await
                })
                .await
                .map_err(failed)?
                .deleted_count
            }
        };
        if erased == found.len() as u64 {
            counting.settle(changes, []);
        } else {
            counting.doubt();
        }
        Ok(ErasureStep { erased, next: is_full.then_some(last) })
    }

    /// The letters themselves lie on the bus; what is here names no user.
    async fn erase_dead_letters(&self, _: &ErasureFilter, _: Option<Timestamp>) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn rules(&self) -> Result<Arc<ErasureRules>, PortError> {
        Ok(self.rules_of_late(Duration::ZERO).await?.rules)
    }
}

async fn doomed(handles: &Handles, request: &ErasureRequest) -> mongodb::error::Result<Vec<RawDocumentBuf>> {
    let (condition, order) = selected(request);
    let found = handles
        .logs_to_look_up()
        .find(condition)
        .sort(order)
        .limit(i64::from(request.most))
        .batch_size(request.most)
        .projection(doc! {"_id": 1, "id": 1, "timestamp": 1, "action": 1})
        .await?;
    found.try_collect().await
}

fn key_of(document: &RawDocument) -> Option<Bson> {
    Bson::try_from(RawBson::from(document.get("_id").ok().flatten()?)).ok()
}

/// By the order of the index that finds them, so that what is gone is not walked over again. What has no time of
/// receiving is older than this service.
fn selected(request: &ErasureRequest) -> (Document, Document) {
    let mut all = Vec::new();
    let order = match request.filter.user_id() {
        Some(user_id) => {
            all.push(doc! {"userId": {"$eq": user_id}});
            all.extend(request.after.map(|place| doc! {"id": {"$gt": place.id.get()}}));
            doc! {"id": 1}
        }
        None => {
            let from = request.after.and_then(|place| place.timestamp);
            all.extend(from.map(|from| doc! {"timestamp": {"$gte": date(from)}}));
            doc! {"timestamp": 1}
        }
    };
    all.extend(request.filter.before().map(|before| doc! {"timestamp": {"$lt": date(before)}}));
    let received = request.received_up_to.map(date);
    all.extend(received.map(|last| doc! {"$or": [{"receivedAt": {"$lte": last}}, {"receivedAt": Bson::Null}]}));
    (doc! {"$and": all}, order)
}

fn place(document: &RawDocument) -> Option<Place> {
    let id = integer(document.get("id").ok().flatten()?)?;
    Some(Place { timestamp: time(document, "timestamp"), id: LogId::new(id) })
}

/// By the server's clock: one clock for all that may take a job.
fn leased(lease: Duration) -> Document {
    let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    doc! {"leasedUntil": {"$add": ["$$NOW", millis]}}
}

fn ended(state: JobState, now: Timestamp) -> Vec<Document> {
    vec![doc! {"$set": {"state": state.as_str(), "finishedAt": date(now)}}, doc! {"$unset": ["userId", "leasedUntil"]}]
}

fn uuid(owner: Uuid) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: owner.as_bytes().to_vec() }
}

fn count(erased: u64) -> i64 {
    i64::try_from(erased).unwrap_or(i64::MAX)
}

/// All but the id.
fn encode(job: &ErasureJob) -> Document {
    let mut document = doc! {
        "kind": job.kind.as_str(),
        "state": job.state.as_str(),
        "createdAt": date(job.created_at),
        "erased": count(job.erased),
    };
    document.extend(job.user_id.as_deref().map(|user| ("userId".to_owned(), Bson::from(user))));
    let times = [("before", job.before), ("receivedUpTo", job.received_up_to), ("finishedAt", job.finished_at)];
    document.extend(times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), date(at?)))));
    document
}

fn decode(document: &RawDocument) -> Result<ErasureJob, PortError> {
    read(document).ok_or_else(|| PortError::corrupt("a job cannot be read"))
}

fn read(document: &RawDocument) -> Option<ErasureJob> {
    Some(ErasureJob {
        id: JobId::from_bytes(document.get_binary("_id").ok()?.bytes.try_into().ok()?),
        kind: JobKind::parse(document.get_str("kind").ok()?)?,
        user_id: document.get_str("userId").ok().map(str::to_owned),
        before: time(document, "before"),
        received_up_to: time(document, "receivedUpTo"),
        state: JobState::parse(document.get_str("state").ok()?)?,
        created_at: time(document, "createdAt")?,
        finished_at: time(document, "finishedAt"),
        erased: integer(document.get("erased").ok().flatten()?)?.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_back() {
        let job = ErasureJob {
            id: JobId::derived(&[b"x"]),
            kind: JobKind::Erasure,
            user_id: Some("u".to_owned()),
            before: None,
            received_up_to: Some(Timestamp::from_millis(5)),
            state: JobState::Running,
            created_at: Timestamp::from_millis(4),
            finished_at: None,
            erased: 7,
        };
        let mut document = encode(&job);
        document.insert("_id", key(job.id));
        assert_eq!(read(&RawDocumentBuf::try_from(&document).unwrap()), Some(job));
    }

    #[test]
    fn what_is_selected_has_every_condition() {
        let filter = ErasureFilter::new(Some("$gt".to_owned()), Some(Timestamp::from_millis(9))).unwrap();
        let request = ErasureRequest { filter, received_up_to: None, after: None, most: 1 };
        let expected =
            doc! {"$and": [{"userId": {"$eq": "$gt"}}, {"timestamp": {"$lt": date(Timestamp::from_millis(9))}}]};
        assert_eq!(selected(&request), (expected, doc! {"id": 1}));
    }
}
