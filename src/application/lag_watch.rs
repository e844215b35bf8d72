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
/// How many ends are remembered: an hour. A lag that is older shows as an hour, unless a worker here has been holding a
/// batch for longer.
const REMEMBERED: usize = 720;

/// Looks every few seconds.
pub struct LagWatch {
    ledger: Arc<LedgerService>,
    progress: WorkerProgress,
    clock: Arc<dyn Clock>,
    ends: HashMap<i32, Ends>,
    in_hand: InHand,
}

/// When a partition's end was seen where.
type Ends = VecDeque<(Timestamp, i64)>;

impl LagWatch {
    pub fn new(ledger: Arc<LedgerService>, progress: WorkerProgress, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, progress, clock, ends: HashMap::new(), in_hand: InHand::default() }
    }

    /// Measures until asked to stop. While bus or store are away the last figures stand, and the time of the last
    /// look shows how old they are.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(self.ledger.statement()).await {
                Some(Ok(partitions)) => self.show(&partitions),
                Some(Err(error)) => debug!(error = %ErrorChain(&error), "the lag could not be measured"),
                None => return,
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    fn show(&mut self, partitions: &[PartitionStatement]) {
        let now = self.clock.now();
        let in_hand = self.in_hand.since(self.progress.oldest(), now);
        for one in partitions {
            let ends = self.ends.entry(one.partition).or_default();
            let waiting_since = waiting_since(ends, one.next).into_iter().chain(in_hand).min();
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

/// The oldest record that the worker here has in hand, and when it was first seen there.
#[derive(Default)]
struct InHand(Option<(Timestamp, Timestamp)>);

impl InHand {
    /// Since when it has been waiting, as far as this process has seen: a record's own time may be anything, such as
    /// that of the records of a topic that was copied.
    fn since(&mut self, oldest: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        if self.0.map(|(record, _)| record) != oldest {
            self.0 = oldest.map(|record| (record, now));
        }
        self.0.map(|(_, seen)| seen)
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
    use async_trait::async_trait;

    use super::*;
    use crate::domain::{
        Account,
        ports::{BusOffsets, Ledger, OffsetsFound, Partitions, PortError, Probe, Status},
    };

    /// Servers that take a question and never answer.
    struct Hung;

    #[async_trait]
    impl Ledger for Hung {
        async fn accounts(&self) -> Result<Vec<Account>, PortError> {
            std::future::pending().await
        }
    }

    #[async_trait]
    impl BusOffsets for Hung {
        async fn look(&self, _: Partitions<'_>) -> Result<OffsetsFound, PortError> {
            std::future::pending().await
        }
    }

    impl Probe for Hung {
        fn status(&self) -> Status {
            Status::Up
        }
    }

    impl Clock for Hung {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_an_answer() {
        let ledger = LedgerService::new("topic".to_owned(), Arc::new(Hung), Arc::new(Hung), Arc::new(Hung));
        let watch = LagWatch::new(Arc::new(ledger), WorkerProgress::default(), Arc::new(Hung));
        let stop = CancellationToken::new();
        let stopping = async {
            tokio::task::yield_now().await;
            stop.cancel();
        };
        let ended =
            tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(watch.run(stop.clone()), stopping) });
        assert!(ended.await.is_ok());
    }

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
    fn a_record_in_hand_waits_since_it_was_seen_there_whatever_its_own_time_says() {
        let mut in_hand = InHand::default();
        let mut since = |oldest: Option<i64>, now| {
            let since = in_hand.since(oldest.map(Timestamp::from_millis), Timestamp::from_millis(now));
            since.map(Timestamp::as_millis)
        };
        assert_eq!((since(None, 10), since(Some(0), 20), since(Some(0), 30)), (None, Some(20), Some(20)));
        assert_eq!((since(Some(7), 40), since(None, 50), since(Some(7), 60)), (Some(40), None, Some(60)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ends = Ends::new();
        (0..2000).for_each(|n| remember(&mut ends, Timestamp::from_millis(n), n));
        assert_eq!(ends.len(), REMEMBERED);
    }
}
