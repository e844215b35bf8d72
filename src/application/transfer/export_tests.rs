//! Exports of a store that is slow, away or written to.

use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::{super::pages::Pages, *};
use crate::domain::{EventId, PartBuilder, StoredLog};

/// A store with the ids from 0 on.
#[derive(Default)]
struct Store {
    ids: Mutex<i64>,
    /// More ids than this in one question take too long.
    most: Option<i64>,
    /// So many questions are answered with an error.
    failing: Mutex<u32>,
    asked: Mutex<Vec<(i64, i64)>>,
}

impl Store {
    fn with(ids: i64) -> Self {
        Self { ids: Mutex::new(ids), ..Self::default() }
    }
}

#[async_trait]
impl LogExport for Store {
    async fn newest(&self) -> Result<Option<LogId>, PortError> {
        let ids = *self.ids.lock().unwrap();
        Ok((ids > 0).then(|| LogId::new(ids - 1)))
    }

    async fn part(&self, query: &ExportQuery) -> Result<ExportPart, PortError> {
        let mut failing = self.failing.lock().unwrap();
        if *failing > 0 {
            *failing -= 1;
            return Err(PortError::unavailable("away"));
        }
        let ExportRange::Numbered { from, to } = query.range else {
            return Ok(PartBuilder::new(query).finish(None));
        };
        let (from, to) = (from.get().max(0), to.get().min(*self.ids.lock().unwrap() - 1));
        if self.most.is_some_and(|most| to - from >= most) {
            return Err(PortError::too_slow("too many"));
        }
        self.asked.lock().unwrap().push((from, to));
        let mut part = PartBuilder::new(query);
        for id in from..=to {
            if part.is_full() {
                return Ok(part.finish(Some(ExportRange::Numbered { from: LogId::new(id), to: LogId::new(to) })));
            }
            part.push(&log(id));
        }
        Ok(part.finish(None))
    }
}

fn log(id: i64) -> StoredLog<'static> {
    StoredLog {
        id: Some(LogId::new(id)),
        event_id: EventId::from_bytes([0; 16]),
        user_id: None,
        action: None,
        timestamp: None,
        received_at: None,
        metadata: "{}",
    }
}

async fn begin(store: &Arc<Store>, settled: Option<i64>) -> Result<Export, PortError> {
    let request = ExportRequest { filter: LogFilter::default(), after: None };
    let (max_time, lag) = (Duration::from_secs(10), Duration::from_millis(200));
    let care = ExportCare { max_time, settled: settled.map(LogId::new), lag };
    Export::begin(Arc::clone(store) as Arc<dyn LogExport>, request, care).await
}

fn ids_of(logs: &StoredLogs) -> Vec<i64> {
    logs.iter().map(|log| log.id.unwrap().get()).collect()
}

async fn ids(export: Export) -> Vec<i64> {
    let pages: Vec<_> = Pages::of(export).collect().await;
    pages.into_iter().map(Result::unwrap).flat_map(|logs| ids_of(&logs)).collect()
}

#[tokio::test]
async fn every_log_comes_once_in_parts_that_grow_with_what_fits() {
    let store = Arc::new(Store::with(30_000));
    assert_eq!(ids(begin(&store, Some(29_999)).await.unwrap()).await, (0..30_000).collect::<Vec<_>>());
    let asked = store.asked.lock().unwrap().len();
    let fewest = 30_000 * StoredLogs::from_iter([log(0)]).bytes() / PART_BYTES;
    assert!((fewest..2 * fewest).contains(&asked), "{asked}");
}

#[tokio::test]
async fn where_looking_through_all_takes_too_long_it_is_done_in_stretches() {
    let store = Arc::new(Store { most: Some(40_000), ..Store::with(100_000) });
    assert_eq!(ids(begin(&store, Some(99_999)).await.unwrap()).await.len(), 100_000);
    let store = Arc::new(Store { most: Some(10), ..Store::with(100_000) });
    let mut export = begin(&store, Some(99_999)).await.unwrap();
    let failed = loop {
        if let Err(failed) = export.next().await {
            break failed;
        }
    };
    assert_eq!(failed.kind(), PortErrorKind::TooSlow);
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_is_waited_for_once_something_was_read() {
    let store = Arc::new(Store::with(2000));
    *store.failing.lock().unwrap() = 1;
    assert!(begin(&store, Some(1999)).await.unwrap().next().await.is_err(), "the client can still be told");
    let mut export = begin(&store, Some(1999)).await.unwrap();
    let first = export.next().await.unwrap().unwrap().len();
    *store.failing.lock().unwrap() = 2;
    let second = export.next().await.unwrap().unwrap();
    assert_eq!(second.iter().next(), Some(log(i64::try_from(first).unwrap())));
}

#[tokio::test]
async fn the_last_logs_are_read_once_no_lower_id_is_expected() {
    let store = Arc::new(Store::with(2000));
    let begun = Instant::now();
    let mut export = begin(&store, Some(1500)).await.unwrap();
    let mut found = 0;
    while found <= 1500 {
        found += export.next().await.unwrap().unwrap().len();
    }
    assert_eq!(found, 1501);
    *store.ids.lock().unwrap() = 2100;
    let mut rest = StoredLogs::default();
    while let Some(logs) = export.next().await.unwrap() {
        rest.extend(logs.iter());
    }
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(rest.iter().next_back().and_then(|log| log.id), Some(LogId::new(1999)), "newer ones are left out");
    assert_eq!(rest.len(), 499);
}

#[tokio::test]
async fn nothing_is_waited_for_where_there_is_nothing() {
    let store = Arc::new(Store::default());
    assert_eq!(ids(begin(&store, None).await.unwrap()).await, Vec::<i64>::new());
    assert_eq!(*store.asked.lock().unwrap(), []);
}
