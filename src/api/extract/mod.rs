//! Extractors of our own, so that every rejection has the one form of an error.

mod content_encoding;
mod given_key;
mod json_body;
mod path_ids;
mod query;

pub(super) use content_encoding::{ContentEncoding, ZSTD_WINDOW_LOG};
pub(super) use given_key::GivenKey;
pub(super) use json_body::{JsonBody, content_length, media_type};
pub(super) use path_ids::{EventIdPath, JobIdPath, LogIdPath};
pub(super) use query::QueryParameters;
