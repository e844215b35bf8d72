//! How the engine's threads say that a file is damaged, so that the process ends instead of limping on.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::domain::ports::{ErrorChain, PortError, PortErrorKind};

/// A file that was found damaged while the service ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged ({found}); stop everything that writes to it and restore both databases from one backup")]
pub struct Damage {
    file: PathBuf,
    found: String,
}

/// Tells of the first damage that anybody met.
#[derive(Debug, Clone)]
pub struct DamageAlarm(watch::Sender<Option<Damage>>);

impl Default for DamageAlarm {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl DamageAlarm {
    /// Raises the alarm where the error means damage.
    pub(super) fn note(&self, file: &Path, error: &PortError) {
        if error.kind() != PortErrorKind::Corrupt {
            return;
        }
        self.0.send_if_modified(|damage| {
            let first = damage.is_none();
            damage.get_or_insert_with(|| Damage { file: file.to_owned(), found: ErrorChain(error).to_string() });
            first
        });
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns once a file was found damaged.
    pub async fn raised(&self) -> Damage {
        let mut watch = self.0.subscribe();
        loop {
            let damage = watch.borrow_and_update().clone();
            if let Some(damage) = damage {
                return damage;
            }
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
