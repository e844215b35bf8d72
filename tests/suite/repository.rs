//! The contract of the store of logs. An adapter is one that passes all of this; `repository_suite!` runs it on one.

use std::{collections::HashSet, sync::Arc};

use eyego::domain::{
    Event, EventId, LogFilter, LogId, Metadata, MetadataPath, NewLog, NumberedEvent, PageRequest,
    ports::{
        AppendOutcome, DeadLetter, DeadLetterReason, DeadLetters, DeleteOutcome, ErasureStore, LogExport, LogImport,
        LogRepository, LogStatistics, Position, RawRecord, Receipt,
    },
};

use crate::{
    contract::{Harness, contract_suite},
    support::{at, event, first_page, list, log, number, some_events, store},
};

/// One empty store, for one test.
pub(crate) trait RepositoryHarness: Harness {
    fn logs(&self) -> Arc<dyn LogRepository>;
    fn erasure(&self) -> Arc<dyn ErasureStore>;
    fn dead_letters(&self) -> Arc<dyn DeadLetters>;
    fn export(&self) -> Arc<dyn LogExport>;
    fn import(&self) -> Arc<dyn LogImport>;
    fn statistics(&self) -> Arc<dyn LogStatistics>;
    /// Closes the store and opens it again, as a restart of the service does.
    async fn reopen(&mut self);
    /// The same, with indexes of these paths and no others, once they are built.
    async fn reopen_with_indexes_of(&mut self, paths: &[MetadataPath]);
}

contract_suite! { repository_suite:
    an_empty_store_has_nothing
    reserved_blocks_begin_at_zero_and_never_overlap
    logs_are_listed_by_ascending_id
    an_event_twice_in_a_batch_is_stored_once
    a_batch_that_comes_again_is_not_stored_again
    a_batch_of_old_and_new_events_stores_the_new_ones
    an_empty_batch_is_nothing
    concurrent_appends_never_share_an_id
    a_large_batch_is_stored_whole
    unknown_logs_are_neither_read_nor_deleted
    a_log_is_deleted_once
    a_deleted_event_stays_away
    a_deleted_event_stays_away_whenever_it_comes_again
    filters_select_by_each_field_and_by_all
    several_values_of_a_filter_mean_any_of_them
    filters_compare_exactly
    the_ends_of_a_range_are_inclusive
    a_page_beyond_the_end_is_empty_and_has_the_total
    pages_cut_the_logs_without_gaps
    the_total_follows_at_once
    metadata_comes_back_byte_for_byte
    timestamps_keep_their_milliseconds
    texts_come_back_as_they_are
    reopening_keeps_everything_and_reuses_no_id
    a_taken_id_is_reported_and_nothing_stored
    raising_the_counter_never_lowers_it
    receipts_follow_an_event
    dead_letters_are_found_by_their_event
}

repository_suite!(mongo, crate::mongo::MongoHarness);
repository_suite!(embedded, crate::embedded::EmbeddedHarness);

fn page(page: u64, limit: u32) -> PageRequest {
    PageRequest::new(page, limit).unwrap()
}

async fn matching(logs: &dyn LogRepository, filter: &LogFilter) -> Vec<String> {
    let found = list(logs, filter, page(1, 1000)).await.unwrap();
    assert_eq!(found.total, found.logs.len() as u64);
    found.logs.into_iter().map(|log| log.action.unwrap()).collect()
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

async fn an_empty_store_has_nothing(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let found = first_page(&*logs).await;
    assert_eq!((found.logs, found.total), (Vec::new(), 0));
    assert_eq!(logs.get(LogId::new(0)).await.unwrap(), None);
    assert_eq!(logs.receipt(event(log("u", "a")).id).await.unwrap(), Receipt::Unknown);
    assert_eq!(logs.delete(LogId::new(0)).await.unwrap(), DeleteOutcome::NotFound);
}

async fn reserved_blocks_begin_at_zero_and_never_overlap(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let ids: Vec<i64> = logs.reserve(3).await.unwrap().map(LogId::get).collect();
    assert_eq!(ids, [0, 1, 2]);
    let blocks = futures_util::future::join_all((0..20).map(|_| logs.reserve(5))).await;
    let ids: HashSet<LogId> = blocks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(ids.len(), 100);
    assert!(ids.iter().all(|id| id.get() >= 3));
}

async fn logs_are_listed_by_ascending_id(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events = some_events(5);
    let mut batch = number(&*logs, &events).await;
    batch.reverse();
    logs.append(&batch).await.unwrap();
    let found = first_page(&*logs).await.logs;
    let ids: Vec<i64> = found.iter().map(|log| log.id.unwrap().get()).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    let actions: Vec<&str> = found.iter().map(|log| log.action.as_deref().unwrap()).collect();
    assert_eq!(actions, ["action0", "action1", "action2", "action3", "action4"]);
    assert_eq!(logs.get(LogId::new(3)).await.unwrap().as_ref(), found.get(3));
}

async fn an_event_twice_in_a_batch_is_stored_once(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events = some_events(2);
    let twice = [events[0].clone(), events[1].clone(), events[0].clone()];
    let batch = number(&*logs, &twice).await;
    let outcomes = logs.append(&batch).await.unwrap();
    assert_eq!(outcomes, [AppendOutcome::Stored, AppendOutcome::Stored, AppendOutcome::AlreadyStored]);
    assert_eq!(first_page(&*logs).await.total, 2);
}

async fn a_batch_that_comes_again_is_not_stored_again(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events = some_events(4);
    let batch = store(&*logs, &events).await;
    let before = first_page(&*logs).await;
    assert_eq!(logs.append(&batch).await.unwrap(), vec![AppendOutcome::AlreadyStored; 4]);
    let with_other_numbers = number(&*logs, &events).await;
    assert_eq!(logs.append(&with_other_numbers).await.unwrap(), vec![AppendOutcome::AlreadyStored; 4]);
    assert_eq!(first_page(&*logs).await, before);
}

async fn a_batch_of_old_and_new_events_stores_the_new_ones(harness: &mut impl RepositoryHarness) {
    use AppendOutcome::{AlreadyStored, Stored};
    let logs = harness.logs();
    let events = some_events(6);
    store(&*logs, &[events[1].clone(), events[4].clone()]).await;
    let batch = number(&*logs, &events).await;
    let outcomes = logs.append(&batch).await.unwrap();
    assert_eq!(outcomes, [Stored, AlreadyStored, Stored, Stored, AlreadyStored, Stored]);
    assert_eq!(first_page(&*logs).await.total, 6);
}

async fn an_empty_batch_is_nothing(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    assert_eq!(logs.append(&[]).await.unwrap(), []);
    assert_eq!(logs.reserve(0).await.unwrap().count(), 0);
}

async fn concurrent_appends_never_share_an_id(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let writers = (0..8).map(|_| async {
        for _ in 0..5 {
            store(&*logs, &some_events(5)).await;
        }
    });
    futures_util::future::join_all(writers).await;
    let found = first_page(&*logs).await;
    let ids: HashSet<LogId> = found.logs.iter().map(|log| log.id.unwrap()).collect();
    assert_eq!((found.total, ids.len()), (200, 200));
}

async fn a_large_batch_is_stored_whole(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    store(&*logs, &some_events(5000)).await;
    let found = list(&*logs, &LogFilter::default(), page(5, 1000)).await.unwrap();
    assert_eq!((found.total, found.logs.len()), (5000, 1000));
    assert_eq!(found.logs[999].action.as_deref(), Some("action4999"));
}

async fn unknown_logs_are_neither_read_nor_deleted(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    store(&*logs, &some_events(1)).await;
    for id in [1, -1, i64::MAX, i64::MIN] {
        assert_eq!(logs.get(LogId::new(id)).await.unwrap(), None);
        assert_eq!(logs.delete(LogId::new(id)).await.unwrap(), DeleteOutcome::NotFound);
    }
    assert_eq!(first_page(&*logs).await.total, 1);
}

async fn a_log_is_deleted_once(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let batch = store(&*logs, &some_events(3)).await;
    assert_eq!(logs.delete(batch[1].id).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(logs.delete(batch[1].id).await.unwrap(), DeleteOutcome::NotFound);
    assert_eq!(logs.get(batch[1].id).await.unwrap(), None);
    let left: Vec<LogId> = first_page(&*logs).await.logs.into_iter().filter_map(|log| log.id).collect();
    assert_eq!(left, [batch[0].id, batch[2].id]);
}

async fn a_deleted_event_stays_away(harness: &mut impl RepositoryHarness) {
    use AppendOutcome::{AlreadyStored, Deleted, Stored};
    let logs = harness.logs();
    let events = some_events(3);
    let batch = store(&*logs, &events[..2]).await;
    logs.delete(batch[0].id).await.unwrap();
    assert_eq!(logs.append(&batch).await.unwrap(), [Deleted, AlreadyStored]);
    let again = number(&*logs, &events).await;
    assert_eq!(logs.append(&again).await.unwrap(), [Deleted, AlreadyStored, Stored]);
    let actions: Vec<String> = first_page(&*logs).await.logs.into_iter().filter_map(|log| log.action).collect();
    assert_eq!(actions, ["action1", "action2"]);
    assert_eq!(logs.receipt(events[0].id).await.unwrap(), Receipt::Deleted);
}

/// However deletes and redeliveries interleave.
async fn a_deleted_event_stays_away_whenever_it_comes_again(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    for _ in 0..20 {
        let batch = store(&*logs, &some_events(2)).await;
        let redeliver = async {
            for _ in 0..4 {
                logs.append(&batch).await.unwrap();
            }
        };
        let (deleted, ()) = tokio::join!(logs.delete(batch[0].id), redeliver);
        assert_eq!(deleted.unwrap(), DeleteOutcome::Deleted);
        assert_eq!(logs.get(batch[0].id).await.unwrap(), None);
        assert_eq!(logs.receipt(batch[0].event.id).await.unwrap(), Receipt::Deleted);
    }
    assert_eq!(first_page(&*logs).await.total, 20);
}

async fn filters_select_by_each_field_and_by_all(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let timed = |user: &str, action: &str, millis| event(NewLog { timestamp: at(millis), ..log(user, action) });
    store(&*logs, &[timed("u1", "a", 10), timed("u1", "b", 20), timed("u2", "a", 30), timed("u2", "c", 40)]).await;
    let by_user = LogFilter { user_ids: texts(&["u1"]), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &by_user).await, ["a", "b"]);
    let by_action = LogFilter { actions: texts(&["a"]), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &by_action).await, ["a", "a"]);
    let from = LogFilter { from: Some(at(30)), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &from).await, ["a", "c"]);
    let to = LogFilter { to: Some(at(20)), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &to).await, ["a", "b"]);
    let all = LogFilter {
        user_ids: texts(&["u1"]),
        actions: texts(&["b"]),
        from: Some(at(15)),
        to: Some(at(25)),
        ..LogFilter::default()
    };
    assert_eq!(matching(&*logs, &all).await, ["b"]);
    let none = LogFilter { to: Some(at(19)), ..all };
    assert_eq!(matching(&*logs, &none).await, Vec::<String>::new());
}

async fn several_values_of_a_filter_mean_any_of_them(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events: Vec<Event> =
        [("u1", "a"), ("u2", "b"), ("u3", "c"), ("u1", "c")].map(|(user, action)| event(log(user, action))).into();
    store(&*logs, &events).await;
    let users = LogFilter { user_ids: texts(&["u3", "u1", "u9", "u1"]), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &users).await, ["a", "c", "c"]);
    let both = LogFilter { user_ids: texts(&["u1", "u2"]), actions: texts(&["c", "b"]), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &both).await, ["b", "c"]);
    let second = list(&*logs, &users, page(2, 2)).await.unwrap();
    assert_eq!((second.total, second.logs.len()), (3, 1));
}

async fn filters_compare_exactly(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let users = ["user", "User", " user", "user ", "us.r", "$gt", "usér", "use\u{301}r", "1", "1.0", "a\u{0}b", "a"];
    let events: Vec<Event> = users.iter().map(|user| event(log(user, user))).collect();
    store(&*logs, &events).await;
    for user in users {
        let filter = LogFilter { user_ids: texts(&[user]), ..LogFilter::default() };
        assert_eq!(matching(&*logs, &filter).await, [user], "{user:?}");
        let filter = LogFilter { actions: texts(&[user, "nothing"]), ..LogFilter::default() };
        assert_eq!(matching(&*logs, &filter).await, [user], "{user:?}");
    }
}

async fn the_ends_of_a_range_are_inclusive(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events: Vec<Event> =
        (1..=5).map(|millis| event(NewLog { timestamp: at(millis), ..log("u", &millis.to_string()) })).collect();
    store(&*logs, &events).await;
    let range = |from, to| LogFilter { from: Some(at(from)), to: Some(at(to)), ..LogFilter::default() };
    assert_eq!(matching(&*logs, &range(2, 4)).await, ["2", "3", "4"]);
    assert_eq!(matching(&*logs, &range(3, 3)).await, ["3"]);
    assert_eq!(matching(&*logs, &range(4, 2)).await, Vec::<String>::new());
}

async fn a_page_beyond_the_end_is_empty_and_has_the_total(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    store(&*logs, &some_events(3)).await;
    let filtered = LogFilter { user_ids: texts(&["user1"]), ..LogFilter::default() };
    for number in [3, 4, 1_000_000, u64::MAX] {
        for filter in [&LogFilter::default(), &filtered] {
            let found = list(&*logs, filter, page(number, 2)).await.unwrap();
            assert_eq!((found.logs.len(), found.total), (0, 3), "page {number}");
        }
    }
}

async fn pages_cut_the_logs_without_gaps(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    store(&*logs, &some_events(23)).await;
    for limit in [1, 5, 22, 23, 24, 1000] {
        let mut actions = Vec::new();
        for number in 1..=23_u64.div_ceil(u64::from(limit)) {
            let found = list(&*logs, &LogFilter::default(), page(number, limit)).await.unwrap();
            assert_eq!(found.total, 23, "limit {limit}, page {number}");
            assert!(found.logs.len() <= limit as usize);
            actions.extend(found.logs.into_iter().filter_map(|log| log.action));
        }
        let expected: Vec<String> = (0..23).map(|n| format!("action{n}")).collect();
        assert_eq!(actions, expected, "limit {limit}");
    }
}

async fn the_total_follows_at_once(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let total = async || list(&*logs, &LogFilter::default(), page(1, 1)).await.unwrap().total;
    for round in 1..=5 {
        store(&*logs, &some_events(2)).await;
        assert_eq!(total().await, 2 * round);
    }
    for left in (0..10).rev() {
        let first = list(&*logs, &LogFilter::default(), page(1, 1)).await.unwrap().logs[0].id.unwrap();
        assert_eq!(logs.delete(first).await.unwrap(), DeleteOutcome::Deleted);
        assert_eq!(total().await, left);
    }
}

async fn metadata_comes_back_byte_for_byte(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let deep = format!("{}1{}", "{\"a\":[".repeat(49), "]}".repeat(49));
    let large = format!("{{\"text\":\"{}\"}}", "ü".repeat(100_000));
    let wide = format!("{{{}}}", (0..2000).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(","));
    let shapes = [
        "{}",
        r#"{"b":1,"a":{},"c":[],"":""}"#,
        r#"{"$oid":"0196f1e27c3a700080000000","$date":"2025-01-01T00:00:00Z"}"#,
        r#"{"a.b":{"$gt":0},"$set":{"_id":1},"__proto__":null}"#,
        r#"{"i":[0,-1,2147483647,2147483648,-2147483649,9223372036854775807,-9223372036854775808]}"#,
        r#"{"d":[0.1,1.0,-0.0,1e+300,5e-324,1.7976931348623157e+308,9.223372036854776e+18,0.30000000000000004]}"#,
        "{\"s\":\"\\u0000\\n\\\"\\\\ é 日本 😀 \u{2028}\"}",
        r#"{"t":true,"f":false,"n":null,"l":[null,[[]],[{}]]}"#,
        r#"[1,"x",{}]"#,
        r#""text""#,
        "1.0",
        "true",
        &deep,
        &large,
        &wide,
    ];
    let events: Vec<Event> = shapes
        .iter()
        .map(|shape| event(NewLog { metadata: Metadata::from_canonical(*shape), ..log("u", "a") }))
        .collect();
    store(&*logs, &events).await;
    let found = first_page(&*logs).await.logs;
    assert_eq!(found.len(), shapes.len());
    for (log, shape) in found.iter().zip(shapes) {
        assert_eq!(log.metadata.as_str(), shape);
        assert_eq!(logs.get(log.id.unwrap()).await.unwrap().as_ref(), Some(log));
    }
}

async fn timestamps_keep_their_milliseconds(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let times = [0, 1, -1, 1_747_830_896_789, -62_135_596_800_000, 253_402_300_799_999];
    let events: Vec<Event> =
        times.iter().map(|millis| event(NewLog { timestamp: at(*millis), ..log("u", "a") })).collect();
    store(&*logs, &events).await;
    let found: Vec<i64> =
        first_page(&*logs).await.logs.into_iter().map(|log| log.timestamp.unwrap().as_millis()).collect();
    assert_eq!(found, times);
}

async fn texts_come_back_as_they_are(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let long = "日".repeat(5000);
    let texts = [" ", "a\u{0}b", "\u{0}", "😀", "\\\"\n", "null", "$where", &long];
    let events: Vec<Event> = texts.iter().map(|text| event(log(text, text))).collect();
    store(&*logs, &events).await;
    for (log, text) in first_page(&*logs).await.logs.iter().zip(texts) {
        assert_eq!((log.user_id.as_deref(), log.action.as_deref()), (Some(text), Some(text)));
    }
}

async fn reopening_keeps_everything_and_reuses_no_id(harness: &mut impl RepositoryHarness) {
    let events = some_events(4);
    let batch = store(&*harness.logs(), &events).await;
    harness.logs().delete(batch[3].id).await.unwrap();
    let before = first_page(&*harness.logs()).await;
    harness.reopen().await;
    let logs = harness.logs();
    assert_eq!(first_page(&*logs).await, before);
    let next = logs.reserve(1).await.unwrap().next().unwrap();
    assert!(next > batch[3].id, "{next} after {}", batch[3].id);
    let outcomes = logs.append(&batch).await.unwrap();
    assert_eq!(outcomes[2..], [AppendOutcome::AlreadyStored, AppendOutcome::Deleted]);
    assert_eq!(logs.receipt(events[3].id).await.unwrap(), Receipt::Deleted);
}

async fn a_taken_id_is_reported_and_nothing_stored(harness: &mut impl RepositoryHarness) {
    use AppendOutcome::{IdTaken, Stored};
    let logs = harness.logs();
    let far = NumberedEvent { id: LogId::new(500), offset: 500, event: event(log("u", "far")) };
    assert_eq!(logs.append(std::slice::from_ref(&far)).await.unwrap(), [Stored]);
    let late = event(log("u", "late"));
    let batch = [
        NumberedEvent { id: LogId::new(499), offset: 499, event: event(log("u", "free")) },
        NumberedEvent { id: LogId::new(500), offset: 502, event: late.clone() },
        NumberedEvent { id: LogId::new(501), offset: 501, event: event(log("u", "free")) },
    ];
    assert_eq!(logs.append(&batch).await.unwrap(), [Stored, IdTaken, Stored]);
    assert_eq!(logs.receipt(late.id).await.unwrap(), Receipt::Unknown);
    logs.raise_counter().await.unwrap();
    let again = store(&*logs, &[late]).await;
    assert_eq!(again[0].id, LogId::new(502));
    assert_eq!(logs.get(LogId::new(500)).await.unwrap().unwrap().action.as_deref(), Some("far"));
}

async fn raising_the_counter_never_lowers_it(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    assert_eq!(logs.reserve(100).await.unwrap().last(), Some(LogId::new(99)));
    store(&*logs, &some_events(1)).await;
    logs.raise_counter().await.unwrap();
    assert_eq!(logs.reserve(1).await.unwrap().next(), Some(LogId::new(101)));
}

async fn receipts_follow_an_event(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events = some_events(2);
    assert_eq!(logs.receipt(events[0].id).await.unwrap(), Receipt::Unknown);
    let batch = store(&*logs, &events).await;
    let stored = logs.get(batch[0].id).await.unwrap().unwrap();
    assert_eq!(logs.receipt(events[0].id).await.unwrap(), Receipt::Stored(stored));
    logs.delete(batch[0].id).await.unwrap();
    assert_eq!(logs.receipt(events[0].id).await.unwrap(), Receipt::Deleted);
    assert!(matches!(logs.receipt(events[1].id).await.unwrap(), Receipt::Stored(_)));
}

pub(crate) fn letter(event_id: EventId, reason: DeadLetterReason) -> DeadLetter {
    DeadLetter {
        event_id,
        reason,
        position: Position { topic: "user-activity-logs".into(), partition: 2, offset: 7 },
        timestamp: at(5),
        record: RawRecord { value: Some(b"{}".to_vec()), ..RawRecord::default() },
    }
}

async fn dead_letters_are_found_by_their_event(harness: &mut impl RepositoryHarness) {
    let (logs, dead_letters) = (harness.logs(), harness.dead_letters());
    let events = some_events(2);
    let letters = [
        letter(events[0].id, DeadLetterReason::MissingUserId),
        letter(events[1].id, DeadLetterReason::StoreRejected),
        letter(events[1].id, DeadLetterReason::StoreRejected),
    ];
    dead_letters.publish(&[]).await.unwrap();
    dead_letters.publish(&letters).await.unwrap();
    dead_letters.publish(&letters).await.unwrap();
    assert_eq!(logs.receipt(events[0].id).await.unwrap(), Receipt::DeadLettered("missing_user_id".to_owned()));
    assert_eq!(logs.receipt(events[1].id).await.unwrap(), Receipt::DeadLettered("store_rejected".to_owned()));
    assert_eq!(first_page(&*logs).await.total, 0);
    store(&*logs, &events[..1]).await;
    assert!(matches!(logs.receipt(events[0].id).await.unwrap(), Receipt::Stored(_)));
}
