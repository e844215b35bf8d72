//! Joining a consumer group that the old service may still hold, or has held (contract A3, "Taking over").

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::{
    StartAt,
    ports::{ConsumerGroup, ErrorChain, EventSource, GroupState, LegacyLogs, PortError, PortErrorKind, Status},
};

const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What is needed to join safely.
pub struct Takeover {
    pub group: Arc<dyn ConsumerGroup>,
    pub legacy: Arc<dyn LegacyLogs>,
    /// The operator's word on where to begin.
    pub start: Option<StartAt>,
    /// Is told why the worker does not work yet.
    pub report: Box<dyn Fn(Status) + Send + Sync>,
    pub stop: CancellationToken,
}

impl Takeover {
    /// Waits until joining can neither lose a record nor store one twice, then joins. `None` when asked to stop.
    ///
    /// # Errors
    /// What no waiting can mend.
    pub async fn join(self) -> Result<Option<Box<dyn EventSource>>, PortError> {
        let mut told = String::new();
        loop {
            let (hindrance, detail) = match self.try_join().await {
                Ok(Attempt::Joined(source)) => return Ok(Some(source)),
                Ok(Attempt::Hindered(hindrance)) => (hindrance, String::new()),
                Err(error) if matches!(error.kind(), PortErrorKind::Closed | PortErrorKind::Corrupt) => {
                    return Err(error);
                }
                Err(error) => ("the consumer group cannot be reached".to_owned(), ErrorChain(&error).to_string()),
            };
            if hindrance != told {
                warn!(reason = %hindrance, detail, "the worker does not start yet");
                told.clone_from(&hindrance);
            }
            (self.report)(Status::Down(hindrance));
            if self.stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
                return Ok(None);
            }
        }
    }

    async fn try_join(&self) -> Result<Attempt, PortError> {
        match self.group.inspect().await? {
            GroupState::Ready => {}
            GroupState::HeldByOthers { members } => {
                return Ok(Attempt::Hindered(format!(
                    "waiting: {members} member(s) of the old service still hold the consumer group"
                )));
            }
            GroupState::NeverCommitted => {
                if let Some(start) = self.start {
                    info!(?start, "the group has no committed offsets and begins where KAFKA_START says");
                    self.group.begin_at(start).await?;
                } else if self.legacy.exist().await? {
                    return Ok(Attempt::Hindered(
                        "the store holds logs of the old service but the group has no committed offsets: set \
                         KAFKA_START to earliest, latest or a timestamp"
                            .to_owned(),
                    ));
                }
            }
        }
        self.group.join().await.map(Attempt::Joined)
    }
}

enum Attempt {
    Joined(Box<dyn EventSource>),
    Hindered(String),
}
