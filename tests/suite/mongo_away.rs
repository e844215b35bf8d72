//! MongoDB away: gone, silent, never there (contract C5).

use std::{sync::Arc, time::Duration};

use eyego::{
    domain::{
        LogFilter, LogId, PageRequest,
        ports::{AppendOutcome, LogRepository, PortError, PortErrorKind, Probe},
    },
    infrastructure::mongo::MongoStore,
};
use tokio::time::Instant;

use crate::{
    contract::Harness,
    mongo::{MongoHarness, Running, open},
    proxy::Proxy,
    support::{eventually, first_page, list, number, some_events, store},
};

/// A store that reaches its server through a proxy.
struct Behind {
    proxy: Proxy,
    store: Arc<MongoStore>,
    running: Running,
    harness: MongoHarness,
}

impl Behind {
    async fn start() -> Option<Self> {
        let harness = MongoHarness::start().await?;
        let hosts = harness.uri.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let server = hosts.rsplit('@').next().unwrap().split(',').next().unwrap().to_owned();
        let proxy = Proxy::before(server.clone()).await;
        let uri = harness.uri.replacen(&server, &proxy.address.to_string(), 1);
        let uri = if uri.contains("directConnection") { uri } else { format!("{uri}&directConnection=true") };
        let (store, running) = open(&uri, 0);
        store.prepared().await;
        Some(Self { proxy, store, running, harness })
    }

    async fn end(self) {
        self.running.end().await;
        self.harness.end().await;
    }
}

async fn read(store: &MongoStore) -> Result<u64, PortError> {
    list(store, &LogFilter::default(), PageRequest::new(1, 10).unwrap()).await.map(|page| page.total)
}

/// How long it took to be refused.
async fn refusal(store: &MongoStore) -> Duration {
    let asked = Instant::now();
    let error = read(store).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Unavailable);
    asked.elapsed()
}

async fn reads_fail_fast_and_recover(behind: &Behind, away: impl FnOnce(&Proxy)) {
    let Behind { proxy, store: logs, .. } = behind;
    let batch = store(&**logs, &some_events(3)).await;
    assert_eq!(read(logs).await.unwrap(), 3);
    away(proxy);
    let first = refusal(logs).await;
    assert!(first < Duration::from_millis(2000), "{first:?}");
    eventually("it is known", async || !logs.probe().status().is_up()).await;
    for _ in 0..20 {
        let known = refusal(logs).await;
        assert!(known < Duration::from_millis(50), "{known:?}");
    }
    assert_eq!(logs.append(&batch).await.unwrap_err().kind(), PortErrorKind::Unavailable);
    assert_eq!(logs.delete(LogId::new(0)).await.unwrap_err().kind(), PortErrorKind::Unavailable);
    proxy.come_back();
    eventually("it is up again", async || logs.probe().status().is_up()).await;
    assert_eq!(logs.append(&batch).await.unwrap(), vec![AppendOutcome::AlreadyStored; 3]);
    assert_eq!(read(logs).await.unwrap(), 3);
}

#[tokio::test]
async fn a_server_that_is_gone_is_answered_for_in_time() {
    let Some(behind) = Behind::start().await else { return };
    reads_fail_fast_and_recover(&behind, Proxy::go).await;
    behind.end().await;
}

#[tokio::test]
async fn a_server_that_hangs_is_answered_for_in_time() {
    let Some(behind) = Behind::start().await else { return };
    reads_fail_fast_and_recover(&behind, Proxy::fall_silent).await;
    behind.end().await;
}

#[tokio::test]
async fn appends_through_an_outage_are_stored_once() {
    let Some(behind) = Behind::start().await else { return };
    let logs = &behind.store;
    let batches = futures_util::future::join_all((0..20).map(|_| async { number(&**logs, &some_events(50)).await }));
    let batches = batches.await;
    let appending = async {
        for batch in &batches {
            while logs.append(batch).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let breaking = async {
        for silent in [false, true, false] {
            eventually("it is up", async || logs.probe().status().is_up()).await;
            if silent {
                behind.proxy.fall_silent();
            } else {
                behind.proxy.go();
            }
            eventually("it is down", async || !logs.probe().status().is_up()).await;
            behind.proxy.come_back();
        }
    };
    tokio::join!(appending, breaking);
    let found = first_page(&*behind.harness.store).await;
    assert_eq!((found.total, found.logs.len()), (1000, 1000));
    behind.end().await;
}

#[tokio::test]
async fn a_server_that_was_never_there_is_said_to_be_away_at_once() {
    let (logs, running) = open("mongodb://127.0.0.1:1/?directConnection=true", 0);
    for _ in 0..10 {
        assert!(refusal(&logs).await < Duration::from_millis(50));
    }
    eventually("the probe says so", async || {
        logs.probe().status() == eyego::domain::ports::Status::Down("MongoDB does not answer".to_owned())
    })
    .await;
    assert!(futures_util::FutureExt::now_or_never(logs.prepared()).is_none());
    running.end().await;
}
