//! Deletes: what is deleted stays deleted, whatever is delivered again.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rdkafka::message::Message as _;

use crate::{
    eventually,
    kafka::header,
    load::Load,
    rig::Rig,
    scenario::{
        Backend, Scenario,
        Setup::{Embedded, Shared},
    },
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("deletes-before-the-commit/servers", Shared, before_the_commit),
    Scenario::on("deletes-before-the-commit/embedded", Embedded, before_the_commit),
    Scenario::on("deletes-then-replay", Shared, then_replay).quick(),
];

/// Deletes the latest logs of the load that are stored, newest first.
fn delete_latest(rig: &mut Rig, load: &Load, count: usize) -> Vec<String> {
    let acknowledged = load.acknowledged();
    let latest = acknowledged[acknowledged.len().saturating_sub(count)..].to_vec();
    eventually("the latest are stored", || rig.store().holds(&latest));
    let ids: HashMap<String, i64> = rig.store().all().into_iter().map(|log| (log.event_id, log.id)).collect();
    let mut deleted = Vec::new();
    for event_id in latest.into_iter().rev() {
        let answer = rig.service().delete(&format!("/api/logs/{}", ids[&event_id]));
        assert_eq!(answer.map(|(status, _)| status), Some(200));
        deleted.push(event_id);
    }
    deleted
}

/// A log is stored and deleted, and the service killed before the offset is committed: it is delivered again.
fn before_the_commit(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    let mut again = 0;
    for _ in 0..if rig.whole { 8 } else { 3 } {
        rig.service().wait_until_ready();
        load.run_for(Duration::from_millis(1500));
        let deleted = delete_just_now(rig, 5);
        rig.service_mut().kill();
        again += delivered_again(rig, &deleted);
        rig.exceptions.deleted.extend(deleted);
        rig.restart(0);
    }
    rig.fault_ended(&load);
    rig.account(load);
    let stored = rig.store().all();
    let back: Vec<_> = stored.iter().filter(|log| rig.exceptions.deleted.contains(&log.event_id)).collect();
    assert!(back.is_empty(), "deleted logs are back: {back:?}");
    rig.row.note(format!("{} deleted, {again} delivered again", rig.exceptions.deleted.len()));
    // What is committed when is the embedded engine's own affair.
    assert!(again > 0 || rig.backend == Backend::Embedded, "no deleted log was delivered again");
}

/// Posts logs, waits until they are stored and deletes them, as fast as that goes.
fn delete_just_now(rig: &Rig, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let (status, taken) = rig.service().post(r#"{"userId":"gone","action":"gone"}"#).unwrap();
            assert_eq!(status, 202, "{taken}");
            let event_id = taken["eventId"].as_str().unwrap().to_owned();
            let (status, log) = rig.service().get(&format!("/api/logs/events/{event_id}?wait=30")).unwrap();
            assert_eq!(status, 200, "{log}");
            let (status, answer) = rig.service().delete(&format!("/api/logs/{}", log["id"])).unwrap();
            assert_eq!(status, 200, "{answer}");
            event_id
        })
        .collect()
}

/// How many of these the group has not committed.
fn delivered_again(rig: &Rig, event_ids: &[String]) -> usize {
    if rig.backend == Backend::Embedded {
        return 0;
    }
    let kafka = rig.kafka();
    let committed = kafka.committed().unwrap();
    let open =
        kafka.records(&kafka.topic).into_iter().filter(|record| record.offset() >= committed[&record.partition()]);
    open.filter(|record| header(record, "event-id").is_some_and(|id| event_ids.contains(&id))).count()
}

/// Logs are deleted and the whole topic is read again: nobody comes back.
fn then_replay(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(Duration::from_secs(8));
    let deleted = delete_latest(rig, &load, 200);
    rig.exceptions.deleted.extend(deleted);
    rig.service_mut().terminate();
    let kafka = rig.kafka();
    let first: BTreeMap<i32, i64> =
        kafka.ends(&kafka.topic).unwrap().into_iter().map(|(partition, (low, _))| (partition, low)).collect();
    kafka.commit(&first);
    rig.commits_may_go_back = true;
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    rig.row.note(format!("{} deleted", rig.exceptions.deleted.len()));
}
