//! The ledger: one account per partition, and the bus's own offsets to hold it against.

use async_trait::async_trait;

use super::PortError;
use crate::domain::{Account, PartitionOffsets};

/// Reads the accounts, for those who want to know.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The accounts of all partitions that have one, in the order of the partitions.
    ///
    /// # Errors
    /// `Unavailable`: ask again.
    async fn accounts(&self) -> Result<Vec<Account>, PortError>;
}

/// An account that takes the place of what stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountMove {
    /// The `next` of the account that is replaced; `None` where there was no account.
    pub from: Option<i64>,
    pub to: Account,
}

/// Keeps accounts for a store that does not count where it stores.
#[async_trait]
pub trait LedgerWriter: Send + Sync {
    /// The accounts in the order of the partitions, as no failover takes them back. A write of unknown outcome may show
    /// later.
    ///
    /// # Errors
    /// `Unavailable`: ask again.
    async fn confirmed(&self) -> Result<Vec<Account>, PortError>;

    /// Puts each account in its place, durably, if the one that stands there still has the expected `next`; `false`
    /// where at least one had moved on. Accounts are independent: the others are in place then.
    ///
    /// # Errors
    /// `Unavailable`: some may be in place; read what is confirmed before trying again.
    async fn replace(&self, moves: &[AccountMove]) -> Result<bool, PortError>;
}

/// Partitions of the bus.
#[derive(Debug, Clone, Copy)]
pub enum Partitions<'a> {
    All,
    These(&'a [i32]),
}

/// Where partitions stand, as far as they answer.
#[derive(Debug, Default)]
pub struct OffsetsFound {
    /// In the order of the partitions.
    pub known: Vec<PartitionOffsets>,
    /// Partitions that do not answer now, for instance because they have no leader.
    pub silent: Vec<i32>,
}

impl OffsetsFound {
    /// What was found, if that is all.
    ///
    /// # Errors
    /// `Unavailable`, naming a partition that does not answer.
    pub fn complete(self) -> Result<Vec<PartitionOffsets>, PortError> {
        match self.silent.first() {
            None => Ok(self.known),
            Some(partition) => Err(PortError::unavailable(format!("partition {partition} does not answer"))),
        }
    }
}

/// Where the partitions of the bus begin and end.
#[async_trait]
pub trait BusOffsets: Send + Sync {
    /// Each partition is asked by itself: one that does not answer takes nothing from the others.
    ///
    /// # Errors
    /// `Unavailable`: ask again.
    async fn look(&self, at: Partitions<'_>) -> Result<OffsetsFound, PortError>;

    /// Every partition, in order.
    ///
    /// # Errors
    /// `Unavailable`: at least one does not answer; ask again.
    async fn offsets(&self) -> Result<Vec<PartitionOffsets>, PortError> {
        self.look(Partitions::All).await?.complete()
    }
}
