//! The request's id, taken from the client or made here, and its one log line.

use std::time::Instant;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, debug, error_span, warn};
use uuid::Uuid;

use crate::{api::error::Cause, domain::ports::ErrorChain};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 128;
const REFUSED: u16 = 503;

pub(in crate::api) async fn request_context(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The path without its query: values that people search for do not belong in logs.
    let path = request.uri().path().to_owned();
    let span = error_span!("request", id = id.to_str().unwrap_or_default());
    let started = Instant::now();
    async move {
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        match response.extensions_mut().remove::<Cause>() {
            Some(Cause(cause)) if status >= 500 => {
                let error = ErrorChain(cause.as_ref());
                if status == REFUSED {
                    // Whoever saw the part go away has logged it; a line for each refusal would be hundreds a second.
                    debug!(%method, path, status, duration_ms, %error, "request refused");
                } else {
                    warn!(%method, path, status, duration_ms, %error, "request failed");
                }
            }
            _ => debug!(%method, path, status, duration_ms, "request"),
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// A client's id is kept when it is visible ASCII of a sane length.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        !value.is_empty() && value.len() <= LONGEST_ID && value.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"))
    })
}
