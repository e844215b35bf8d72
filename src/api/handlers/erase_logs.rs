//! `DELETE /api/logs`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};

use crate::api::{
    dto::{
        erasure::{EraseLogs, EraseLogsQuery, Job, Preview, parse},
        error::ErrorBody,
    },
    erasure_token,
    error::ApiError,
    error_code::ErrorCode,
    extract::QueryParameters,
    state::LogState,
};

/// Erase many logs
///
/// First with `dryRun=true`, then with the token that gives. A job erases them, a few at a time; what is received
/// before it begins stays away for good, whatever is delivered or imported again.
#[utoipa::path(
    delete, path = "/api/logs", tag = "jobs", operation_id = "eraseLogs", params(EraseLogsQuery),
    responses(
        (status = 200, description = "A dry run: how many logs it would be", body = Preview),
        (status = 202, description = "The job has begun", body = Job,
            headers(("location" = String, description = "Where the job is"))),
        (status = 400, description = "A parameter makes no sense; `error` names it", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, this instance has none, or counting takes too long", body = ErrorBody),
    )
)]
pub(in crate::api) async fn erase_logs(
    State(state): State<LogState>,
    parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let EraseLogs { filter, dry_run, token } = parse(parameters)?;
    let erasure = &state.erasure;
    if dry_run {
        let matching = erasure.preview(&filter).await?;
        let (token, ends_at) = erasure_token::write(&filter, erasure.now());
        return Ok(Json(Preview::new(matching, token, ends_at.to_string())).into_response());
    }
    let token = token.ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidToken, "token is missing: ask with dryRun=true first, which gives one")
    })?;
    let id = erasure_token::read(&token, &filter, erasure.now())?;
    let job = erasure.begin(id, &filter).await?;
    let location = [(LOCATION, format!("/api/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(Job::from(job))).into_response())
}
