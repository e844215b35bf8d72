//! `/`, `/livez`, `/readyz` and `/health`. None of them does more than read cached states.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        dto::{
            error::ErrorBody,
            health::{Health, Readiness, ReadinessCheck, word},
        },
        error::ApiError,
        error_code::ErrorCode,
        extract::QueryParameters,
        state::OpsState,
    },
    application::health_service::{Check, Purpose},
    domain::ports::Status,
};

/// Say that the service is there
#[utoipa::path(
    get, path = "/", tag = "operations", operation_id = "root",
    responses((status = 200, description = "A greeting", body = String, content_type = "text/plain"))
)]
pub(in crate::api) async fn root() -> &'static str {
    "EyeGo User Activity Log Service is running."
}

/// Whether the process lives
///
/// It asks nobody: a lost store or bus is no reason to restart the process.
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "livez",
    responses((status = 200, description = "The process lives", body = String, content_type = "text/plain"))
)]
pub(in crate::api) async fn livez() -> &'static str {
    "ok"
}

/// The state of store and bus, always with status 200
#[utoipa::path(
    get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, description = "The states", body = Health))
)]
pub(in crate::api) async fn health(State(state): State<OpsState>) -> Json<Health> {
    let store = state.health.store().unwrap_or(Status::Down("not configured".to_owned()));
    Json(Health {
        mongo: word(&store),
        kafka: word(&state.health.bus()),
        backend: state.about.backend,
        role: state.about.role,
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the service can do its work
///
/// `for=write` asks for what taking logs needs, `for=read` for what serving them needs; without it, for all that this
/// process does.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    params(("for" = Option<String>, Query, description = "write or read", pattern = "^(write|read)$")),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 400, description = "`for` makes no sense", body = ErrorBody),
        (status = 503, description = "Not ready; `checks` says which part is missing", body = Readiness),
    )
)]
pub(in crate::api) async fn readyz(
    State(state): State<OpsState>,
    mut parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let purpose = match parameters.take_one("for")?.as_deref() {
        None => Purpose::Everything,
        Some("write") => Purpose::Write,
        Some("read") => Purpose::Read,
        Some(_) => return Err(ApiError::new(ErrorCode::InvalidPurpose, "for must be write or read")),
    };
    Ok(readiness(state.health.checks(purpose)))
}

fn readiness(checks: Vec<Check>) -> Response {
    let missing: Vec<String> = checks
        .iter()
        .filter_map(|check| match &check.status {
            Status::Up => None,
            Status::Down(reason) => Some(format!("{}: {reason}", check.name)),
        })
        .collect();
    let checks = checks.into_iter().map(ReadinessCheck::from).collect();
    if missing.is_empty() {
        return Json(Readiness { message: "Ready".to_owned(), code: None, error: None, checks }).into_response();
    }
    let code = ErrorCode::NotReady;
    let message = code.message().to_owned();
    let body = Readiness { message, code: Some(code.word()), error: Some(missing.join("; ")), checks };
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], Json(body)).into_response()
}
