//! Ingestion: draining the bus into the store, each event once, none skipped.

mod account_step;
mod accountant;
mod alarm;
mod backoff;
mod batch;
mod dead_letter_chain;
mod policy;
mod sink;
pub mod takeover;
mod worker;

pub use accountant::Accountant;
pub use dead_letter_chain::DeadLetterChain;
pub use sink::IngestionError;
pub use worker::{IngestionWorker, Pace, StepOutcome, WorkerParts};
