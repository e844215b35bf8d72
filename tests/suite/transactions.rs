//! Producers that use transactions: their marks and what they take back lie on the topic as offsets without a record.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::{
    end_to_end::Place,
    service::{Service, eventually},
    verify::verify,
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Transactions {
    producer: BaseProducer,
    topic: String,
}

impl Transactions {
    fn on(place: &Place) -> Self {
        let setting = |wanted| place.environment().find(|(name, _)| *name == wanted).unwrap().1.to_owned();
        let topic = setting("KAFKA_TOPIC");
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", setting("KAFKA_BROKERS")).set("transactional.id", &topic);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Self { producer, topic }
    }

    fn send(&self, records: usize, commit: bool) {
        self.producer.begin_transaction().unwrap();
        for _ in 0..records {
            let record = BaseRecord::<(), str>::to(&self.topic).partition(0).payload(r#"{"userId":"u","action":"a"}"#);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        if commit {
            self.producer.commit_transaction(PATIENCE).unwrap();
        } else {
            self.producer.flush(PATIENCE).unwrap();
            self.producer.abort_transaction(PATIENCE).unwrap();
        }
    }
}

fn total(service: &Service, names: [&str; 3]) -> [Value; 3] {
    let total = service.get("/api/ledger").body["total"].clone();
    names.map(|name| total[name].clone())
}

#[test]
fn marks_of_transactions_are_skipped_and_raise_no_alarm() {
    let Some(place) = Place::servers() else { return };
    let service = place.start();
    let transactions = Transactions::on(&place);
    for (records, commit) in [(3, true), (2, false), (4, true)] {
        transactions.send(records, commit);
    }
    let counts = ["stored", "skipped", "pending"];
    // One mark, two records that were taken back and their mark; the last mark waits for the next record.
    let before = [json!(7), json!(4), json!(1)];
    eventually("all records are stored", || (total(&service, counts) == before).then_some(()));
    transactions.send(1, true);
    let after = [json!(8), json!(5), json!(1)];
    eventually("the mark between is counted", || (total(&service, counts) == after).then_some(()));
    assert_eq!(service.get("/api/ledger").body["balanced"], true);
    let metrics = service.request("GET", "/metrics").send().unwrap().text().unwrap();
    let alarms: Vec<_> = metrics.lines().filter(|line| line.starts_with("eyego_alarms_total")).collect();
    assert!(!alarms.is_empty() && alarms.iter().all(|line| line.ends_with(" 0")), "{alarms:?}");
    service.stop();
    let verified = verify(&place);
    assert_eq!(verified.code, Some(0), "{:?}", verified.lines);
}
