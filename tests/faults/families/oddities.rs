//! Kafka as an operator may have set it up: topics made by hand, small limits, rights taken away, records expired.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
};
use serde_json::json;

use crate::{
    eventually,
    load::Outcome,
    rig::Rig,
    servers::{Kind, Server, kafka_tool, port_of, run_folder, shared},
};

const BEFORE: Duration = Duration::from_secs(7);

fn patient() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)))
}

/// Makes topics of three partitions by hand.
pub(super) fn make_topics(rig: &Rig, names: &[&str], settings: &[(&str, &str)]) {
    let kafka = rig.kafka();
    let topics: Vec<_> = names
        .iter()
        .map(|name| {
            let bare = NewTopic::new(name, 3, TopicReplication::Fixed(1));
            settings.iter().fold(bare, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let made = rig.store().on_mongo(async |_| kafka.admin().create_topics(&topics, &patient()).await.unwrap());
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    eventually("the topics are there", || {
        names.iter().all(|name| kafka.ends(name).is_some_and(|ends| ends.len() == 3))
    });
}

/// Takes away all records before these offsets, as the broker's retention does.
pub(super) fn expire(rig: &Rig, before: &BTreeMap<i32, i64>) {
    let kafka = rig.kafka();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in before {
        list.add_partition_offset(&kafka.topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    rig.store().on_mongo(async |_| kafka.admin().delete_records(&list, &patient()).await.unwrap());
    let first =
        || kafka.ends(&kafka.topic).unwrap().into_iter().map(|(partition, (low, _))| (partition, low)).collect();
    eventually("the records are gone", || *before == first());
}

/// The topic takes less than a client may send, and then even less: refused means refused, and small ones go through.
pub(super) fn small_records(rig: &mut Rig) {
    let kafka = rig.kafka();
    make_topics(rig, &[&kafka.topic], &[("max.message.bytes", "150000")]);
    rig.start();
    let load = rig.load();
    let big = |rig: &Rig, name: &str, size: usize| {
        let body = json!({"userId": "big", "action": name, "metadata": {"filling": "x".repeat(size)}});
        rig.service().post(&body.to_string()).unwrap()
    };
    load.run_for(BEFORE);
    assert_eq!(big(rig, "fits", 100_000).0, 202);
    assert_eq!(big(rig, "too-big", 200_000).0, 413);
    let smaller = AlterConfig::new(ResourceSpecifier::Topic(&kafka.topic)).set("max.message.bytes", "50000");
    let altered = rig.store().on_mongo(async |_| kafka.admin().alter_configs([&smaller], &patient()).await.unwrap());
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    let mut taken = vec!["fits".to_owned()];
    let mut number = 0;
    eventually("the service has noticed the smaller limit", || {
        number += 1;
        let name = format!("now-too-big-{number}");
        let (status, _) = big(rig, &name, 100_000);
        if status == 202 {
            taken.push(name);
        }
        status == 413
    });
    rig.fault_ended(&load);
    let posts = rig.account(load);
    // A batch with a big one in it may have been refused, and a client replaced: unknown, but never lost.
    let small = posts.iter().filter(|post| matches!(post.outcome, Outcome::Refused(413))).count();
    assert_eq!(small, 0, "small records were refused as too large");
    let mut stored: Vec<_> =
        rig.store().all().into_iter().filter(|log| log.user == "big").map(|log| log.action).collect();
    stored.sort();
    taken.sort();
    assert_eq!(stored, taken, "of the big ones exactly those with a 202 are stored");
}

const OURS: [(&str, &str); 4] = [
    ("security.protocol", "sasl_plaintext"),
    ("sasl.mechanisms", "PLAIN"),
    ("sasl.username", "admin"),
    ("sasl.password", "admin"),
];

/// A broker that knows users; the service's loses its rights under load and gets them back.
pub(super) fn without_rights(rig: &mut Rig) {
    let name = format!("{}-kafka", rig.name);
    let mut server = Server::new(Kind::Kafka, &name, &[]);
    server.set_settings(&secured(&name, server.port()).iter().map(String::as_str).collect::<Vec<_>>());
    server.start();
    rig.use_servers(&server.address(), &shared(Kind::Mongo));
    for (name, value) in [
        ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_USERNAME", "eyego"),
        ("KAFKA_SASL_PASSWORD", "secret"),
    ] {
        rig.set(name, value);
    }
    rig.kafka_properties = OURS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let acls = Acls::new(&name, &server, &rig.database());
    let service = rig.recipe().start();
    rig.services.push(service);
    eventually("it says that it may not", || {
        let (status, ready) = rig.service().get("/readyz").unwrap();
        status == 503 && ready.to_string().contains("may not")
    });
    acls.change("--add");
    rig.service().wait_until_ready();
    let load = rig.load();
    load.run_for(BEFORE);
    acls.change("--remove");
    load.run_for(Duration::from_secs(6));
    acls.change("--add");
    rig.fault_ended(&load);
    let posts = rig.account(load);
    let refused = posts.iter().filter(|post| post.outcome == Outcome::Refused(503)).count();
    assert!(refused > 0, "nothing was refused: {:?}", super::kafka::statuses(&posts));
    rig.kafka_server = Some(server);
}

fn secured(name: &str, port: u16) -> Vec<String> {
    let users = r#"username="admin" password="admin" user_admin="admin" user_eyego="secret""#;
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let controller = "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT";
    let controller_port = port_of(name, "controller");
    vec![
        format!("listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"),
        format!("advertised.listeners=SASL_PLAINTEXT://127.0.0.1:{port}"),
        format!("listener.security.protocol.map={controller}"),
        "inter.broker.listener.name=SASL_PLAINTEXT".to_owned(),
        "sasl.enabled.mechanisms=PLAIN".to_owned(),
        "sasl.mechanism.inter.broker.protocol=PLAIN".to_owned(),
        format!("listener.name.sasl_plaintext.plain.sasl.jaas.config={module} {users};"),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        "super.users=User:admin;User:ANONYMOUS".to_owned(),
    ]
}

/// The rights of the service's user, given and taken by Kafka's own tool.
struct Acls {
    client: String,
    address: String,
    prefix: String,
}

impl Acls {
    fn new(name: &str, server: &Server, prefix: &str) -> Self {
        let client = run_folder().join(name).join("client.properties");
        let login =
            r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin";"#;
        let text = format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={login}\n");
        std::fs::write(&client, text).unwrap();
        Self { client: client.to_str().unwrap().to_owned(), address: server.address(), prefix: prefix.to_owned() }
    }

    fn change(&self, how: &str) {
        let mut words = vec!["--bootstrap-server", &self.address, "--command-config", &self.client, how];
        words.extend(["--allow-principal", "User:eyego", "--operation", "All"]);
        words.extend(["--topic", &self.prefix, "--group", &self.prefix, "--resource-pattern-type", "prefixed"]);
        if how == "--remove" {
            words.push("--force");
        }
        kafka_tool("org.apache.kafka.tools.AclCommand", &words);
    }
}
