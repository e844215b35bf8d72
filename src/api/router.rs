//! The routes and what lies around them, outermost last.

use std::any::Any;

use axum::{Router, http::Request, middleware::from_fn, response::IntoResponse};
use hyper::body::Incoming;
use tower::util::MapRequest;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate, SizeAbove},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    error::ApiError,
    error_code::ErrorCode,
    middleware::{cors, panic, request_context::request_context, trailing_slash},
    openapi::{document, log_routes, ops_routes},
    state::{LogState, OpsState},
};

/// Smaller answers cost more to pack than they save.
const PACK_ABOVE: u64 = 1024;

/// What every connection is served by.
pub(super) type App = MapRequest<Router, fn(Request<Incoming>) -> Request<Incoming>>;

/// `logs` is empty in a process that only drains: it has the operational endpoints alone.
pub fn router(ops: OpsState, logs: Option<LogState>, cors_origins: &[String]) -> Router {
    let mut router = ops_routes().split_for_parts().0.with_state(ops);
    if let Some(state) = logs {
        router = router.merge(log_routes().split_for_parts().0.with_state(state)).merge(docs());
    }
    let router = router
        .fallback(async || ApiError::from(ErrorCode::RouteNotFound).into_response())
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed).into_response())
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(PACK_ABOVE).and(DefaultPredicate::new())));
    let router = match cors::layer(cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panic::answer(panic.as_ref())))
        .layer(from_fn(request_context))
}

/// Rewriting the path has to happen before routing, so it wraps the router instead of being a layer of it.
pub(super) fn app(router: Router) -> App {
    MapRequest::new(router, trailing_slash::strip)
}

/// The page asks nobody else: its assets are in the binary and it does not send the document to a validator.
fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs").url("/openapi.json", document()).config(Config::from("/openapi.json").validator_url("none"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{body::Body, http::StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        api::About,
        application::health_service::{HealthParts, HealthService},
        domain::ports::{Probe, Status},
    };

    struct Broken;

    impl Probe for Broken {
        fn status(&self) -> Status {
            panic!("a secret of the inside")
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_500_with_the_request_id_and_without_its_text() {
        let broken: Arc<dyn Probe> = Arc::new(Broken);
        let parts = HealthParts { bus: broken.clone(), store: None, worker: None, lifecycle: broken };
        let health = Arc::new(HealthService::new(parts, false, false));
        let ops = OpsState {
            health,
            about: About { backend: "embedded", role: "worker" },
            ledger: None,
            metrics: String::new,
        };
        let request = Request::get("/health").header("x-request-id", "abc").body(Body::empty()).unwrap();
        let response = router(ops, None, &[]).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], "abc");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"message":"Internal server error","code":"internal_error"}"#);
    }
}
