//! `POST /api/logs`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};

use crate::api::{
    dto::{
        create_log::{ACCEPTED, Accepted, CreateLogRequest, parse},
        error::ErrorBody,
    },
    error::ApiError,
    extract::{GivenKey, JsonBody},
    state::LogState,
};

/// Take a log
///
/// 202 means that the log is durable and will be stored exactly once. 503 means that it was not taken: retry. 504
/// means that this is unknown: retry with the same `Idempotency-Key`.
#[utoipa::path(
    post, path = "/api/logs", tag = "logs", operation_id = "createLog",
    request_body(content = CreateLogRequest, content_type = "application/json"),
    params((
        "Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters: requests of one user with the same key are one log",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$"
    )),
    responses(
        (status = 202, description = "Durable, will be stored exactly once", body = Accepted,
            headers(("location" = String, description = "Where the event's receipt is"))),
        (status = 400, description = "Never taken as it is; `error` names the field", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body is no JSON, or packed in an unknown way", body = ErrorBody),
        (status = 500, description = "Unknown, like 504", body = ErrorBody),
        (status = 503, description = "Not taken: retry after `Retry-After`", body = ErrorBody),
        (status = 504, description = "Unknown: retry with the same `Idempotency-Key`", body = ErrorBody),
    )
)]
pub(in crate::api) async fn create_log(
    State(state): State<LogState>,
    GivenKey(key): GivenKey,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let key = key?;
    let (submission, _share) = body.read(|text| parse(text, key))?;
    let event_id = state.logs.submit(submission).await?.to_string();
    let location = [(LOCATION, format!("/api/logs/events/{event_id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Accepted { message: ACCEPTED, event_id })).into_response())
}
