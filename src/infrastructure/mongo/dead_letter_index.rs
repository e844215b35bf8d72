//! Marks of dead letters, so that whoever asks for the event learns why it is no log. The letters themselves lie on
//! the bus.

use std::sync::Arc;

use async_trait::async_trait;
use bson::{Document, doc};

use super::{document, handles::Handles, store::MongoStore};
use crate::domain::ports::{DeadLetter, DeadLetters, PortError};

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
            let updates = some.iter().map(update).collect();
            // Where another was faster the mark is there, and says the same.
            self.store.update_many("mark dead letters", Handles::marks, updates).await?;
        }
        Ok(())
    }
}
