//! The ledger on MongoDB.

use eyego::{
    domain::{
        Account, Tally,
        ports::{AccountMove, EventFate, EventFates, Ledger, LedgerWriter, LogRepository},
    },
    infrastructure::mongo::{MongoFates, MongoLedger},
};

use crate::{
    contract::run,
    mongo::MongoHarness,
    support::{some_events, store},
};

const TALLY: Tally = Tally { stored: 1, duplicates: 2, dead_lettered: 3, expired: 4, skipped: 5 };

fn account(partition: i32, next: i64) -> Account {
    Account { partition, first: 3, next, tally: TALLY }
}

fn opening(to: Account) -> AccountMove {
    AccountMove { from: None, to }
}

#[tokio::test]
async fn an_account_reads_back_as_it_was_written() {
    run(async |harness: &mut MongoHarness| {
        let ledger = MongoLedger::new(harness.store.clone(), "topic");
        assert_eq!(ledger.accounts().await.unwrap(), []);
        let accounts = [account(0, 10), account(2, i64::MAX), account(11, 12)];
        assert!(ledger.replace(&accounts.map(opening)).await.unwrap());
        assert_eq!(ledger.accounts().await.unwrap(), accounts);
        assert_eq!(ledger.confirmed().await.unwrap(), accounts);
        let others = MongoLedger::new(harness.store.clone(), "topic2");
        assert_eq!(others.accounts().await.unwrap(), [], "each topic has accounts of its own");
    })
    .await;
}

#[tokio::test]
async fn an_account_moves_only_from_where_it_stands() {
    run(async |harness: &mut MongoHarness| {
        let ledger = MongoLedger::new(harness.store.clone(), "topic");
        assert!(ledger.replace(&[opening(account(0, 10))]).await.unwrap());
        assert!(!ledger.replace(&[opening(account(0, 20))]).await.unwrap(), "it is open already");
        assert!(!ledger.replace(&[AccountMove { from: Some(9), to: account(0, 20) }]).await.unwrap());
        assert_eq!(ledger.accounts().await.unwrap(), [account(0, 10)]);
        let both = [AccountMove { from: Some(9), to: account(0, 20) }, opening(account(1, 5))];
        assert!(!ledger.replace(&both).await.unwrap());
        assert_eq!(ledger.accounts().await.unwrap(), [account(0, 10), account(1, 5)], "accounts are independent");
        assert!(ledger.replace(&[AccountMove { from: Some(10), to: account(0, 20) }]).await.unwrap());
        assert_eq!(ledger.accounts().await.unwrap()[0], account(0, 20));
    })
    .await;
}

#[tokio::test]
async fn of_many_who_open_an_account_at_once_one_does() {
    run(async |harness: &mut MongoHarness| {
        let ledger = MongoLedger::new(harness.store.clone(), "topic");
        let opened = (0..16).map(|next| {
            let ledger = ledger.clone();
            async move { ledger.replace(&[opening(account(0, next))]).await.unwrap() }
        });
        let opened = futures_util::future::join_all(opened).await;
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_fates_of_many_events_are_looked_up_at_once() {
    run(async |harness: &mut MongoHarness| {
        let events = some_events(5);
        let batch = store(harness.store.as_ref(), &events[..3]).await;
        harness.store.delete(batch[1].id).await.unwrap();
        let ids: Vec<_> = [0, 1, 2, 3, 0].map(|n: usize| events[n].id).to_vec();
        let fates = MongoFates::new(harness.store.clone()).fates(&ids).await.unwrap();
        use EventFate::{Deleted, Stored, Unknown};
        assert_eq!(fates, [Stored, Deleted, Stored, Unknown, Stored]);
    })
    .await;
}
