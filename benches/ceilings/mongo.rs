//! A bare `insert_many` into a collection that the service's store has prepared.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bson::RawDocumentBuf;
use eyego::infrastructure::mongo::{MongoOptions, MongoStore, raw};
use futures_util::{StreamExt, stream};
use mongodb::{Client, Collection, Database, options::DatabaseOptions};
use tokio_util::sync::CancellationToken;

use crate::{Ceiling, logs::Logs};

/// The one on `_id`, on the id, and one for each filter.
const INDEXES: usize = 6;

pub(crate) async fn measure(uri: &str, count: usize) {
    let options = MongoOptions::parse(uri, 0).unwrap();
    let settings = DatabaseOptions::builder().write_concern(raw::write_concern()).build();
    let client = Client::with_uri_str(uri).await.unwrap();
    let database = client.database_with_options(options.database(), settings);
    let documents: Vec<RawDocumentBuf> =
        Logs::new().numbered(count).iter().map(|numbered| raw::encode(numbered).unwrap()).collect();
    let mut ceiling = Ceiling::new("mongo");
    for rows in [500, 1_000, 5_000] {
        for in_flight in [1, 2, 4] {
            let logs = prepared(&options, &database).await;
            let begun = Instant::now();
            let inserts = documents.chunks(rows).map(|batch| insert(logs.clone(), batch));
            stream::iter(inserts).buffer_unordered(in_flight).collect::<()>().await;
            ceiling.variant(&format!("{in_flight} x {rows} documents in flight"), documents.len(), begun);
        }
    }
    database.drop().await.unwrap();
    ceiling.finish();
}

async fn insert(logs: Collection<RawDocumentBuf>, batch: &[RawDocumentBuf]) {
    let inserted = logs.insert_many(batch).ordered(false).await.unwrap();
    assert_eq!(inserted.inserted_ids.len(), batch.len());
}

/// An empty collection with the store's indexes.
async fn prepared(options: &MongoOptions, database: &Database) -> Collection<RawDocumentBuf> {
    database.drop().await.unwrap();
    let store = Arc::new(MongoStore::new(options.clone()));
    let stop = CancellationToken::new();
    let logs = database.collection("useractivitylogs");
    let ready = async {
        store.prepared().await;
        while logs.list_index_names().await.unwrap().len() < INDEXES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    tokio::join!(Arc::clone(&store).supervise(stop.clone()), ready);
    store.close().await;
    logs
}
