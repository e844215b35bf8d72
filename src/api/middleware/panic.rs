//! A handler that panics answers 500 like any other failure; its text goes to the log alone.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::api::{error::ApiError, error_code::ErrorCode};

/// Why the request failed, for its log line.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
struct Panicked(String);

pub(in crate::api) fn answer(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    ApiError::caused_by(ErrorCode::Internal, Panicked(text.to_owned())).into_response()
}
