//! Many updates in one durable command, and what its reply is worth: the driver takes some failures for a success.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Collection;

use super::{
    error::DUPLICATE_KEY,
    handles::{Handles, durable},
    store::MongoStore,
};
use crate::domain::ports::PortError;

/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);

impl MongoStore {
    /// Returns how many documents were changed or made; another process was faster to make the others. Updates are
    /// independent of each other. `aim` says what for: "could not `aim`".
    pub(super) async fn update_many<T: Send + Sync + 'static>(
        &self,
        aim: &'static str,
        collection: fn(&Handles) -> Collection<T>,
        updates: Vec<Document>,
    ) -> Result<usize, PortError> {
        let reply = self
            .call(PATIENCE, move |handles| async move {
                let concern = bson::serialize_to_bson(&durable())?;
                let command = doc! {
                    "update": collection(&handles).name(),
                    "updates": updates,
                    "ordered": false,
                    "writeConcern": concern,
                };
                handles.writer().run_command(command).await
            })
            .await
            .map_err(|failure| failure.while_trying(aim))?;
        if reply.contains_key("writeConcernError") || !only_lost_races(&reply) {
            return Err(PortError::unavailable(format!("could not {aim} for all")));
        }
        let upserted = reply.get_array("upserted").map_or(0, Vec::len);
        let modified = reply.get_i32("nModified").unwrap_or(0);
        Ok(usize::try_from(modified).unwrap_or(0) + upserted)
    }
}

/// Two that make the same document at once: one of them gets a duplicate key.
fn only_lost_races(reply: &Document) -> bool {
    let Ok(errors) = reply.get_array("writeErrors") else { return true };
    errors.iter().all(|error| {
        error.as_document().is_some_and(|error| error.get_i32("code").is_ok_and(|code| code == DUPLICATE_KEY))
    })
}
