//! Reading a store from end to end: the same text from every store, whatever the parts it is read in.

use std::{sync::Arc, time::Duration};

use eyego::{
    application::transfer::{
        ExportFormat,
        export::{Export, ExportCare, ExportRequest},
    },
    domain::{
        Event, ExportQuery, ExportRange, LogFilter, LogId, Metadata, MetadataMatch, NewLog, NumberedEvent, StoredLog,
        StoredLogs, ports::LogExport,
    },
};

use crate::{
    contract::contract_suite,
    repository::RepositoryHarness,
    support::{MAX_TIME, at, event, log, store},
};

contract_suite! { export_suite:
    an_empty_store_exports_nothing
    an_export_has_every_log_with_all_that_is_kept_of_it
    every_filter_works_on_an_export
    a_part_ends_where_it_is_large_enough_and_the_rest_goes_on
    an_export_goes_on_behind_an_id
    what_comes_after_the_beginning_is_left_out_and_what_goes_meanwhile_is_no_gap
}

export_suite!(mongo, crate::mongo::MongoHarness);
export_suite!(embedded, crate::embedded::EmbeddedHarness);

/// Nothing is waited for.
pub(crate) const CARE: ExportCare = ExportCare { max_time: MAX_TIME, settled: None, lag: Duration::ZERO };

pub(crate) async fn text_of(source: Arc<dyn LogExport>, request: ExportRequest, format: ExportFormat) -> String {
    let mut export = Export::begin(source, request, CARE).await.unwrap();
    let mut text = Vec::new();
    format.begin(&mut text);
    while let Some(logs) = export.next().await.unwrap() {
        format.write(&mut text, logs.iter());
    }
    String::from_utf8(text).unwrap()
}

/// The whole store, as lines.
pub(crate) async fn lines_of(source: Arc<dyn LogExport>) -> String {
    text_of(source, all(), ExportFormat::Ndjson).await
}

fn all() -> ExportRequest {
    ExportRequest { filter: LogFilter::default(), after: None }
}

pub(crate) fn stored(numbered: &NumberedEvent) -> StoredLog<'_> {
    let Event { id: event_id, received_at, log } = &numbered.event;
    StoredLog {
        id: Some(numbered.id),
        event_id: *event_id,
        user_id: Some(log.user_id.as_str()),
        action: Some(log.action.as_str()),
        timestamp: Some(log.timestamp),
        received_at: Some(*received_at),
        metadata: log.metadata.as_str(),
    }
}

pub(crate) fn lines(events: &[NumberedEvent]) -> String {
    let mut text = Vec::new();
    ExportFormat::Ndjson.write(&mut text, events.iter().map(stored));
    String::from_utf8(text).unwrap()
}

/// Of everything something: times before 1970, names and texts that other formats would take for more than they are.
pub(crate) fn varied(count: usize) -> Vec<Event> {
    let metadata = [
        "{}",
        r#"{"a":1.0,"$oid":"x","b.c":[null,true,-9223372036854775808]}"#,
        "{\"ü\":\"\\u0000\u{2028}\\\"\"}",
        r#"{"text":"=1+1"}"#,
    ];
    (0..count)
        .map(|n| {
            let new = NewLog {
                timestamp: at(1_000_003 * i64::try_from(n).unwrap() - 5_000_000),
                metadata: Metadata::from_canonical(metadata[n % metadata.len()]),
                ..log(["ann", "bob", "=cmd", "\u{1f600}\n"][n % 4], ["login", "auth.x", "auth.y"][n % 3])
            };
            Event { received_at: at(i64::try_from(n).unwrap()), ..event(new) }
        })
        .collect()
}

async fn an_empty_store_exports_nothing(harness: &mut impl RepositoryHarness) {
    assert_eq!(harness.export().newest().await.unwrap(), None);
    assert_eq!(lines_of(harness.export()).await, "");
}

async fn an_export_has_every_log_with_all_that_is_kept_of_it(harness: &mut impl RepositoryHarness) {
    let stored = store(&*harness.logs(), &varied(1500)).await;
    assert_eq!(lines_of(harness.export()).await, lines(&stored));
    assert_eq!(harness.export().newest().await.unwrap(), Some(stored.last().unwrap().id));
}

async fn every_filter_works_on_an_export(harness: &mut impl RepositoryHarness) {
    let stored = store(&*harness.logs(), &varied(60)).await;
    type Matches = fn(&NumberedEvent) -> bool;
    let fifth = stored[5].event.id;
    let filters: [(LogFilter, Matches); 5] = [
        (LogFilter { user_ids: vec!["ann".to_owned(), "=cmd".to_owned()], ..LogFilter::default() }, |one| {
            ["ann", "=cmd"].contains(&one.event.log.user_id.as_str())
        }),
        (LogFilter { action_prefix: Some("auth.".to_owned()), ..LogFilter::default() }, |one| {
            one.event.log.action.as_str().starts_with("auth.")
        }),
        (LogFilter { from: Some(at(0)), to: Some(at(30_000_000)), ..LogFilter::default() }, |one| {
            (at(0)..=at(30_000_000)).contains(&one.event.log.timestamp)
        }),
        (LogFilter { metadata: vec![MetadataMatch::parse("a", "1").unwrap()], ..LogFilter::default() }, |one| {
            one.event.log.metadata.as_str().contains("1.0")
        }),
        (LogFilter { event_id: Some(fifth), ..LogFilter::default() }, |one| one.id == LogId::new(5)),
    ];
    for (filter, matches) in filters {
        let expected: Vec<NumberedEvent> = stored.iter().filter(|one| matches(one)).cloned().collect();
        assert!(!expected.is_empty(), "{filter:?}");
        let request = ExportRequest { filter: filter.clone(), after: None };
        assert_eq!(text_of(harness.export(), request, ExportFormat::Ndjson).await, lines(&expected), "{filter:?}");
    }
}

async fn a_part_ends_where_it_is_large_enough_and_the_rest_goes_on(harness: &mut impl RepositoryHarness) {
    let stored = store(&*harness.logs(), &varied(40)).await;
    for (rows, bytes, parts) in [(1, usize::MAX, 40), (7, usize::MAX, 6), (100, 1, 40), (100, usize::MAX, 1)] {
        let whole = ExportRange::Numbered { from: LogId::new(i64::MIN), to: LogId::new(i64::MAX) };
        let (mut range, mut found, mut count) = (Some(whole), StoredLogs::default(), 0);
        while let Some(wanted) = range {
            let query = ExportQuery { filter: LogFilter::default(), range: wanted, rows, bytes, max_time: MAX_TIME };
            let part = harness.export().part(&query).await.unwrap();
            assert!(part.logs.len() <= rows, "{rows} {bytes}");
            found.extend(part.logs.iter());
            range = part.rest;
            count += 1;
        }
        assert_eq!(found, stored.iter().map(self::stored).collect(), "{rows} {bytes}");
        assert_eq!(count, parts, "{rows} {bytes}");
    }
    let range = ExportRange::Numbered { from: LogId::new(3), to: LogId::new(5) };
    let query = ExportQuery { filter: LogFilter::default(), range, rows: 10, bytes: 1 << 20, max_time: MAX_TIME };
    let part = harness.export().part(&query).await.unwrap();
    let ids: Vec<i64> = part.logs.iter().map(|log| log.id.unwrap().get()).collect();
    assert_eq!((ids, part.rest), (vec![3, 4, 5], None));
}

async fn an_export_goes_on_behind_an_id(harness: &mut impl RepositoryHarness) {
    let stored = store(&*harness.logs(), &varied(20)).await;
    for (after, left) in [(i64::MIN, 20), (-1, 20), (0, 19), (18, 1), (19, 0), (100, 0), (i64::MAX, 0)] {
        let request = ExportRequest { after: Some(LogId::new(after)), ..all() };
        let text = text_of(harness.export(), request, ExportFormat::Ndjson).await;
        assert_eq!(text, lines(&stored[20 - left..]), "{after}");
    }
}

async fn what_comes_after_the_beginning_is_left_out_and_what_goes_meanwhile_is_no_gap(
    harness: &mut impl RepositoryHarness,
) {
    let logs = harness.logs();
    let before = store(&*logs, &varied(1200)).await;
    let mut export = Export::begin(harness.export(), all(), CARE).await.unwrap();
    let mut found = export.next().await.unwrap().unwrap();
    assert!((1..1200).contains(&found.len()), "{}", found.len());
    let (next, last) = (found.len(), before.len() - 1);
    logs.delete(before[next].id).await.unwrap();
    logs.delete(before[last].id).await.unwrap();
    store(&*logs, &varied(5)).await;
    while let Some(more) = export.next().await.unwrap() {
        found.extend(more.iter());
    }
    let left = before.iter().enumerate().filter(|(n, _)| ![next, last].contains(n));
    assert_eq!(found, left.map(|(_, one)| stored(one)).collect());
}
