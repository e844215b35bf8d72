//! Which ids are settled: seen long enough ago that no log with a lower one is expected to become visible any more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::{From, LogFilter, LogId, LogQuery, Order, ports::LogRepository};

/// Looks per lag: how exact "long enough" is.
const LOOKS: u32 = 4;
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was the highest id, and when.
#[derive(Debug)]
pub struct TipWatch {
    lag: Duration,
    seen: Mutex<VecDeque<(Instant, LogId)>>,
}

impl TipWatch {
    pub fn new(lag: Duration) -> Self {
        Self { lag, seen: Mutex::default() }
    }

    /// The highest id that was seen at least a lag ago; `None` before that is known.
    pub(super) fn settled_id(&self) -> Option<LogId> {
        let now = Instant::now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().rev().find(|(at, _)| now.duration_since(*at) >= self.lag).map(|(_, id)| *id)
    }

    /// Looks again and again, until asked to stop. While the store is away what was seen stays.
    pub async fn run(self: Arc<Self>, repository: Arc<dyn LogRepository>, stop: CancellationToken) {
        let question = LogQuery {
            filter: LogFilter::default(),
            order: Order::IdDescending,
            from: From::Offset(0),
            up_to: None,
            limit: 1,
            max_time: PATIENCE,
        };
        while !stop.is_cancelled() {
            let at = Instant::now();
            if let Ok(slice) = repository.find(&question).await
                && let Some(id) = slice.logs.first().and_then(|log| log.id)
            {
                self.note(at, id);
            }
            stop.run_until_cancelled(tokio::time::sleep(self.lag / LOOKS)).await;
        }
    }

    /// The time is that before the look: what it saw was there by then or came meanwhile.
    fn note(&self, at: Instant, id: LogId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back((at, id));
        // One that is old enough is kept, and all that are not yet.
        while seen.get(1).is_some_and(|(at, _)| at.elapsed() >= self.lag) {
            seen.pop_front();
        }
    }
}
