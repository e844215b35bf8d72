//! Databases that the old service left: continued and served without migration (contract A2).

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use eyego::domain::{
    LogFilter, LogId, PageRequest,
    ports::{DeleteOutcome, LegacyLogs, LogRepository, Probe},
};
use mongodb::{Database, IndexModel, options::IndexOptions};

use crate::{
    contract::Harness,
    mongo::MongoHarness,
    repository::RepositoryHarness,
    support::{eventually, first_page, list, some_events, store},
};

/// A document as mongoose writes it.
fn old(id: impl Into<Bson>) -> Document {
    doc! {
        "_id": ObjectId::new(), "userId": "user1", "action": "login", "timestamp": DateTime::from_millis(1000),
        "metadata": {"ip": "127.0.0.1"}, "id": id, "__v": 0,
    }
}

/// What the old service left; the indexes are those of its schema.
async fn left(database: &Database, documents: Vec<Document>, seq: impl Into<Bson>) {
    let logs = database.collection::<Document>("useractivitylogs");
    let unique = IndexOptions::builder().unique(true).build();
    let plain = |field: &str| IndexModel::builder().keys(doc! {field: 1}).build();
    let by_id = IndexModel::builder().keys(doc! {"id": 1}).options(unique).build();
    logs.create_indexes([by_id, plain("userId"), plain("action"), plain("timestamp")]).await.unwrap();
    if !documents.is_empty() {
        logs.insert_many(documents).await.unwrap();
    }
    let counter = doc! {"_id": "userActivityLogId", "seq": seq, "__v": 0};
    database.collection::<Document>("counters").insert_one(counter).await.unwrap();
}

async fn on_old_data(documents: Vec<Document>, seq: impl Into<Bson>, test: impl AsyncFnOnce(&mut MongoHarness)) {
    let leave = async |database: &Database| left(database, documents, seq).await;
    let Some(mut harness) = MongoHarness::start_on(leave).await else { return };
    test(&mut harness).await;
    harness.end().await;
}

#[tokio::test]
async fn counters_of_every_type_are_continued() {
    for seq in [Bson::Int32(3), Bson::Int64(3), Bson::Double(3.0)] {
        on_old_data(vec![old(0), old(1_i64), old(2.0)], seq, async |harness| {
            let batch = store(&*harness.store, &some_events(2)).await;
            assert_eq!([batch[0].id.get(), batch[1].id.get()], [3, 4]);
            let ids: Vec<i64> =
                first_page(&*harness.store).await.logs.iter().map(|log| log.id.unwrap().get()).collect();
            assert_eq!(ids, [0, 1, 2, 3, 4]);
        })
        .await;
    }
}

#[tokio::test]
async fn a_counter_behind_the_data_is_raised_before_anything_is_stored() {
    let odd = vec![old(41), old(f64::NAN), old("900"), old(1e300), old(f64::INFINITY), old(42.5)];
    on_old_data(odd, 3, async |harness| {
        assert_eq!(store(&*harness.store, &some_events(1)).await[0].id, LogId::new(43));
    })
    .await;
}

#[tokio::test]
async fn a_counter_that_is_missing_is_made_above_the_data() {
    on_old_data(vec![old(7)], 0, async |harness| {
        harness.database.collection::<Document>("counters").drop().await.unwrap();
        harness.reopen().await;
        assert_eq!(store(&*harness.store, &some_events(1)).await[0].id, LogId::new(8));
    })
    .await;
}

#[tokio::test]
async fn logs_of_every_type_of_id_are_read_and_deleted_without_a_tombstone() {
    on_old_data(vec![old(0), old(1_i64), old(2.0)], 3, async |harness| {
        for id in [0, 1, 2].map(LogId::new) {
            let log = harness.store.get(id).await.unwrap().unwrap();
            assert_eq!((log.id, log.metadata.as_str()), (Some(id), r#"{"ip":"127.0.0.1"}"#));
            assert_eq!(harness.store.delete(id).await.unwrap(), DeleteOutcome::Deleted);
            assert_eq!(harness.store.delete(id).await.unwrap(), DeleteOutcome::NotFound);
        }
        assert_eq!(harness.documents("deletedlogs").await, []);
        assert_eq!(first_page(&*harness.store).await.total, 0);
    })
    .await;
}

#[tokio::test]
async fn odd_documents_stand_on_the_page_with_gaps() {
    let mut without_metadata = old(0);
    without_metadata.remove("metadata");
    let odd = vec![
        without_metadata,
        Document::from_iter(old(1).into_iter().chain([("metadata".to_owned(), Bson::Null)])),
        Document::from_iter(old(2).into_iter().chain([("timestamp".to_owned(), Bson::Null)])),
        Document::from_iter(old(3).into_iter().chain([("metadata".to_owned(), Bson::from("text"))])),
        Document::from_iter(old(4).into_iter().chain([("userId".to_owned(), Bson::Int32(7))])),
        doc! {"_id": "mine", "id": "five"},
        doc! {"_id": 6},
    ];
    on_old_data(odd, 5, async |harness| {
        let found = first_page(&*harness.store).await;
        assert_eq!(found.total, 7);
        let by_id = |id| found.logs.iter().find(|log| log.id == Some(LogId::new(id))).unwrap();
        assert_eq!((by_id(0).metadata.as_str(), by_id(1).metadata.as_str()), ("{}", "{}"));
        assert_eq!((by_id(2).timestamp, by_id(3).metadata.as_str()), (None, "\"text\""));
        assert_eq!(by_id(4).user_id.as_deref(), Some("7"));
        let without_id = found.logs.iter().filter(|log| log.id.is_none()).collect::<Vec<_>>();
        assert_eq!((without_id.len(), without_id[0].user_id.as_deref()), (2, None));
        let first = list(&*harness.store, &LogFilter::default(), PageRequest::new(1, 3).unwrap()).await.unwrap();
        assert_eq!((first.logs.len(), first.total), (3, 7));
    })
    .await;
}

#[tokio::test]
async fn logs_of_the_old_service_are_noticed() {
    on_old_data(vec![], 0, async |harness| {
        assert!(!harness.store.exist().await.unwrap());
        store(&*harness.store, &some_events(2)).await;
        assert!(!harness.store.exist().await.unwrap());
        harness.database.collection::<Document>("useractivitylogs").insert_one(old(9)).await.unwrap();
        assert!(harness.store.exist().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn indexes_of_the_old_service_are_left_alone() {
    on_old_data(vec![old(0)], 1, async |harness| {
        eventually("our own stand", async || harness.index("useractivitylogs", "timestamp_1_id_1").await.is_some())
            .await;
        for name in ["id_1", "userId_1", "action_1", "timestamp_1"] {
            assert!(harness.index("useractivitylogs", name).await.is_some(), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn two_old_logs_with_one_id_keep_the_worker_from_starting() {
    let leave = async |database: &Database| {
        let logs = database.collection::<Document>("useractivitylogs");
        logs.insert_many([old(1), old(1.0)]).await.unwrap();
    };
    let Some(mut harness) = MongoHarness::start_unsupervised(leave).await else { return };
    harness.supervise(0).await;
    eventually("the probe says why", async || harness.down_reason().contains("share one id")).await;
    assert!(futures_util::FutureExt::now_or_never(harness.store.prepared()).is_none());
    assert_eq!(first_page(&*harness.store).await.total, 2);
    assert_eq!(harness.store.delete(LogId::new(1)).await.unwrap(), DeleteOutcome::Deleted);
    harness.store.prepared().await;
    assert!(harness.store.probe().status().is_up());
    harness.end().await;
}

#[tokio::test]
async fn an_index_on_the_id_that_is_not_unique_keeps_the_worker_from_starting() {
    let leave = async |database: &Database| {
        let by_id = IndexModel::builder().keys(doc! {"id": 1}).build();
        database.collection::<Document>("useractivitylogs").create_index(by_id).await.unwrap();
    };
    let Some(mut harness) = MongoHarness::start_unsupervised(leave).await else { return };
    harness.supervise(0).await;
    eventually("the probe says why", async || harness.down_reason().contains("not unique")).await;
    harness.database.collection::<Document>("useractivitylogs").drop_index("id_1").await.unwrap();
    harness.store.prepared().await;
    harness.end().await;
}
