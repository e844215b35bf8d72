//! The native clients' settings: one place, each with the reason where it is not the default.

use std::time::Duration;

use rdkafka::{ClientConfig, client::Client, error::KafkaError, types::RDKafkaType};

use super::{
    context::ClientLog,
    limits::{RecordLimits, TopicFacts},
    options::KafkaOptions,
};

/// The largest record librdkafka can send.
const MAX_MESSAGE_BYTES: usize = 1_000_000_000;
const DEFAULT_ASSIGNOR: &str = "cooperative-sticky";
const DEFAULT_MAX_POLL_INTERVAL: Duration = Duration::from_secs(90);

/// What the service's promises rest on, and what has a setting of its own.
const RESERVED: [&str; 11] = [
    "acks",
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "metadata.broker.list",
    "request.required.acks",
    "test.mock.num.brokers",
    "transactional.id",
];

fn base(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", &options.client_id)
        // After an outage the first request must not wait for the default back-off of ten seconds.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.timeout.ms", "10000")
        .set("socket.keepalive.enable", "true")
        .set("log.connection.close", "false")
        .set("enable.metrics.push", "false")
        .set("topic.metadata.refresh.interval.ms", "60000")
        // A typo must not make a topic with one partition and one replica.
        .set("allow.auto.create.topics", "false");
    let secured = [
        ("security.protocol", &options.security_protocol),
        ("sasl.mechanisms", &options.sasl_mechanism),
        ("sasl.username", &options.sasl_username),
        ("sasl.password", &options.sasl_password),
    ];
    for (name, value) in secured {
        if let Some(value) = value {
            config.set(name, value);
        }
    }
    let protocol = options.property("security.protocol").or(options.security_protocol.as_deref());
    if protocol.is_some_and(|protocol| protocol.to_ascii_lowercase().contains("ssl")) {
        // OpenSSL is linked statically: it does not know where this system keeps its certificates.
        config.set("ssl.ca.location", "probe");
    }
    config
}

fn finished(mut config: ClientConfig, options: &KafkaOptions) -> ClientConfig {
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config
}

/// A client that only looks and makes topics.
pub(super) fn plain(options: &KafkaOptions) -> ClientConfig {
    finished(base(options), options)
}

fn acknowledged_by_all(config: &mut ClientConfig, delivery_timeout: Duration) {
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // KafkaJS reads nothing but gzip: with any other codec the old service's consumer dies of our records. Its cost
        // buys little for small records, so it is for the operator to choose, in the properties.
        .set("compression.codec", "none")
        // What Java and KafkaJS do: a user stays on its partition whoever publishes.
        .set("partitioner", "murmur2_random")
        .set("delivery.timeout.ms", delivery_timeout.as_millis().to_string())
        // A hung broker must leave time for a retry at the new leader.
        .set("request.timeout.ms", "5000")
        .set("topic.metadata.propagation.max.ms", "10000");
}

pub(super) fn producer(options: &KafkaOptions, limits: RecordLimits) -> ClientConfig {
    let mut config = base(options);
    acknowledged_by_all(&mut config, Duration::from_secs(20).max(options.publish_timeout * 2));
    config
        // Each request waits for its own acknowledgement: more linger costs throughput, none costs processor time.
        .set("linger.ms", "1")
        .set("queue.buffering.max.kbytes", "32768")
        .set("queue.buffering.max.messages", "50000")
        .set("message.max.bytes", limits.message_bytes.to_string())
        .set("batch.size", limits.batch_bytes.to_string());
    finished(config, options)
}

pub(super) fn dead_letter_producer(options: &KafkaOptions) -> ClientConfig {
    let mut config = base(options);
    acknowledged_by_all(&mut config, Duration::from_secs(20));
    config
        .set("linger.ms", "1")
        // Who publishes bounds what is in flight; the queue itself must take the largest record there is.
        .set("queue.buffering.max.kbytes", "2097151")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        // A large letter travels alone, so that its refusal hits no other.
        .set("batch.size", "65536");
    finished(config, options)
}

/// A client that looks into the group and commits for it, and never joins.
pub(super) fn group(options: &KafkaOptions) -> ClientConfig {
    let mut config = base(options);
    config
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The service commits before it forgets; what was never committed is read from the start, also in partitions
        // that are added later.
        .set("auto.offset.reset", "earliest");
    finished(config, options)
}

/// A client that reads the topic again, on nobody's behalf: it never commits.
pub(super) fn history(options: &KafkaOptions) -> ClientConfig {
    let mut config = group(options);
    config
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.max.bytes", "8388608")
        .set("queued.max.messages.kbytes", "16384")
        .set("receive.message.max.bytes", "268435456");
    finished(config, options)
}

pub(super) fn consumer(options: &KafkaOptions) -> ClientConfig {
    let mut config = group(options);
    config
        .set("max.poll.interval.ms", DEFAULT_MAX_POLL_INTERVAL.as_millis().to_string())
        .set("fetch.wait.max.ms", "100")
        .set("fetch.max.bytes", "8388608")
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "10000")
        // The default of a second would stall a small queue for a second each time it is full.
        .set("fetch.queue.backoff.ms", "50")
        // Also the most that a compressed batch may unpack to.
        .set("receive.message.max.bytes", "268435456");
    if options.property("group.protocol").is_none_or(|protocol| protocol == "classic") {
        config
            .set("partition.assignment.strategy", DEFAULT_ASSIGNOR)
            .set("session.timeout.ms", "15000")
            // A rebalance waits for every member's next heartbeat, and a cooperative one does so twice.
            .set("heartbeat.interval.ms", "1000");
    }
    finished(config, options)
}

/// The group protocols that this service's members speak.
pub(super) fn assignors(options: &KafkaOptions) -> Vec<String> {
    let strategy = options.property("partition.assignment.strategy").unwrap_or(DEFAULT_ASSIGNOR);
    strategy.split(',').map(|name| name.trim().to_owned()).collect()
}

pub(super) fn max_poll_interval(options: &KafkaOptions) -> Duration {
    let configured = options.property("max.poll.interval.ms").and_then(|text| text.parse().ok());
    configured.map_or(DEFAULT_MAX_POLL_INTERVAL, Duration::from_millis)
}

/// Finds wrong settings without touching the network: the clients are made, but know no broker to connect to.
pub fn validate(options: &KafkaOptions) -> Result<(), String> {
    check_names(options)?;
    check_brokers(&options.brokers)?;
    if let Some((name, _)) = options.properties.iter().find(|(name, _)| RESERVED.contains(&name.as_str())) {
        return Err(format!("the property {name} may not be set: the service's promises depend on it"));
    }
    if options.partitions < 1 || options.replication.is_some_and(|count| count < 1) {
        return Err("partitions and replication must be at least 1".to_owned());
    }
    let limits = TopicFacts::assumed().limits;
    for config in [producer(options, limits), dead_letter_producer(options)] {
        try_out(config, RDKafkaType::RD_KAFKA_PRODUCER)?;
    }
    try_out(consumer(options), RDKafkaType::RD_KAFKA_CONSUMER)
}

fn check_names(options: &KafkaOptions) -> Result<(), String> {
    let legal = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    let topic = &options.topic;
    if topic.is_empty() || topic == "." || topic == ".." || !topic.chars().all(legal) {
        return Err(format!("the topic {topic:?} is no legal name: letters, digits, '.', '_' and '-' only"));
    }
    if options.dead_letter_topic().len() > 249 {
        return Err("the topic's name is too long: with .dlq behind it may have 249 characters".to_owned());
    }
    if options.group.is_empty() || options.group.contains('\0') {
        return Err("the consumer group needs a name".to_owned());
    }
    Ok(())
}

fn check_brokers(brokers: &str) -> Result<(), String> {
    for broker in brokers.split(',').map(str::trim) {
        let address = broker.rsplit_once("://").map_or(broker, |(_, address)| address);
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "9092"));
        if host.is_empty() || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err() {
            return Err(format!("{broker:?} is no broker address: host:port is asked for"));
        }
    }
    Ok(())
}

fn try_out(mut config: ClientConfig, kind: RDKafkaType) -> Result<(), String> {
    config.remove("bootstrap.servers");
    let made =
        config.create_native_config().and_then(|native| Client::new(&config, native, kind, ClientLog::default()));
    made.map(drop).map_err(|error| match error {
        // The value stays out of it: it may be a secret.
        KafkaError::ClientConfig(_, problem, name, _) => format!("{name}: {problem}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_property(name: &str, value: &str) -> KafkaOptions {
        let mut options = KafkaOptions::new("127.0.0.1:1");
        options.properties.push((name.to_owned(), value.to_owned()));
        options
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(validate(&KafkaOptions::new("a:9092, b")), Ok(()));
    }

    #[test]
    fn security_settings_are_valid_together() {
        let mut options = KafkaOptions::new("a:9092");
        options.security_protocol = Some("SASL_SSL".to_owned());
        options.sasl_mechanism = Some("SCRAM-SHA-512".to_owned());
        options.sasl_username = Some("u".to_owned());
        options.sasl_password = Some("p".to_owned());
        assert_eq!(validate(&options), Ok(()));
    }

    #[test]
    fn wrong_properties_are_named_without_their_value() {
        for (name, value) in [("no.such.thing", "secret"), ("linger.ms", "secret"), ("session.timeout.ms", "secret")] {
            let problem = validate(&with_property(name, value)).unwrap_err();
            assert!(problem.contains(name) && !problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn what_would_break_a_promise_is_refused() {
        for (name, value) in [("acks", "1"), ("enable.auto.commit", "true"), ("group.id", "x")] {
            assert!(validate(&with_property(name, value)).unwrap_err().contains(name));
        }
    }

    #[test]
    fn properties_are_applied_last() {
        let options = with_property("session.timeout.ms", "6000");
        assert_eq!(validate(&options), Ok(()));
        assert_eq!(consumer(&options).get("session.timeout.ms"), Some("6000"));
        assert_eq!(validate(&with_property("group.protocol", "consumer")), Ok(()));
    }

    #[test]
    fn names_and_addresses_are_checked() {
        for topic in ["", ".", "a b", "a\0", "ä", &"x".repeat(246)] {
            let options = KafkaOptions { topic: topic.to_owned(), ..KafkaOptions::new("a:1") };
            assert!(validate(&options).is_err(), "{topic}");
        }
        for brokers in ["", "a,,b", "a:0", "a:x", ":9092"] {
            assert!(validate(&KafkaOptions::new(brokers)).is_err(), "{brokers}");
        }
        assert_eq!(check_brokers("PLAINTEXT://a:9092,[::1]:9092"), Ok(()));
    }
}
