//! One account's way from where it stood to where a batch takes it, and what is told of it once it is there.

use tracing::{debug, error};

use super::alarm::{Alarm, raise};
use crate::domain::{Account, Fate, PartitionOffsets, ports::AccountMove};

#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    before: Option<Account>,
    /// Where counting begins: mostly as before.
    begun: Account,
    pub(super) to: Account,
}

impl Step {
    /// `None` where nothing is left to count. `bound` may be missing where the records are the very next ones.
    pub(super) fn of(
        partition: i32,
        before: Option<Account>,
        bound: Option<&PartitionOffsets>,
        records: &[(i64, Fate)],
    ) -> Option<Self> {
        let (first, _) = *records.first()?;
        let begun = match (before, bound) {
            // It belongs to a topic that is gone, or the bus has lost its tail.
            (Some(account), Some(bound)) if account.next > bound.end => Account::beginning_at(partition, bound.low),
            (Some(account), _) => account,
            // Nobody has opened it. The group began where it has committed, for nothing of the partition is committed
            // before it is counted.
            (None, Some(bound)) => Account::beginning_at(partition, bound.begin().min(first)),
            (None, None) => Account::beginning_at(partition, first),
        };
        let to = begun.with(records, bound.map_or(0, |bound| bound.low));
        (before.map(|account| account.next) != Some(to.next)).then_some(Self { before, begun, to })
    }

    pub(super) fn as_move(&self) -> AccountMove {
        AccountMove { from: self.before.map(|account| account.next), to: self.to }
    }

    /// Tells of what should not have happened. To be called once the step is in the ledger.
    pub(super) fn report(&self) {
        let Self { before, begun, to } = self;
        if let Some(old) = before.filter(|old| old.next > begun.next) {
            raise(Alarm::LedgerRestarted, 1);
            error!(
                kafka.partition = to.partition,
                first = begun.first,
                ?old,
                "the account was past the end of its partition: the topic was made anew or has lost records; it begins anew"
            );
        }
        let expired = to.tally.expired - begun.tally.expired;
        if expired > 0 {
            raise(Alarm::RecordsExpired, expired);
            error!(
                kafka.partition = to.partition,
                expired,
                from = begun.next,
                "records expired before they were read and are lost: the topic's retention is too short"
            );
        }
        let skipped = to.tally.skipped - begun.tally.skipped;
        if skipped > 0 {
            // Nothing out of the ordinary where producers use transactions.
            debug!(kafka.partition = to.partition, skipped, from = begun.next, "offsets without a record");
        }
    }
}
