//! The collection, written through the store and read through the bare driver.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bson::{RawDocumentBuf, doc};
use eyego::{
    domain::ports::LogRepository,
    infrastructure::mongo::{MongoOptions, MongoStore, raw},
};
use futures_util::{StreamExt, stream};
use mongodb::{Client, Collection, options::CollectionOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    logs::{Logs, Times},
    tell,
};

/// As the worker does.
const BATCH: u64 = 3000;
const IN_FLIGHT: usize = 3;
const OF_FILTERS: [&str; 4] = ["userId_1_id_1", "action_1_id_1", "timestamp_1_id_1", "action_1_timestamp_1_id_1"];
/// The one on `_id`, on the id, and those.
const INDEXES: usize = 2 + OF_FILTERS.len();

async fn collection(uri: &str) -> Collection<RawDocumentBuf> {
    let options = MongoOptions::parse(uri, 0).unwrap();
    let settings = CollectionOptions::builder().write_concern(raw::write_concern()).build();
    let database = Client::with_uri_str(uri).await.unwrap().database(options.database());
    database.collection_with_options("useractivitylogs", settings)
}

/// Leaves the keys and the unique index on the id alone, once a service has made all of them.
pub(crate) async fn drop_indexes(uri: &str) {
    let logs = collection(uri).await;
    with_all_indexes(&logs).await;
    for index in OF_FILTERS {
        logs.drop_index(index).await.unwrap();
    }
    println!("{{}}");
}

async fn with_all_indexes(logs: &Collection<RawDocumentBuf>) {
    while logs.list_index_names().await.unwrap().len() < INDEXES {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn fill(uri: &str, total: u64) {
    let store = Arc::new(MongoStore::new(MongoOptions::parse(uri, 0).unwrap()));
    let stop = CancellationToken::new();
    let filling = async {
        store.prepared().await;
        with_all_indexes(&collection(uri).await).await;
        let mut logs = Logs::new(total, Times::InOrder);
        let begun = Instant::now();
        let batches = (0..total.div_ceil(BATCH)).map(|_| {
            let store = Arc::clone(&store);
            async move { store.reserve(u32::try_from(BATCH).unwrap()).await.unwrap() }
        });
        let batches: Vec<_> = batches.collect();
        let mut numbered = stream::iter(batches).buffered(1);
        let mut appending = stream::FuturesUnordered::new();
        while let Some(ids) = numbered.next().await {
            let batch = logs.batch(ids);
            let store = Arc::clone(&store);
            appending.push(async move { store.append(&batch).await.unwrap() });
            if appending.len() == IN_FLIGHT {
                appending.next().await;
            }
        }
        while appending.next().await.is_some() {}
        tell(total, begun);
        store.close().await;
        stop.cancel();
    };
    tokio::join!(Arc::clone(&store).supervise(stop.clone()), filling);
}

/// What is measured next has the server's memory for itself.
pub(crate) async fn drop(uri: &str) {
    let options = MongoOptions::parse(uri, 0).unwrap();
    Client::with_uri_str(uri).await.unwrap().database(options.database()).drop().await.unwrap();
    println!("{{}}");
}

/// What an export reads, and nothing done with it.
pub(crate) async fn read(uri: &str) {
    let logs = collection(uri).await;
    let (begun, mut count, mut fields) = (Instant::now(), 0, 0);
    let mut cursor = logs.find(doc! {}).sort(doc! {"id": 1}).batch_size(10_000).await.unwrap();
    while cursor.advance().await.unwrap() {
        count += 1;
        for element in cursor.current() {
            let (name, value) = element.unwrap();
            fields += u64::from(name.as_str() != "id" && value.as_null().is_none());
        }
    }
    assert!(fields >= count);
    tell(count, begun);
}

/// The first page as the Node.js service reads it: everything is counted for each.
pub(crate) async fn original(uri: &str) {
    let logs = collection(uri).await;
    let mut took = Vec::new();
    for _ in 0..15 {
        let begun = Instant::now();
        logs.count_documents(doc! {}).await.unwrap();
        let mut page = logs.find(doc! {}).sort(doc! {"id": 1}).skip(0).limit(10).await.unwrap();
        while page.advance().await.unwrap() {}
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    println!(r#"{{"p50_ms":{}}}"#, took[took.len() / 2]);
}
