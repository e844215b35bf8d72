//! `GET /metrics`.

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use metrics::gauge;

use crate::{api::state::OpsState, application::health_service::Purpose};

/// Metrics in Prometheus' text format
///
/// They are read from memory: a scrape asks neither bus nor store.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain"))
)]
pub(in crate::api) async fn metrics(State(state): State<OpsState>) -> Response {
    for check in state.health.checks(Purpose::Everything) {
        gauge!("eyego_up", "part" => check.name).set(if check.status.is_up() { 1.0 } else { 0.0 });
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)()).into_response()
}
