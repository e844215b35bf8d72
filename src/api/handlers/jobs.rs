//! `/api/jobs`.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::{
            erasure::{Job, Jobs},
            error::ErrorBody,
        },
        error::ApiError,
        error_code::ErrorCode,
        extract::JobIdPath,
        state::LogState,
    },
    domain::ErasureJob,
};

/// List jobs
///
/// The newest hundred: erasures, and what the retention removed, a job a day.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs", operation_id = "listJobs",
    responses(
        (status = 200, description = "The jobs", body = Jobs),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
    )
)]
pub(in crate::api) async fn list_jobs(State(state): State<LogState>) -> Result<Json<Jobs>, ApiError> {
    let jobs = state.erasure.jobs().await?;
    Ok(Json(Jobs { jobs: jobs.into_iter().map(Job::from).collect() }))
}

/// How far a job is
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs", operation_id = "getJob",
    params(("id" = String, Path, description = "The job's UUID", format = Uuid)),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 400, description = "The id is no UUID", body = ErrorBody),
        (status = 404, description = "There is no such job", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
    )
)]
pub(in crate::api) async fn get_job(
    State(state): State<LogState>,
    JobIdPath(id): JobIdPath,
) -> Result<Json<Job>, ApiError> {
    found(state.erasure.job(id).await?)
}

/// Cancel a job
///
/// What it has erased stays erased, and what it covers stays away; a job that has finished stays as it is.
#[utoipa::path(
    delete, path = "/api/jobs/{id}", tag = "jobs", operation_id = "cancelJob",
    params(("id" = String, Path, description = "The job's UUID", format = Uuid)),
    responses(
        (status = 200, description = "The job as it is now", body = Job),
        (status = 400, description = "The id is no UUID", body = ErrorBody),
        (status = 404, description = "There is no such job", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
    )
)]
pub(in crate::api) async fn cancel_job(
    State(state): State<LogState>,
    JobIdPath(id): JobIdPath,
) -> Result<Json<Job>, ApiError> {
    found(state.erasure.cancel(id).await?)
}

fn found(job: Option<ErasureJob>) -> Result<Json<Job>, ApiError> {
    job.map(|job| Json(job.into())).ok_or_else(|| ErrorCode::JobNotFound.into())
}
