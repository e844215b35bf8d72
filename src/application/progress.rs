//! How far the worker is, and what holds it up.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use crate::domain::{
    Timestamp,
    ports::{Probe, Status},
};

const NOTHING: i64 = i64::MAX;

/// Set by the worker of this process, read by whoever measures lag or asks how the process is.
#[derive(Debug, Clone, Default)]
pub struct WorkerProgress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    oldest: AtomicI64,
    hindrance: Mutex<Option<&'static str>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { oldest: AtomicI64::new(NOTHING), hindrance: Mutex::default() }
    }
}

impl WorkerProgress {
    /// The oldest record of the batch in hand; `None` for no batch.
    pub fn holds(&self, oldest: Option<Timestamp>) {
        self.0.oldest.store(oldest.map_or(NOTHING, Timestamp::as_millis), Ordering::Relaxed);
    }

    pub fn oldest(&self) -> Option<Timestamp> {
        let millis = self.0.oldest.load(Ordering::Relaxed);
        (millis != NOTHING).then(|| Timestamp::from_millis(millis))
    }

    /// What it has tried in vain for a while, in words that a client may see; `None` once it has succeeded.
    pub fn is_held_up_by(&self, hindrance: Option<&'static str>) {
        *self.0.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = hindrance;
    }
}

impl Probe for WorkerProgress {
    fn status(&self) -> Status {
        match *self.0.hindrance.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Status::Up,
            Some(hindrance) => Status::Down(hindrance.to_owned()),
        }
    }
}
