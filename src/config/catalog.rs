//! The list of all settings: what `--help`, `check-config`, `.env.example` and the README are held against.

/// One setting. Its flag is its name in lower case with hyphens.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    /// As a user would write it; empty where there is none.
    pub default: &'static str,
    pub help: &'static str,
    /// Never printed.
    pub secret: bool,
}

impl Setting {
    /// The flag without its two hyphens.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }
}

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, secret: false }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: "", help, secret: true }
}

/// Every setting, in the order in which they are shown.
pub const CATALOG: &[Setting] = &[
    setting("HOST", "127.0.0.1", "Address to listen on; 0.0.0.0 for all"),
    setting("PORT", "3000", "Port to listen on; 0 takes a free one"),
    setting(
        "ROLE",
        "all",
        "all, api (takes and serves logs) or worker (drains the topic); api and worker need servers",
    ),
    setting("DATA_DIR", "./data", "Folder of the embedded engine, which runs when neither Kafka nor MongoDB is set"),
    secret("MONGO_URI", "MongoDB connection string; its database is eyeGoDB where it names none"),
    setting("KAFKA_BROKERS", "", "Kafka brokers as host:port, separated by commas"),
    setting("KAFKA_CLIENT_ID", "eyeGoClient", "Name by which brokers know this client"),
    setting("KAFKA_CONSUMER_GROUP", "eyeGoGroup", "Consumer group of the workers"),
    setting("KAFKA_TOPIC", "user-activity-logs", "Topic of the logs; dead letters go to <topic>.dlq"),
    setting("KAFKA_TOPIC_PARTITIONS", "3", "Partitions of the topic when it is created here"),
    setting("KAFKA_TOPIC_REPLICATION", "auto", "Replicas of a created topic; auto is min(3, brokers)"),
    setting(
        "KAFKA_START",
        "",
        "Where to begin when the group never committed but the store holds logs of the old service: earliest, latest \
         or a timestamp",
    ),
    setting("KAFKA_SECURITY_PROTOCOL", "", "plaintext, ssl, sasl_plaintext or sasl_ssl"),
    setting("KAFKA_SASL_MECHANISM", "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    setting("KAFKA_SASL_USERNAME", "", "SASL user"),
    secret("KAFKA_SASL_PASSWORD", "SASL password"),
    secret("KAFKA_PROPERTIES", "Further librdkafka properties as name=value, separated by semicolons; they win"),
    setting("MAX_BODY_BYTES", "262144", "Largest request body in bytes, after unpacking; at most 1048576"),
    setting("MAX_BATCH_ITEMS", "10000", "Most logs of one batch; at most 100000"),
    setting("MAX_BATCH_BYTES", "16777216", "Largest batch in bytes, after unpacking; at most 67108864"),
    setting("MAX_INFLIGHT_BYTES", "33554432", "Bytes of all request bodies held at a time; above it 503"),
    setting("MAX_CONNECTIONS", "4096", "Connections served at a time; further ones wait to be accepted"),
    setting("MAX_WAITERS", "256", "Requests that may wait for an event to be stored (?wait=); above it 503"),
    setting("PUBLISH_TIMEOUT", "5s", "How long a POST waits for Kafka's acknowledgement before it answers 504"),
    setting("HEADER_TIMEOUT", "75s", "How long a connection may idle or take to send a request's head"),
    setting("BODY_TIMEOUT", "10s", "How long a request's body may take to arrive"),
    setting("SHUTDOWN_TIMEOUT", "25s", "How long a shutdown may take before it is cut short"),
    setting("QUERY_TIMEOUT", "10s", "How long a query may take before it is broken off with 503"),
    setting("COUNT_CAP", "100000", "Totals of filtered logs are exact up to here"),
    setting("CURSOR_LAG", "2s", "How long a cursor that has come to the end waits for logs with lower ids"),
    setting(
        "METADATA_INDEXES",
        "",
        "Paths of metadata that logs are found by fast, such as device.os, separated by commas; at most 8",
    ),
    setting("CORS_ORIGINS", "", "Origins that browsers may call from, separated by commas, or *; none by default"),
    setting("TOMBSTONE_DAYS", "0", "Days for which deleted logs are kept from coming back; 0 is for ever"),
    setting("RETENTION_DAYS", "0", "Days for which logs are kept, by their timestamps; 0 is for ever"),
    setting("LOG_LEVEL", "info", "error, warn, info, debug or trace, or a filter such as info,eyego=debug"),
    setting("LOG_FORMAT", "text", "text or json"),
];
