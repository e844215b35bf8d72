//! Which origins browsers may call from. Off unless the operator names some.

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// `None` where no origin is allowed, so that nothing is added to any answer.
pub(in crate::api) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let name = HeaderName::from_static;
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers([header::CONTENT_TYPE, name("idempotency-key"), name("prefer"), name("x-request-id")])
            .expose_headers([
                header::CONTENT_DISPOSITION,
                header::LOCATION,
                header::RETRY_AFTER,
                name("x-request-id"),
                name("ignored-parameters"),
                name("preference-applied"),
            ]),
    )
}
