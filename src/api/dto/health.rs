//! What the health endpoints answer.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{application::health_service::Check, domain::ports::Status};

/// The state of the service, always with status 200.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// The store: MongoDB, or the embedded one.
    #[schema(pattern = "^(up|down)$", example = "up")]
    pub mongo: &'static str,
    /// The bus: Kafka, or the embedded queue.
    #[schema(pattern = "^(up|down)$", example = "up")]
    pub kafka: &'static str,
    #[schema(pattern = "^(embedded|kafka-mongodb|kafka)$", example = "embedded")]
    pub backend: &'static str,
    #[schema(pattern = "^(all|api|worker)$", example = "all")]
    pub role: &'static str,
    #[schema(example = "0.1.0")]
    pub version: &'static str,
}

/// Whether the service can do what it is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    #[schema(example = "Ready")]
    pub message: String,
    /// Only when not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "not_ready")]
    pub code: Option<&'static str>,
    /// Which part is missing and why, only when not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "store: MongoDB does not answer")]
    pub error: Option<String>,
    pub checks: Vec<ReadinessCheck>,
}

/// One part of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessCheck {
    #[schema(example = "bus")]
    pub name: &'static str,
    #[schema(pattern = "^(up|down)$", example = "up")]
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `up` or `down`, as the old service says it.
pub(in crate::api) fn word(status: &Status) -> &'static str {
    if status.is_up() { "up" } else { "down" }
}

impl From<Check> for ReadinessCheck {
    fn from(check: Check) -> Self {
        let status = word(&check.status);
        let reason = match check.status {
            Status::Up => None,
            Status::Down(reason) => Some(reason),
        };
        Self { name: check.name, status, reason }
    }
}
