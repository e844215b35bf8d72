//! The one error of the API and the one mapping to answers.

use std::{error::Error, sync::Arc};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

use super::{dto::error::ErrorBody, error_code::ErrorCode};
use crate::{
    application::{ledger_service::LedgerError, log_service::ServiceError},
    domain::MAX_PAGE_BYTES,
};

/// Seconds until a refused client should try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not what was asked for. The cause is for the log alone.
#[derive(Debug)]
pub(super) struct ApiError {
    code: ErrorCode,
    detail: Option<String>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// The cause of a failed request, carried by its response to the one place that logs it.
#[derive(Clone)]
pub(super) struct Cause(pub(super) Arc<dyn Error + Send + Sync>);

impl ApiError {
    /// `detail` says which part and which rule, in words that help the caller.
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: Some(detail.into()), cause: None }
    }

    pub(super) fn caused_by(code: ErrorCode, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { code, detail: None, cause: Some(Arc::new(cause)) }
    }

    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    /// Which part and which rule, or else what the code means.
    pub(super) fn explanation(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.code.message())
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code, detail: None, cause: None }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let code = match &error {
            ServiceError::NotTaken(_) => ErrorCode::QueueUnavailable,
            ServiceError::NeverTaken(_) => ErrorCode::EventTooLarge,
            ServiceError::OutcomeUnknown(_) => ErrorCode::OutcomeUnknown,
            ServiceError::StoreNotConfigured => ErrorCode::StoreNotConfigured,
            ServiceError::StoreUnavailable(_) => ErrorCode::StoreUnavailable,
            ServiceError::QueryTimeout(_) => {
                let detail = "narrow it by userId, by startDate and endDate, or leave the total out by count=none";
                return Self { detail: Some(detail.to_owned()), ..Self::caused_by(ErrorCode::QueryTimeout, error) };
            }
            ServiceError::PageTooLarge => {
                let detail = format!("the logs of a page may take {MAX_PAGE_BYTES} bytes: ask for a smaller limit");
                return Self::new(ErrorCode::PageTooLarge, detail);
            }
            ServiceError::StoreFailed(_) => ErrorCode::Internal,
            ServiceError::DeleteUnconfirmed => ErrorCode::DeleteUnconfirmed,
            ServiceError::TooManyWaiters => ErrorCode::TooManyWaiters,
            ServiceError::TooManyExports => ErrorCode::TooManyExports,
        };
        Self::caused_by(code, error)
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        let code = match &error {
            LedgerError::BusUnavailable(_) => ErrorCode::BusUnavailable,
            LedgerError::StoreUnavailable(_) => ErrorCode::StoreUnavailable,
        };
        Self::caused_by(code, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = ErrorBody {
            message: self.code.message().to_owned(),
            code: self.code.word().to_owned(),
            error: self.detail,
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}
