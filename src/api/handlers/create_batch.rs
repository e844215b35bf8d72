//! `POST /api/logs/batch`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
};
use tracing::warn;

use super::{create_log::idempotency_key, json_held};
use crate::{
    api::{
        batch::{self, BatchBody, Taken},
        dto::{
            batch::{BatchAnswer, BatchItem},
            error::ErrorBody,
        },
        error::ApiError,
        state::LogState,
    },
    domain::ports::ErrorChain,
};

const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: &str = "preference-applied";
const MINIMAL: &str = "return=minimal";

/// Take many logs
///
/// A JSON array is read whole before anything is published. Lines of JSON are taken as they arrive, up to the limits.
/// Either may be packed with gzip or zstd. A bad item never spoils the others: each has its own result. With an
/// `Idempotency-Key` on the request item i has the key `<key>#<i>`, so sending all of it again stores nothing twice.
#[utoipa::path(
    post, path = "/api/logs/batch", tag = "logs", operation_id = "createLogs",
    request_body(content(
        (Vec<BatchItem> = "application/json"),
        (String = "application/x-ndjson", example = "{\"userId\":\"user1\",\"action\":\"login\"}\n"),
    )),
    params(
        (
            "Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: item i has the key `<key>#<i>`, unless it has its own",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"
        ),
        (
            "Prefer" = Option<String>, Header,
            description = "`return=minimal`: only the results of items that were not accepted"
        ),
    ),
    responses(
        (status = 200, description = "Every item is durable and will be stored exactly once", body = BatchAnswer),
        (status = 207, description = "Not every item was taken; see the results", body = BatchAnswer,
            headers(("retry-after" = String, description = "Seconds, where items may be sent again"))),
        (status = 400, description = "No batch; nothing was taken", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time; nothing was taken", body = ErrorBody),
        (status = 413, description = "The array is too large; nothing was taken", body = ErrorBody),
        (status = 415, description = "Neither JSON nor lines of JSON, or packed in an unknown way", body = ErrorBody),
        (status = 500, description = "Unknown what was taken", body = ErrorBody),
        (status = 503, description = "Nothing was taken: retry after `Retry-After`", body = ErrorBody),
    )
)]
pub(in crate::api) async fn create_batch(
    State(state): State<LogState>,
    headers: HeaderMap,
    mut body: BatchBody,
) -> Result<Response, ApiError> {
    let minimal = prefers_minimal(&headers);
    let taken = match idempotency_key(&headers) {
        Ok(key) => batch::take(&state, &mut body, key, minimal).await,
        Err(refused) => Err(refused),
    };
    body.drain().await;
    let Taken { results, room } = taken?;
    if let Some(doubt) = results.doubt() {
        warn!(error = %ErrorChain(doubt), "whether all of a batch was taken is unknown");
    }
    if results.is_all_unavailable() {
        return Err(results.into_refusal());
    }
    let (complete, retry) = (results.is_complete(), results.may_be_retried());
    let json = results.into_json();
    let mut response = json_held(room.settle(json.len()), json);
    if !complete {
        *response.status_mut() = StatusCode::MULTI_STATUS;
    }
    if retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if minimal {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(MINIMAL));
    }
    Ok(response)
}

fn prefers_minimal(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| preference.trim().eq_ignore_ascii_case(MINIMAL))
}
