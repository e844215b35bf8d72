//! `GET /api/logs/events/{eventId}`: what became of an event.

use std::time::Duration;

use axum::{extract::State, response::Response};

use super::json;
use crate::{
    api::{
        dto::{
            error::ErrorBody,
            log::{LogResponse, write_log},
        },
        error::ApiError,
        error_code::ErrorCode,
        extract::{EventIdPath, QueryParameters},
        state::LogState,
    },
    domain::ports::Receipt,
};

const LONGEST_WAIT: f64 = 30.0;

/// See what became of an event
#[utoipa::path(
    get, path = "/api/logs/events/{eventId}", tag = "logs", operation_id = "getReceipt",
    params(
        ("eventId" = String, Path, description = "The id from the 202", format = Uuid),
        ("wait" = Option<f64>, Query, description = "Seconds to wait for it to be stored", minimum = 0, maximum = 30),
    ),
    responses(
        (status = 200, description = "Stored: the log", body = LogResponse),
        (status = 400, description = "The event id is no UUID, or wait makes no sense", body = ErrorBody),
        (status = 404, description = "Never seen, or not stored yet", body = ErrorBody),
        (status = 410, description = "It was deleted", body = ErrorBody),
        (status = 422, description = "It can not become a log; `error` has the reason", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or too many requests wait", body = ErrorBody),
    )
)]
pub(in crate::api) async fn get_receipt(
    State(state): State<LogState>,
    EventIdPath(id): EventIdPath,
    mut parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let wait = parameters.take_one("wait")?.map_or(Ok(Duration::ZERO), |text| parse_wait(&text))?;
    match state.logs.receipt(id, wait).await? {
        Receipt::Stored(log) => Ok(json(write_log(&log))),
        Receipt::Deleted => Err(ErrorCode::LogDeleted.into()),
        Receipt::DeadLettered(reason) => Err(ApiError::new(ErrorCode::DeadLettered, reason)),
        Receipt::Unknown => Err(ErrorCode::EventNotFound.into()),
    }
}

fn parse_wait(text: &str) -> Result<Duration, ApiError> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=LONGEST_WAIT).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| ApiError::new(ErrorCode::InvalidWait, "wait must be 0 to 30 seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_up_to_thirty() {
        assert_eq!(parse_wait("0").unwrap(), Duration::ZERO);
        assert_eq!(parse_wait("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_wait("30").unwrap(), Duration::from_secs(30));
        assert_eq!(parse_wait("-0").unwrap(), Duration::ZERO);
        for bad in ["30.1", "-1", "x", "1e2", "inf", "NaN", "."] {
            assert_eq!(parse_wait(bad).unwrap_err().code(), ErrorCode::InvalidWait, "{bad}");
        }
    }
}
