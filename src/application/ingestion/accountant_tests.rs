//! The accountant against a ledger in memory that others write to as well.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;
use crate::domain::{
    Tally,
    ports::{OffsetsFound, PortErrorKind},
};

#[derive(Default)]
struct Book {
    accounts: Mutex<Vec<Account>>,
    /// Moves the accounts of this many calls before they arrive, as another worker would.
    rivals: Mutex<Vec<AccountMove>>,
    fail: Mutex<u32>,
    reads: Mutex<u32>,
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
impl LedgerWriter for Book {
    async fn confirmed(&self) -> Result<Vec<Account>, PortError> {
        *self.reads.lock().unwrap() += 1;
        Ok(self.accounts.lock().unwrap().clone())
    }

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

/// How often each alarm was raised, while its guard lives.
#[derive(Default)]
struct Alarms(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Alarms {
    fn raised(&self, alarm: &str) -> u64 {
        self.0.lock().unwrap().get(alarm).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Recorder for Alarms {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let alarm = key.labels().next().unwrap().value().to_owned();
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(alarm).or_default()))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
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

#[tokio::test]
async fn marks_of_transactions_are_skipped_without_an_alarm() {
    let alarms = Alarms::default();
    let _recording = metrics::set_default_local_recorder(&alarms);
    let book = Arc::new(Book::default());
    let accountant = Accountant::new(book.clone(), bus(0, 100, None));
    for batch in [[0, 1, 3], [5, 6, 8], [10, 12, 14]] {
        let records = batch.map(|offset| (offset, Fate::Stored));
        accountant.settle(&Fates::from([(0, records.to_vec())])).await.unwrap();
    }
    assert_eq!(book.account(0).tally, of(9, 0, 6));
    assert_eq!(*book.reads.lock().unwrap(), 1, "the ledger is read when nothing is known yet");
    assert!(alarms.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_expired_is_told_once_whatever_became_of_the_write() {
    for lost_race in [false, true] {
        let alarms = Alarms::default();
        let _recording = metrics::set_default_local_recorder(&alarms);
        let book = Arc::new(Book::default());
        let bus = bus_of([offsets(0, 0, 100, None), offsets(1, 0, 100, None)]);
        let accountant = Accountant::new(book.clone(), bus.clone());
        let both = |range: std::ops::Range<i64>| {
            let records: Vec<_> = range.map(|offset| (offset, Fate::Stored)).collect();
            Fates::from([(0, records.clone()), (1, records)])
        };
        accountant.settle(&both(0..10)).await.unwrap();
        *bus.0.lock().unwrap() = BTreeMap::from([offsets(0, 25, 100, None), offsets(1, 0, 100, None)]);
        if lost_race {
            let to = book.account(1).with(&[(10, Fate::Stored)], 0);
            book.rivals.lock().unwrap().push(AccountMove { from: Some(10), to });
            accountant.settle(&both(30..40)).await.unwrap();
        } else {
            *book.fail.lock().unwrap() = 1;
            accountant.settle(&both(30..40)).await.unwrap_err();
            accountant.settle(&both(30..40)).await.unwrap();
        }
        accountant.settle(&both(30..40)).await.unwrap();
        assert_eq!(book.account(0).tally, of(20, 15, 5));
        assert_eq!(alarms.raised("records_expired"), 15, "lost race: {lost_race}");
    }
}

#[tokio::test]
async fn whoever_loses_two_races_in_a_row_waits_before_the_next() {
    let book = Arc::new(Book::default());
    let accountant = Accountant::new(book.clone(), bus(0, 100, None));
    accountant.settle(&stored(0..10)).await.unwrap();
    let step = |from| AccountMove { from: Some(from), to: Account::beginning_at(0, from + 1) };
    book.rivals.lock().unwrap().extend([step(11), step(10)]);
    let lost = accountant.settle(&stored(10..20)).await.unwrap_err();
    assert_eq!(lost.kind(), PortErrorKind::Unavailable);
    accountant.settle(&stored(10..20)).await.unwrap();
    assert_eq!((book.account(0).next, book.account(0).tally.stored), (20, 8));
}
