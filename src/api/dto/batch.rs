//! The items and the answer of `POST /api/logs/batch`, for its documentation: both are read and written in one pass.

use utoipa::ToSchema;

use crate::api::dto::schema;

/// A log of a batch. Unknown fields are dropped.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the item; it is read by LogFields in one pass")]
pub struct BatchItem {
    #[schema(rename = "userId", schema_with = schema::user_id)]
    user_id: String,
    #[schema(schema_with = schema::action)]
    action: String,
    #[schema(schema_with = schema::timestamp, required = false)]
    timestamp: Option<String>,
    /// Any JSON object, up to 100 levels deep.
    #[schema(value_type = Option<Object>, required = false, example = json!({"ip": "127.0.0.1"}))]
    metadata: Option<serde_json::Value>,
    /// Logs of one user with the same key are one log.
    #[schema(rename = "idempotencyKey", required = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// What became of a batch.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the answer; it is written as the results become known")]
pub struct BatchAnswer {
    accepted: u64,
    rejected: u64,
    unavailable: u64,
    unknown: u64,
    /// In the order of the items.
    results: Vec<BatchResult>,
}

/// What became of one item.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a result; it is written as it becomes known")]
pub struct BatchResult {
    /// The item's place, from 0. Blank lines have none.
    index: u64,
    /// `accepted`; `rejected`: not as it is; `unavailable`: not taken, send it again; `unknown`: send it again under
    /// the same key.
    #[schema(example = "accepted")]
    status: String,
    /// The event's identity, if it was accepted or may have been.
    #[schema(rename = "eventId", format = Uuid, required = false)]
    event_id: Option<String>,
    /// Why it was not accepted: a stable word.
    #[schema(required = false, example = "invalid_user_id")]
    code: Option<String>,
    #[schema(required = false)]
    message: Option<String>,
}
