//! Finding logs, held against a model that looks at every log: the same answers on every store, whatever is asked for.

use std::collections::HashSet;

use eyego::domain::{
    ActivityLog, Count, Event, From, LogFilter, LogId, LogQuery, Metadata, MetadataMatch, MetadataPath, NewLog,
    NumberedEvent, Order, Place,
    ports::{DeleteOutcome, LogRepository},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;

use crate::{
    contract::contract_suite,
    repository::RepositoryHarness,
    support::{MAX_TIME, at, event, log, skip_ids, store, store_far_apart},
};

contract_suite! { query_suite:
    every_question_is_answered_as_by_looking_at_every_log
    whoever_goes_on_by_place_sees_every_log_once_whatever_arrives
    a_user_with_many_logs_is_gone_through_by_timestamp
    conditions_on_metadata_mean_what_they_mean_to_mongodb
    indexes_of_metadata_change_no_answer
    counting_ends_at_the_cap
    a_log_beyond_the_last_id_asked_for_is_left_out
    a_slice_of_large_logs_is_cut_short_and_goes_on
}

query_suite!(mongo, crate::mongo::MongoHarness);
query_suite!(embedded, crate::embedded::EmbeddedHarness);

const ORDERS: [Order; 4] = [Order::Id, Order::IdDescending, Order::Timestamp, Order::TimestampDescending];
const USERS: [&str; 4] = ["ann", "bob", "ann.", "Ann"];
const ACTIONS: [&str; 6] = ["auth.login", "auth.logout", "auth", "view", "auth/x", "auté"];
const METADATA: [&str; 13] = [
    "{}",
    r#"{"a":1}"#,
    r#"{"a":"1"}"#,
    r#"{"a":1.0,"b":{"c":true}}"#,
    r#"{"a":[1,2,"x"]}"#,
    r#"{"a":[{"b":1},{"b":[2,3]}]}"#,
    r#"{"a":[[1],[{"b":1}]]}"#,
    r#"{"a":[[[1],2,{"b":3}],[[1,[{"b":1}]],{"b":[[2]]}]]}"#,
    r#"{"a":{"b":1,"0":"x"}}"#,
    r#"{"a":{"b":[true,null,"true"]}}"#,
    r#"{"a":null,"b":false}"#,
    r#"{"a.b":1,"$c":2,"a":{"b.c":3}}"#,
    r#"{"a":9007199254740993,"b":{"c":-0.0}}"#,
];
const PATHS: [&str; 14] = [
    "a",
    "b",
    "a.b",
    "b.c",
    "a.0",
    "a.1",
    "a.0.b",
    "a.1.b",
    "a.1.0.b",
    "a.0.0",
    "a.0.0.0",
    "a.1.0",
    "a.1.0.1.b",
    "a.0.2.b",
];
const VALUES: [&str; 14] = [
    "1",
    "1.0",
    "2",
    "3",
    "x",
    "true",
    "false",
    "null",
    "0",
    "-0",
    "1e0",
    "9007199254740993",
    "9007199254740992",
    "01",
];

/// What a store holds, as a list.
struct Model {
    logs: Vec<(Event, ActivityLog)>,
    dice: StdRng,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self { logs: Vec::new(), dice: StdRng::seed_from_u64(seed) }
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.dice).unwrap()
    }

    /// Few different values of everything, so that many are equal.
    fn some_event(&mut self) -> Event {
        let (user, action, metadata) = (self.pick(&USERS), self.pick(&ACTIONS), self.pick(&METADATA));
        let timestamp = at(1000 * self.dice.random_range(-3..12));
        event(NewLog { timestamp, metadata: Metadata::from_canonical(metadata), ..log(user, action) })
    }

    async fn store_more(&mut self, logs: &dyn LogRepository, count: usize) {
        let events: Vec<Event> = (0..count).map(|_| self.some_event()).collect();
        let stored = store_far_apart(logs, &events, &mut self.dice).await;
        self.remember(stored);
    }

    fn remember(&mut self, stored: Vec<NumberedEvent>) {
        for stored in stored {
            let NewLog { user_id, action, timestamp, metadata } = stored.event.log.clone();
            let log = ActivityLog {
                id: Some(stored.id),
                user_id: Some(user_id.as_str().to_owned()),
                action: Some(action.as_str().to_owned()),
                timestamp: Some(timestamp),
                metadata,
            };
            self.logs.push((stored.event, log));
        }
    }

    async fn delete_one(&mut self, logs: &dyn LogRepository) -> LogId {
        let index = self.dice.random_range(0..self.logs.len());
        let id = self.logs.remove(index).1.id.unwrap();
        assert_eq!(logs.delete(id).await.unwrap(), DeleteOutcome::Deleted);
        id
    }

    fn some_filter(&mut self) -> LogFilter {
        let mut filter = LogFilter::default();
        let one_in = |dice: &mut StdRng, many| dice.random_range(0..many) == 0;
        if one_in(&mut self.dice, 3) {
            let count = self.dice.random_range(1..3);
            filter.user_ids = (0..count).map(|_| self.pick(&USERS).to_owned()).collect();
        }
        if one_in(&mut self.dice, 3) {
            let count = self.dice.random_range(1..4);
            filter.actions = (0..count).map(|_| self.pick(&ACTIONS).to_owned()).collect();
        }
        if one_in(&mut self.dice, 4) {
            filter.action_prefix = Some(self.pick(&["a", "auth.", "auth", "v", "\u{10ffff}"]).to_owned());
        }
        if one_in(&mut self.dice, 3) {
            filter.from = Some(at(500 * self.dice.random_range(-6..20)));
        }
        if one_in(&mut self.dice, 3) {
            filter.to = Some(at(500 * self.dice.random_range(0..26)));
        }
        if one_in(&mut self.dice, 3) {
            filter.metadata = vec![MetadataMatch::parse(self.pick(&PATHS), self.pick(&VALUES)).unwrap()];
        }
        if one_in(&mut self.dice, 12) {
            let index = self.dice.random_range(0..self.logs.len());
            filter.event_id = Some(self.logs[index].0.id);
        }
        filter
    }

    /// Looks at every log.
    fn matching(&self, filter: &LogFilter, order: Order) -> Vec<ActivityLog> {
        let matching = self.logs.iter().filter(|(event, log)| matches(filter, event, log));
        let mut found: Vec<ActivityLog> = matching.map(|(_, log)| log.clone()).collect();
        found.sort_by_key(|log| (order.is_by_timestamp().then_some(log.timestamp), log.id));
        if order.is_descending() {
            found.reverse();
        }
        found
    }
}

fn matches(filter: &LogFilter, event: &Event, log: &ActivityLog) -> bool {
    let any = |wanted: &[String], text: &Option<String>| wanted.is_empty() || wanted.contains(text.as_ref().unwrap());
    any(&filter.user_ids, &log.user_id)
        && any(&filter.actions, &log.action)
        && filter.action_prefix.as_ref().is_none_or(|prefix| log.action.as_ref().unwrap().starts_with(prefix))
        && filter.from.is_none_or(|from| log.timestamp.unwrap() >= from)
        && filter.to.is_none_or(|to| log.timestamp.unwrap() <= to)
        && filter.event_id.is_none_or(|id| event.id == id)
        && filter.metadata.iter().all(|condition| has(condition, log.metadata.as_str()))
}

/// MongoDB's rules, on a tree.
fn has(condition: &MetadataMatch, metadata: &str) -> bool {
    let tree: Value = serde_json::from_str(metadata).unwrap();
    let (mut found, wanted) = (Vec::new(), condition.text());
    look(&tree, condition.path().names(), &mut found);
    found.iter().any(|value| match value {
        Value::String(text) => text == wanted,
        Value::Bool(value) => wanted == value.to_string(),
        Value::Number(number) => serde_json::from_str::<serde_json::Number>(wanted).is_ok_and(|wanted| {
            match (number.as_i64(), wanted.as_i64()) {
                (Some(one), Some(other)) => one == other,
                _ => number.as_f64() == wanted.as_f64(),
            }
        }),
        _ => false,
    })
}

fn look<'v>(value: &'v Value, path: &[String], found: &mut Vec<&'v Value>) {
    let Some((name, rest)) = path.split_first() else {
        found.push(value);
        found.extend(value.as_array().into_iter().flatten());
        return;
    };
    match value {
        Value::Object(fields) => fields.get(name).into_iter().for_each(|field| look(field, rest, found)),
        Value::Array(elements) => {
            elements.iter().filter(|element| element.is_object()).for_each(|element| look(element, path, found));
            let numbered = name.parse::<usize>().ok().filter(|index| index.to_string() == *name);
            numbered
                .and_then(|index| elements.get(index))
                .into_iter()
                .for_each(|element| look_at_nth(element, rest, found));
        }
        _ => {}
    }
}

/// An element that was named by its number: an array there stands for itself.
fn look_at_nth<'v>(value: &'v Value, path: &[String], found: &mut Vec<&'v Value>) {
    if path.is_empty() {
        found.push(value);
    } else {
        look(value, path, found);
    }
}

fn question(filter: &LogFilter, order: Order, from: From, limit: u32) -> LogQuery {
    LogQuery { filter: filter.clone(), order, from, up_to: None, limit, max_time: MAX_TIME }
}

async fn all_by_place(logs: &dyn LogRepository, filter: &LogFilter, order: Order, limit: u32) -> Vec<ActivityLog> {
    let (mut found, mut from) = (Vec::new(), From::After(order.start()));
    loop {
        let slice = logs.find(&question(filter, order, from, limit)).await.unwrap();
        assert!(slice.logs.len() <= limit as usize && !slice.cut_short);
        found.extend(slice.logs);
        if !slice.more {
            return found;
        }
        from = From::After(Place::of(found.last().unwrap()).unwrap());
    }
}

async fn every_question_is_answered_as_by_looking_at_every_log(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let mut model = Model::new(1);
    model.store_more(&*logs, 200).await;
    for _ in 0..10 {
        model.delete_one(&*logs).await;
    }
    for _ in 0..150 {
        let filter = model.some_filter();
        model.answers(&*logs, &filter).await;
    }
}

impl Model {
    /// Asks in some order, from some place.
    async fn answers(&mut self, logs: &dyn LogRepository, filter: &LogFilter) {
        let model = self;
        let order = model.pick(&ORDERS);
        let limit = model.pick(&[1, 3, 10, 40, 1000]);
        let expected = model.matching(filter, order);
        assert_eq!(all_by_place(logs, filter, order, limit).await, expected, "{filter:?} {order:?} {limit}");
        let count = logs.count(filter, 1000, MAX_TIME).await.unwrap();
        assert_eq!(count, Count::exactly(expected.len() as u64), "{filter:?}");
        let offset = model.dice.random_range(0..=expected.len() + 2);
        let slice = logs.find(&question(filter, order, From::Offset(offset as u64), limit)).await.unwrap();
        let rest: Vec<ActivityLog> = expected.iter().skip(offset).take(limit as usize).cloned().collect();
        assert_eq!(slice.logs, rest, "{filter:?} {order:?} from {offset}");
        assert_eq!(slice.more, expected.len() > offset + limit as usize, "{filter:?} {order:?} from {offset}");
    }
}

async fn whoever_goes_on_by_place_sees_every_log_once_whatever_arrives(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let mut model = Model::new(2);
    for order in ORDERS {
        model.store_more(&*logs, 60).await;
        let filter = model.some_filter();
        let there_before = model.matching(&filter, order);
        let (mut found, mut from) = (Vec::new(), From::After(order.start()));
        let mut deleted = HashSet::new();
        loop {
            let slice = logs.find(&question(&filter, order, from, 5)).await.unwrap();
            found.extend(slice.logs);
            if !slice.more {
                break;
            }
            from = From::After(Place::of(found.last().unwrap()).unwrap());
            model.store_more(&*logs, 2).await;
            deleted.insert(model.delete_one(&*logs).await);
        }
        let ids: Vec<LogId> = found.iter().filter_map(|log| log.id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{order:?}: nothing comes twice");
        for log in there_before {
            let id = log.id.unwrap();
            assert!(ids.contains(&id) || deleted.contains(&id), "{order:?}: {id} was missed");
        }
    }
}

/// More than a store would sort at once, on quiet days, on a busy one, and on days on which there is nothing; some of
/// them long after they happened.
async fn a_user_with_many_logs_is_gone_through_by_timestamp(harness: &mut impl RepositoryHarness) {
    const HOUR: i64 = 60 * 60 * 1000;
    let logs = harness.logs();
    let mut model = Model::new(5);
    for round in 0..5 {
        let mut some = Vec::new();
        for number in 0..600 {
            let hours = if number % 2 == 0 { 24 * 6 } else { 24 * model.pick(&[-3, 0, 2, 9]) };
            let timestamp = at(HOUR * hours + HOUR / 3 * model.dice.random_range(-3 * round..20));
            let user = if number % 8 == 0 { model.pick(&USERS) } else { "bob" };
            let action = model.pick(&ACTIONS);
            some.push(event(NewLog { timestamp, ..log(user, action) }));
        }
        skip_ids(&*logs, &mut model.dice).await;
        model.remember(store(&*logs, &some).await);
    }
    for _ in 0..20 {
        model.delete_one(&*logs).await;
    }
    let bob = LogFilter { user_ids: vec!["bob".to_owned()], ..LogFilter::default() };
    let window = LogFilter { from: Some(at(30 * HOUR)), to: Some(at(150 * HOUR)), ..bob.clone() };
    let views = LogFilter { actions: vec!["view".to_owned()], ..bob.clone() };
    for filter in [bob, window, views] {
        for order in [Order::Timestamp, Order::TimestampDescending] {
            let expected = model.matching(&filter, order);
            for limit in [170, 1000] {
                assert_eq!(all_by_place(&*logs, &filter, order, limit).await, expected, "{order:?} {limit}");
            }
            for offset in [0, 1, 999, expected.len() - 3, expected.len() + 1] {
                let slice = logs.find(&question(&filter, order, From::Offset(offset as u64), 20)).await.unwrap();
                let rest: Vec<ActivityLog> = expected.iter().skip(offset).take(20).cloned().collect();
                assert_eq!(slice.logs, rest, "{order:?} from {offset}");
            }
            let up_to = model.logs[model.logs.len() / 2].1.id;
            let query = LogQuery { up_to, ..question(&filter, order, From::After(order.start()), 1000) };
            let early: Vec<ActivityLog> = expected.into_iter().filter(|log| log.id <= up_to).take(1000).collect();
            assert_eq!(logs.find(&query).await.unwrap().logs, early, "{order:?} up to {up_to:?}");
        }
    }
}

async fn conditions_on_metadata_mean_what_they_mean_to_mongodb(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let mut model = Model::new(3);
    model.store_more(&*logs, 60).await;
    model.answers_each_condition(&*logs).await;
    let both = ["a.b", "a.0"].map(|path| MetadataMatch::parse(path, "x").unwrap()).to_vec();
    let filter = LogFilter { metadata: both, ..LogFilter::default() };
    assert_eq!(all_by_place(&*logs, &filter, Order::Id, 10).await, model.matching(&filter, Order::Id));
}

impl Model {
    async fn answers_each_condition(&self, logs: &dyn LogRepository) {
        for path in PATHS {
            for value in VALUES {
                let condition = MetadataMatch::parse(path, value).unwrap();
                let filter = LogFilter { metadata: vec![condition], ..LogFilter::default() };
                let expected = self.matching(&filter, Order::Id);
                let found = all_by_place(logs, &filter, Order::Id, 1000).await;
                assert_eq!(found, expected, "metadata.{path}={value}");
            }
        }
    }
}

async fn indexes_of_metadata_change_no_answer(harness: &mut impl RepositoryHarness) {
    let mut model = Model::new(4);
    model.store_more(&*harness.logs(), 60).await;
    for paths in [&["a", "b.c", "a.0"][..], &["a", "a.b", "a.1.b"], &["a.0"], &[]] {
        let paths: Vec<MetadataPath> = paths.iter().map(|path| MetadataPath::parse(path).unwrap()).collect();
        harness.reopen_with_indexes_of(&paths).await;
        let logs = harness.logs();
        model.store_more(&*logs, 40).await;
        for _ in 0..20 {
            model.delete_one(&*logs).await;
        }
        model.answers_each_condition(&*logs).await;
        for _ in 0..60 {
            let (path, value) = (model.pick(&PATHS), model.pick(&VALUES));
            let condition = MetadataMatch::parse(path, value).unwrap();
            let filter = LogFilter { metadata: vec![condition], ..model.some_filter() };
            model.answers(&*logs, &filter).await;
        }
    }
}

async fn counting_ends_at_the_cap(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let events: Vec<Event> = (0..30).map(|_| event(log("u", "a"))).collect();
    store(&*logs, &events).await;
    let filter = LogFilter { actions: vec!["a".to_owned()], ..LogFilter::default() };
    for (cap, count) in [
        (29, Count { number: 29, is_exact: false }),
        (30, Count::exactly(30)),
        (31, Count::exactly(30)),
        (u64::MAX, Count::exactly(30)),
    ] {
        assert_eq!(logs.count(&filter, cap, MAX_TIME).await.unwrap(), count, "{cap}");
    }
    let all = logs.count(&LogFilter::default(), 5, MAX_TIME).await.unwrap();
    assert_eq!(all, Count::exactly(30), "how many there are at all is known without counting");
}

async fn a_log_beyond_the_last_id_asked_for_is_left_out(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let stored = store(&*logs, &(0..5).map(|_| event(log("u", "a"))).collect::<Vec<_>>()).await;
    let ids = async |up_to: i64| {
        let query = LogQuery {
            up_to: Some(LogId::new(up_to)),
            ..question(&LogFilter::default(), Order::Id, From::After(Order::Id.start()), 10)
        };
        let slice = logs.find(&query).await.unwrap();
        (slice.logs.iter().map(|log| log.id.unwrap()).collect::<Vec<_>>(), slice.more)
    };
    let all: Vec<LogId> = stored.iter().map(|event| event.id).collect();
    assert_eq!(ids(all[2].get()).await, (all[..3].to_vec(), false));
    assert_eq!(ids(i64::MIN).await, (Vec::new(), false));
    assert_eq!(ids(i64::MAX).await, (all, false));
}

async fn a_slice_of_large_logs_is_cut_short_and_goes_on(harness: &mut impl RepositoryHarness) {
    let logs = harness.logs();
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(200_000));
    let large = || event(NewLog { metadata: Metadata::from_canonical(text.clone()), ..log("u", "a") });
    let stored = store(&*logs, &(0..60).map(|_| large()).collect::<Vec<_>>()).await;
    let filter = LogFilter::default();
    let first = logs.find(&question(&filter, Order::Id, From::After(Order::Id.start()), 60)).await.unwrap();
    assert!(first.cut_short && first.more && first.logs.len() > 20, "{}", first.logs.len());
    let place = Place::of(first.logs.last().unwrap()).unwrap();
    let second = logs.find(&question(&filter, Order::Id, From::After(place), 60)).await.unwrap();
    assert!(!second.cut_short && !second.more);
    let ids: Vec<LogId> = first.logs.iter().chain(&second.logs).filter_map(|log| log.id).collect();
    assert_eq!(ids, stored.iter().map(|event| event.id).collect::<Vec<_>>());
}
