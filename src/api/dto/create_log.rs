//! The body of `POST /api/logs` and its answer.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    api::{dto::schema, error::ApiError, error_code::ErrorCode},
    application::log_service::Submission,
    domain::{
        Action, FieldProblem, FieldRules, FieldsProblem, IdempotencyKey, InvalidText, LogFields, MetadataProblem,
        UserId, read_text, read_timestamp,
    },
};

/// A log to be taken. Unknown fields are dropped.
#[derive(Debug, ToSchema)]
#[schema(as = CreateLog)]
#[expect(dead_code, reason = "describes the body; it is read by LogFields in one pass")]
pub struct CreateLogRequest {
    #[schema(rename = "userId", schema_with = schema::user_id)]
    user_id: String,
    #[schema(schema_with = schema::action)]
    action: String,
    #[schema(schema_with = schema::timestamp, required = false)]
    timestamp: Option<String>,
    /// Any JSON object, up to 100 levels deep.
    #[schema(value_type = Option<Object>, required = false, example = json!({"ip": "127.0.0.1"}))]
    metadata: Option<serde_json::Value>,
}

/// The log is durable and will be stored exactly once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    #[schema(example = "Log sent to Kafka for processing. It may take a moment to appear in the logs list.")]
    pub message: &'static str,
    /// The event's identity: the same for every repeat of an `Idempotency-Key`.
    #[schema(format = Uuid, example = "0196f1e2-7c3a-7000-8000-000000000001")]
    pub event_id: String,
}

/// The old service's message, whatever the bus is: clients compare it.
pub(in crate::api) const ACCEPTED: &str =
    "Log sent to Kafka for processing. It may take a moment to appear in the logs list.";

/// Reads a body into a submission.
pub(in crate::api) fn parse(body: &str, key: Option<IdempotencyKey>) -> Result<Submission, ApiError> {
    if body.is_empty() {
        return Err(ApiError::new(ErrorCode::MissingFields, "the body is empty"));
    }
    submission(LogFields::read(body, FieldRules::Strict).map_err(fields_error)?, key)
}

/// Reads one item of a batch; a key of its own goes before the one that the batch gives it.
pub(in crate::api) fn parse_item(
    item: &str,
    key: impl FnOnce() -> Option<IdempotencyKey>,
) -> Result<Submission, ApiError> {
    let fields = LogFields::read(item, FieldRules::Item).map_err(fields_error)?;
    let key = match fields.idempotency_key {
        Some(own) => {
            let invalid = |rule: &dyn fmt::Display| {
                ApiError::new(ErrorCode::InvalidIdempotencyKey, format!("idempotencyKey {rule}"))
            };
            let text = read_text(own).map_err(|rule| invalid(&rule))?;
            Some(IdempotencyKey::parse(&text).map_err(|rule| invalid(&rule))?)
        }
        None => key(),
    };
    submission(fields, key)
}

fn submission(fields: LogFields<'_>, idempotency_key: Option<IdempotencyKey>) -> Result<Submission, ApiError> {
    let (Some(user_id), Some(action)) = (fields.user_id, fields.action) else {
        return Err(ApiError::new(ErrorCode::MissingFields, missing(fields.user_id, fields.action)));
    };
    let user_id = text(user_id, ErrorCode::InvalidUserId)?;
    let action = text(action, ErrorCode::InvalidAction)?;
    let timestamp = fields
        .timestamp
        .map(read_timestamp)
        .transpose()
        .map_err(|rule| ApiError::new(ErrorCode::InvalidTimestamp, format!("timestamp {rule}")))?;
    let invalid = |field: &str, code, rule: InvalidText| ApiError::new(code, format!("{field} {rule}"));
    Ok(Submission {
        user_id: UserId::parse(user_id).map_err(|rule| invalid("userId", ErrorCode::InvalidUserId, rule))?,
        action: Action::parse(action).map_err(|rule| invalid("action", ErrorCode::InvalidAction, rule))?,
        timestamp,
        metadata: fields.metadata,
        idempotency_key,
    })
}

fn missing(user_id: Option<&RawValue>, action: Option<&RawValue>) -> &'static str {
    match (user_id, action) {
        (Some(_), _) => "action is missing",
        (None, Some(_)) => "userId is missing",
        (None, None) => "userId and action are missing",
    }
}

fn text(raw: &RawValue, code: ErrorCode) -> Result<String, ApiError> {
    let field = if code == ErrorCode::InvalidUserId { "userId" } else { "action" };
    read_text(raw).map_err(|rule: FieldProblem| ApiError::new(code, format!("{field} {rule}")))
}

fn fields_error(problem: FieldsProblem) -> ApiError {
    match problem {
        FieldsProblem::NotJson(why) => ApiError::new(ErrorCode::InvalidJson, why),
        FieldsProblem::NotAnObject => ErrorCode::NotAnObject.into(),
        FieldsProblem::EmptyArray => ApiError::new(ErrorCode::MissingFields, "the body is an empty array"),
        FieldsProblem::Repeated(field) => {
            ApiError::new(ErrorCode::RepeatedField, format!("{field} stands more than once"))
        }
        FieldsProblem::Metadata(
            rule @ (MetadataProblem::NotAnObject | MetadataProblem::TooDeep | MetadataProblem::NulInName),
        ) => ApiError::new(ErrorCode::InvalidMetadata, format!("metadata {rule}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(body: &str) -> Option<ErrorCode> {
        parse(body, None).err().map(|error| error.code())
    }

    #[test]
    fn each_mistake_has_its_code() {
        use ErrorCode::*;
        let long = "x".repeat(1025);
        let deep = format!(r#"{{"userId":"u","action":"a","metadata":{}1{}}}"#, "{\"a\":".repeat(101), "}".repeat(101));
        for (body, expected) in [
            (r#"{"userId":"u","action":"a"}"#, None),
            (r#"{"userId":7,"action":true,"timestamp":0,"metadata":null,"id":9}"#, None),
            ("", Some(MissingFields)),
            ("{}", Some(MissingFields)),
            ("[]", Some(MissingFields)),
            (r#"{"userId":null,"action":"a"}"#, Some(MissingFields)),
            (r#"{"userId":"u"}"#, Some(MissingFields)),
            ("[1]", Some(NotAnObject)),
            ("null", Some(NotAnObject)),
            ("\"x\"", Some(NotAnObject)),
            (" ", Some(InvalidJson)),
            ("{", Some(InvalidJson)),
            (r#"{"userId":"","action":"a"}"#, Some(InvalidUserId)),
            (r#"{"userId":{},"action":"a"}"#, Some(InvalidUserId)),
            (r#"{"userId":"\ud800","action":"a"}"#, Some(InvalidUserId)),
            (r#"{"userId":"u","action":[]}"#, Some(InvalidAction)),
            (r#"{"userId":"u","action":1e400}"#, Some(InvalidAction)),
            (r#"{"userId":"u","action":"a","timestamp":""}"#, Some(InvalidTimestamp)),
            (r#"{"userId":"u","action":"a","timestamp":"2025-02-30"}"#, Some(InvalidTimestamp)),
            (r#"{"userId":"u","action":"a","timestamp":true}"#, Some(InvalidTimestamp)),
            (r#"{"userId":"u","action":"a","metadata":[]}"#, Some(InvalidMetadata)),
            (r#"{"userId":"u","action":"a","metadata":{"a\u0000":1}}"#, Some(InvalidMetadata)),
            (r#"{"userId":"u","action":"a","metadata":{"a":1e400}}"#, Some(InvalidJson)),
            (r#"{"userId":"u","userId":"v","action":"a"}"#, Some(RepeatedField)),
            (&deep, Some(InvalidMetadata)),
            (&format!(r#"{{"userId":"{long}","action":"a"}}"#), Some(InvalidUserId)),
            (&format!(r#"{{"userId":"u","action":"{long}"}}"#), Some(InvalidAction)),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "[\\[\\]{}\",:0-9a-z\\\\.eE+-]{0,80}") {
            let _ = parse(&body, None);
        }
    }
}
