//! Kafka: gone, hung, forbidding, changed under way, or full of what was left.

use std::time::Duration;

use crate::{
    rig::Rig,
    scenario::{Scenario, Setup::OwnKafka},
};

pub(crate) const ALL: &[Scenario] = &[Scenario::on("kafka-killed-5s", OwnKafka(&[]), killed).quick()];

const BEFORE: Duration = Duration::from_secs(8);

fn killed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.kafka_server().kill();
    load.run_for(Duration::from_secs(5));
    rig.kafka_server().start();
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
}
