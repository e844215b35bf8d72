//! Indexes of the paths of metadata that an operator lists. They are known by their names; others are left alone.

use bson::doc;
use mongodb::{IndexModel, options::IndexOptions};

use super::{indexes::BUILD_PATIENCE, store::MongoStore};
use crate::domain::ports::PortError;

const PREFIX: &str = "eyego_metadata_";

impl MongoStore {
    /// Drops those that are not listed any more and builds the others, where the options say anything of them.
    pub(super) async fn prepare_metadata_indexes(&self) -> Result<(), PortError> {
        let Some(paths) = &self.options.metadata_indexes else { return Ok(()) };
        let wanted: Vec<(String, IndexModel)> = paths
            .iter()
            .map(|path| {
                let name = format!("{PREFIX}{path}");
                let options = IndexOptions::builder().name(name.clone()).build();
                let keys = doc! {format!("metadata.{path}"): 1, "id": 1};
                (name, IndexModel::builder().keys(keys).options(options).build())
            })
            .collect();
        let (names, models): (Vec<String>, Vec<IndexModel>) = wanted.into_iter().unzip();
        self.call(BUILD_PATIENCE, move |handles| async move {
            for name in handles.logs().list_index_names().await? {
                if name.starts_with(PREFIX) && !names.contains(&name) {
                    tracing::info!(index = name, "dropping an index that is not listed any more");
                    handles.logs().drop_index(name).await?;
                }
            }
            Ok(())
        })
        .await
        .map_err(|failure| failure.while_trying("drop the indexes of metadata that are not listed"))?;
        if models.is_empty() {
            return Ok(());
        }
        self.build(models).await.map_err(|failure| failure.while_trying("build the indexes of metadata"))
    }
}
