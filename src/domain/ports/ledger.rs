//! The ledger: one account per partition, and the bus's own offsets to hold it against.

use async_trait::async_trait;

use super::PortError;
use crate::domain::{Account, PartitionOffsets};

/// Reads the accounts.
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
pub trait LedgerWriter: Ledger {
    /// Puts each account in its place, durably, if the one that stands there still has the expected `next`; `false`
    /// where at least one had moved on. Accounts are independent: the others are in place then.
    ///
    /// # Errors
    /// `Unavailable`: some may be in place; read the accounts before trying again.
    async fn replace(&self, moves: &[AccountMove]) -> Result<bool, PortError>;
}

/// Where the partitions of the bus begin and end.
#[async_trait]
pub trait BusOffsets: Send + Sync {
    /// Every partition, in order.
    ///
    /// # Errors
    /// `Unavailable`: ask again.
    async fn offsets(&self) -> Result<Vec<PartitionOffsets>, PortError>;
}
