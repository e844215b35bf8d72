//! Batches under the faults that hurt takers of logs most: the service killed, the broker killed.

use super::{kafka, service};
use crate::{
    rig::Rig,
    scenario::{
        Scenario,
        Setup::{Embedded, OwnKafka, Shared},
    },
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("batch-service-killed/servers", Shared, service_killed),
    Scenario::on("batch-service-killed/embedded", Embedded, service_killed).quick(),
    Scenario::on("batch-kafka-killed", OwnKafka(&[]), kafka_killed),
];

fn service_killed(rig: &mut Rig) {
    rig.start();
    let load = rig.batch_load();
    service::killed_under(rig, load);
}

fn kafka_killed(rig: &mut Rig) {
    rig.start();
    let load = rig.batch_load();
    kafka::killed_under(rig, load);
}
