//! Pages of a stretch of time in the order of ids, on MongoDB: kept bounds make them short, and never leave a log out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use eyego::{
    domain::{
        Event, From, LogFilter, LogId, LogQuery, NewLog, NumberedEvent, Order, QUARTER_HOUR,
        ports::{AppendOutcome, LogRepository},
    },
    infrastructure::mongo::{MongoOptions, MongoStore},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    contract::Harness,
    mongo::{MongoHarness, open_as},
    support::{MAX_TIME, at, event, eventually, log, number, store},
};

const DAY: i64 = 1_747_785_600_000;
const HOUR: i64 = 4 * QUARTER_HOUR;
const STEPS: i64 = 30;
const ORDERS: [Order; 2] = [Order::Id, Order::IdDescending];

fn window(from: i64, to: i64) -> LogFilter {
    LogFilter { from: Some(at(from)), to: Some(at(to)), ..LogFilter::default() }
}

async fn page(logs: &MongoStore, filter: LogFilter, order: Order, limit: u32) -> Vec<Option<i64>> {
    let query = LogQuery { filter, order, from: From::Offset(0), up_to: None, limit, max_time: MAX_TIME };
    let found = logs.find(&query).await.unwrap();
    assert!(!found.cut_short);
    found.logs.iter().map(|log| log.id.map(LogId::get)).collect()
}

/// How many keys of an index the server looked at for the newest query for logs.
async fn looked_at(harness: &MongoHarness) -> i64 {
    let profile = harness.database.collection::<Document>("system.profile");
    let of_logs = doc! {"op": "query", "command.find": "useractivitylogs", "command.sort": {"$exists": true}};
    let newest = profile.find_one(of_logs).sort(doc! {"$natural": -1}).await.unwrap();
    newest.map_or(i64::MAX, |entry| i64::from(entry.get_i32("keysExamined").unwrap()))
}

#[tokio::test]
async fn a_page_of_a_stretch_of_time_looks_at_few_others() {
    let Some(harness) = MongoHarness::start().await else { return };
    let events: Vec<Event> =
        (0..2000).map(|n| event(NewLog { timestamp: at(DAY + n * HOUR / 8), ..log("u", "a") })).collect();
    store(&*harness.store, &events).await;
    harness.database.run_command(doc! {"profile": 2}).await.unwrap();
    for (order, from) in [(Order::Id, DAY + 150 * HOUR), (Order::IdDescending, DAY)] {
        eventually("the walk is short", async || {
            assert_eq!(page(&harness.store, window(from, from + 100 * HOUR), order, 5).await.len(), 5);
            looked_at(&harness).await <= 60
        })
        .await;
    }
    harness.end().await;
}

/// One of several stores that write at the same time, with ids that overtake each other.
struct Writer {
    store: Arc<MongoStore>,
    reader: Arc<MongoStore>,
    dice: StdRng,
    /// Time goes on by this long every three steps.
    unit: i64,
    step: i64,
    /// Numbered, and not stored yet.
    held: Vec<NumberedEvent>,
    stored: Vec<NumberedEvent>,
}

impl Writer {
    fn some_time(&mut self) -> i64 {
        let begun = self.step / 3 + self.dice.random_range(0..3);
        DAY + begun * self.unit + self.dice.random_range(0..self.unit)
    }

    async fn store_some(&mut self) {
        self.step += 1;
        let events: Vec<Event> =
            (0..20).map(|_| event(NewLog { timestamp: at(self.some_time()), ..log("u", "a") })).collect();
        // Far apart, as those of several services are.
        self.store.reserve(self.dice.random_range(1..20_000)).await.unwrap();
        let numbered = number(&*self.store, &events).await;
        let before = match self.dice.random_range(0..3) {
            // The quarters may have been closed, and counted, under higher ids by then.
            0 => std::mem::replace(&mut self.held, numbered),
            _ => numbered,
        };
        if !before.is_empty() {
            assert_eq!(self.store.append(&before).await.unwrap(), vec![AppendOutcome::Stored; before.len()]);
            self.stored.extend(before);
        }
    }

    async fn finds_its_own(&mut self) {
        for order in ORDERS {
            let one = self.some_time();
            let from = DAY + (one - DAY).div_euclid(self.unit) * self.unit;
            let to = from + self.unit - 1;
            let reader = if self.dice.random_bool(0.5) { &self.store } else { &self.reader };
            let found: BTreeSet<Option<i64>> =
                page(reader, window(from, to), order, 10_000).await.into_iter().collect();
            let is_within = |log: &&NumberedEvent| (at(from)..=at(to)).contains(&log.event.log.timestamp);
            for log in self.stored.iter().filter(is_within) {
                assert!(found.contains(&Some(log.id.get())), "{} is missing between {from} and {to}", log.id.get());
            }
        }
    }
}

#[tokio::test]
async fn no_log_of_a_quarter_is_left_out_while_stores_write_die_and_recount() {
    no_log_is_left_out(QUARTER_HOUR).await;
}

#[tokio::test]
async fn no_log_of_a_day_is_left_out_while_stores_write_die_and_recount() {
    no_log_is_left_out(24 * HOUR).await;
}

async fn no_log_is_left_out(unit: i64) {
    let Some(mut harness) = MongoHarness::start().await else { return };
    let options = || MongoOptions::parse(&harness.uri, 0).unwrap().with_count_lease(Duration::from_secs(3));
    let mut all = Vec::new();
    for generation in 0..2 {
        let mut writers = JoinSet::new();
        for seed in 0..3 {
            let (store, running) = open_as(options());
            let (reader, dice) = (harness.store.clone(), StdRng::seed_from_u64(generation * 3 + seed));
            writers.spawn(async move {
                store.prepared().await;
                let mut writer = Writer { store, reader, dice, unit, step: 0, held: Vec::new(), stored: Vec::new() };
                for _ in 0..STEPS {
                    writer.store_some().await;
                    writer.finds_its_own().await;
                    tokio::time::sleep(Duration::from_millis(writer.dice.random_range(0..500))).await;
                }
                // Some add up what they have done, and some die.
                running.end().await;
                if seed == 0 {
                    writer.store.close().await;
                }
                writer.stored
            });
        }
        while let Some(stored) = writers.join_next().await {
            all.extend(stored.unwrap());
        }
    }
    let reopened = options();
    harness.supervise_as(reopened).await;
    eventually("nothing is open or in doubt", async || harness.documents("logcountmarks").await.is_empty()).await;
    for begun in 0..STEPS / 3 + 4 {
        let (from, to) = (DAY + begun * unit, DAY + (begun + 1) * unit - 1);
        let is_within = |log: &&NumberedEvent| (at(from)..=at(to)).contains(&log.event.log.timestamp);
        let expected: BTreeSet<Option<i64>> = all.iter().filter(is_within).map(|log| Some(log.id.get())).collect();
        for order in ORDERS {
            let found: BTreeSet<Option<i64>> =
                page(&harness.store, window(from, to), order, 10_000).await.into_iter().collect();
            assert_eq!(found, expected);
        }
    }
    harness.end().await;
}

fn foreign(id: impl Into<Bson>, timestamp: i64) -> Document {
    let timestamp = DateTime::from_millis(timestamp);
    doc! {"_id": ObjectId::new(), "id": id.into(), "userId": "u", "action": "a", "timestamp": timestamp}
}

#[tokio::test]
async fn what_the_old_service_stores_meanwhile_is_found() {
    let harness = MongoHarness::start_on(async |database| {
        let logs = database.collection::<Document>("useractivitylogs");
        // Ids as old data has them.
        let odd = [Bson::from(7), Bson::from(7.5), Bson::from("x"), Bson::Null, Bson::from(-3.5), Bson::from(f64::NAN)];
        logs.insert_many(odd.map(|id| foreign(id, DAY))).await.unwrap();
    });
    let Some(harness) = harness.await else { return };
    let logs = harness.database.collection::<Document>("useractivitylogs");
    let found = async |hour: i64, order| {
        let from = DAY + hour * HOUR;
        page(&harness.store, window(from, from + HOUR - 1), order, 1000).await.len()
    };
    let ours = |hours: std::ops::Range<i64>| -> Vec<Event> {
        hours.map(|hour| event(NewLog { timestamp: at(DAY + hour * HOUR), ..log("u", "a") })).collect()
    };
    store(&*harness.store, &ours(1..5)).await;
    eventually("nothing is open or in doubt", async || harness.documents("logcountmarks").await.is_empty()).await;
    for order in ORDERS {
        assert_eq!(found(0, order).await, 6, "also those whose ids are no whole numbers");
        for hour in 1..5 {
            assert_eq!(found(hour, order).await, 1);
        }
    }
    for (id, before) in [(1_000_000, 0), (-50, 1), (2_000_000, 2)] {
        logs.insert_one(foreign(id, DAY + 2 * HOUR)).await.unwrap();
        eventually("the log of another is found", async || {
            found(2, Order::Id).await == before + 2 && found(2, Order::IdDescending).await == before + 2
        })
        .await;
    }
    // Made before them, and stored later.
    let mut late = foreign(-60, DAY + 3 * HOUR);
    let mut key = ObjectId::new().bytes();
    key[4..].fill(0);
    late.insert("_id", ObjectId::from_bytes(key));
    logs.insert_one(late).await.unwrap();
    eventually("a late one is found as well", async || found(3, Order::Id).await == 2).await;
    harness.end().await;
}
