//! `GET /api/logs/{id}`.

use axum::{extract::State, response::Response};

use super::json;
use crate::api::{
    dto::{
        error::ErrorBody,
        log::{LogResponse, write_log},
    },
    error::ApiError,
    error_code::ErrorCode,
    extract::LogIdPath,
    state::LogState,
};

/// Read a log
#[utoipa::path(
    get, path = "/api/logs/{id}", tag = "logs", operation_id = "getLog",
    params(("id" = String, Path, description = "The log's number", pattern = "^-?[0-9]+$")),
    responses(
        (status = 200, description = "The log", body = LogResponse),
        (status = 400, description = "The id is no number", body = ErrorBody),
        (status = 404, description = "There is no such log", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
    )
)]
pub(in crate::api) async fn get_log(
    State(state): State<LogState>,
    LogIdPath(id): LogIdPath,
) -> Result<Response, ApiError> {
    let log = state.logs.get(id).await?.ok_or(ErrorCode::LogNotFound)?;
    Ok(json(write_log(&log)))
}
