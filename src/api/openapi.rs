//! The OpenAPI document, made from the handlers.

use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    handlers::{
        create_batch, create_log, delete_log, erase_logs, export_logs, get_ledger, get_log, get_receipt, health, jobs,
        list_logs, log_statistics, metrics,
    },
    state::{LogState, OpsState},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "EyeGo User Activity Log Service",
        description = "Takes user activity logs, queues them durably, stores each exactly once, and serves them back.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "logs", description = "Taking, finding and deleting logs"),
        (name = "jobs", description = "Erasing many logs, and how far that is"),
        (name = "operations", description = "How the service is"),
    )
)]
struct Document;

pub(super) fn ops_routes() -> OpenApiRouter<OpsState> {
    OpenApiRouter::new()
        .routes(routes!(health::root))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::health))
        .routes(routes!(get_ledger::get_ledger))
        .routes(routes!(metrics::metrics))
}

pub(super) fn intake_routes() -> OpenApiRouter<LogState> {
    OpenApiRouter::new().routes(routes!(create_log::create_log))
}

pub(super) fn log_routes() -> OpenApiRouter<LogState> {
    OpenApiRouter::new()
        .routes(routes!(list_logs::list_logs, erase_logs::erase_logs))
        .routes(routes!(log_statistics::log_statistics))
        .routes(routes!(export_logs::export_logs))
        .routes(routes!(create_batch::create_batch))
        .routes(routes!(get_receipt::get_receipt))
        .routes(routes!(get_log::get_log, delete_log::delete_log))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::get_job, jobs::cancel_job))
}

/// The whole document, whatever this process serves of it.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(intake_routes().into_openapi());
    document.merge(log_routes().into_openapi());
    document.merge(ops_routes().into_openapi());
    document
}
