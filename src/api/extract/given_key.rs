//! The `Idempotency-Key` header.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use crate::{
    api::{error::ApiError, error_code::ErrorCode},
    domain::IdempotencyKey,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The key that the client gives, if it gives one. A wrong one is for the handler to refuse: the body has to be read
/// first, or the client may not get to see the answer.
#[derive(Debug)]
pub(in crate::api) struct GivenKey(pub(in crate::api) Result<Option<IdempotencyKey>, ApiError>);

impl<S: Sync> FromRequestParts<S> for GivenKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(read(&parts.headers)))
    }
}

fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(ApiError::new(ErrorCode::InvalidIdempotencyKey, "Idempotency-Key may be given once"));
    }
    let text = key.to_str().unwrap_or_default();
    let invalid = |rule| ApiError::new(ErrorCode::InvalidIdempotencyKey, format!("Idempotency-Key {rule}"));
    IdempotencyKey::parse(text).map(Some).map_err(invalid)
}
