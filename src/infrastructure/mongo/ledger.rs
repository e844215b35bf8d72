//! The ledger: one document per partition of the topic, moved by compare-and-set on its `next`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::options::ReadConcern;

use super::{document::integer, handles::Handles, store::MongoStore};
use crate::domain::{
    Account, Tally,
    ports::{AccountMove, Ledger, LedgerWriter, PortError},
};

/// How long anybody waits for the accounts.
const PATIENCE: Duration = Duration::from_secs(15);

/// The accounts of one topic.
#[derive(Debug, Clone)]
pub struct MongoLedger {
    store: Arc<MongoStore>,
    topic: Arc<str>,
}

impl MongoLedger {
    pub fn new(store: Arc<MongoStore>, topic: &str) -> Self {
        Self { store, topic: topic.into() }
    }

    fn key(&self, partition: i32) -> Document {
        doc! {"topic": self.topic.as_ref(), "partition": partition}
    }

    fn update(&self, change: &AccountMove) -> Document {
        let AccountMove { from, to } = change;
        let tally = to.tally;
        let account = doc! {
            "first": to.first,
            "next": to.next,
            "stored": count(tally.stored),
            "duplicates": count(tally.duplicates),
            "deadLettered": count(tally.dead_lettered),
            "expired": count(tally.expired),
            "skipped": count(tally.skipped),
        };
        match from {
            Some(next) => doc! {"q": {"_id": self.key(to.partition), "next": next}, "u": {"$set": account}},
            None => doc! {"q": {"_id": self.key(to.partition)}, "u": {"$setOnInsert": account}, "upsert": true},
        }
    }
}

fn count(events: u64) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

impl MongoLedger {
    /// Keys are compared field by field, so this is one range of the index, in the order of the partitions.
    fn query(&self) -> Document {
        doc! {"_id": {"$gte": self.key(i32::MIN), "$lte": self.key(i32::MAX)}}
    }

    async fn read<F>(&self, find: impl FnOnce(Handles) -> F) -> Result<Vec<Account>, PortError>
    where
        F: Future<Output = mongodb::error::Result<Vec<RawDocumentBuf>>> + Send + 'static,
    {
        let found = self.store.call(PATIENCE, find).await.map_err(|failure| failure.while_trying("read the ledger"))?;
        let odd = || PortError::corrupt("an account of the ledger makes no sense");
        found.iter().map(|document| account(document).ok_or_else(odd)).collect()
    }
}

#[async_trait]
impl Ledger for MongoLedger {
    async fn accounts(&self) -> Result<Vec<Account>, PortError> {
        let query = self.query();
        self.read(|handles| async move {
            handles.ledger_to_read().find(query).sort(doc! {"_id": 1}).await?.try_collect().await
        })
        .await
    }
}

fn account(document: &RawDocument) -> Option<Account> {
    let number = |name| document.get(name).ok().flatten().and_then(integer);
    let count = |name| number(name).and_then(|count| u64::try_from(count).ok());
    let partition = match document.get("_id").ok()?? {
        RawBsonRef::Document(key) => integer(key.get("partition").ok()??)?,
        _ => return None,
    };
    Some(Account {
        partition: i32::try_from(partition).ok()?,
        first: number("first")?,
        next: number("next")?,
        tally: Tally {
            stored: count("stored")?,
            duplicates: count("duplicates")?,
            dead_lettered: count("deadLettered")?,
            expired: count("expired")?,
            skipped: count("skipped")?,
        },
    })
}

#[async_trait]
impl LedgerWriter for MongoLedger {
    async fn confirmed(&self) -> Result<Vec<Account>, PortError> {
        let query = self.query();
        self.read(|handles| async move {
            let ledger = handles.ledger();
            let accounts = ledger.find(query).sort(doc! {"_id": 1}).read_concern(ReadConcern::majority());
            accounts.await?.try_collect().await
        })
        .await
    }

    async fn replace(&self, moves: &[AccountMove]) -> Result<bool, PortError> {
        let updates: Vec<Document> = moves.iter().map(|change| self.update(change)).collect();
        let updated = self.store.update_many("write the ledger", Handles::ledger, updates).await?;
        Ok(updated == moves.len())
    }
}
