//! Kafka: gone, hung, forbidding, changed under way, or full of what was left.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::admin::{AdminOptions, NewPartitions};

use super::oddities;
use crate::{
    account::percentile,
    eventually,
    load::{Load, Outcome, Post},
    patience,
    process::Service,
    rig::Rig,
    scenario::{
        Scenario,
        Setup::{ByItself, OwnKafka, OwnMongo, Shared},
    },
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("kafka-killed-5s", OwnKafka(&[]), killed).quick(),
    Scenario::on("kafka-away-60s", OwnKafka(&[]), away).alone(),
    Scenario::on("kafka-frozen-20s", OwnKafka(&[]), frozen),
    Scenario::on("kafka-topic-missing", Shared, topic_missing),
    Scenario::on("kafka-small-records", Shared, oddities::small_records),
    Scenario::on("kafka-without-rights", ByItself, oddities::without_rights),
    Scenario::on("kafka-partitions-added", Shared, partitions_added),
    Scenario::on("kafka-offsets-reset", Shared, offsets_reset).quick(),
    Scenario::on("kafka-retention", OwnMongo(&[]), retention),
    Scenario::on("kafka-backlog-200000", Shared, backlog).alone(),
];

const BEFORE: Duration = Duration::from_secs(8);
/// Contract C3: the longest that a POST takes, and the longest until a broker's death is noticed; with some room for a
/// busy machine.
const LONGEST_POST: Duration = Duration::from_millis(5500);
const NOTICED: Duration = Duration::from_secs(5);
pub(super) const MOST_MEMORY: u64 = 256;

fn killed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    killed_under(rig, load);
}

pub(super) fn killed_under(rig: &mut Rig, load: Load) {
    load.run_for(BEFORE);
    rig.kafka_server().kill();
    load.run_for(Duration::from_secs(5));
    rig.kafka_server().start();
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
}

/// A minute without the broker: 504 for what was under way, then 503 at once, none of them stored; reads go on.
fn away(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let dead = load.elapsed();
    rig.kafka_server().kill();
    while load.elapsed() < dead + Duration::from_secs(60) {
        let (status, page) = rig.service().get("/api/logs?limit=5").unwrap();
        assert!(status == 200 && page["logs"].as_array().is_some_and(|logs| logs.len() == 5), "{status} {page}");
        load.run_for(Duration::from_millis(500));
    }
    let starting = load.elapsed();
    rig.kafka_server().start();
    let back = load.elapsed();
    patience(Duration::from_secs(60), "posts are taken again", || load.taken_since(starting).is_some());
    let taken = load.taken_since(starting).unwrap().saturating_sub(back);
    rig.fault_ended(&load);
    let memory = rig.service().peak_memory().unwrap();
    let posts = rig.account(load);
    rig.expect_in_flight();
    let noticed: Vec<_> = posts.iter().filter(|post| post.at > dead + NOTICED && post.until() < starting).collect();
    let other = noticed.iter().find(|post| post.outcome != Outcome::Refused(503));
    assert!(other.is_none(), "once the death is noticed every post is refused, but: {other:?}");
    let p99 = percentile(noticed.iter().map(|post| post.took), 99.0);
    let longest = posts.iter().map(|post| post.took).max().unwrap();
    rig.row.note(format!("longest {longest:.1?}, p99 of 503 {p99:.1?}, first 202 after {taken:.1?}"));
    assert!(memory < MOST_MEMORY, "{memory} MB");
    // Bounds on times hold only where nothing else runs.
    if rig.whole {
        assert!(longest < LONGEST_POST, "a post took {longest:?}");
        assert!(p99 < Duration::from_millis(50), "p99 of the refusals is {p99:?}");
        assert!(taken < Duration::from_secs(3), "the first post was taken only {taken:?} after the broker answered");
    }
}

fn frozen(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.kafka_server().freeze();
    load.run_for(Duration::from_secs(20));
    rig.kafka_server().thaw();
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
}

/// Nobody makes the topic: the broker does not by itself, and the service cannot with so many replicas.
fn topic_missing(rig: &mut Rig) {
    rig.set("KAFKA_TOPIC_REPLICATION", "3");
    let service = rig.recipe().start();
    rig.services.push(service);
    let load = rig.load();
    load.run_for(Duration::from_secs(8));
    let (status, ready) = rig.service().get("/readyz").unwrap();
    assert_eq!(status, 503, "{ready}");
    let refused = load.posts().iter().all(|post| post.outcome == Outcome::Refused(503));
    assert!(refused, "something was taken without a topic");
    let kafka = rig.kafka();
    oddities::make_topics(rig, &[&kafka.topic, &kafka.dead_letter_topic()], &[]);
    rig.service().wait_until_ready();
    rig.fault_ended(&load);
    load.run_for(Duration::from_secs(8));
    rig.account(load);
}

fn partitions_added(rig: &mut Rig) {
    let properties = format!("{};topic.metadata.refresh.interval.ms=1000", rig.environment["KAFKA_PROPERTIES"]);
    rig.set("KAFKA_PROPERTIES", &properties);
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let kafka = rig.kafka();
    let six = NewPartitions::new(&kafka.topic, 6);
    rig.store().on_mongo(async |_| kafka.admin().create_partitions([&six], &AdminOptions::new()).await.unwrap());
    let filled =
        || kafka.ends(&kafka.topic).is_some_and(|ends| ends.len() == 6 && ends.values().all(|ends| ends.1 > 0));
    eventually("records come to the new partitions", filled);
    rig.fault_ended(&load);
    rig.account(load);
}

/// Somebody sets the group back to the beginning: everything comes again and nothing is stored again.
fn offsets_reset(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().terminate();
    let kafka = rig.kafka();
    let ends = kafka.ends(&kafka.topic).unwrap();
    kafka.commit(&ends.iter().map(|(partition, (low, _))| (*partition, *low)).collect());
    rig.commits_may_go_back = true;
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
}

/// What the broker has expired before anyone read it is gone, to the record, and nothing else is.
fn retention(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.mongo_server().kill();
    load.run_for(Duration::from_secs(6));
    // What the worker holds in memory it may still store: it goes too.
    rig.service_mut().kill();
    let kafka = rig.kafka();
    let (committed, ends) = (kafka.committed().unwrap(), kafka.ends(&kafka.topic).unwrap());
    let middle: BTreeMap<i32, i64> =
        ends.iter().map(|(partition, (_, high))| (*partition, i64::midpoint(committed[partition], *high))).collect();
    for record in kafka.records(&kafka.topic) {
        use rdkafka::Message as _;
        if (committed[&record.partition()]..middle[&record.partition()]).contains(&record.offset()) {
            rig.exceptions.expired.push(crate::kafka::header(&record, "event-id").unwrap());
        }
    }
    oddities::expire(rig, &middle);
    rig.mongo_server().start();
    rig.restart(0);
    let ended = load.elapsed();
    patience(Duration::from_secs(60), "posts are taken again", || load.taken_since(ended).is_some());
    let began = Instant::now();
    rig.account(load);
    rig.row.recovered = Some(began.elapsed());
    let expired = rig.exceptions.expired.len();
    assert!(expired > 500, "only {expired} records were expired unread");
    rig.row.note(format!("{expired} expired"));
    assert!(rig.service().alarms("records_expired").is_none_or(|count| count > 0), "no alarm");
}

const BACKLOG: usize = 200_000;

/// What an old producer left before the service first came: it is drained beside the load, in little memory.
fn backlog(rig: &mut Rig) {
    let kafka = rig.kafka();
    oddities::make_topics(rig, &[&kafka.topic, &kafka.dead_letter_topic()], &[]);
    let values: Vec<_> = (0..BACKLOG)
        .map(|n| format!(r#"{{"userId":"old{}","action":"old-{n}","metadata":{{"ip":"127.0.0.1"}}}}"#, n % 100))
        .collect();
    kafka.put(values.iter().map(|value| (None, Some(value.as_bytes()))));
    rig.start();
    let began = Instant::now();
    let load = rig.load();
    patience(Duration::from_secs(300), "the backlog is stored", || {
        load.run_for(Duration::from_millis(200));
        rig.store().count().is_some_and(|count| count >= BACKLOG as u64)
    });
    let rate = BACKLOG as f64 / began.elapsed().as_secs_f64();
    rig.row.note(format!("{rate:.0} a second beside the load"));
    rig.fault_ended(&load);
    rig.account(load);
    let stored = rig.store().all();
    let old: std::collections::HashSet<_> =
        stored.iter().filter(|log| log.action.starts_with("old-")).map(|log| &log.action).collect();
    let count = stored.iter().filter(|log| log.action.starts_with("old-")).count();
    assert_eq!((old.len(), count), (BACKLOG, BACKLOG));
    let memory = rig.services.iter().filter_map(Service::peak_memory).max().unwrap();
    assert!(memory < MOST_MEMORY, "{memory} MB");
}

/// What every post of these got.
pub(super) fn statuses(posts: &[Post]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for post in posts {
        let word = match &post.outcome {
            Outcome::Acknowledged(_) => "202".to_owned(),
            Outcome::Refused(status) | Outcome::Unknown(status) => status.to_string(),
            Outcome::NotSent => "not sent".to_owned(),
            Outcome::Broken => "broken".to_owned(),
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}
