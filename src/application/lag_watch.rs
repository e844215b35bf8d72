//! Measures how far the store is behind the bus, and shows the ledger, as metrics.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use metrics::{Label, gauge};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    ledger_service::{LedgerService, PartitionStatement},
    progress::WorkerProgress,
};
use crate::domain::{
    Timestamp,
    ports::{Clock, ErrorChain},
};

const EVERY: Duration = Duration::from_secs(5);
/// How many ends are remembered: an hour. A lag that is older shows as an hour, unless a worker here knows better.
const REMEMBERED: usize = 720;

/// Looks every few seconds.
pub struct LagWatch {
    ledger: Arc<LedgerService>,
    progress: WorkerProgress,
    clock: Arc<dyn Clock>,
    ends: HashMap<i32, Ends>,
}

/// When a partition's end was seen where.
type Ends = VecDeque<(Timestamp, i64)>;

impl LagWatch {
    pub fn new(ledger: Arc<LedgerService>, progress: WorkerProgress, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, progress, clock, ends: HashMap::new() }
    }

    /// Measures until asked to stop. While bus or store are away the last figures stand, and the time of the last
    /// look shows how old they are.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            match self.ledger.statement().await {
                Ok(partitions) => self.show(&partitions),
                Err(error) => debug!(error = %ErrorChain(&error), "the lag could not be measured"),
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    fn show(&mut self, partitions: &[PartitionStatement]) {
        let now = self.clock.now();
        let oldest = self.progress.oldest();
        for one in partitions {
            let ends = self.ends.entry(one.partition).or_default();
            let waiting_since = waiting_since(ends, one.next).into_iter().chain(oldest).min();
            let seconds = waiting_since.filter(|_| one.pending > 0).map_or(0.0, |since| seconds_between(since, now));
            remember(ends, now, one.end);
            let label = Label::new("partition", one.partition.to_string());
            gauge!("eyego_lag_records", vec![label.clone()]).set(one.pending as f64);
            gauge!("eyego_lag_seconds", vec![label]).set(seconds);
        }
        for (fate, count) in totals(partitions) {
            gauge!("eyego_ledger_records", "fate" => fate).set(count as f64);
        }
        let unbalanced = partitions.iter().filter(|one| !one.is_balanced()).count();
        gauge!("eyego_ledger_unbalanced_partitions").set(unbalanced as f64);
        gauge!("eyego_ledger_seen_timestamp_seconds").set(now.as_millis() as f64 / 1e3);
    }
}

/// When the record at `next` was first seen to be there.
fn waiting_since(ends: &Ends, next: i64) -> Option<Timestamp> {
    ends.iter().find(|(_, end)| *end > next).map(|(seen, _)| *seen)
}

fn remember(ends: &mut Ends, now: Timestamp, end: i64) {
    if ends.len() == REMEMBERED {
        ends.pop_front();
    }
    ends.push_back((now, end));
}

/// The clock may have been set back.
fn seconds_between(since: Timestamp, now: Timestamp) -> f64 {
    (now.as_millis() - since.as_millis()).max(0) as f64 / 1e3
}

fn totals(partitions: &[PartitionStatement]) -> [(&'static str, u64); 6] {
    let sum = |part: fn(&PartitionStatement) -> u64| partitions.iter().map(part).sum();
    [
        ("stored", sum(|one| one.tally.stored)),
        ("duplicate", sum(|one| one.tally.duplicates)),
        ("dead_lettered", sum(|one| one.tally.dead_lettered)),
        ("expired", sum(|one| one.tally.expired)),
        ("skipped", sum(|one| one.tally.skipped)),
        ("pending", sum(|one| one.pending)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_waits_since_it_was_first_seen() {
        let mut ends = Ends::new();
        for (millis, end) in [(1, 10), (2, 10), (3, 20), (4, 30)] {
            remember(&mut ends, Timestamp::from_millis(millis), end);
        }
        let since = |next| waiting_since(&ends, next).map(Timestamp::as_millis);
        assert_eq!((since(9), since(10), since(29), since(30)), (Some(1), Some(3), Some(4), None));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ends = Ends::new();
        (0..2000).for_each(|n| remember(&mut ends, Timestamp::from_millis(n), n));
        assert_eq!(ends.len(), REMEMBERED);
    }
}
