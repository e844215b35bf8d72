//! What only the counts of MongoDB have to show, where no transaction keeps them: they come right whatever happens.

use std::{collections::BTreeMap, time::Duration};

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use eyego::{
    domain::{GroupBy, LogFilter, QUARTER_HOUR, ports::LogStatistics},
    infrastructure::mongo::MongoOptions,
};
use tokio::task::JoinSet;

use crate::{
    contract::Harness,
    mongo::{MongoHarness, open_as},
    statistics::Model,
    support::{MAX_TIME, at, eventually},
};

const LEASE: Duration = Duration::from_secs(3);

fn number(document: &Document, field: &str) -> i64 {
    document.get_i64(field).unwrap_or_default()
}

/// The logs of each quarter, by what is kept.
async fn kept(harness: &MongoHarness) -> BTreeMap<i64, i64> {
    let counts = harness.documents("logcounts").await.into_iter();
    counts
        .filter(|counts| counts.get_datetime("_id").is_ok())
        .inspect(|counts| {
            let of_actions = counts.get_document("a").into_iter().flat_map(|of_actions| of_actions.values());
            let of_actions: i64 = of_actions.map(|count| count.as_i64().unwrap()).sum();
            assert_eq!(of_actions, number(counts, "n"), "{counts}");
        })
        .map(|counts| (counts.get_datetime("_id").unwrap().timestamp_millis(), number(&counts, "n")))
        .filter(|(_, count)| *count != 0)
        .collect()
}

async fn stored(harness: &MongoHarness) -> BTreeMap<i64, i64> {
    let mut quarters = BTreeMap::new();
    for log in harness.documents("useractivitylogs").await {
        if let Ok(at) = log.get_datetime("timestamp") {
            *quarters.entry(at.timestamp_millis().div_euclid(QUARTER_HOUR) * QUARTER_HOUR).or_default() += 1;
        }
    }
    quarters
}

/// Nothing is in doubt or open any more, and every count is that of the logs.
async fn settles(harness: &MongoHarness) {
    eventually("no quarter is open or in doubt", async || harness.documents("logcountmarks").await.is_empty()).await;
    assert_eq!(kept(harness).await, stored(harness).await);
}

fn options(harness: &MongoHarness) -> MongoOptions {
    MongoOptions::parse(&harness.uri, 0).unwrap().with_count_lease(LEASE)
}

#[tokio::test]
async fn counts_of_a_store_that_died_are_made_up_for() {
    let Some(mut harness) = MongoHarness::start().await else { return };
    let mut model = Model::new(11);
    for _ in 0..3 {
        let (store, running) = open_as(options(&harness));
        store.prepared().await;
        model.store_more(&*store, 150).await;
        model.delete_one(&*store).await;
        // It has not added anything up, and never will.
        running.end().await;
    }
    harness.supervise_as(options(&harness)).await;
    settles(&harness).await;
    model.agrees(&*harness.store).await;
    harness.end().await;
}

#[tokio::test]
async fn counts_of_a_store_that_is_closed_are_complete_at_once() {
    let Some(harness) = MongoHarness::start().await else { return };
    let mut model = Model::new(12);
    let (store, running) = open_as(options(&harness));
    store.prepared().await;
    model.store_more(&*store, 150).await;
    running.end().await;
    store.close().await;
    assert_eq!(harness.documents("logcountmarks").await, Vec::<Document>::new());
    assert_eq!(kept(&harness).await, stored(&harness).await);
    harness.end().await;
}

#[tokio::test]
async fn several_stores_count_together_while_quarters_are_recounted() {
    let Some(mut harness) = MongoHarness::start().await else { return };
    harness.supervise_as(options(&harness)).await;
    let mut stores = JoinSet::new();
    for seed in 20..23 {
        let (store, running) = open_as(options(&harness));
        stores.spawn(async move {
            store.prepared().await;
            let mut model = Model::new(seed);
            for _ in 0..12 {
                model.store_more(&*store, 40).await;
                for _ in 0..4 {
                    model.delete_one(&*store).await;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            (model, store, running)
        });
    }
    let marks = harness.database.collection::<Document>("logcountmarks");
    let mut all = Model::new(23);
    let mut ended = Vec::new();
    loop {
        // Every quarter is in doubt again and again.
        for quarter in stored(&harness).await.keys() {
            let key = doc! {"q": DateTime::from_millis(*quarter), "w": "?"};
            let doubt = doc! {"$currentDate": {"at": true}};
            marks.update_one(doc! {"_id": key}, doubt).upsert(true).await.unwrap();
        }
        match tokio::time::timeout(Duration::from_millis(700), stores.join_next()).await {
            Ok(Some(done)) => {
                let (model, store, running) = done.unwrap();
                all.logs.extend(model.logs);
                ended.push((store, running));
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    settles(&harness).await;
    all.agrees(&*harness.store).await;
    for (_, running) in ended {
        running.end().await;
    }
    harness.end().await;
}

fn old(id: i64, timestamp: impl Into<Bson>, action: impl Into<Bson>) -> Document {
    doc! {"_id": ObjectId::new(), "id": id, "userId": "u", "action": action.into(), "timestamp": timestamp.into()}
}

#[tokio::test]
async fn logs_of_before_there_were_counts_are_counted() {
    let day = 1_747_785_600_000;
    let harness = MongoHarness::start_on(async |database| {
        let logs = database.collection::<Document>("useractivitylogs");
        let mut documents: Vec<Document> =
            (0..40).map(|n| old(n, DateTime::from_millis(day + n * 100_000), ["a", "b"][n as usize % 2])).collect();
        documents.push(old(40, Bson::Null, "a"));
        documents.push(old(41, "2025-05-21", Bson::Null));
        documents.push(old(42, DateTime::from_millis(day), 7));
        logs.insert_many(documents).await.unwrap();
    });
    let Some(mut harness) = harness.await else { return };
    let complete = async |harness: &MongoHarness| {
        let counts = harness.documents("logcounts").await;
        counts.iter().any(|counts| counts.get_str("_id").is_ok_and(|key| key == "complete"))
    };
    eventually("there are counts", async || complete(&harness).await).await;
    settles(&harness).await;
    let tops = harness.store.tops(&LogFilter::default(), GroupBy::Action, 9, MAX_TIME).await.unwrap();
    let groups: Vec<(Option<&str>, u64)> =
        tops.groups.iter().map(|group| (group.value.as_deref(), group.count)).collect();
    assert_eq!(groups, [(Some("a"), 21), (Some("b"), 20), (None, 2)], "also those without a time");
    let dated = LogFilter { from: Some(at(0)), ..LogFilter::default() };
    assert_eq!(harness.store.tops(&dated, GroupBy::Action, 9, MAX_TIME).await.unwrap().total, 41);
    // Somebody deletes and stores while nobody counts.
    harness.store.close().await;
    let logs = harness.database.collection::<Document>("useractivitylogs");
    logs.delete_many(doc! {"id": {"$lt": 10}}).await.unwrap();
    logs.insert_one(old(43, DateTime::from_millis(day + 86_400_000), "c")).await.unwrap();
    harness.supervise_as(options(&harness)).await;
    harness.store.prepared().await;
    eventually("there are counts again", async || {
        complete(&harness).await && kept(&harness).await == stored(&harness).await
    })
    .await;
    settles(&harness).await;
    harness.end().await;
}

#[tokio::test]
async fn days_that_are_summed_up_follow_their_quarters() {
    let Some(harness) = MongoHarness::start().await else { return };
    let mut model = Model::new(31);
    for _ in 0..3 {
        model.store_more(&*harness.store, 100).await;
        model.agrees(&*harness.store).await;
        settles(&harness).await;
        let tops = harness.store.tops(&LogFilter::default(), GroupBy::Action, 9, MAX_TIME).await.unwrap();
        assert_eq!(tops.total, model.logs.len() as u64);
        assert!(!harness.documents("logcountdays").await.is_empty());
    }
    harness.end().await;
}
