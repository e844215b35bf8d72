//! Wakes those who wait for an event when the worker of this process has dealt with a batch.

use tokio::sync::watch;

/// Cloned by the worker, which raises it, and by those who wait.
#[derive(Debug, Clone)]
pub struct StoredSignal(watch::Sender<u64>);

impl Default for StoredSignal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl StoredSignal {
    pub fn raise(&self) {
        self.0.send_modify(|batches| *batches = batches.wrapping_add(1));
    }

    /// Sees every raise after this call, so: subscribe, look, then wait.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
