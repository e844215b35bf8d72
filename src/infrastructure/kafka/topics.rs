//! The topics: made when missing, once, at start; and what has to be known of them before anything is published.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode as Code},
    metadata::{Metadata, MetadataTopic},
    producer::{BaseProducer, Producer},
    types::RDKafkaRespErr,
};

use super::{
    aside::Aside,
    client_config,
    context::ClientLog,
    error::code_of,
    limits::{BATCH_OVERHEAD, DEFAULT_MAX_MESSAGE_BYTES, TopicFacts},
    options::KafkaOptions,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Long enough for everything that waits to be served.
const SERVING: Duration = Duration::from_millis(10);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLING_LOOKS: u32 = 50;
const SETTLING_PAUSE: Duration = Duration::from_millis(50);
/// A key and three headers beside the value, and what the service adds to a body.
const RECORD_OVERHEAD: usize = 8 * 1024;
/// Room for any record that a topic of usual settings can hold.
const DEAD_LETTER_MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
const DEAD_LETTER_PARTITIONS: i32 = 1;

/// Why the topics are not ready, in words that a client may see.
#[derive(Debug)]
pub(super) struct NotReady {
    pub(super) reason: String,
    pub(super) cause: Option<KafkaError>,
}

impl NotReady {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: None }
    }

    fn caused_by(mut self, error: KafkaError) -> Self {
        self.cause = Some(error);
        self
    }
}

/// Asks and makes, on behalf of one service. Not for keeping: an admin client serves neither its log nor its errors,
/// so one is made for each call, and a plain client looks.
pub(super) struct Topics {
    config: ClientConfig,
    looker: Arc<Aside<BaseProducer<ClientLog>>>,
    log: ClientLog,
}

impl Topics {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, KafkaError> {
        let log = ClientLog::default();
        let config = client_config::plain(options);
        let looker = config.create_with_context(log.clone())?;
        Ok(Self { config, looker: Arc::new(Aside::new(looker)), log })
    }

    fn admin(&self) -> Option<Aside<AdminClient<ClientLog>>> {
        let made = self.config.create_with_context(self.log.clone());
        made.inspect_err(|error| tracing::warn!(%error, "the kafka admin client could not be made"))
            .ok()
            .map(Aside::new)
    }

    /// Makes what is missing of the topic and its dead-letter topic, and says what has to be known. To be called
    /// again until it succeeds, and never after that: a topic that is deleted later stays deleted.
    pub(super) async fn ensure(&self, options: &KafkaOptions) -> Result<TopicFacts, NotReady> {
        let needed = options.max_body_bytes + RECORD_OVERHEAD;
        let roomy = needed.to_string();
        let mut settings = vec![("cleanup.policy", "delete")];
        if needed > DEFAULT_MAX_MESSAGE_BYTES {
            settings.push(("max.message.bytes", roomy.as_str()));
        }
        self.ensure_one(&options.topic, options.partitions, options.replication, &settings).await?;
        let huge = DEAD_LETTER_MAX_MESSAGE_BYTES.to_string();
        let settings = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("max.message.bytes", huge.as_str())];
        self.ensure_one(&options.dead_letter_topic(), DEAD_LETTER_PARTITIONS, options.replication, &settings).await?;
        Ok(self.facts(options, needed).await)
    }

    async fn ensure_one(
        &self,
        topic: &str,
        partitions: i32,
        replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<(), NotReady> {
        let metadata = self.metadata(topic).await?;
        if topic_error(&metadata, topic) == Some(Code::UnknownTopicOrPartition) {
            let brokers = i32::try_from(metadata.brokers().len()).unwrap_or(1).max(1);
            let replication = replication.unwrap_or_else(|| brokers.min(3));
            self.create(topic, partitions, replication, settings).await?;
            return self.wait_for_leaders(topic).await;
        }
        check_leaders(&metadata, topic, 0)?;
        let found = find(&metadata, topic).map_or(0, |topic| topic.partitions().len());
        if found < usize::try_from(partitions).unwrap_or(0) {
            tracing::debug!(kafka.topic = topic, found, wanted = partitions, "topic has fewer partitions than set");
        }
        Ok(())
    }

    /// A new topic is known to all brokers a little later.
    async fn wait_for_leaders(&self, topic: &str) -> Result<(), NotReady> {
        for _ in 0..SETTLING_LOOKS {
            if check_leaders(&self.metadata(topic).await?, topic, 0).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(SETTLING_PAUSE).await;
        }
        Err(NotReady::new(format!("topic {topic} is being made")))
    }

    async fn create(
        &self,
        topic: &str,
        partitions: i32,
        replication: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), NotReady> {
        let created = match self.try_create(topic, partitions, replication, settings).await {
            // Some clusters allow no settings, or not these: the topic is worth more than its settings.
            Err(Code::InvalidConfig | Code::PolicyViolation) => {
                tracing::warn!(kafka.topic = topic, "the cluster refuses the topic's settings; using its defaults");
                self.try_create(topic, partitions, replication, &[]).await
            }
            other => other,
        };
        match created {
            Ok(()) => {
                tracing::info!(kafka.topic = topic, partitions, replication, "topic created");
                Ok(())
            }
            Err(Code::TopicAlreadyExists) => Ok(()),
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                Err(NotReady::new(format!("topic {topic} is missing and may not be created")))
            }
            Err(Code::InvalidReplicationFactor) => Err(NotReady::new(format!(
                "topic {topic} is missing and there are too few brokers for {replication} replicas"
            ))),
            Err(code) => Err(NotReady::new(format!("topic {topic} is missing and could not be created"))
                .caused_by(KafkaError::AdminOp(code))),
        }
    }

    async fn try_create(
        &self,
        topic: &str,
        partitions: i32,
        replication: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), Code> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let options =
            AdminOptions::new().request_timeout(Some(OPERATION_TIMEOUT)).operation_timeout(Some(OPERATION_TIMEOUT));
        let admin = self.admin();
        let Some(admin) = admin.as_ref().and_then(Aside::get) else { return Err(Code::State) };
        let results = admin.create_topics([&new], &options).await;
        match results.map(|mut results| results.pop()) {
            Ok(None | Some(Ok(_))) => Ok(()),
            Ok(Some(Err((_, code)))) => Err(code),
            Err(error) => Err(code_of(&error).unwrap_or(Code::Fail)),
        }
    }

    /// The facts as they are now; `None` where they may not be read.
    pub(super) async fn read_again(&self, options: &KafkaOptions) -> Option<TopicFacts> {
        self.describe(&options.topic).await.as_ref().and_then(TopicFacts::read)
    }

    async fn facts(&self, options: &KafkaOptions, needed: usize) -> TopicFacts {
        let Some(facts) = self.read_again(options).await else {
            tracing::info!(kafka.topic = options.topic, "the topic's settings may not be read; assuming the defaults");
            return TopicFacts::assumed();
        };
        if facts.limits.message_bytes < needed {
            tracing::warn!(
                kafka.topic = options.topic,
                topic.max_message_bytes = facts.limits.message_bytes + BATCH_OVERHEAD,
                needed,
                "the topic's max.message.bytes is too small for the largest body a client may send; such bodies are \
                 refused"
            );
        }
        facts
    }

    async fn describe(&self, topic: &str) -> Option<ConfigResource> {
        let options = AdminOptions::new().request_timeout(Some(OPERATION_TIMEOUT));
        let specifier = ResourceSpecifier::Topic(topic);
        let admin = self.admin()?;
        admin.get()?.describe_configs([&specifier], &options).await.ok()?.pop()?.ok()
    }

    async fn metadata(&self, topic: &str) -> Result<Metadata, NotReady> {
        let (looker, name) = (Arc::clone(&self.looker), topic.to_owned());
        let fetched = tokio::task::spawn_blocking(move || {
            let looker = looker.get()?;
            let fetched = looker.client().fetch_metadata(Some(&name), REQUEST_TIMEOUT);
            // Serves what the client has to say, among it why it cannot connect.
            looker.poll(SERVING);
            Some(fetched)
        })
        .await;
        match fetched {
            Ok(Some(Ok(metadata))) => {
                self.log.trouble.clear();
                Ok(metadata)
            }
            Ok(Some(Err(error))) => Err(NotReady::new(self.log.trouble.reason()).caused_by(error)),
            Ok(None) | Err(_) => Err(NotReady::new("shutting down")),
        }
    }
}

fn find<'m>(metadata: &'m Metadata, topic: &str) -> Option<&'m MetadataTopic> {
    metadata.topics().iter().find(|found| found.name() == topic)
}

fn topic_error(metadata: &Metadata, topic: &str) -> Option<Code> {
    match find(metadata, topic) {
        None => Some(Code::UnknownTopicOrPartition),
        Some(found) => found.error().map(Code::from),
    }
}

/// Whether every partition can be written to.
pub(super) fn check_leaders(metadata: &Metadata, topic: &str, min_insync_replicas: usize) -> Result<(), NotReady> {
    match topic_error(metadata, topic) {
        None => {}
        Some(Code::UnknownTopicOrPartition) => return Err(NotReady::new(format!("topic {topic} is missing"))),
        Some(Code::TopicAuthorizationFailed) => return Err(NotReady::new(format!("topic {topic} may not be used"))),
        Some(code) => {
            return Err(NotReady::new(format!("topic {topic} is not ready")).caused_by(KafkaError::AdminOp(code)));
        }
    }
    let partitions = find(metadata, topic).map_or(&[][..], |topic| topic.partitions());
    if partitions.is_empty() {
        return Err(NotReady::new(format!("topic {topic} is not ready")));
    }
    for partition in partitions {
        let leaderless = matches!(
            partition.error(),
            Some(
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            )
        );
        if leaderless || partition.leader() < 0 {
            return Err(NotReady::new(format!("partition {} of topic {topic} has no leader", partition.id())));
        }
        if min_insync_replicas > 1 && partition.isr().len() < min_insync_replicas {
            return Err(NotReady::new(format!(
                "partition {} of topic {topic} has too few in-sync replicas",
                partition.id()
            )));
        }
    }
    Ok(())
}
