//! How old the records are that a worker has in hand.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use crate::domain::Timestamp;

const NOTHING: i64 = i64::MAX;

/// Set by the worker of this process, read by whoever measures lag.
#[derive(Debug, Clone)]
pub struct WorkerProgress(Arc<AtomicI64>);

impl Default for WorkerProgress {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NOTHING)))
    }
}

impl WorkerProgress {
    /// The oldest record of the batch in hand; `None` for no batch.
    pub fn holds(&self, oldest: Option<Timestamp>) {
        self.0.store(oldest.map_or(NOTHING, Timestamp::as_millis), Ordering::Relaxed);
    }

    pub fn oldest(&self) -> Option<Timestamp> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis != NOTHING).then(|| Timestamp::from_millis(millis))
    }
}
