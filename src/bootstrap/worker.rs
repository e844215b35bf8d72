//! The worker as a task.

use crate::{
    application::ingestion::{IngestionWorker, WorkerParts},
    lifecycle::TaskResult,
};

pub(super) async fn drain(parts: WorkerParts) -> TaskResult {
    Ok(IngestionWorker::new(parts).run().await?)
}
