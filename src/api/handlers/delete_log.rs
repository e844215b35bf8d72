//! `DELETE /api/logs/{id}`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{dto::error::ErrorBody, error::ApiError, error_code::ErrorCode, extract::LogIdPath, state::LogState};

/// The log is gone for good.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Deleted {
    #[schema(example = "Log deleted successfully")]
    message: &'static str,
}

/// Delete a log
///
/// It does not come back, neither by redelivery nor by a repeat of its `Idempotency-Key`.
#[utoipa::path(
    delete, path = "/api/logs/{id}", tag = "logs", operation_id = "deleteLog",
    params(("id" = String, Path, description = "The log's number", pattern = "^-?[0-9]+$")),
    responses(
        (status = 200, description = "Deleted", body = Deleted),
        (status = 400, description = "The id is no number", body = ErrorBody),
        (status = 404, description = "There is no such log", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
        (status = 504, description = "Unknown: ask again", body = ErrorBody),
    )
)]
pub(in crate::api) async fn delete_log(
    State(state): State<LogState>,
    LogIdPath(id): LogIdPath,
) -> Result<Json<Deleted>, ApiError> {
    if state.logs.delete(id).await? {
        Ok(Json(Deleted { message: "Log deleted successfully" }))
    } else {
        Err(ErrorCode::LogNotFound.into())
    }
}
