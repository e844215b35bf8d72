//! HTTP: routes, handlers, what requests and answers look like, and the mapping of errors to statuses.

mod batch;
mod cursor;
pub mod dto;
mod erasure_token;
mod error;
mod error_code;
mod extract;
mod front;
mod handlers;
mod middleware;
mod openapi;
mod router;
mod server;
mod short_reads;
mod state;

pub use error_code::ErrorCode;
pub use openapi::document as openapi_document;
pub use router::router;
pub use server::{ServerLimits, serve};
pub use state::{About, Intake, LogState, OpsState};
