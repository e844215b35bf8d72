//! A status that a watcher sets and probes read.

use std::sync::{Arc, RwLock};

use crate::domain::ports::{Probe, Status};

/// Shared by the part that knows its state and those who ask for it.
#[derive(Debug, Clone)]
pub struct StatusCell(Arc<RwLock<Status>>);

impl StatusCell {
    pub fn up() -> Self {
        Self(Arc::new(RwLock::new(Status::Up)))
    }

    pub fn down(reason: impl Into<String>) -> Self {
        Self(Arc::new(RwLock::new(Status::Down(reason.into()))))
    }

    /// Sets the status and says whether that changed it, so that a change is logged once.
    pub fn set(&self, status: Status) -> bool {
        let mut current = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = *current != status;
        *current = status;
        changed
    }
}

impl Probe for StatusCell {
    fn status(&self) -> Status {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
