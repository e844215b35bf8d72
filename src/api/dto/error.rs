//! The one form of every error body.

use serde::Serialize;
use utoipa::ToSchema;

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// For people; as in the old service where it had one.
    #[schema(example = "Invalid field: timestamp")]
    pub message: String,
    /// For programs: a stable word.
    #[schema(example = "invalid_timestamp")]
    pub code: String,
    /// Which field and which rule, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "must be an ISO 8601 date")]
    pub error: Option<String>,
}
