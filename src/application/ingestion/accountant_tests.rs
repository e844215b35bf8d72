//! The accountant against a ledger in memory that others write to as well.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::domain::{
    Tally,
    ports::{Ledger, OffsetsFound},
};

#[derive(Default)]
struct Book {
    accounts: Mutex<Vec<Account>>,
    /// Moves the accounts of this many calls before they arrive, as another worker would.
    rivals: Mutex<Vec<AccountMove>>,
    fail: Mutex<u32>,
}

impl Book {
    fn put(&self, change: &AccountMove) -> bool {
        let mut accounts = self.accounts.lock().unwrap();
        let found = accounts.iter_mut().find(|account| account.partition == change.to.partition);
        match (found, change.from) {
            (Some(account), Some(next)) if account.next == next => *account = change.to,
            (None, None) => accounts.push(change.to),
            _ => return false,
        }
        true
    }

    fn account(&self, partition: i32) -> Account {
        *self.accounts.lock().unwrap().iter().find(|account| account.partition == partition).unwrap()
    }
}

#[async_trait]
impl Ledger for Book {
    async fn accounts(&self) -> Result<Vec<Account>, PortError> {
        Ok(self.accounts.lock().unwrap().clone())
    }
}

#[async_trait]
impl LedgerWriter for Book {
    async fn replace(&self, moves: &[AccountMove]) -> Result<bool, PortError> {
        if let Some(rival) = self.rivals.lock().unwrap().pop() {
            assert!(self.put(&rival));
        }
        let put = moves.iter().filter(|change| self.put(change)).count();
        let mut fail = self.fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(PortError::unavailable("done, but nobody knows"));
        }
        Ok(put == moves.len())
    }
}

/// Where there is nothing known the partition is silent.
struct Bus(Mutex<BTreeMap<i32, Option<PartitionOffsets>>>);

#[async_trait]
impl BusOffsets for Bus {
    async fn look(&self, at: Partitions<'_>) -> Result<OffsetsFound, PortError> {
        let mut found = OffsetsFound::default();
        for (partition, offsets) in &*self.0.lock().unwrap() {
            match (at, offsets) {
                (Partitions::These(asked), _) if !asked.contains(partition) => {}
                (_, Some(offsets)) => found.known.push(*offsets),
                (_, None) => found.silent.push(*partition),
            }
        }
        Ok(found)
    }
}

fn offsets(partition: i32, low: i64, end: i64, committed: Option<i64>) -> (i32, Option<PartitionOffsets>) {
    (partition, Some(PartitionOffsets { partition, low, end, committed }))
}

fn bus_of<const N: usize>(partitions: [(i32, Option<PartitionOffsets>); N]) -> Arc<Bus> {
    Arc::new(Bus(Mutex::new(BTreeMap::from(partitions))))
}

fn bus(low: i64, end: i64, committed: Option<i64>) -> Arc<Bus> {
    bus_of([offsets(0, low, end, committed)])
}

fn stored(offsets: std::ops::Range<i64>) -> Fates {
    Fates::from([(0, offsets.map(|offset| (offset, Fate::Stored)).collect())])
}

fn of(stored: u64, expired: u64, skipped: u64) -> Tally {
    Tally { stored, expired, skipped, ..Tally::default() }
}

#[tokio::test]
async fn records_are_counted_once_however_often_they_come() {
    let book = Arc::new(Book::default());
    let accountant = Accountant::new(book.clone(), bus(0, 100, None));
    for range in [0..10, 0..10, 5..12, 12..13] {
        accountant.settle(&stored(range)).await.unwrap();
    }
    assert_eq!(book.account(0), Account { partition: 0, first: 0, next: 13, tally: of(13, 0, 0) });
}

#[tokio::test]
async fn an_account_opens_where_the_group_begins() {
    let book = Arc::new(Book::default());
    Accountant::new(book.clone(), bus(3, 100, Some(40))).open().await.unwrap();
    assert_eq!(book.account(0), Account::beginning_at(0, 40));
    Accountant::new(book.clone(), bus(3, 100, Some(70))).open().await.unwrap();
    assert_eq!(book.account(0).first, 40, "an account that is there stays");
    let fresh = Arc::new(Book::default());
    Accountant::new(fresh.clone(), bus(3, 100, None)).open().await.unwrap();
    assert_eq!(fresh.account(0).first, 3);
}

#[tokio::test]
async fn what_expired_unread_and_what_was_no_record_is_told_apart() {
    let book = Arc::new(Book::default());
    Accountant::new(book.clone(), bus(0, 100, None)).settle(&stored(0..10)).await.unwrap();
    let accountant = Accountant::new(book.clone(), bus(25, 100, None));
    accountant.settle(&stored(30..40)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 0, next: 40, tally: of(20, 15, 5) });
}

#[tokio::test]
async fn two_workers_with_the_same_records_count_them_once() {
    let book = Arc::new(Book::default());
    let accountant = Accountant::new(book.clone(), bus(0, 100, None));
    accountant.settle(&stored(0..10)).await.unwrap();
    let to = book.account(0).with(&[(10, Fate::Stored), (11, Fate::Stored)], 0);
    book.rivals.lock().unwrap().push(AccountMove { from: Some(10), to });
    accountant.settle(&stored(10..15)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 0, next: 15, tally: of(15, 0, 0) });
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_not_made_twice() {
    let book = Arc::new(Book::default());
    let accountant = Accountant::new(book.clone(), bus(0, 100, None));
    *book.fail.lock().unwrap() = 1;
    assert!(accountant.settle(&stored(0..10)).await.is_err());
    accountant.settle(&stored(0..10)).await.unwrap();
    assert_eq!(book.account(0).tally, of(10, 0, 0));
}

#[tokio::test]
async fn a_topic_made_anew_begins_a_new_account() {
    let book = Arc::new(Book::default());
    Accountant::new(book.clone(), bus(0, 100, None)).settle(&stored(0..100)).await.unwrap();
    Accountant::new(book.clone(), bus(0, 5, None)).settle(&stored(0..5)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 0, next: 5, tally: of(5, 0, 0) });
}

#[tokio::test]
async fn a_running_worker_notices_a_topic_made_anew() {
    let (book, bus) = (Arc::new(Book::default()), bus(0, 100, None));
    let accountant = Accountant::new(book.clone(), bus.clone());
    accountant.settle(&stored(0..100)).await.unwrap();
    *bus.0.lock().unwrap() = BTreeMap::from([offsets(0, 0, 5, None)]);
    accountant.settle(&stored(0..5)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 0, next: 5, tally: of(5, 0, 0) });
}

#[tokio::test]
async fn a_partition_that_does_not_answer_holds_up_no_other() {
    let book = Arc::new(Book::default());
    let silent = bus_of([offsets(0, 0, 100, None), (1, None), offsets(2, 0, 100, Some(40))]);
    let accountant = Accountant::new(book.clone(), silent);
    accountant.open().await.unwrap();
    assert_eq!((book.account(0).first, book.account(2).first), (0, 40));
    accountant.settle(&stored(0..10)).await.unwrap();
    let gap = Fates::from([(2, vec![(42, Fate::Stored)])]);
    accountant.settle(&gap).await.unwrap();
    assert_eq!((book.account(0).next, book.account(2).tally), (10, of(1, 0, 2)));
}

#[tokio::test]
async fn an_account_that_is_opened_late_begins_where_the_group_did() {
    let book = Arc::new(Book::default());
    let late = |committed| Accountant::new(book.clone(), bus(50, 100, committed));
    late(Some(40)).settle(&stored(50..60)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 40, next: 60, tally: of(10, 10, 0) });
    book.accounts.lock().unwrap().clear();
    late(None).settle(&stored(52..60)).await.unwrap();
    assert_eq!(book.account(0), Account { partition: 0, first: 50, next: 60, tally: of(8, 0, 2) });
    book.accounts.lock().unwrap().clear();
    late(Some(70)).settle(&stored(52..60)).await.unwrap();
    assert_eq!(book.account(0).first, 52, "others commit meanwhile");
}
