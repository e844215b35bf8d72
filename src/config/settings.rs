//! The settings as the program uses them, and the check that finds every mistake at once.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use super::{
    catalog::{CATALOG, Setting},
    parse,
    source::Layers,
};

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever needs it to connect.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which half of the service a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    All,
    Api,
    Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// `KAFKA_START`; a timestamp is checked by whoever knows how to read one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPosition {
    Earliest,
    Latest,
    At(String),
}

impl StartPosition {
    pub fn read(text: &str) -> Self {
        match text {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            other => Self::At(other.to_owned()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct HttpSettings {
    pub host: IpAddr,
    pub port: u16,
    pub max_body_bytes: usize,
    pub max_batch_items: usize,
    pub max_batch_bytes: usize,
    pub max_inflight_bytes: usize,
    pub max_connections: usize,
    pub max_waiters: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// `*` alone means any.
    pub cors_origins: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// How long a query may take.
    pub timeout: Duration,
    /// Totals are exact up to here.
    pub count_cap: u64,
    /// How long a cursor waits for logs with lower ids.
    pub cursor_lag: Duration,
    /// Paths of metadata that have an index; whoever knows what a path is has checked them.
    pub metadata_indexes: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone)]
pub struct KafkaSettings {
    pub brokers: Vec<String>,
    pub client_id: String,
    pub consumer_group: String,
    pub topic: String,
    pub topic_partitions: i32,
    /// `None` is min(3, brokers).
    pub topic_replication: Option<i32>,
    pub start: Option<StartPosition>,
    pub security_protocol: Option<String>,
    pub sasl_mechanism: Option<String>,
    pub sasl_username: Option<String>,
    pub sasl_password: Option<Secret>,
    pub properties: Vec<(String, Secret)>,
    pub publish_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct MongoSettings {
    pub uri: Secret,
}

/// Where logs are queued and stored.
#[derive(Debug, Clone)]
pub enum Backend {
    Embedded(EmbeddedSettings),
    Servers {
        kafka: KafkaSettings,
        mongo: MongoSettings,
    },
    /// `ROLE=api` without a store: write-only.
    KafkaOnly(KafkaSettings),
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub role: Role,
    pub http: HttpSettings,
    pub backend: Backend,
    pub query: QuerySettings,
    pub tombstone_days: u32,
    /// 0 keeps logs for ever.
    pub retention_days: u32,
    pub shutdown_timeout: Duration,
    pub log_level: String,
    pub log_format: LogFormat,
}

/// Says what is wrong with the text of a setting.
pub type ValueCheck = fn(&str, &str) -> Result<(), String>;

/// A mistake in a setting. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub setting: &'static str,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl Settings {
    /// Reads and checks everything, without any I/O. `check` knows more of some settings (by name and text) than is
    /// known here; it is asked about every one that is given.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn read(layers: &Layers, check: ValueCheck) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { layers, problems: Vec::new() };
        for setting in CATALOG {
            let (text, _) = layers.get(setting);
            if !text.is_empty()
                && let Err(message) = check(setting.name, text)
            {
                reader.problem(setting.name, message);
            }
        }
        let role = reader.value("ROLE", |text| {
            parse::word(text, &[("all", Role::All), ("api", Role::Api), ("worker", Role::Worker)])
        });
        let http = reader.http();
        let backend = reader.backend(role);
        let query = reader.query();
        let tombstone_days = reader.number("TOMBSTONE_DAYS", 0, 36_500);
        let retention_days = reader.number("RETENTION_DAYS", 0, 36_500);
        let shutdown_timeout = reader.value("SHUTDOWN_TIMEOUT", parse::duration);
        let log_level = reader.text("LOG_LEVEL");
        let log_format = reader
            .value("LOG_FORMAT", |text| parse::word(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]));
        let settings = (|| {
            Some(Self {
                role: role?,
                http: http?,
                backend: backend?,
                query: query?,
                tombstone_days: u32::try_from(tombstone_days?).ok()?,
                retention_days: u32::try_from(retention_days?).ok()?,
                shutdown_timeout: shutdown_timeout?,
                log_level,
                log_format: log_format?,
            })
        })();
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(reader.problems),
        }
    }
}

struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The raw text; empty where nothing was given and there is no default.
    fn text(&self, name: &'static str) -> String {
        self.find(name).map(|setting| self.layers.get(setting).0.to_owned()).unwrap_or_default()
    }

    fn find(&self, name: &'static str) -> Option<&'static Setting> {
        CATALOG.iter().find(|setting| setting.name == name)
    }

    fn optional(&self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn problem(&mut self, setting: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { setting, message: message.into() });
    }

    fn value<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(&self.text(name)).map_err(|message| self.problem(name, message)).ok()
    }

    fn number(&mut self, name: &'static str, least: u64, most: u64) -> Option<u64> {
        self.value(name, |text| parse::number(text, least..=most))
    }

    fn size(&mut self, name: &'static str, least: u64, most: u64) -> Option<usize> {
        self.number(name, least, most).and_then(|number| usize::try_from(number).ok())
    }

    fn query(&mut self) -> Option<QuerySettings> {
        let timeout = self.value("QUERY_TIMEOUT", parse::duration);
        let count_cap = self.number("COUNT_CAP", 1, 1_000_000_000);
        let cursor_lag = self.value("CURSOR_LAG", parse::duration);
        let metadata_indexes = parse::list(&self.text("METADATA_INDEXES"));
        Some(QuerySettings { timeout: timeout?, count_cap: count_cap?, cursor_lag: cursor_lag?, metadata_indexes })
    }

    fn http(&mut self) -> Option<HttpSettings> {
        let host = self.value("HOST", |text| text.parse().map_err(|_| "must be an IP address".to_owned()));
        let port = self.number("PORT", 0, 65_535);
        let max_body_bytes = self.size("MAX_BODY_BYTES", 1024, 1_048_576);
        let max_inflight_bytes = self.size("MAX_INFLIGHT_BYTES", 1_048_576, 1 << 32);
        if let (Some(body), Some(all)) = (max_body_bytes, max_inflight_bytes)
            && all < 2 * body
        {
            self.problem(
                "MAX_INFLIGHT_BYTES",
                "must be at least twice MAX_BODY_BYTES, which unpacking a body may take",
            );
        }
        let max_batch_items = self.size("MAX_BATCH_ITEMS", 1, 100_000);
        let max_batch_bytes = self.size("MAX_BATCH_BYTES", 1024, 1 << 26);
        let max_connections = self.size("MAX_CONNECTIONS", 1, 1_000_000);
        let max_waiters = self.size("MAX_WAITERS", 0, 1_000_000);
        let header_timeout = self.value("HEADER_TIMEOUT", parse::duration);
        let body_timeout = self.value("BODY_TIMEOUT", parse::duration);
        let cors_origins = self.value("CORS_ORIGINS", cors_origins);
        Some(HttpSettings {
            host: host?,
            port: u16::try_from(port?).ok()?,
            max_body_bytes: max_body_bytes?,
            max_batch_items: max_batch_items?,
            // Whoever sets the budget alone means it for batches too.
            max_batch_bytes: max_batch_bytes?.min(max_inflight_bytes?),
            max_inflight_bytes: max_inflight_bytes?,
            max_connections: max_connections?,
            max_waiters: max_waiters?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            cors_origins: cors_origins?,
        })
    }

    fn backend(&mut self, role: Option<Role>) -> Option<Backend> {
        let (kafka, mongo) = (self.kafka(), self.mongo());
        let (has_kafka, has_mongo) = (self.optional("KAFKA_BROKERS").is_some(), self.optional("MONGO_URI").is_some());
        match (has_kafka, has_mongo, role?) {
            (true, true, _) => Some(Backend::Servers { kafka: kafka?, mongo: mongo? }),
            (true, false, Role::Api) => Some(Backend::KafkaOnly(kafka?)),
            (false, false, Role::All) => {
                Some(Backend::Embedded(EmbeddedSettings { data_dir: PathBuf::from(self.text("DATA_DIR")) }))
            }
            (false, false, Role::Api | Role::Worker) => {
                self.problem("ROLE", "api and worker need KAFKA_BROKERS (and a worker MONGO_URI); embedded is all");
                None
            }
            (true, false, Role::All | Role::Worker) => {
                self.problem("MONGO_URI", "is needed beside KAFKA_BROKERS; set both, or neither for embedded");
                None
            }
            (false, true, _) => {
                self.problem("KAFKA_BROKERS", "is needed beside MONGO_URI; set both, or neither for embedded");
                None
            }
        }
    }

    fn mongo(&self) -> Option<MongoSettings> {
        Some(MongoSettings { uri: Secret::new(self.optional("MONGO_URI")?) })
    }

    fn kafka(&mut self) -> Option<KafkaSettings> {
        let client_id = self.value("KAFKA_CLIENT_ID", parse::kafka_name);
        let consumer_group = self.value("KAFKA_CONSUMER_GROUP", parse::kafka_name);
        let topic = self.value("KAFKA_TOPIC", parse::kafka_name);
        let topic_partitions = self.number("KAFKA_TOPIC_PARTITIONS", 1, 10_000);
        let topic_replication = self.value("KAFKA_TOPIC_REPLICATION", replication);
        let security_protocol = self.value("KAFKA_SECURITY_PROTOCOL", security_protocol);
        let properties = self.value("KAFKA_PROPERTIES", parse::properties);
        let publish_timeout = self.value("PUBLISH_TIMEOUT", parse::duration);
        let brokers = parse::list(&self.text("KAFKA_BROKERS"));
        if let Some(bad) = brokers.iter().find(|broker| !parse::is_broker(broker)) {
            self.problem("KAFKA_BROKERS", format!("{bad:?} must be host:port"));
        }
        Some(KafkaSettings {
            brokers,
            client_id: client_id?,
            consumer_group: consumer_group?,
            topic: topic?,
            topic_partitions: i32::try_from(topic_partitions?).ok()?,
            topic_replication: topic_replication?,
            start: self.optional("KAFKA_START").map(|text| StartPosition::read(&text)),
            security_protocol: security_protocol?,
            sasl_mechanism: self.optional("KAFKA_SASL_MECHANISM"),
            sasl_username: self.optional("KAFKA_SASL_USERNAME"),
            sasl_password: self.optional("KAFKA_SASL_PASSWORD").map(Secret::new),
            properties: properties?.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            publish_timeout: publish_timeout?,
        })
    }
}

fn cors_origins(text: &str) -> Result<Vec<String>, String> {
    let origins = parse::list(text);
    let valid = |origin: &String| {
        origin
            .split_once("://")
            .is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('/'))
    };
    if origins == ["*"] || origins.iter().all(valid) {
        Ok(origins)
    } else {
        Err("must be * or origins such as https://example.org, without a path, separated by commas".to_owned())
    }
}

fn replication(text: &str) -> Result<Option<i32>, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    let replicas = parse::number(text, 1..=1000).map_err(|message| format!("{message}, or auto"))?;
    Ok(i32::try_from(replicas).ok())
}

fn security_protocol(text: &str) -> Result<Option<String>, String> {
    const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    let lower = text.to_ascii_lowercase();
    match text {
        "" => Ok(None),
        _ if PROTOCOLS.contains(&lower.as_str()) => Ok(Some(lower)),
        _ => Err(format!("must be one of {}", PROTOCOLS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Layer;

    fn layers(environment: &[(&str, &str)]) -> Layers {
        let values = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Layers::new(BTreeMap::new(), values, BTreeMap::new())
    }

    fn check(name: &str, text: &str) -> Result<(), String> {
        if name == "MONGO_URI" && !text.starts_with("mongodb") { Err("is none".to_owned()) } else { Ok(()) }
    }

    fn problems(environment: &[(&str, &str)]) -> Vec<&'static str> {
        Settings::read(&layers(environment), check).unwrap_err().into_iter().map(|problem| problem.setting).collect()
    }

    #[test]
    fn nothing_set_is_the_embedded_engine_on_the_loopback_address() {
        let settings = Settings::read(&layers(&[]), check).unwrap();
        assert!(matches!(settings.backend, Backend::Embedded(_)));
        assert_eq!((settings.http.host.to_string().as_str(), settings.http.port), ("127.0.0.1", 3000));
        assert_eq!(settings.http.max_body_bytes, 262_144);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let found = problems(&[
            ("PORT", "x"),
            ("ROLE", "both"),
            ("MAX_BODY_BYTES", "9999999"),
            ("PUBLISH_TIMEOUT", "soon"),
            ("KAFKA_BROKERS", "nowhere"),
            ("MONGO_URI", "postgres://u:secret@h"),
        ]);
        for name in ["PORT", "ROLE", "MAX_BODY_BYTES", "PUBLISH_TIMEOUT", "KAFKA_BROKERS", "MONGO_URI"] {
            assert!(found.contains(&name), "{name} in {found:?}");
        }
    }

    #[test]
    fn one_server_alone_is_refused_but_an_api_may_be_write_only() {
        let (kafka, mongo) = (("KAFKA_BROKERS", "k:9092"), ("MONGO_URI", "mongodb://m"));
        assert_eq!(problems(&[kafka]), ["MONGO_URI"]);
        assert_eq!(problems(&[mongo]), ["KAFKA_BROKERS"]);
        assert_eq!(problems(&[kafka, ("ROLE", "worker")]), ["MONGO_URI"]);
        assert_eq!(problems(&[("ROLE", "api")]), ["ROLE"]);
        let api = Settings::read(&layers(&[kafka, ("ROLE", "api")]), check).unwrap();
        assert!(matches!(api.backend, Backend::KafkaOnly(_)));
        let all = Settings::read(&layers(&[kafka, mongo]), check).unwrap();
        assert!(matches!(all.backend, Backend::Servers { .. }));
    }

    #[test]
    fn the_budget_has_room_for_a_body_that_is_unpacked() {
        assert_eq!(
            problems(&[("MAX_BODY_BYTES", "1048576"), ("MAX_INFLIGHT_BYTES", "1048576")]),
            ["MAX_INFLIGHT_BYTES"]
        );
        let small = Settings::read(&layers(&[("MAX_INFLIGHT_BYTES", "4194304")]), check).unwrap();
        assert_eq!(small.http.max_batch_bytes, 4_194_304);
        assert!(Settings::read(&layers(&[("MAX_BODY_BYTES", "1048576")]), check).is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = Settings::read(
            &layers(&[
                ("KAFKA_BROKERS", "k:9092"),
                ("MONGO_URI", "mongodb://user:hunter2@m"),
                ("KAFKA_SASL_PASSWORD", "hunter2"),
                ("KAFKA_PROPERTIES", "ssl.key.password=hunter2"),
            ]),
            check,
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let port = CATALOG.iter().find(|setting| setting.name == "PORT").unwrap();
        let layers = Layers::new(one("PORT", "1"), one("PORT", "2"), one("PORT", "3"));
        assert_eq!(layers.get(port), ("1", Layer::Flag));
        let layers = Layers::new(BTreeMap::new(), one("PORT", "2"), one("PORT", "3"));
        assert_eq!(layers.get(port), ("2", Layer::Environment));
        let layers = Layers::new(BTreeMap::new(), one("PORT", ""), one("PORT", "3"));
        assert_eq!(layers.get(port), ("3000", Layer::Default));
    }
}
