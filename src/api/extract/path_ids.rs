//! The ids in a path.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{
    api::{error::ApiError, error_code::ErrorCode},
    domain::{EventId, JobId, LogId},
};

/// A log's id. Negative ones and those beyond 64 bits have the right form but no log.
#[derive(Debug)]
pub(in crate::api) struct LogIdPath(pub(in crate::api) LogId);

impl<S: Send + Sync> FromRequestParts<S> for LogIdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ErrorCode::InvalidLogId)?;
        parse_log_id(&text).map(Self)
    }
}

fn parse_log_id(text: &str) -> Result<LogId, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::new(ErrorCode::InvalidLogId, "an id is a whole number in decimal digits"));
    }
    match text.parse::<i64>() {
        Ok(id) if !text.starts_with('-') => Ok(LogId::new(id)),
        _ => Err(ErrorCode::LogNotFound.into()),
    }
}

/// An event's id.
#[derive(Debug)]
pub(in crate::api) struct EventIdPath(pub(in crate::api) EventId);

impl<S: Send + Sync> FromRequestParts<S> for EventIdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| ErrorCode::InvalidEventId)?;
        let invalid = || ApiError::new(ErrorCode::InvalidEventId, "an event id is a UUID with hyphens");
        EventId::parse(&text).map(Self).ok_or_else(invalid)
    }
}

/// A job's id.
#[derive(Debug)]
pub(in crate::api) struct JobIdPath(pub(in crate::api) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobIdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ErrorCode::InvalidJobId)?;
        let invalid = || ApiError::new(ErrorCode::InvalidJobId, "a job id is a UUID with hyphens");
        JobId::parse(&text).map(Self).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_decimal_digits() {
        assert_eq!(parse_log_id("0").unwrap(), LogId::new(0));
        assert_eq!(parse_log_id("007").unwrap(), LogId::new(7));
        assert_eq!(parse_log_id("9223372036854775807").unwrap(), LogId::new(i64::MAX));
        for (text, code) in [
            ("-1", ErrorCode::LogNotFound),
            ("-0", ErrorCode::LogNotFound),
            ("9223372036854775808", ErrorCode::LogNotFound),
            ("99999999999999999999999999", ErrorCode::LogNotFound),
            ("", ErrorCode::InvalidLogId),
            (" ", ErrorCode::InvalidLogId),
            ("-", ErrorCode::InvalidLogId),
            ("+1", ErrorCode::InvalidLogId),
            ("1.0", ErrorCode::InvalidLogId),
            ("1e0", ErrorCode::InvalidLogId),
            ("0x1", ErrorCode::InvalidLogId),
            ("１", ErrorCode::InvalidLogId),
            ("abc", ErrorCode::InvalidLogId),
        ] {
            assert_eq!(parse_log_id(text).unwrap_err().code(), code, "{text}");
        }
    }
}
