//! What has to stay away, as every process that appends knows it: the collection `erasurerules`, read again when it has
//! changed.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bson::{Binary, Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc, spec::BinarySubtype};
use futures_util::TryStreamExt;
use mongodb::{error::Error, options::ReadConcern};
use tokio::time::Instant;

use super::{document::integer, handles::Handles, store::MongoStore};
use crate::domain::{ErasureRule, ErasureRules, JobId, Timestamp, UserDigest, ports::PortError};

/// Counts how often the rules were changed.
const VERSION: &str = "version";
const RETENTION: &str = "retention";
const PATIENCE: Duration = Duration::from_secs(15);

/// The rules as they were at some time.
#[derive(Debug, Clone)]
pub(super) struct KnownRules {
    pub(super) rules: Arc<ErasureRules>,
    /// They were read after this.
    pub(super) at: Instant,
    version: i64,
}

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct RuleCache(RwLock<Option<KnownRules>>);

impl RuleCache {
    fn get(&self) -> Option<KnownRules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, known: KnownRules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

impl MongoStore {
    /// The rules as they were no longer ago than that.
    pub(super) async fn rules_of_late(&self, max_age: Duration) -> Result<KnownRules, PortError> {
        let cached = self.rule_cache().get();
        if let Some(known) = cached.as_ref().filter(|known| known.at.elapsed() <= max_age) {
            return Ok(known.clone());
        }
        let known = self
            .call(PATIENCE, move |handles| async move { read(&handles, cached).await })
            .await
            .map_err(|failure| failure.while_trying("read what was erased"))?;
        self.rule_cache().set(known.clone());
        Ok(known)
    }

    /// Keeps a rule, unless there is one of this job already.
    pub(super) async fn keep_rule(&self, id: JobId, rule: ErasureRule) -> Result<(), PortError> {
        let by_id = doc! {"_id": key(id)};
        let rule = encode(&rule);
        self.call(PATIENCE, move |handles| async move {
            let rules = handles.erasure_rules();
            rules.update_one(by_id, doc! {"$setOnInsert": rule}).upsert(true).await?;
            changed(&handles).await
        })
        .await
        .map_err(|failure| failure.while_trying("keep what is to be erased"))
    }

    /// Moves the retention's rule. Where it moves back, what it kept away so far stays away.
    pub(super) async fn move_retention(&self, before: Option<Timestamp>, now: Timestamp) -> Result<(), PortError> {
        self.call(PATIENCE, move |handles| async move {
            let rules = handles.erasure_rules();
            let by_id = doc! {"_id": RETENTION};
            let known = rules.find_one(by_id.clone()).read_concern(ReadConcern::majority()).await?;
            let known = known.as_deref().and_then(|rule| time(rule, "before"));
            if known == before {
                return Ok(());
            }
            if let Some(known) = known.filter(|known| before.is_none_or(|before| before < *known)) {
                let id = key(JobId::derived(&[b"retention", &known.as_millis().to_be_bytes()]));
                let kept = encode(&ErasureRule { user: None, before: Some(known), received_up_to: Some(now) });
                rules.update_one(doc! {"_id": id}, doc! {"$set": kept}).upsert(true).await?;
            }
            match before {
                Some(before) => {
                    let set = doc! {"$set": {"before": date(before)}};
                    rules.update_one(by_id, set).upsert(true).await.map(drop)?;
                }
                None => rules.delete_one(by_id).await.map(drop)?,
            }
            changed(&handles).await
        })
        .await
        .map_err(|failure| failure.while_trying("keep how long logs are kept"))
    }
}

/// Whoever reads the version after this reads the rules again.
async fn changed(handles: &Handles) -> Result<(), Error> {
    let bump = doc! {"$inc": {"n": 1_i64}};
    handles.erasure_rules().update_one(doc! {"_id": VERSION}, bump).upsert(true).await.map(drop)
}

async fn read(handles: &Handles, cached: Option<KnownRules>) -> Result<KnownRules, Error> {
    let at = Instant::now();
    let collection = handles.erasure_rules();
    // Before the rules: a rule that comes in between is read once more at the next look.
    let version = collection.find_one(doc! {"_id": VERSION}).read_concern(ReadConcern::majority()).await?;
    let version = version.as_deref().and_then(|document| integer(document.get("n").ok().flatten()?)).unwrap_or(0);
    if let Some(known) = cached.filter(|known| known.version == version) {
        return Ok(KnownRules { at, ..known });
    }
    let all = collection.find(doc! {"_id": {"$ne": VERSION}}).read_concern(ReadConcern::majority()).await?;
    let all: Vec<RawDocumentBuf> = all.try_collect().await?;
    let rules = all.iter().map(|document| decode(document)).collect();
    Ok(KnownRules { rules: Arc::new(rules), at, version })
}

pub(super) fn key(id: JobId) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() }
}

pub(super) fn date(at: Timestamp) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.as_millis()))
}

pub(super) fn time(document: &RawDocument, name: &str) -> Option<Timestamp> {
    let at = document.get_datetime(name).ok()?;
    Some(Timestamp::from_millis(at.timestamp_millis()))
}

fn encode(rule: &ErasureRule) -> Document {
    let mut document = Document::new();
    if let Some(user) = rule.user {
        document.insert("user", Binary { subtype: BinarySubtype::Generic, bytes: user.as_bytes().to_vec() });
    }
    document.extend(rule.before.map(|before| ("before".to_owned(), date(before))));
    document.extend(rule.received_up_to.map(|last| ("receivedUpTo".to_owned(), date(last))));
    document
}

fn decode(document: &RawDocument) -> ErasureRule {
    let user = document.get_binary("user").ok().and_then(|user| user.bytes.try_into().ok());
    ErasureRule {
        user: user.map(UserDigest::from_bytes),
        before: time(document, "before"),
        received_up_to: time(document, "receivedUpTo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back() {
        let at = Timestamp::from_millis;
        for rule in [
            ErasureRule { user: Some(UserDigest::of("u")), before: None, received_up_to: Some(at(5)) },
            ErasureRule { user: None, before: Some(at(-1)), received_up_to: None },
        ] {
            assert_eq!(decode(&RawDocumentBuf::try_from(&encode(&rule)).unwrap()), rule);
        }
    }
}
