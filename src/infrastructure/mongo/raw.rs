//! The store's own documents and write concern, for the benches that measure what a bare `insert_many` does with them.
//! No part of the adapter.

use bson::RawDocumentBuf;
use mongodb::options::WriteConcern;

use super::{document, handles};
use crate::domain::NumberedEvent;

/// The document that the store inserts for the event.
///
/// # Errors
/// Why there can be none.
pub fn encode(numbered: &NumberedEvent) -> Result<RawDocumentBuf, String> {
    document::encode(numbered)
}

/// How durable the store's writes are.
pub fn write_concern() -> WriteConcern {
    handles::durable()
}
