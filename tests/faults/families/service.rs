//! The service itself: killed, ended, frozen, restarted beside its replicas, and in two halves.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::kafka::MOST_MEMORY;
use crate::{
    crowd::Crowd,
    eventually,
    load::{Load, Outcome},
    proxy::Proxy,
    rig::Rig,
    scenario::{
        Backend, Scenario,
        Setup::{Embedded, Shared},
    },
    servers::{Kind, shared},
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("service-killed/servers", Shared, killed).quick(),
    Scenario::on("service-killed/embedded", Embedded, killed).quick(),
    Scenario::on("service-crowded/servers", Shared, crowded).alone(),
    Scenario::on("service-crowded/embedded", Embedded, crowded).alone(),
    Scenario::on("service-terminated/servers", Shared, terminated).quick(),
    Scenario::on("service-terminated/embedded", Embedded, terminated),
    Scenario::on("service-frozen-40s", Shared, frozen),
    Scenario::on("service-two-replicas-restarted", Shared, |rig| rolling_restart(rig, 2)),
    Scenario::on("service-three-replicas-restarted", Shared, |rig| rolling_restart(rig, 3)),
    Scenario::on("service-api-and-worker-killed", Shared, halves_killed),
];

fn random(millis: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::random_range(millis))
}

/// `kill -9` at random moments: while it starts, while it waits for its partitions, while it drains what piled up.
fn killed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    killed_under(rig, load);
}

pub(super) fn killed_under(rig: &mut Rig, load: Load) {
    for round in 0..if rig.whole { 20 } else { 4 } {
        if round % 2 == 0 {
            rig.service().wait_until_ready();
        }
        load.run_for(random(300..2000));
        rig.service_mut().kill();
        rig.restart(0);
    }
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
}

/// SIGTERM in the middle of the load: it ends in time and in order, and what it was serving gets its answer.
fn terminated(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    for _ in 0..2 {
        rig.service().wait_until_ready();
        load.run_for(Duration::from_secs(6));
        let served: Vec<_> = (0..20).map(|_| begin_to_post(rig.service().recipe.port)).collect();
        let began = Instant::now();
        rig.service().signal("TERM");
        let answers = thread::spawn(|| finish_posting(served));
        let status = rig.service_mut().wait();
        assert_eq!(status.code(), Some(0), "after SIGTERM");
        assert!(began.elapsed() < Duration::from_secs(25), "the shutdown took {:?}", began.elapsed());
        for answer in answers.join().unwrap() {
            assert!(answer.starts_with("HTTP/1.1 202"), "a request that was being served: {answer:?}");
        }
        rig.row.note(format!("down in {:.1} s", began.elapsed().as_secs_f64()));
        rig.restart(0);
    }
    rig.fault_ended(&load);
    let posts = rig.account(load);
    // A connection that was idle when it was closed may have had a request on its way; one that was read has to be
    // answered, and whatever is stored was read.
    let stored: HashSet<_> = rig.store().all().into_iter().map(|log| log.action).collect();
    let cut: Vec<_> = posts.iter().filter(|post| post.outcome == Outcome::Broken).collect();
    let served = cut.iter().filter(|post| stored.contains(&post.number.to_string())).count();
    rig.row.note(format!("{} connections closed with a request on its way", cut.len()));
    assert_eq!(served, 0, "requests that were served and not answered");
    let late = rig.store().all().iter().filter(|log| log.action == "late").count();
    assert_eq!(late, 40, "requests that were being served are stored");
}

const LATE: &[u8] = br#"{"userId":"u","action":"late"}"#;

/// A request that the service is demonstrably serving: it has asked for the body.
fn begin_to_post(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = LATE.len();
    let head = format!(
        "POST /api/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"));
    stream
}

fn finish_posting(mut streams: Vec<TcpStream>) -> Vec<String> {
    let sent: Vec<_> = streams.iter_mut().map(|stream| stream.write_all(LATE)).collect();
    let read = |(mut stream, sent): (TcpStream, std::io::Result<()>)| {
        let mut answer = String::new();
        let exchanged = sent.and_then(|()| stream.read_to_string(&mut answer));
        exchanged.map_or_else(|error| error.to_string(), |_| answer)
    };
    streams.into_iter().zip(sent).map(read).collect()
}

/// SIGSTOP for longer than the session: its partitions move, and what wakes up is a zombie with a batch in hand. To
/// have one for certain, its way to MongoDB is blocked a moment before, and open again once it is back in the group.
fn frozen(rig: &mut Rig) {
    let mongo = shared(Kind::Mongo);
    let proxy = Proxy::before(mongo.clone());
    rig.use_mongo(&format!("mongodb://{}", proxy.address), "replicaSet=rs0&directConnection=true");
    rig.start();
    rig.use_mongo(&format!("mongodb://{mongo}"), "replicaSet=rs0&directConnection=true");
    rig.start();
    let load = rig.load();
    load.run_for(Duration::from_secs(6));
    proxy.set(Duration::from_secs(600), 0);
    load.run_for(Duration::from_secs(2));
    rig.service().signal("STOP");
    load.run_for(Duration::from_secs(40));
    let assigned = |rig: &Rig| rig.service().recipe.said().matches("partitions assigned").count();
    let before = assigned(rig);
    rig.service().signal("CONT");
    eventually("the zombie is back in the group", || assigned(rig) > before);
    load.run_for(Duration::from_secs(2));
    proxy.set(Duration::ZERO, 0);
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
    let said = rig.service().recipe.said();
    assert!(said.contains("partitions were lost to others"), "its partitions never moved");
    drop(proxy);
}

/// Each replica is ended in order and started again, while the others go on.
fn rolling_restart(rig: &mut Rig, replicas: usize) {
    for _ in 0..replicas {
        rig.start();
    }
    let load = rig.load();
    for index in 0..replicas {
        load.run_for(Duration::from_secs(4));
        rig.services[index].terminate();
        rig.restart(index);
        rig.services[index].wait_until_ready();
    }
    rig.fault_ended(&load);
    rig.account(load);
}

/// The two halves run apart; each is killed once.
fn halves_killed(rig: &mut Rig) {
    assert_eq!(rig.backend, Backend::Servers);
    rig.set("ROLE", "api");
    rig.start();
    rig.set("ROLE", "worker");
    rig.start();
    let port = rig.service().recipe.port;
    let load = rig.load();
    load.aim(&[port]);
    load.run_for(Duration::from_secs(7));
    rig.services[1].kill();
    load.run_for(Duration::from_secs(4));
    rig.restart(1);
    rig.fault_ended(&load);
    rig.services[0].kill();
    rig.restart(0);
    eventually("the api is ready", || rig.service().is_ready());
    rig.fault_ended(&load);
    rig.account(load);
}

/// A thousand connections with bodies of 100 kB: more than there is room for is refused, and the memory is bounded.
fn crowded(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(Duration::from_secs(5));
    let crowd = Crowd { connections: 1000, rounds: 5, bytes: 100_000 };
    let outcomes = crowd.post_to(rig.service().recipe.port);
    rig.fault_ended(&load);
    rig.account(load);
    rig.row.note(format!(
        "a crowd of {}: {} taken, {} refused",
        crowd.connections,
        outcomes.acknowledged.len(),
        outcomes.refused
    ));
    assert!(
        outcomes.other.is_empty(),
        "{} of the crowd got other answers: {:?}",
        outcomes.other.len(),
        outcomes.other.first()
    );
    assert!(outcomes.refused > 0, "the crowd was too small to be refused anything");
    assert!(rig.store().holds(&outcomes.acknowledged), "something that the crowd posted is not stored");
    let memory = rig.service().peak_memory().unwrap();
    // A debug build takes more.
    assert!(!rig.whole || memory < MOST_MEMORY, "{memory} MB");
}
