//! Extractors of our own, so that every rejection has the one form of an error.

mod content_encoding;
mod json_body;
mod path_ids;
mod query;

pub(super) use json_body::JsonBody;
pub(super) use path_ids::{EventIdPath, LogIdPath};
pub(super) use query::QueryParameters;
