//! Erasure in the embedded store. One process has the folder, so nobody else takes its jobs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{erase, erasure_rows, store::EmbeddedStore, writer::WriteError};
use crate::domain::{
    ErasureFilter, ErasureJob, ErasureRules, JobId, JobState, Timestamp,
    ports::{ErasureRequest, ErasureStep, ErasureStore, PortError},
};

impl EmbeddedStore {
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        self.writer.write(work).await.map_err(WriteError::into_port_error)
    }
}

#[async_trait]
impl ErasureStore for EmbeddedStore {
    async fn begin(&self, job: &ErasureJob) -> Result<ErasureJob, PortError> {
        let job = job.clone();
        self.write(move |connection| erasure_rows::begin(connection, &job)).await
    }

    /// Appends are transactions, one after the other.
    fn settles_after(&self) -> Duration {
        Duration::ZERO
    }

    async fn retain_from(&self, before: Option<Timestamp>, now: Timestamp) -> Result<(), PortError> {
        self.write(move |connection| erasure_rows::retain_from(connection, before, now)).await
    }

    async fn job(&self, id: JobId) -> Result<Option<ErasureJob>, PortError> {
        self.readers.read(move |connection| erasure_rows::job(connection, id)).await
    }

    async fn jobs(&self, most: u32) -> Result<Vec<ErasureJob>, PortError> {
        self.readers.read(move |connection| erasure_rows::jobs(connection, most)).await
    }

    async fn cancel(&self, id: JobId, now: Timestamp) -> Result<Option<ErasureJob>, PortError> {
        self.write(move |connection| {
            erasure_rows::end(connection, id, JobState::Cancelled, now)?;
            erasure_rows::job(connection, id)
        })
        .await
    }

    async fn claim(&self, _: Uuid, _: Duration) -> Result<Option<ErasureJob>, PortError> {
        self.write(erasure_rows::claim).await
    }

    async fn keep(&self, id: JobId, _: Uuid, erased: u64, _: Duration) -> Result<bool, PortError> {
        self.write(move |connection| erasure_rows::keep(connection, id, erased)).await
    }

    async fn finish(&self, id: JobId, _: Uuid, erased: u64, now: Timestamp) -> Result<(), PortError> {
        self.write(move |connection| {
            erasure_rows::keep(connection, id, erased)?;
            erasure_rows::end(connection, id, JobState::Done, now)
        })
        .await
    }

    async fn erase(&self, request: &ErasureRequest) -> Result<ErasureStep, PortError> {
        let request = request.clone();
        self.write(move |connection| erase::erase(connection, &request)).await
    }

    async fn erase_dead_letters(
        &self,
        filter: &ErasureFilter,
        received_up_to: Option<Timestamp>,
    ) -> Result<u64, PortError> {
        let filter = filter.clone();
        self.write(move |connection| erase::erase_dead_letters(connection, &filter, received_up_to)).await
    }

    async fn rules(&self) -> Result<Arc<ErasureRules>, PortError> {
        self.readers.read(erasure_rows::rules).await.map(Arc::new)
    }
}
