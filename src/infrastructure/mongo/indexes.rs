//! What the database must have before logs are appended, and what makes reading fast.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::{Collection, IndexModel, error::Error, options::IndexOptions};

use super::{
    counter,
    error::{self, Failure, command_code, is_duplicate},
    handles::Handles,
    store::MongoStore,
};
use crate::domain::ports::PortError;

const PATIENCE: Duration = Duration::from_secs(30);
/// An index on a large collection is built for as long as it takes.
pub(super) const BUILD_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

impl MongoStore {
    /// Makes sure of what appending rests on: the unique index on the id, and the counter above every stored id. May
    /// be called again and by several processes at once.
    ///
    /// # Errors
    /// `Rejected`: what is stored stands in the way, somebody has to look. `Unavailable`: call again. The message is
    /// for an operator and free of driver text.
    pub async fn prepare(&self) -> Result<(), PortError> {
        self.ensure_unique_ids().await?;
        counter::raise(self).await
    }

    async fn ensure_unique_ids(&self) -> Result<(), PortError> {
        let unique = self.build(vec![by_id(true)]).await;
        let Err(failure) = unique else { return Ok(()) };
        let Failure::Driver(refused) = &failure else { return Err(failure.while_trying(UNIQUE_IDS)) };
        match command_code(refused) {
            Some(error::CANNOT_CREATE_INDEX) => self.settle_for_plain_index().await,
            Some(error::INDEX_OPTIONS_CONFLICT | error::INDEX_KEY_SPECS_CONFLICT) => {
                self.accept_plain_index(failure).await
            }
            _ if is_duplicate(refused) => {
                Err(PortError::rejected("several stored logs share one id, so the unique index on it cannot be built")
                    .caused_by(failure.while_trying(UNIQUE_IDS)))
            }
            _ => Err(failure.while_trying(UNIQUE_IDS)),
        }
    }

    /// A collection sharded by something else cannot have the unique index: there the counter alone keeps ids apart
    /// (design.md, "Growing past one machine").
    async fn settle_for_plain_index(&self) -> Result<(), PortError> {
        self.build(vec![by_id(false)]).await.map_err(|failure| failure.while_trying("build the index on the id"))?;
        tracing::warn!("the collection is sharded: no unique index on the id, the counter alone keeps ids apart");
        Ok(())
    }

    /// An index on the id stands already and is not unique: right on shards, a danger everywhere else.
    async fn accept_plain_index(&self, failure: Failure) -> Result<(), PortError> {
        let sharded = self
            .call(PATIENCE, |handles| async move { is_sharded(&handles).await })
            .await
            .map_err(|failure| failure.while_trying("ask for the kind of server"))?;
        if sharded {
            return Ok(());
        }
        Err(PortError::rejected(
            "there is an index on the id that is not unique; drop it, so that the unique one can be built",
        )
        .caused_by(failure.while_trying(UNIQUE_IDS)))
    }

    /// Builds what filters need (the old service's own indexes are left alone), and lets tombstones expire as set.
    pub(super) async fn prepare_queries(&self) -> Result<(), PortError> {
        let index = |keys: Document| IndexModel::builder().keys(keys).build();
        let of_filters = [
            doc! {"userId": 1, "id": 1},
            doc! {"action": 1, "id": 1},
            doc! {"timestamp": 1, "id": 1},
            doc! {"action": 1, "timestamp": 1, "id": 1},
        ];
        self.build(of_filters.map(index).into())
            .await
            .map_err(|failure| failure.while_trying("build the indexes for filters"))?;
        self.call(BUILD_PATIENCE, move |handles| async move {
            handles.counts().create_index(index(doc! {"_id": 1, "f": 1, "l": 1})).await
        })
        .await
        .map_err(|failure| failure.while_trying("build the index of the counts"))?;
        let days = self.options.tombstone_days;
        self.call(BUILD_PATIENCE, move |handles| async move { expire_tombstones(&handles, days).await })
            .await
            .map_err(|failure| failure.while_trying("set how long tombstones are kept"))
    }

    pub(super) async fn build(&self, models: Vec<IndexModel>) -> Result<(), Failure> {
        self.call(BUILD_PATIENCE, |handles| async move { handles.logs().create_indexes(models).await.map(|_| ()) })
            .await
    }
}

const UNIQUE_IDS: &str = "build the unique index on the id";

fn by_id(unique: bool) -> IndexModel {
    let options = unique.then(|| IndexOptions::builder().unique(true).build());
    IndexModel::builder().keys(doc! {"id": 1}).options(options).build()
}

async fn is_sharded(handles: &Handles) -> Result<bool, Error> {
    let hello = handles.writer().run_command(doc! {"hello": 1}).await?;
    Ok(hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid"))
}

/// Brings the index by which tombstones expire to what is set: made, adjusted or dropped.
async fn expire_tombstones(handles: &Handles, days: u32) -> Result<(), Error> {
    let tombstones = handles.tombstones();
    let wanted = i64::from(days) * SECONDS_PER_DAY;
    match (days, expiry(&tombstones).await?) {
        (0, None) => Ok(()),
        (0, Some(_)) => tombstones.drop_index("at_1").await,
        (_, None) => {
            let after = Duration::from_secs(wanted.unsigned_abs());
            let options = IndexOptions::builder().expire_after(after).build();
            let model = IndexModel::builder().keys(doc! {"at": 1}).options(options).build();
            tombstones.create_index(model).await.map(|_| ())
        }
        (_, Some(set)) if set == wanted => Ok(()),
        (_, Some(_)) => {
            let index = doc! {"name": "at_1", "expireAfterSeconds": wanted};
            handles.writer().run_command(doc! {"collMod": tombstones.name(), "index": index}).await.map(|_| ())
        }
    }
}

/// After how many seconds tombstones expire now.
async fn expiry(tombstones: &Collection<bson::RawDocumentBuf>) -> Result<Option<i64>, Error> {
    let mut indexes = match tombstones.list_indexes().await {
        Ok(indexes) => indexes,
        Err(error) if command_code(&error) == Some(error::NAMESPACE_NOT_FOUND) => return Ok(None),
        Err(error) => return Err(error),
    };
    let by_time: Document = doc! {"at": 1};
    while indexes.advance().await? {
        let index = indexes.deserialize_current()?;
        if index.keys == by_time {
            let after = index.options.and_then(|options| options.expire_after);
            return Ok(Some(after.map_or(i64::MAX, |after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX))));
        }
    }
    Ok(None)
}
