//! What every request goes through around the router: one trailing slash is dropped, the request gets its id and its
//! one log line, and a panic becomes a 500.
//!
//! One function instead of layers of the router: each of those would box the request's future and its answer's body
//! once more.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use futures_util::FutureExt;
use tower::Service;
use tracing::{Instrument, debug, debug_span, warn};
use uuid::Uuid;

use super::{
    error::Cause,
    middleware::{panic, trailing_slash},
};
use crate::domain::ports::ErrorChain;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 128;
const REFUSED: u16 = 503;

/// Answers the request, whatever happens.
pub(super) async fn answer(mut router: Router, request: Request<Body>) -> Response {
    let request = trailing_slash::strip(request);
    let id = request_id(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let started = Instant::now();
    // For who looks at a request closely. A span that is always there costs every request more than its JSON does.
    let span = debug_span!("request", id = id.to_str().unwrap_or_default());
    let answering = AssertUnwindSafe(router.call(request)).catch_unwind().instrument(span);
    let mut response = match answering.await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panicked) => panic::answer(panicked.as_ref()),
    };
    let status = response.status().as_u16();
    // The path without its query: values that people search for do not belong in logs.
    let path = uri.path();
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    let request_id = id.to_str().unwrap_or_default();
    match response.extensions_mut().remove::<Cause>() {
        Some(Cause(cause)) if status >= 500 => {
            let error = ErrorChain(cause.as_ref());
            if status == REFUSED {
                // Whoever saw the part go away has logged it; a line for each refusal would be hundreds a second.
                debug!(request.id = request_id, %method, path, status, duration_ms, %error, "request refused");
            } else {
                warn!(request.id = request_id, %method, path, status, duration_ms, %error, "request failed");
            }
        }
        _ => debug!(request.id = request_id, %method, path, status, duration_ms, "request"),
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
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
