//! A handler that panics answers 500 like any other failure; its text goes to the log alone.

use std::any::Any;

use axum::response::{IntoResponse, Response};
use tracing::error;

use crate::api::{error::ApiError, error_code::ErrorCode};

pub(in crate::api) fn answer(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    error!(panic = text, "a handler panicked");
    ApiError::from(ErrorCode::Internal).into_response()
}
