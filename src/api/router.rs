//! The routes and what lies around them, outermost last.

use axum::{Router, response::IntoResponse};
use tower_http::compression::{
    CompressionLayer,
    predicate::{DefaultPredicate, Predicate, SizeAbove},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    error::ApiError,
    error_code::ErrorCode,
    middleware::cors,
    openapi::{document, intake_routes, log_routes, ops_routes},
    state::{LogState, OpsState},
};

/// Smaller answers cost more to pack than they save.
const PACK_ABOVE: u64 = 1024;

/// `logs` is empty in a process that only drains: it has the operational endpoints alone.
pub fn router(ops: OpsState, logs: Option<LogState>, cors_origins: &[String]) -> Router {
    let mut router = ops_routes().split_for_parts().0.with_state(ops);
    let mut intake = Router::new();
    if let Some(state) = logs {
        intake = intake_routes().split_for_parts().0.with_state(state.clone());
        router = router.merge(log_routes().split_for_parts().0.with_state(state)).merge(docs());
    }
    let packed = CompressionLayer::new().compress_when(SizeAbove::new(PACK_ABOVE).and(DefaultPredicate::new()));
    let router = router
        .layer(packed)
        // Its answers are short.
        .merge(intake)
        .fallback(async || ApiError::from(ErrorCode::RouteNotFound).into_response())
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed).into_response());
    match cors::layer(cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// The page asks nobody else: its assets are in the binary and it does not send the document to a validator.
fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs").url("/openapi.json", document()).config(Config::from("/openapi.json").validator_url("none"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        api::{About, front},
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
        let response = front::answer(router(ops, None, &[]), request).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], "abc");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"message":"Internal server error","code":"internal_error"}"#);
    }
}
