//! Keeps the ledger: counts each offset once, after its record is stored and before it is committed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{error, info, warn};

use super::alarm::{Alarm, raise};
use crate::domain::{
    Account, Fate, PartitionOffsets,
    ports::{AccountMove, BusOffsets, LedgerWriter, Partitions, PortError},
};

/// The records of a batch and what became of them, by partition, in the order of their offsets.
pub(super) type Fates = BTreeMap<i32, Vec<(i64, Fate)>>;

/// Writes what became of records into the ledger.
///
/// Several workers may count the same records, for instance when one was taken for dead and wakes up: whoever moves
/// the account first has counted them.
pub struct Accountant {
    ledger: Arc<dyn LedgerWriter>,
    bus: Arc<dyn BusOffsets>,
    /// As last read or written; others may have moved on.
    known: Mutex<Accounts>,
}

type Accounts = HashMap<i32, Account>;

impl Accountant {
    pub fn new(ledger: Arc<dyn LedgerWriter>, bus: Arc<dyn BusOffsets>) -> Self {
        Self { ledger, bus, known: Mutex::default() }
    }

    /// Opens an account for every partition that has none, where the group is about to begin, so that what expires
    /// unread from then on is noticed. A partition that does not answer gets its account with its first records.
    pub(super) async fn open(&self) -> Result<(), PortError> {
        let known = self.ledger.accounts().await?;
        let found = self.bus.look(Partitions::All).await?;
        if !found.silent.is_empty() {
            info!(partitions = ?found.silent, "partitions do not answer; their accounts are opened later");
        }
        let new: Vec<_> = found
            .known
            .iter()
            .filter(|partition| known.iter().all(|account| account.partition != partition.partition))
            .map(|partition| opening(partition.partition, partition.begin()))
            .collect();
        if !new.is_empty() {
            // Where another worker was faster, its account is as good.
            self.ledger.replace(&new).await?;
        }
        Ok(())
    }

    /// Counts the records, whatever others do meanwhile.
    pub(super) async fn settle(&self, fates: &Fates) -> Result<(), PortError> {
        // Taken out: if anything fails, what is known may be wrong and is read anew.
        let mut known = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        loop {
            let mut bounds = Vec::new();
            if !fates.iter().all(|(partition, records)| continues(&known, *partition, records)) {
                (known, bounds) = self.look(fates).await?;
            }
            let moves = moves(&known, fates, &bounds);
            if moves.is_empty() || self.ledger.replace(&moves).await? {
                report_gaps(&known, &moves);
                known.extend(moves.into_iter().map(|moved| (moved.to.partition, moved.to)));
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
                return Ok(());
            }
            known.clear();
        }
    }

    /// Reads the accounts anew, and after them the offsets of the partitions that do not simply go on: so no account
    /// can be past its partition's end, and no other partition is waited for.
    async fn look(&self, fates: &Fates) -> Result<(Accounts, Vec<PartitionOffsets>), PortError> {
        let accounts = self.ledger.accounts().await?;
        let mut known: Accounts = accounts.into_iter().map(|account| (account.partition, account)).collect();
        let asked: Vec<i32> = fates
            .iter()
            .filter(|(partition, records)| !continues(&known, **partition, records))
            .map(|(partition, _)| *partition)
            .collect();
        let bounds = self.bus.look(Partitions::These(&asked)).await?.complete()?;
        for bound in &bounds {
            if let Some(old) = known.get(&bound.partition).filter(|account| account.next > bound.end) {
                let anew = self.begin_anew(old, bound).await?;
                known.insert(bound.partition, anew);
            }
        }
        Ok((known, bounds))
    }

    /// An account past the end belongs to a topic that is gone, or the bus has lost its tail.
    async fn begin_anew(&self, old: &Account, bound: &PartitionOffsets) -> Result<Account, PortError> {
        let to = Account::beginning_at(bound.partition, bound.low);
        if self.ledger.replace(&[AccountMove { from: Some(old.next), to }]).await? {
            raise(Alarm::LedgerRestarted, 1);
            error!(
                kafka.partition = bound.partition,
                end = bound.end,
                ?old,
                "the account is past the end of its partition: the topic was made anew or has lost records; it begins anew"
            );
        }
        Ok(to)
    }
}

fn continues(known: &Accounts, partition: i32, records: &[(i64, Fate)]) -> bool {
    known.get(&partition).is_some_and(|account| account.is_continued_by(records))
}

/// The accounts that the records move.
fn moves(known: &Accounts, fates: &Fates, bounds: &[PartitionOffsets]) -> Vec<AccountMove> {
    let moves = fates.iter().filter_map(|(&partition, records)| {
        let bound = bounds.iter().find(|bound| bound.partition == partition);
        let (begun, _) = *records.first()?;
        let before = known.get(&partition).copied();
        // Where nobody opened the account: where the group began, for nothing of this partition is committed before
        // it is counted.
        let begin = bound.map_or(begun, |bound| bound.begin().min(begun));
        let account = before.unwrap_or_else(|| Account::beginning_at(partition, begin));
        let to = account.with(records, bound.map_or(0, |bound| bound.low));
        let from = before.map(|before| before.next);
        (from != Some(to.next)).then_some(AccountMove { from, to })
    });
    moves.collect()
}

fn opening(partition: i32, first: i64) -> AccountMove {
    AccountMove { from: None, to: Account::beginning_at(partition, first) }
}

fn report_gaps(known: &Accounts, moves: &[AccountMove]) {
    for after in moves.iter().map(|moved| moved.to) {
        let before =
            known.get(&after.partition).copied().unwrap_or(Account::beginning_at(after.partition, after.first));
        let expired = after.tally.expired - before.tally.expired;
        if expired > 0 {
            raise(Alarm::RecordsExpired, expired);
            error!(
                kafka.partition = after.partition,
                expired,
                from = before.next,
                "records expired before they were read and are lost: the topic's retention is too short"
            );
        }
        let skipped = after.tally.skipped - before.tally.skipped;
        if skipped > 0 {
            raise(Alarm::OffsetsSkipped, skipped);
            warn!(
                kafka.partition = after.partition,
                skipped,
                from = before.next,
                "offsets were passed over without a record: marks of transactions, or the group was moved ahead by hand"
            );
        }
    }
}

#[cfg(test)]
#[path = "accountant_tests.rs"]
mod tests;
