//! What an operator may choose about Kafka.

use std::{fmt, time::Duration};

/// The settings of all clients. `properties` are librdkafka's own, applied last and to every client.
#[derive(Clone)]
pub struct KafkaOptions {
    /// Comma-separated `host:port`.
    pub brokers: String,
    pub client_id: String,
    pub group: String,
    pub topic: String,
    /// Used only when the topic has to be created.
    pub partitions: i32,
    /// Used only when a topic has to be created; `None` is three, or as many as there are brokers.
    pub replication: Option<i32>,
    pub security_protocol: Option<String>,
    pub sasl_mechanism: Option<String>,
    pub sasl_username: Option<String>,
    pub sasl_password: Option<String>,
    pub properties: Vec<(String, String)>,
    /// How long a publish may wait for its acknowledgement before its outcome is unknown.
    pub publish_timeout: Duration,
    /// The largest body a client may send; the topic should have room for it.
    pub max_body_bytes: usize,
}

impl KafkaOptions {
    /// The defaults of the contract.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "eyeGoClient".to_owned(),
            group: "eyeGoGroup".to_owned(),
            topic: "user-activity-logs".to_owned(),
            partitions: 3,
            replication: None,
            security_protocol: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            properties: Vec::new(),
            publish_timeout: Duration::from_secs(5),
            max_body_bytes: 256 * 1024,
        }
    }

    /// Where records go that are no logs.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<_> = self
            .properties
            .iter()
            .map(|(name, value)| (name, if is_secret(name) { "[redacted]" } else { value.as_str() }))
            .collect();
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("group", &self.group)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("security_protocol", &self.security_protocol)
            .field("sasl_mechanism", &self.sasl_mechanism)
            .field("sasl_username", &self.sasl_username)
            .field("sasl_password", &self.sasl_password.as_ref().map(|_| "[redacted]"))
            .field("properties", &properties)
            .field("publish_timeout", &self.publish_timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish()
    }
}

/// Whether a property may hold a secret; better one too many.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "key", "token", "pem", "sasl.oauthbearer.config", "jaas"]
        .iter()
        .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let mut options = KafkaOptions::new("b:9092");
        options.sasl_password = Some("hunter2".to_owned());
        options.properties = vec![
            ("ssl.key.password".to_owned(), "hunter3".to_owned()),
            ("sasl.oauthbearer.client.secret".to_owned(), "hunter4".to_owned()),
            ("linger.ms".to_owned(), "7".to_owned()),
        ];
        let text = format!("{options:?}");
        assert!(!text.contains("hunter"), "{text}");
        assert!(text.contains("\"7\""), "{text}");
    }
}
