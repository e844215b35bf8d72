//! The endpoints, a file each: extract, convert, call the service, convert.

pub(super) mod create_batch;
pub(super) mod create_log;
pub(super) mod delete_log;
pub(super) mod erase_logs;
pub(super) mod export_logs;
pub(super) mod get_ledger;
pub(super) mod get_log;
pub(super) mod get_receipt;
pub(super) mod health;
pub(super) mod jobs;
pub(super) mod list_logs;
pub(super) mod log_statistics;
pub(super) mod metrics;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderValue,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{error::ApiError, error_code::ErrorCode};

/// JSON whose bytes count against the budget until the client has them: slow readers must not fill the memory.
fn json_within(budget: &Arc<Semaphore>, body: Vec<u8>) -> Result<Response, ApiError> {
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let share = Arc::clone(budget).try_acquire_many_owned(bytes).map_err(|_| {
        ApiError::new(ErrorCode::Overloaded, "the answers to other requests fill the memory set aside for them")
    })?;
    Ok(json_held(Some(share), body))
}

/// JSON with its share of the budget.
fn json_held(share: Option<OwnedSemaphorePermit>, body: Vec<u8>) -> Response {
    let length = HeaderValue::from(body.len());
    let body = Full::new(Bytes::from(body)).map_frame(move |frame| {
        let _held = &share;
        frame
    });
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (CONTENT_LENGTH, length)];
    (headers, Body::new(body)).into_response()
}

/// JSON that is text already.
fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
