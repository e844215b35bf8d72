//! Failures that a server gives on command (`failCommand`): needs one started with `--setParameter
//! enableTestCommands=1`, and is skipped with a notice on others. The failures reach only the client that has the
//! test's own application name.

use std::time::Duration;

use bson::{Bson, Document, doc};
use eyego::{
    domain::{
        LogId,
        ports::{AppendOutcome, DeadLetterReason, DeleteOutcome, Ledger, LogRepository, PortErrorKind, Receipt},
    },
    infrastructure::mongo::MongoLedger,
};

use crate::{
    contract::Harness,
    mongo::MongoHarness,
    repository::{RepositoryHarness, letter},
    support::{eventually, number, some_events, store, unique_name},
};

/// A store whose calls fail as told.
struct Faulty {
    harness: MongoHarness,
    app_name: String,
}

impl Faulty {
    async fn start() -> Option<Self> {
        let mut harness = MongoHarness::start().await?;
        let app_name = unique_name("faults");
        harness.uri = format!("{}&appName={app_name}", harness.uri.replace("appName=suite", "retryWrites=true"));
        harness.reopen().await;
        let faulty = Self { harness, app_name };
        match faulty.set("insert", doc! {"errorCode": 1}, "off").await {
            Ok(_) => Some(faulty),
            Err(_) => {
                eprintln!("skipped: the server was started without enableTestCommands=1");
                faulty.harness.end().await;
                None
            }
        }
    }

    async fn set(&self, command: &str, how: Document, mode: impl Into<Bson>) -> mongodb::error::Result<Document> {
        let mut data = doc! {"failCommands": [command], "appName": &self.app_name};
        data.extend(how);
        let admin = self.harness.database.client().database("admin");
        admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": mode.into(), "data": data}).await
    }

    /// The next `times` of these commands fail.
    async fn fail(&self, command: &str, how: Document, times: i32) {
        self.set(command, how, doc! {"times": times}).await.unwrap();
    }

    async fn heal(&self) {
        let admin = self.harness.database.client().database("admin");
        admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": "off"}).await.unwrap();
    }
}

fn unsure() -> Document {
    doc! {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
}

/// One test for all, because the server has one fail point.
#[tokio::test]
async fn failures_of_the_server_lose_nothing_and_reject_nothing() {
    let Some(faulty) = Faulty::start().await else { return };
    a_duplicate_that_may_yet_be_lost_is_no_success(&faulty).await;
    no_failure_of_the_server_rejects_a_log(&faulty).await;
    a_batch_refused_as_a_whole_is_taken_apart(&faulty).await;
    a_failed_look_at_the_tombstones_fails_the_append(&faulty).await;
    an_unconfirmed_delete_says_so(&faulty).await;
    a_tombstone_that_was_not_written_is_no_delete(&faulty).await;
    an_unconfirmed_counter_is_no_block(&faulty).await;
    an_unconfirmed_mark_is_no_success(&faulty).await;
    statements_keep_nobody_from_writing(&faulty).await;
    faulty.heal().await;
    faulty.harness.end().await;
}

async fn a_duplicate_that_may_yet_be_lost_is_no_success(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    let batch = store(&**logs, &some_events(2)).await;
    faulty.fail("insert", unsure(), 1).await;
    assert_eq!(logs.append(&batch).await.unwrap_err().kind(), PortErrorKind::Unavailable);
    assert_eq!(logs.append(&batch).await.unwrap(), vec![AppendOutcome::AlreadyStored; 2]);
}

async fn no_failure_of_the_server_rejects_a_log(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    // BadValue of a whole command says that the server cannot give the durability asked for.
    for code in [2, 9, 13, 91, 96, 112, 189, 262, 10107, 11600, 13435, 14031] {
        let batch = number(&**logs, &some_events(2)).await;
        faulty.fail("insert", doc! {"errorCode": code}, 2).await;
        let result = logs.append(&batch).await;
        assert_eq!(result.unwrap_err().kind(), PortErrorKind::Unavailable, "{code}");
        faulty.heal().await;
        eventually("it is stored", async || logs.append(&batch).await.is_ok()).await;
    }
}

async fn a_batch_refused_as_a_whole_is_taken_apart(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    let batch = number(&**logs, &some_events(8)).await;
    // The whole, its first half, the first quarter, the first one.
    faulty.fail("insert", doc! {"errorCode": 10334}, 4).await;
    let outcomes = logs.append(&batch).await.unwrap();
    assert!(matches!(outcomes[0], AppendOutcome::Rejected(_)), "{outcomes:?}");
    assert_eq!(outcomes[1..], vec![AppendOutcome::Stored; 7]);
}

async fn a_failed_look_at_the_tombstones_fails_the_append(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    let batch = store(&**logs, &some_events(1)).await;
    assert_eq!(logs.delete(batch[0].id).await.unwrap(), DeleteOutcome::Deleted);
    for command in ["find", "delete"] {
        faulty.fail(command, doc! {"errorCode": 96}, 1).await;
        assert_eq!(logs.append(&batch).await.unwrap_err().kind(), PortErrorKind::Unavailable, "{command}");
    }
    assert_eq!(logs.append(&batch).await.unwrap(), [AppendOutcome::Deleted]);
}

async fn an_unconfirmed_delete_says_so(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    for (command, how) in [("delete", unsure()), ("delete", doc! {"errorCode": 96}), ("update", unsure())] {
        let batch = store(&**logs, &some_events(1)).await;
        faulty.fail(command, how, 1).await;
        assert_eq!(logs.delete(batch[0].id).await.unwrap(), DeleteOutcome::Unconfirmed, "{command}");
        logs.delete(batch[0].id).await.unwrap();
        assert_eq!(logs.receipt(batch[0].event.id).await.unwrap(), Receipt::Deleted);
    }
}

async fn a_tombstone_that_was_not_written_is_no_delete(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    let batch = store(&**logs, &some_events(1)).await;
    faulty.fail("update", doc! {"errorCode": 13}, 1).await;
    assert_eq!(logs.delete(batch[0].id).await.unwrap_err().kind(), PortErrorKind::Unavailable);
    assert_eq!(logs.append(&batch).await.unwrap(), [AppendOutcome::AlreadyStored]);
}

async fn an_unconfirmed_counter_is_no_block(faulty: &Faulty) {
    let logs = &faulty.harness.store;
    let before = logs.reserve(1).await.unwrap().next().unwrap();
    faulty.fail("findAndModify", unsure(), 1).await;
    assert_eq!(logs.reserve(5).await.unwrap_err().kind(), PortErrorKind::Unavailable);
    let after = logs.reserve(1).await.unwrap().next().unwrap();
    assert!(after > before && after.get() <= LogId::new(before.get() + 6).get());
}

async fn an_unconfirmed_mark_is_no_success(faulty: &Faulty) {
    let letters = [letter(some_events(1)[0].id, DeadLetterReason::NotJson)];
    let marks = faulty.harness.dead_letters();
    faulty.fail("update", unsure(), 1).await;
    assert!(marks.publish(&letters).await.is_err());
    marks.publish(&letters).await.unwrap();
}

/// More of them than the worker has connections.
async fn statements_keep_nobody_from_writing(faulty: &Faulty) {
    let ledger = MongoLedger::new(faulty.harness.store.clone(), "topic");
    let slow = doc! {"blockConnection": true, "blockTimeMS": 3000};
    faulty.set("find", slow, "alwaysOn").await.unwrap();
    let statements = futures_util::future::join_all((0..20).map(|_| ledger.accounts()));
    let writing = async {
        for _ in 0..20 {
            tokio::time::timeout(Duration::from_secs(2), faulty.harness.store.reserve(1)).await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (statements, ()) = tokio::join!(statements, writing);
    assert!(statements.iter().all(Result::is_ok), "{statements:?}");
    faulty.heal().await;
}
