//! The endpoints, a file each: extract, convert, call the service, convert.

pub(super) mod create_log;
pub(super) mod delete_log;
pub(super) mod get_log;
pub(super) mod get_receipt;
pub(super) mod health;
pub(super) mod list_logs;

use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// JSON that is text already.
fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
