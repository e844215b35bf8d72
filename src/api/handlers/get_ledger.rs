//! `GET /api/ledger`.

use axum::{Json, extract::State};

use crate::api::{
    dto::{error::ErrorBody, ledger::LedgerResponse},
    error::ApiError,
    error_code::ErrorCode,
    state::OpsState,
};

/// Account for everything that was acknowledged
///
/// For every partition: accepted = stored + duplicates + deadLettered + expired + skipped + pending. `pending` is on
/// the bus and not stored yet. `expired` was removed unread by the bus's retention: it is lost.
#[utoipa::path(
    get, path = "/api/ledger", tag = "operations", operation_id = "ledger",
    responses(
        (status = 200, description = "The account", body = LedgerResponse),
        (status = 503, description = "The bus or the store is away, or this instance has no store", body = ErrorBody),
    )
)]
pub(in crate::api) async fn get_ledger(State(state): State<OpsState>) -> Result<Json<LedgerResponse>, ApiError> {
    let ledger = state.ledger.ok_or(ErrorCode::StoreNotConfigured)?;
    let partitions = ledger.statement().await?;
    Ok(Json(LedgerResponse::of(ledger.topic(), &partitions)))
}
