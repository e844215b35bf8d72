//! Whether the server is known to answer, so that nobody waits for one that does not.

use tokio::sync::watch;

/// Set by the watcher, asked by every call.
#[derive(Debug)]
pub(super) struct Reach(watch::Sender<bool>);

impl Reach {
    pub(super) fn unknown() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn set(&self, up: bool) {
        self.0.send_if_modified(|current| std::mem::replace(current, up) != up);
    }

    pub(super) fn is_up(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server answers.
    pub(super) async fn gained(&self) {
        self.becomes(true).await;
    }

    /// Waits until the server is known to be away.
    pub(super) async fn lost(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, up: bool) {
        // Fails only when the sender is gone, and that is `self`.
        let _ = self.0.subscribe().wait_for(|current| *current == up).await;
    }
}
