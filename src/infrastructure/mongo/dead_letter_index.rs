//! Marks of dead letters, so that whoever asks for the event learns why it is no log. The letters themselves lie on
//! the bus.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bson::{Document, doc};

use super::{document, store::MongoStore};
use crate::domain::ports::{DeadLetter, DeadLetters, PortError};

/// Longer than the server waits for the majority.
const PATIENCE: Duration = Duration::from_secs(15);
/// Far below what a command may hold.
const MARKS_PER_COMMAND: usize = 1000;

/// Writes the marks into the store's database. A mark that is there already is brought up to date.
#[derive(Debug, Clone)]
pub struct DeadLetterIndex {
    store: Arc<MongoStore>,
}

impl DeadLetterIndex {
    pub fn new(store: Arc<MongoStore>) -> Self {
        Self { store }
    }

    async fn write(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let updates: Vec<Document> = letters.iter().map(update).collect();
        let reply = self
            .store
            .call(PATIENCE, |handles| async move {
                let concern = bson::serialize_to_bson(&super::handles::durable())?;
                let command = doc! {
                    "update": handles.marks().name(),
                    "updates": updates,
                    "ordered": false,
                    "writeConcern": concern,
                };
                handles.writer().run_command(command).await
            })
            .await
            .map_err(|failure| failure.while_trying("mark dead letters"))?;
        // The driver takes such a reply for a success.
        if reply.contains_key("writeErrors") || reply.contains_key("writeConcernError") {
            return Err(PortError::unavailable("not every dead letter could be marked"));
        }
        Ok(())
    }
}

fn update(letter: &DeadLetter) -> Document {
    let position = &letter.position;
    let mark = doc! {
        "reason": letter.reason.as_str(),
        "topic": position.topic.as_ref(),
        "partition": position.partition,
        "offset": position.offset,
    };
    doc! {
        "q": {"_id": document::key(letter.event_id)},
        "u": {"$set": mark, "$currentDate": {"at": true}},
        "upsert": true,
    }
}

#[async_trait]
impl DeadLetters for DeadLetterIndex {
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        for some in letters.chunks(MARKS_PER_COMMAND) {
            self.write(some).await?;
        }
        Ok(())
    }
}
