//! The store on MongoDB: its harness, and what only MongoDB has to show.

use std::{collections::HashSet, sync::Arc};

use bson::{Bson, Document, RawDocumentBuf, doc};
use eyego::{
    domain::{
        LogId, Metadata, MetadataPath, NewLog, NumberedEvent,
        ports::{
            AppendOutcome, DeadLetters, ErasureStore, LogExport, LogImport, LogRepository, LogStatistics, Probe, Status,
        },
    },
    infrastructure::mongo::{DeadLetterIndex, MongoOptions, MongoStore},
};
use mongodb::{Client, Database, IndexModel, options::IndexOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    contract::{Harness, run},
    repository::RepositoryHarness,
    support::{event, eventually, first_page, log, number, service, some_events, store, unique_name},
};

/// A running store on a database of its own.
pub(crate) struct MongoHarness {
    pub(crate) uri: String,
    pub(crate) database: Database,
    pub(crate) store: Arc<MongoStore>,
    running: Running,
}

/// A supervised store ends with this.
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Opens a store and lets it run, without waiting for it.
pub(crate) fn open(uri: &str, tombstone_days: u32) -> (Arc<MongoStore>, Running) {
    open_as(MongoOptions::parse(uri, tombstone_days).unwrap())
}

pub(crate) fn open_as(options: MongoOptions) -> (Arc<MongoStore>, Running) {
    let store = Arc::new(MongoStore::new(options));
    let mut running = Running { stop: CancellationToken::new(), tasks: JoinSet::new() };
    running.tasks.spawn(store.clone().supervise(running.stop.clone()));
    (store, running)
}

/// The URI with the database put into it.
fn with_database(uri: &str, database: &str) -> String {
    let (hosts, options) = uri.split_once('?').unwrap_or((uri, "appName=suite"));
    let (scheme, hosts) = hosts.split_once("://").unwrap();
    let hosts = hosts.split('/').next().unwrap();
    format!("{scheme}://{hosts}/{database}?{options}")
}

impl MongoHarness {
    /// With what others left in the database before.
    pub(crate) async fn start_on(prepare: impl AsyncFnOnce(&Database)) -> Option<Self> {
        let mut harness = Self::start_unsupervised(prepare).await?;
        harness.supervise(0).await;
        harness.store.prepared().await;
        Some(harness)
    }

    pub(crate) async fn start_unsupervised(prepare: impl AsyncFnOnce(&Database)) -> Option<Self> {
        let name = unique_name("suite");
        let uri = with_database(&service("MONGO_URI")?, &name);
        let database = Client::with_uri_str(&uri).await.unwrap().database(&name);
        prepare(&database).await;
        let store = Arc::new(MongoStore::new(MongoOptions::parse(&uri, 0).unwrap()));
        let running = Running { stop: CancellationToken::new(), tasks: JoinSet::new() };
        Some(Self { uri, database, store, running })
    }

    /// Ends the store that runs and lets another one run.
    pub(crate) async fn supervise(&mut self, tombstone_days: u32) {
        self.supervise_as(MongoOptions::parse(&self.uri, tombstone_days).unwrap()).await;
    }

    pub(crate) async fn supervise_as(&mut self, options: MongoOptions) {
        let (store, running) = open_as(options);
        self.store = store;
        std::mem::replace(&mut self.running, running).end().await;
    }

    pub(crate) fn down_reason(&self) -> String {
        match self.store.probe().status() {
            Status::Down(reason) => reason,
            Status::Up => String::new(),
        }
    }

    /// Raw, because the driver's own way through serde takes plain data for extended JSON.
    pub(crate) async fn documents(&self, collection: &str) -> Vec<Document> {
        let mut cursor = self.database.collection::<RawDocumentBuf>(collection).find(doc! {}).await.unwrap();
        let mut documents = Vec::new();
        while cursor.advance().await.unwrap() {
            documents.push(Document::try_from(cursor.current()).unwrap());
        }
        documents
    }

    pub(crate) async fn index(&self, collection: &str, name: &str) -> Option<IndexModel> {
        let mut cursor = self.database.collection::<Document>(collection).list_indexes().await.ok()?;
        while cursor.advance().await.unwrap() {
            let index = cursor.deserialize_current().unwrap();
            if index.options.as_ref().and_then(|options| options.name.as_deref()) == Some(name) {
                return Some(index);
            }
        }
        None
    }
}

impl Harness for MongoHarness {
    async fn start() -> Option<Self> {
        Self::start_on(async |_| {}).await
    }

    async fn end(self) {
        self.running.end().await;
        self.database.drop().await.unwrap();
    }
}

impl RepositoryHarness for MongoHarness {
    fn logs(&self) -> Arc<dyn LogRepository> {
        self.store.clone()
    }

    fn erasure(&self) -> Arc<dyn ErasureStore> {
        self.store.clone()
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(DeadLetterIndex::new(self.store.clone()))
    }

    fn statistics(&self) -> Arc<dyn LogStatistics> {
        self.store.clone()
    }

    fn export(&self) -> Arc<dyn LogExport> {
        self.store.clone()
    }

    fn import(&self) -> Arc<dyn LogImport> {
        self.store.clone()
    }

    async fn reopen(&mut self) {
        self.supervise(0).await;
        self.store.prepared().await;
    }

    async fn reopen_with_indexes_of(&mut self, paths: &[MetadataPath]) {
        self.supervise_as(MongoOptions::parse(&self.uri, 0).unwrap().with_metadata_indexes(paths.to_vec())).await;
        self.store.prepared().await;
        let wanted: HashSet<String> = paths.iter().map(|path| format!("eyego_metadata_{path}")).collect();
        let logs = self.database.collection::<Document>("useractivitylogs");
        eventually("the listed indexes are there", async || {
            let names = logs.list_index_names().await.unwrap().into_iter();
            names.filter(|name| name.starts_with("eyego_metadata_")).collect::<HashSet<_>>() == wanted
        })
        .await;
    }
}

async fn on_mongo(test: impl AsyncFnOnce(&mut MongoHarness)) {
    run::<MongoHarness>(test).await;
}

#[tokio::test]
async fn documents_have_the_shape_that_the_old_service_reads() {
    on_mongo(async |harness| {
        let metadata = Metadata::from_canonical(r#"{"ip":"127.0.0.1","$oid":"x"}"#);
        let event = event(NewLog { metadata, ..log("user1", "login") });
        store(&*harness.store, std::slice::from_ref(&event)).await;
        let expected = doc! {
            "_id": bson::Uuid::from_bytes(*event.id.as_bytes()),
            "id": 0_i64,
            "userId": "user1",
            "action": "login",
            "timestamp": bson::DateTime::from_millis(1_747_830_896_789),
            "metadata": {"ip": "127.0.0.1", "$oid": "x"},
            "receivedAt": bson::DateTime::from_millis(1_747_830_897_000),
        };
        assert_eq!(harness.documents("useractivitylogs").await, [expected]);
        let counter = doc! {"_id": "userActivityLogId", "seq": 1_i64};
        assert_eq!(harness.documents("counters").await, [counter]);
    })
    .await;
}

#[tokio::test]
async fn filters_have_their_indexes() {
    on_mongo(async |harness| {
        let last = "action_1_timestamp_1_id_1";
        eventually("the indexes stand", async || harness.index("useractivitylogs", last).await.is_some()).await;
        for (name, keys) in [
            ("id_1", doc! {"id": 1}),
            ("userId_1_id_1", doc! {"userId": 1, "id": 1}),
            ("action_1_id_1", doc! {"action": 1, "id": 1}),
            ("timestamp_1_id_1", doc! {"timestamp": 1, "id": 1}),
            (last, doc! {"action": 1, "timestamp": 1, "id": 1}),
        ] {
            assert_eq!(harness.index("useractivitylogs", name).await.unwrap().keys, keys);
        }
        let unique = harness.index("useractivitylogs", "id_1").await.unwrap().options.unwrap().unique;
        assert_eq!(unique, Some(true));
    })
    .await;
}

#[tokio::test]
async fn preparing_again_changes_nothing() {
    on_mongo(async |harness| {
        store(&*harness.store, &some_events(3)).await;
        let (one, two) = tokio::join!(harness.store.prepare(), harness.store.prepare());
        one.unwrap();
        two.unwrap();
        assert_eq!(harness.store.reserve(1).await.unwrap().next(), Some(LogId::new(3)));
    })
    .await;
}

#[tokio::test]
async fn tombstones_expire_as_set() {
    on_mongo(async |harness| {
        let after = async |harness: &MongoHarness| {
            let index = harness.index("deletedlogs", "at_1").await?;
            index.options?.expire_after.map(|after| after.as_secs())
        };
        let batch = store(&*harness.store, &some_events(1)).await;
        harness.store.delete(batch[0].id).await.unwrap();
        assert!(harness.documents("deletedlogs").await[0].get_datetime("at").is_ok());
        for (days, seconds) in [(0, None), (30, Some(2_592_000)), (1, Some(86_400)), (0, None)] {
            harness.supervise(days).await;
            eventually("the index is as set", async || after(harness).await == seconds).await;
            harness.store.prepared().await;
            assert_eq!(harness.store.append(&batch).await.unwrap(), [AppendOutcome::Deleted]);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_for_a_document_is_refused_alone() {
    on_mongo(async |harness| {
        let mut events = some_events(3);
        events[1].log.metadata = Metadata::from_canonical(format!("\"{}\"", "x".repeat(16 << 20)));
        let batch = number(&*harness.store, &events).await;
        let outcomes = harness.store.append(&batch).await.unwrap();
        assert!(matches!(&outcomes[1], AppendOutcome::Rejected(reason) if reason.contains("16777216")), "{outcomes:?}");
        assert_eq!((&outcomes[0], &outcomes[2]), (&AppendOutcome::Stored, &AppendOutcome::Stored));
        let largest = format!("\"{}\"", "x".repeat((16 << 20) - 300));
        let large = event(NewLog { metadata: Metadata::from_canonical(largest.clone()), ..log("u", "large") });
        let id = store(&*harness.store, &[large]).await[0].id;
        assert_eq!(harness.store.get(id).await.unwrap().unwrap().metadata.as_str(), largest);
    })
    .await;
}

#[tokio::test]
async fn a_batch_larger_than_a_message_is_stored_whole() {
    on_mongo(async |harness| {
        let metadata = Metadata::from_canonical(format!("\"{}\"", "x".repeat(6 << 20)));
        let events: Vec<_> = (0..10).map(|_| event(NewLog { metadata: metadata.clone(), ..log("u", "a") })).collect();
        let batch = store(&*harness.store, &events).await;
        for numbered in &batch {
            assert!(harness.store.get(numbered.id).await.unwrap().is_some());
        }
        assert!(first_page(&*harness.store).await.logs.len() < 10, "more than a page may hold");
    })
    .await;
}

#[tokio::test]
async fn a_document_that_the_server_validates_away_is_refused_alone() {
    on_mongo(async |harness| {
        let validator = doc! {"action": {"$ne": "forbidden"}};
        harness.database.run_command(doc! {"collMod": "useractivitylogs", "validator": validator}).await.unwrap();
        let events = [event(log("u", "a")), event(log("u", "forbidden")), event(log("u", "b"))];
        let batch = number(&*harness.store, &events).await;
        let outcomes = harness.store.append(&batch).await.unwrap();
        assert!(matches!(&outcomes[1], AppendOutcome::Rejected(reason) if reason.contains("121")), "{outcomes:?}");
        assert_eq!(first_page(&*harness.store).await.total, 2);
    })
    .await;
}

#[tokio::test]
async fn a_duplicate_by_an_index_of_others_is_no_success() {
    on_mongo(async |harness| {
        let unique = IndexOptions::builder().unique(true).build();
        let index = IndexModel::builder().keys(doc! {"receivedAt": 1}).options(unique).build();
        harness.database.collection::<Document>("useractivitylogs").create_index(index).await.unwrap();
        let batch = number(&*harness.store, &some_events(2)).await;
        let outcomes = harness.store.append(&batch).await.unwrap();
        assert_eq!(outcomes[0], AppendOutcome::Stored);
        assert!(matches!(&outcomes[1], AppendOutcome::Rejected(reason) if reason.contains("receivedAt_1")));
    })
    .await;
}

#[tokio::test]
async fn two_stores_never_share_an_id() {
    on_mongo(async |harness| {
        let (other, running) = open(&harness.uri, 0);
        other.prepared().await;
        let fill = async |store: Arc<MongoStore>| {
            for _ in 0..20 {
                crate::support::store(&*store, &some_events(10)).await;
            }
        };
        tokio::join!(fill(harness.store.clone()), fill(other));
        running.end().await;
        let found = first_page(&*harness.store).await;
        let mut ids: Vec<i64> = found.logs.iter().filter_map(|log| log.id.map(LogId::get)).collect();
        ids.dedup();
        assert_eq!((found.total, ids.len()), (400, 400));
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_emptied_under_it_is_used_again() {
    on_mongo(async |harness| {
        store(&*harness.store, &some_events(3)).await;
        harness.database.drop().await.unwrap();
        assert_eq!(first_page(&*harness.store).await.total, 0);
        store(&*harness.store, &some_events(3)).await;
        assert_eq!(first_page(&*harness.store).await.total, 3);
    })
    .await;
}

#[tokio::test]
async fn a_counter_that_is_no_number_is_reported_and_not_guessed() {
    on_mongo(async |harness| {
        let counters = harness.database.collection::<Document>("counters");
        let set = async |seq: Bson| {
            counters.update_one(doc! {"_id": "userActivityLogId"}, doc! {"$set": {"seq": seq}}).await.unwrap();
        };
        set(Bson::Double(5.5)).await;
        assert!(harness.store.reserve(1).await.is_err());
        set(Bson::from("text")).await;
        assert!(harness.store.reserve(1).await.is_err());
        set(Bson::Double(7.0)).await;
        assert_eq!(harness.store.reserve(2).await.unwrap().next(), Some(LogId::new(7)));
    })
    .await;
}

#[tokio::test]
async fn a_taken_id_is_told_apart_from_a_stored_event() {
    on_mongo(async |harness| {
        let events = some_events(2);
        let batch = store(&*harness.store, &events).await;
        let swapped = [
            NumberedEvent { id: batch[1].id, offset: 1, event: events[0].clone() },
            NumberedEvent { id: batch[0].id, offset: 0, event: event(log("u", "new")) },
        ];
        let outcomes = harness.store.append(&swapped).await.unwrap();
        assert_eq!(outcomes, [AppendOutcome::AlreadyStored, AppendOutcome::IdTaken]);
    })
    .await;
}
