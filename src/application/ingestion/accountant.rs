//! Keeps the ledger: counts each offset once, after its record is stored and before it is committed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::info;

use super::account_step::Step;
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
    /// Written, and not known to be in the ledger: others were faster with one of them, or nobody answered.
    unsure: Mutex<Vec<Step>>,
}

type Accounts = HashMap<i32, Account>;

/// How often in a row others may be faster before they are given some time.
const RACES: usize = 2;

impl Accountant {
    pub fn new(ledger: Arc<dyn LedgerWriter>, bus: Arc<dyn BusOffsets>) -> Self {
        Self { ledger, bus, known: Mutex::default(), unsure: Mutex::default() }
    }

    /// Opens an account for every partition that has none, where the group is about to begin, so that what expires
    /// unread from then on is noticed. A partition that does not answer gets its account with its first records.
    pub(super) async fn open(&self) -> Result<(), PortError> {
        let known = self.ledger.confirmed().await?;
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
        let mut known = take(&self.known);
        for _ in 0..RACES {
            if is_stale(&known, fates) {
                known = self.read().await?;
            }
            let steps = self.steps(&known, fates).await?;
            if self.put(&steps).await? {
                known.extend(steps.into_iter().map(|step| (step.to.partition, step.to)));
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
                return Ok(());
            }
            known.clear();
        }
        Err(PortError::unavailable("others move the accounts at the same time"))
    }

    /// Reads the accounts anew, and reports the steps that turn out to have been taken.
    async fn read(&self) -> Result<Accounts, PortError> {
        let accounts = self.ledger.confirmed().await?;
        let known: Accounts = accounts.into_iter().map(|account| (account.partition, account)).collect();
        let taken = |step: &Step| known.get(&step.to.partition) == Some(&step.to);
        take(&self.unsure).iter().filter(|step| taken(step)).for_each(Step::report);
        Ok(known)
    }

    /// The accounts that the records move. Asks only for the partitions that do not simply go on, so that no other is
    /// waited for; and only now, when the accounts are known, so that none can be past its partition's end.
    async fn steps(&self, known: &Accounts, fates: &Fates) -> Result<Vec<Step>, PortError> {
        let goes_on =
            |partition, records| known.get(partition).is_some_and(|account: &Account| account.is_continued_by(records));
        let asked: Vec<i32> =
            fates.iter().filter(|(partition, records)| !goes_on(partition, records)).map(|(id, _)| *id).collect();
        let bounds: Vec<PartitionOffsets> = match asked.as_slice() {
            [] => Vec::new(),
            asked => self.bus.look(Partitions::These(asked)).await?.complete()?,
        };
        let steps = fates.iter().filter_map(|(&partition, records)| {
            let bound = bounds.iter().find(|bound| bound.partition == partition);
            Step::of(partition, known.get(&partition).copied(), bound, records)
        });
        Ok(steps.collect())
    }

    /// `false` where others were faster with one of them.
    async fn put(&self, steps: &[Step]) -> Result<bool, PortError> {
        if steps.is_empty() {
            return Ok(true);
        }
        let moves: Vec<AccountMove> = steps.iter().map(Step::as_move).collect();
        let put = self.ledger.replace(&moves).await;
        match put {
            Ok(true) => steps.iter().for_each(Step::report),
            Ok(false) | Err(_) => *self.unsure.lock().unwrap_or_else(PoisonError::into_inner) = steps.to_vec(),
        }
        put
    }
}

/// Whether records come that should have been counted already, or of partitions that nothing is known of.
fn is_stale(known: &Accounts, fates: &Fates) -> bool {
    fates.iter().any(|(partition, records)| {
        let Some(account) = known.get(partition) else { return true };
        records.first().is_some_and(|(offset, _)| *offset < account.next)
    })
}

fn opening(partition: i32, first: i64) -> AccountMove {
    AccountMove { from: None, to: Account::beginning_at(partition, first) }
}

fn take<T: Default>(kept: &Mutex<T>) -> T {
    std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
#[path = "accountant_tests.rs"]
mod tests;
