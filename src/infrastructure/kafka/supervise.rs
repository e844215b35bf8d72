//! The publisher's supervisor: finds the topics, watches the brokers, replaces a client that gave up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{error::KafkaError, producer::Producer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    circuit::Sight,
    delivery::Alarms,
    limits::TopicFacts,
    producer::KafkaPublisher,
    topics::{Topics, check_leaders},
};

const START_RETRY: Duration = Duration::from_millis(500);
/// How often an outage is looked at, and at most how often anything is.
const TICK: Duration = Duration::from_millis(250);
/// How often a quiet bus is looked at.
const IDLE_PROBE: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A client that gives up at once is not replaced more often than this.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);

impl KafkaPublisher {
    /// Connects, makes missing topics, and watches over the connection until `stop`. Publishing works only while
    /// this runs. Never ends by itself.
    pub async fn supervise(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            self.connect().await;
            self.watch().await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.arrivals.forward() => {}
            () = work => {}
        }
    }

    /// Tries until the topics are there and a client stands.
    async fn connect(&self) {
        while let Err(reason) = self.try_connect().await {
            self.circuit.probed(Instant::now(), Sight::Unready(reason));
            self.report();
            sleep(START_RETRY).await;
        }
    }

    async fn try_connect(&self) -> Result<(), String> {
        let topics = Topics::new(&self.options).map_err(|error| self.unusable(&error))?;
        loop {
            match topics.ensure(&self.options).await {
                Ok(facts) => {
                    return self.install(facts).map_err(|error| self.unusable(&error));
                }
                Err(not_ready) => {
                    if let Some(cause) = &not_ready.cause {
                        tracing::debug!(error = %cause, "topics are not ready");
                    }
                    self.circuit.probed(Instant::now(), Sight::Unready(not_ready.reason));
                    self.report();
                    sleep(START_RETRY).await;
                }
            }
        }
    }

    fn unusable(&self, error: &KafkaError) -> String {
        tracing::error!(%error, "the kafka client could not be made");
        "the kafka client could not be made".to_owned()
    }

    async fn watch(&self) {
        let mut last_probe = None;
        let mut last_replaced = None;
        loop {
            let now = Instant::now();
            let due = |last: Option<Instant>, pause| last.is_none_or(|last| now.duration_since(last) >= pause);
            if due(last_replaced, REPLACE_PAUSE) && self.replace_if_needed().await {
                last_replaced = Some(now);
            }
            let suspicious = self.with_live(|live, _| Alarms::take(&live.alarms.suspicion)) == Some(true);
            let doubtful = suspicious || !self.circuit.is_up() || self.circuit.stalled(now);
            if doubtful || due(last_probe, IDLE_PROBE) {
                self.probe().await;
                last_probe = Some(Instant::now());
            }
            self.report();
            sleep(TICK).await;
        }
    }

    /// A client whose idempotence is broken refuses everything; one made for other limits refuses the wrong records.
    async fn replace_if_needed(&self) -> bool {
        let looked = self.with_live(|live, client| {
            let fatal = Alarms::take(&live.alarms.fatal) || client.client().fatal_error().is_some();
            (fatal, Alarms::take(&live.alarms.refusal), live.facts)
        });
        let Some((fatal, refusal, old)) = looked else { return false };
        let facts = if refusal { self.facts_now().await.unwrap_or(old) } else { old };
        let changed = facts.limits != old.limits;
        if !fatal && !changed {
            return false;
        }
        tracing::warn!(fatal, changed, "replacing the kafka producer; what it held is unknown");
        if let Err(error) = self.install(facts) {
            tracing::error!(%error, "the kafka client could not be made");
        }
        true
    }

    async fn facts_now(&self) -> Option<TopicFacts> {
        Topics::new(&self.options).ok()?.read_again(&self.options).await
    }

    async fn probe(&self) {
        let begun = Instant::now();
        let sight = self.look().await;
        if let Some(sight) = sight {
            self.circuit.probed(begun, sight);
        }
    }

    /// Asks for the topic's metadata through the very connections that publishing uses.
    async fn look(&self) -> Option<Sight> {
        let (client, facts, trouble): (_, TopicFacts, _) =
            self.with_live(|live, client| (client.clone(), live.facts, live.trouble.clone()))?;
        let topic = self.options.topic.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let sight = match client.client().fetch_metadata(Some(&topic), PROBE_TIMEOUT) {
                Err(_) => Sight::Silent(trouble.reason().to_owned()),
                Ok(metadata) => {
                    trouble.clear();
                    match check_leaders(&metadata, &topic, facts.min_insync_replicas) {
                        Ok(()) => Sight::Ready,
                        Err(not_ready) => Sight::Unready(not_ready.reason),
                    }
                }
            };
            drop(client);
            sight
        });
        // The native call keeps its own time; this guards against a pool of blocked threads.
        match timeout(PROBE_TIMEOUT * 5, looking).await {
            Ok(Ok(sight)) => Some(sight),
            Ok(Err(_)) => None,
            Err(_) => Some(Sight::Silent("kafka is not reachable".to_owned())),
        }
    }
}
