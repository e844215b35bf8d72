//! Counting logs, held against a model that looks at every log: the same counts on every store, whatever was done.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eyego::domain::{
    ErasureFilter, Event, Group, GroupBy, LogFilter, NewLog, NumberedEvent, QUARTER_HOUR, Slot, Tops,
    ports::{AppendOutcome, DeleteOutcome, ErasureRequest, ErasureStore, LogRepository, LogStatistics},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::Instant;

use crate::{
    contract::contract_suite,
    repository::RepositoryHarness,
    support::{MAX_TIME, at, event, log, store, store_far_apart},
};

contract_suite! { statistics_suite:
    an_empty_store_has_no_counts
    counts_are_those_of_looking_at_every_log
    what_comes_again_is_counted_once
    an_action_has_any_name
    the_ends_of_a_histogram_are_those_of_the_range
}

statistics_suite!(mongo, crate::mongo::MongoHarness);
statistics_suite!(embedded, crate::embedded::EmbeddedHarness);

const USERS: [&str; 4] = ["ann", "bob", "ann.", "Ann"];
const ACTIONS: [&str; 8] = ["auth.login", "auth.logout", "auth", "view", "$inc", "100%", "auté", "%2E"];
/// Some day, and the one before 1970.
const DAYS: [i64; 2] = [1_747_785_600_000, -86_400_000];
/// Longer than it takes to close a quarter, and to recount it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a store holds, as a list.
pub(crate) struct Model {
    pub(crate) logs: Vec<NumberedEvent>,
    dice: StdRng,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self { logs: Vec::new(), dice: StdRng::seed_from_u64(seed) }
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.dice).unwrap()
    }

    /// Many at the edges of quarters.
    fn some_time(&mut self) -> i64 {
        let quarter = self.pick(&DAYS) + QUARTER_HOUR * self.dice.random_range(-20..220);
        let within = match self.dice.random_range(0..4) {
            0 => 0,
            1 => QUARTER_HOUR - 1,
            _ => self.dice.random_range(0..QUARTER_HOUR),
        };
        quarter + within
    }

    fn some_event(&mut self) -> Event {
        let (user, action) = (self.pick(&USERS), self.pick(&ACTIONS));
        event(NewLog { timestamp: at(self.some_time()), ..log(user, action) })
    }

    pub(crate) async fn store_more(&mut self, logs: &dyn LogRepository, count: usize) {
        let events: Vec<Event> = (0..count).map(|_| self.some_event()).collect();
        self.logs.extend(store_far_apart(logs, &events, &mut self.dice).await);
    }

    pub(crate) async fn delete_one(&mut self, logs: &dyn LogRepository) {
        let index = self.dice.random_range(0..self.logs.len());
        let id = self.logs.remove(index).id;
        assert_eq!(logs.delete(id).await.unwrap(), DeleteOutcome::Deleted);
    }

    async fn erase(&mut self, erasure: &dyn ErasureStore) {
        let filter = ErasureFilter::new(Some("bob".to_owned()), None).unwrap();
        let mut request = ErasureRequest { filter, received_up_to: None, after: None, most: 7 };
        while let Some(next) = erasure.erase(&request).await.unwrap().next {
            request.after = Some(next);
        }
        self.logs.retain(|numbered| numbered.event.log.user_id.as_str() != "bob");
    }

    fn some_filter(&mut self) -> LogFilter {
        let mut filter = LogFilter::default();
        let one_in = |dice: &mut StdRng, many| dice.random_range(0..many) == 0;
        if one_in(&mut self.dice, 5) {
            filter.user_ids = vec![self.pick(&USERS).to_owned()];
        }
        if one_in(&mut self.dice, 3) {
            let count = self.dice.random_range(1..4);
            filter.actions = (0..count).map(|_| self.pick(&ACTIONS).to_owned()).collect();
        }
        if one_in(&mut self.dice, 4) {
            filter.action_prefix = Some(self.pick(&["a", "auth.", "$", "%", "1"]).to_owned());
        }
        if one_in(&mut self.dice, 2) {
            filter.from = Some(at(self.some_time()));
        }
        if one_in(&mut self.dice, 2) {
            filter.to = Some(at(self.some_time()));
        }
        filter
    }

    /// Looks at every log.
    fn matching(&self, filter: &LogFilter) -> Vec<&NewLog> {
        let any = |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|one| one == text);
        let matches = |log: &&NewLog| {
            any(&filter.user_ids, log.user_id.as_str())
                && any(&filter.actions, log.action.as_str())
                && filter.action_prefix.as_ref().is_none_or(|prefix| log.action.as_str().starts_with(prefix.as_str()))
                && filter.from.is_none_or(|from| log.timestamp >= from)
                && filter.to.is_none_or(|to| log.timestamp <= to)
        };
        self.logs.iter().map(|numbered| &numbered.event.log).filter(matches).collect()
    }

    fn histogram(&self, filter: &LogFilter, grain: i64) -> Vec<Slot> {
        let mut slots: BTreeMap<i64, u64> = BTreeMap::new();
        for log in self.matching(filter) {
            *slots.entry(log.timestamp.as_millis().div_euclid(grain) * grain).or_default() += 1;
        }
        slots.into_iter().map(|(start, count)| Slot { start: at(start), count }).collect()
    }

    fn tops(&self, filter: &LogFilter, by: GroupBy, most: usize) -> Tops {
        let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
        for log in self.matching(filter) {
            let value = if by == GroupBy::Action { log.action.as_str() } else { log.user_id.as_str() };
            *groups.entry(value).or_default() += 1;
        }
        let total = groups.values().sum();
        let mut groups: Vec<Group> =
            groups.into_iter().map(|(value, count)| Group { value: Some(value.to_owned()), count }).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups.truncate(most);
        Tops { total, groups }
    }

    /// Asks until the answers are right: counts follow what is done, they are not there with it.
    pub(crate) async fn agrees(&mut self, statistics: &dyn LogStatistics) {
        for question in 0..30 {
            let mut filter = self.some_filter();
            let most = self.dice.random_range(1..6);
            for by in [GroupBy::Action, GroupBy::UserId] {
                let expected = self.tops(&filter, by, most);
                let most = u32::try_from(most).unwrap();
                let ask = async || statistics.tops(&filter, by, most, MAX_TIME).await.unwrap();
                becomes(expected, ask, &format!("{question} {filter:?}")).await;
            }
            filter.from.get_or_insert(at(DAYS[1] - 86_400_000));
            filter.to.get_or_insert(at(DAYS[0] + 5 * 86_400_000));
            let grain = self.pick(&[QUARTER_HOUR, QUARTER_HOUR, 60_000, 28_000]);
            let expected = self.histogram(&filter, grain);
            let ask = async || statistics.histogram(&filter, grain, MAX_TIME).await.unwrap();
            becomes(expected, ask, &format!("{question} {grain} {filter:?}")).await;
        }
    }
}

async fn becomes<T: PartialEq + std::fmt::Debug>(expected: T, mut ask: impl AsyncFnMut() -> T, what: &str) {
    let begun = Instant::now();
    loop {
        let found = ask().await;
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {found:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn an_empty_store_has_no_counts(harness: &mut impl RepositoryHarness) {
    Model::new(0).agrees(&*harness.statistics()).await;
}

async fn counts_are_those_of_looking_at_every_log(harness: &mut impl RepositoryHarness) {
    let mut model = Model::new(1);
    for round in 0..4 {
        let (logs, statistics) = (harness.logs(), harness.statistics());
        model.store_more(&*logs, 200).await;
        for _ in 0..15 {
            model.delete_one(&*logs).await;
        }
        model.agrees(&*statistics).await;
        if round == 1 {
            model.erase(&*harness.erasure()).await;
            model.agrees(&*statistics).await;
        }
        drop((logs, statistics));
        harness.reopen().await;
    }
    model.agrees(&*harness.statistics()).await;
}

async fn what_comes_again_is_counted_once(harness: &mut impl RepositoryHarness) {
    let mut model = Model::new(2);
    let logs: Arc<dyn LogRepository> = harness.logs();
    model.store_more(&*logs, 60).await;
    let deleted = model.logs[0].clone();
    assert_eq!(logs.delete(deleted.id).await.unwrap(), DeleteOutcome::Deleted);
    let mut again = model.logs.clone();
    model.logs.remove(0);
    for _ in 0..2 {
        let outcomes = logs.append(&again).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome != AppendOutcome::Stored), "{outcomes:?}");
        again.reverse();
    }
    model.agrees(&*harness.statistics()).await;
}

async fn an_action_has_any_name(harness: &mut impl RepositoryHarness) {
    let names: Vec<String> = (0..1500).map(|number| format!("{number}.$\u{1f600}%")).collect();
    let events: Vec<Event> =
        names.iter().map(|name| event(NewLog { timestamp: at(DAYS[0]), ..log("u", name) })).collect();
    let mut model = Model::new(3);
    for some in events.chunks(400) {
        model.logs.extend(store(&*harness.logs(), some).await);
    }
    let statistics = harness.statistics();
    let one = LogFilter { actions: vec![names[7].clone()], ..LogFilter::default() };
    for filter in [LogFilter::default(), one] {
        let expected = model.tops(&filter, GroupBy::Action, 1000);
        let ask = async || statistics.tops(&filter, GroupBy::Action, 1000, MAX_TIME).await.unwrap();
        becomes(expected, ask, "tops").await;
        let filter = LogFilter { from: Some(at(0)), to: Some(at(DAYS[0] + QUARTER_HOUR - 1)), ..filter };
        let expected = model.histogram(&filter, QUARTER_HOUR);
        let ask = async || statistics.histogram(&filter, QUARTER_HOUR, MAX_TIME).await.unwrap();
        becomes(expected, ask, "histogram").await;
    }
}

async fn the_ends_of_a_histogram_are_those_of_the_range(harness: &mut impl RepositoryHarness) {
    let times = [0, 1, QUARTER_HOUR - 1, QUARTER_HOUR, 2 * QUARTER_HOUR, 3 * QUARTER_HOUR - 1];
    let events: Vec<Event> =
        times.iter().map(|time| event(NewLog { timestamp: at(DAYS[0] + time), ..log("u", "a") })).collect();
    store(&*harness.logs(), &events).await;
    let statistics = harness.statistics();
    for (from, to, counts) in [
        (0, 3 * QUARTER_HOUR - 1, vec![(0, 3), (1, 1), (2, 2)]),
        (1, 3 * QUARTER_HOUR - 2, vec![(0, 2), (1, 1), (2, 1)]),
        (2, QUARTER_HOUR - 2, vec![]),
        (QUARTER_HOUR, QUARTER_HOUR, vec![(1, 1)]),
    ] {
        let filter = LogFilter { from: Some(at(DAYS[0] + from)), to: Some(at(DAYS[0] + to)), ..LogFilter::default() };
        let slot = |(quarter, count)| Slot { start: at(DAYS[0] + quarter * QUARTER_HOUR), count };
        let expected: Vec<Slot> = counts.into_iter().map(slot).collect();
        let ask = async || statistics.histogram(&filter, QUARTER_HOUR, MAX_TIME).await.unwrap();
        becomes(expected, ask, "histogram").await;
    }
}
