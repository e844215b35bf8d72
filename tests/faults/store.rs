//! What is really stored, read past the service.

use std::path::PathBuf;

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use eyego::domain::EventId;
use futures_util::TryStreamExt as _;
use mongodb::{Client, Collection, Database};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Runtime;

/// A stored log, as far as the account needs it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    /// Empty where the document is not of this service.
    pub(crate) event_id: String,
    pub(crate) user: String,
    pub(crate) action: String,
}

/// How many ids are asked for at a time.
const CHUNK: usize = 2000;

pub(crate) enum Store {
    Mongo { runtime: Runtime, database: Database },
    Embedded { folder: PathBuf },
}

impl Store {
    pub(crate) fn mongo(uri: &str, database: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let short = "serverSelectionTimeoutMS=2000&connectTimeoutMS=2000";
        let joint = if uri.contains('?') { "&" } else { "/?" };
        let client = runtime.block_on(Client::with_uri_str(format!("{uri}{joint}{short}"))).unwrap();
        let database = client.database(database);
        Self::Mongo { runtime, database }
    }

    /// Runs a future on MongoDB's database.
    pub(crate) fn on_mongo<T>(&self, work: impl AsyncFnOnce(&Database) -> T) -> T {
        match self {
            Self::Mongo { runtime, database } => runtime.block_on(work(database)),
            Self::Embedded { .. } => panic!("this scenario is for MongoDB"),
        }
    }

    pub(crate) fn all(&self) -> Vec<Stored> {
        match self {
            Self::Mongo { .. } => self.on_mongo(async |database| {
                let wanted = doc! {"id": 1, "userId": 1, "action": 1};
                let found = logs(database).find(doc! {}).projection(wanted).await.unwrap();
                found.try_collect::<Vec<_>>().await.unwrap().iter().map(read).collect()
            }),
            Self::Embedded { folder } => {
                let connection = open(folder, "logs.db").unwrap();
                let mut statement =
                    connection.prepare("SELECT id, event_id, user_id, action FROM logs ORDER BY id").unwrap();
                let rows = statement.query_map([], |row| {
                    let event_id: Vec<u8> = row.get(1)?;
                    Ok(Stored { id: row.get(0)?, event_id: text(&event_id), user: row.get(2)?, action: row.get(3)? })
                });
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
        }
    }

    /// How many logs there are; `None` while the store cannot be asked.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Mongo { .. } => self.on_mongo(async |database| logs(database).count_documents(doc! {}).await.ok()),
            Self::Embedded { folder } => {
                let connection = open(folder, "logs.db").ok()?;
                connection.query_row("SELECT count(*) FROM logs", [], |row| row.get::<_, i64>(0)).ok()?.try_into().ok()
            }
        }
    }

    /// Whether all of these are stored; the latest are looked at first, because they come last.
    pub(crate) fn holds(&self, event_ids: &[String]) -> bool {
        event_ids.rchunks(CHUNK).all(|ids| self.count_of(ids) == Some(ids.len()))
    }

    fn count_of(&self, event_ids: &[String]) -> Option<usize> {
        let keys = event_ids.iter().map(|id| *EventId::parse(id).unwrap().as_bytes());
        match self {
            Self::Mongo { .. } => {
                let keys: Vec<Bson> = keys.map(key).collect();
                let count = self
                    .on_mongo(async |database| logs(database).count_documents(doc! {"_id": {"$in": keys}}).await.ok());
                count?.try_into().ok()
            }
            Self::Embedded { folder } => {
                let connection = open(folder, "logs.db").ok()?;
                let mut statement = connection.prepare("SELECT 1 FROM logs WHERE event_id = ?").ok()?;
                let mut count = 0;
                for key in keys {
                    count += usize::from(statement.exists([key]).ok()?);
                }
                Some(count)
            }
        }
    }
}

pub(crate) fn logs(database: &Database) -> Collection<Document> {
    database.collection("useractivitylogs")
}

/// The `_id` of an event.
pub(crate) fn key(id: [u8; 16]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: id.to_vec() })
}

/// A database of the embedded engine, beside its writer.
pub(crate) fn open(folder: &std::path::Path, name: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(folder.join(name), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

fn read(document: &Document) -> Stored {
    let word = |name: &str| document.get_str(name).unwrap_or_default().to_owned();
    let event_id = match document.get("_id") {
        Some(Bson::Binary(key)) => text(&key.bytes),
        _ => String::new(),
    };
    let id = match document.get("id") {
        Some(Bson::Int32(id)) => i64::from(*id),
        Some(Bson::Double(id)) => *id as i64,
        Some(Bson::Int64(id)) => *id,
        other => panic!("an id of another type: {other:?}"),
    };
    Stored { id, event_id, user: word("userId"), action: word("action") }
}

fn text(event_id: &[u8]) -> String {
    event_id.try_into().map(|bytes| EventId::from_bytes(bytes).to_string()).unwrap_or_default()
}
