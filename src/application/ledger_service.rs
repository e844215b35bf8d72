//! The account that users can read: what became of everything that was acknowledged.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::domain::{
    Account, PartitionOffsets, Tally,
    ports::{BusOffsets, Ledger, PortError, Probe, Status},
};

/// Statements are begun so far apart: whoever asks in a loop costs bus and store little.
const APART: Duration = Duration::from_millis(100);

/// Why there is no statement now.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the bus is away")]
    BusUnavailable(#[source] PortError),
    #[error("the store is away")]
    StoreUnavailable(#[source] PortError),
}

impl LedgerError {
    fn retold(&self) -> Self {
        match self {
            Self::BusUnavailable(error) => Self::BusUnavailable(error.retold()),
            Self::StoreUnavailable(error) => Self::StoreUnavailable(error.retold()),
        }
    }
}

/// One partition: `accepted` is the sum of all the others, or something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatement {
    pub partition: i32,
    /// The first offset that this service took.
    pub first: i64,
    /// The first offset that is not counted yet.
    pub next: i64,
    /// The offset that the next record will get.
    pub end: i64,
    /// With what expired unread and is not counted yet.
    pub tally: Tally,
    pub pending: u64,
}

impl PartitionStatement {
    fn of(offsets: &PartitionOffsets, account: Option<&Account>) -> Self {
        let account = account.copied().unwrap_or_else(|| Account::beginning_at(offsets.partition, offsets.begin()));
        let mut tally = account.tally;
        let expired_unread = offsets.low.saturating_sub(account.next).max(0);
        tally.expired += expired_unread.unsigned_abs();
        let pending = offsets.end.saturating_sub(account.next.max(offsets.low)).max(0).unsigned_abs();
        Self {
            partition: offsets.partition,
            first: account.first,
            next: account.next,
            end: offsets.end,
            tally,
            pending,
        }
    }

    pub fn accepted(&self) -> u64 {
        self.end.saturating_sub(self.first).max(0).unsigned_abs()
    }

    pub fn is_balanced(&self) -> bool {
        self.accepted() == self.tally.sum() + self.pending
    }
}

/// Every partition of the bus.
pub type Statement = Arc<[PartitionStatement]>;

/// The statement made last.
struct Made {
    begun: Instant,
    ended: Instant,
    result: Result<Statement, LedgerError>,
}

impl Made {
    /// Whether it answers those who came then. A failure answers everybody who waited for it: servers that hang are not
    /// waited for in turn.
    fn is_for(&self, came: Instant) -> bool {
        match self.result {
            Ok(_) => self.begun >= came,
            Err(_) => self.ended >= came,
        }
    }
}

/// Makes statements, one at a time.
pub struct LedgerService {
    topic: String,
    ledger: Arc<dyn Ledger>,
    offsets: Arc<dyn BusOffsets>,
    bus: Arc<dyn Probe>,
    last: Mutex<Option<Made>>,
}

impl LedgerService {
    pub fn new(topic: String, ledger: Arc<dyn Ledger>, offsets: Arc<dyn BusOffsets>, bus: Arc<dyn Probe>) -> Self {
        Self { topic, ledger, offsets, bus, last: Mutex::default() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The account as it is now: nothing in it is older than the call. At once an error while the bus is known to be
    /// away; an error too while one partition does not answer, for what is not known must not look as if it were nothing.
    pub async fn statement(&self) -> Result<Statement, LedgerError> {
        if let Status::Down(reason) = self.bus.status() {
            return Err(LedgerError::BusUnavailable(PortError::unavailable(reason)));
        }
        let came = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(made) = &*last {
            if made.is_for(came) {
                return made.result.as_ref().map(Arc::clone).map_err(LedgerError::retold);
            }
            tokio::time::sleep_until(made.begun + APART).await;
        }
        let begun = Instant::now();
        let result = self.make().await;
        let kept = result.as_ref().map(Arc::clone).map_err(LedgerError::retold);
        *last = Some(Made { begun, ended: Instant::now(), result: kept });
        result
    }

    async fn make(&self) -> Result<Statement, LedgerError> {
        // In this order no account can be past the end of its partition.
        let accounts = self.ledger.accounts().await.map_err(LedgerError::StoreUnavailable)?;
        let offsets = self.offsets.offsets().await.map_err(LedgerError::BusUnavailable)?;
        let account = |partition| accounts.iter().find(|account| account.partition == partition);
        Ok(offsets.iter().map(|offsets| PartitionStatement::of(offsets, account(offsets.partition))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::domain::ports::{OffsetsFound, Partitions};

    /// A bus and a store that take their time, and one failure.
    #[derive(Default)]
    struct Slow {
        asked: AtomicU32,
        fails: bool,
    }

    #[async_trait]
    impl Ledger for Slow {
        async fn accounts(&self) -> Result<Vec<Account>, PortError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(APART).await;
            if self.fails { Err(PortError::unavailable("away")) } else { Ok(Vec::new()) }
        }
    }

    #[async_trait]
    impl BusOffsets for Slow {
        async fn look(&self, _: Partitions<'_>) -> Result<OffsetsFound, PortError> {
            Ok(OffsetsFound::default())
        }
    }

    struct Up;

    impl Probe for Up {
        fn status(&self) -> Status {
            Status::Up
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_what_is_made_after_they_came() {
        for (fails, made) in [(false, 2), (true, 1)] {
            let slow = Arc::new(Slow { fails, ..Slow::default() });
            let service = LedgerService::new("topic".to_owned(), slow.clone(), slow.clone(), Arc::new(Up));
            for times in 1..=2 {
                let asked = (0..100).map(|_| service.statement());
                let answers = futures_util::future::join_all(asked).await;
                assert!(answers.iter().all(|answer| answer.is_err() == fails));
                assert_eq!(slow.asked.load(Ordering::Relaxed), times * made);
            }
        }
    }

    fn statement(offsets: (i64, i64, Option<i64>), account: Option<Account>) -> PartitionStatement {
        let (low, end, committed) = offsets;
        PartitionStatement::of(&PartitionOffsets { partition: 0, low, end, committed }, account.as_ref())
    }

    #[test]
    fn what_is_accepted_is_counted_or_pending() {
        let tally = Tally { stored: 5, duplicates: 2, dead_lettered: 1, expired: 1, skipped: 1 };
        let account = Account { partition: 0, first: 10, next: 20, tally };
        let statement = statement((0, 25, Some(20)), Some(account));
        assert_eq!((statement.accepted(), statement.pending), (15, 5));
        assert!(statement.is_balanced());
        let lost = Account { tally: Tally { stored: 4, ..tally }, ..account };
        assert!(!PartitionStatement { tally: lost.tally, ..statement }.is_balanced());
    }

    #[test]
    fn what_expired_unread_shows_before_it_is_counted() {
        let account = Account::beginning_at(0, 10);
        let statement = statement((15, 15, None), Some(account));
        assert_eq!((statement.tally.expired, statement.pending), (5, 0));
        assert!(statement.is_balanced());
    }

    #[test]
    fn a_partition_without_an_account_begins_where_the_group_would() {
        assert_eq!(statement((3, 9, Some(5)), None).pending, 4);
        assert_eq!(statement((3, 9, None), None).pending, 6);
    }
}
