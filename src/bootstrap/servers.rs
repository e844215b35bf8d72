//! The production backend: Kafka and MongoDB, each connected to in the background.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{BackendParts, StartError, Surroundings, metadata_indexes, worker};
use crate::{
    application::{
        ingestion::{Accountant, DeadLetterChain, Pace, WorkerParts, takeover::Takeover},
        intake_pressure::IntakePressure,
        ledger_service::LedgerService,
        progress::WorkerProgress,
        stored_signal::StoredSignal,
    },
    config::{KafkaSettings, MongoSettings, Problem, Role, Secret, Settings, StartPosition},
    domain::{
        Moment, StartAt,
        ports::{ErrorChain, Probe, Status},
    },
    infrastructure::{
        kafka::{self, DeadLetterTopic, KafkaGroup, KafkaOffsets, KafkaOptions, KafkaPublisher},
        mongo::{DeadLetterIndex, MongoLedger, MongoOptions, MongoStore},
        status_cell::StatusCell,
    },
    lifecycle::{Lifecycle, TaskResult},
};

/// How long unacknowledged records may hold up the end, once nobody waits for them any more.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A batch of 1,000 is where a bulk insert stops getting cheaper per document; what each batch costs besides is spread
/// over more. While one waits for the disks of a majority, the server works on the next.
const PACE: Pace = Pace { records: 4000, bytes: 3 << 19, in_flight: NonZeroUsize::MIN.saturating_add(1) };

/// What librdkafka says of the settings, without any I/O.
pub(super) fn check(kafka: &KafkaSettings, settings: &Settings) -> Result<(), Vec<Problem>> {
    kafka::validate(&kafka_options(kafka, settings))
        .map_err(|message| vec![Problem { setting: "KAFKA_PROPERTIES", message }])
}

pub(super) fn check_mongo_uri(text: &str) -> Result<(), String> {
    MongoOptions::parse(text, 0).map(drop).map_err(|error| error.to_string())
}

pub(super) fn check_start(text: &str) -> Result<(), String> {
    start_at(Some(&StartPosition::read(text))).map(drop)
}

pub(super) async fn build(
    kafka: &KafkaSettings,
    mongo: Option<&MongoSettings>,
    around: &Surroundings<'_>,
) -> Result<BackendParts, StartError> {
    let Surroundings { settings, lifecycle, .. } = *around;
    let options = kafka_options(kafka, settings);
    let publisher = Arc::new(KafkaPublisher::new(options.clone()).map_err(StartError::Backend)?);
    // The bus goes last: requests in flight still need it.
    let bus_stop = CancellationToken::new();
    let supervised = Arc::clone(&publisher).supervise(bus_stop.clone());
    lifecycle.spawn("kafka", until_stopped(supervised)).await;
    let mut parts = BackendParts {
        bus: Arc::new(publisher.status()),
        publisher: publisher.clone(),
        repository: None,
        export: None,
        erasure: None,
        statistics: None,
        store: None,
        worker: None,
        ledger: None,
        bus_stop,
        closing: Box::pin(async move {
            if let Err(error) = publisher.close(FLUSH_TIMEOUT).await {
                tracing::warn!(error = %ErrorChain(&error), "kafka did not close cleanly");
            }
        }),
        backend: "kafka",
        data: format!("topic {} on {}", kafka.topic, kafka.brokers.join(",")),
    };
    if let Some(mongo) = mongo {
        let store = open_store(mongo, settings, lifecycle).await?;
        parts.backend = "kafka-mongodb";
        parts.data = format!("{} and MongoDB", parts.data);
        parts.store = Some(Arc::new(store.probe()));
        parts.repository = Some(store.clone());
        parts.export = Some(store.clone());
        parts.erasure = Some(store.clone());
        parts.statistics = Some(store.clone());
        let (bus_closing, closed_last) = (parts.closing, Arc::clone(&store));
        parts.closing = Box::pin(async move {
            bus_closing.await;
            closed_last.close().await;
        });
        let ledger = Arc::new(MongoLedger::new(Arc::clone(&store), &kafka.topic));
        parts.ledger = Some(Arc::new(LedgerService::new(
            kafka.topic.clone(),
            ledger.clone(),
            Arc::new(KafkaOffsets::new(options.clone())),
            Arc::clone(&parts.bus),
        )));
        if settings.role != Role::Api {
            let group = Arc::new(KafkaGroup::new(options.clone()));
            let waiting = StatusCell::down("waiting for MongoDB");
            parts.worker = Some(Arc::new(WorkerProbe {
                waiting: waiting.clone(),
                joined: group.joined(),
                progress: around.progress.clone(),
            }));
            let worker = Worker {
                // A client of its own: no statement that somebody asks for holds the worker up.
                accountant: Accountant::new(ledger, Arc::new(KafkaOffsets::new(options.clone()))),
                letters: DeadLetterChain(vec![
                    Arc::new(DeadLetterTopic::new(options)),
                    Arc::new(DeadLetterIndex::new(Arc::clone(&store))),
                ]),
                group,
                store,
                start: start_at(kafka.start.as_ref()).ok().flatten(),
                waiting,
                pressure: around.pressure.clone(),
                signal: around.signal.clone(),
                progress: around.progress.clone(),
                stop: lifecycle.stop_token(),
            };
            lifecycle.spawn("worker", worker.run()).await;
        }
    }
    Ok(parts)
}

async fn open_store(
    mongo: &MongoSettings,
    settings: &Settings,
    lifecycle: &Lifecycle,
) -> Result<Arc<MongoStore>, StartError> {
    let options = MongoOptions::parse(mongo.uri.reveal(), settings.tombstone_days).map_err(StartError::MongoUri)?;
    let options = options.with_metadata_indexes(metadata_indexes::paths(settings));
    let store = Arc::new(MongoStore::new(options));
    let supervised = Arc::clone(&store).supervise(lifecycle.stop_token());
    lifecycle.spawn("mongodb", until_stopped(supervised)).await;
    Ok(store)
}

async fn until_stopped(supervision: impl Future<Output = ()>) -> TaskResult {
    supervision.await;
    Ok(())
}

/// Waits for the store, then for the group, then drains.
struct Worker {
    group: Arc<KafkaGroup>,
    store: Arc<MongoStore>,
    letters: DeadLetterChain,
    accountant: Accountant,
    start: Option<StartAt>,
    waiting: StatusCell,
    pressure: IntakePressure,
    signal: StoredSignal,
    progress: WorkerProgress,
    stop: CancellationToken,
}

impl Worker {
    async fn run(self) -> TaskResult {
        if self.stop.run_until_cancelled(self.store.prepared()).await.is_none() {
            return Ok(());
        }
        self.waiting.set(Status::Down("joining the consumer group".to_owned()));
        let report = self.waiting.clone();
        let takeover = Takeover {
            group: self.group,
            legacy: self.store.clone(),
            start: self.start,
            report: Box::new(move |status| {
                report.set(status);
            }),
            stop: self.stop.clone(),
        };
        let Some(source) = takeover.join().await? else { return Ok(()) };
        self.waiting.set(Status::Up);
        worker::drain(WorkerParts {
            source,
            repository: self.store,
            dead_letters: Arc::new(self.letters),
            accountant: Some(self.accountant),
            pace: PACE,
            pressure: self.pressure,
            signal: self.signal,
            progress: self.progress,
            stop: self.stop,
        })
        .await
    }
}

/// What the worker waits for before it joins the group, then whether it has its place there and gets on.
struct WorkerProbe {
    waiting: StatusCell,
    joined: StatusCell,
    progress: WorkerProgress,
}

impl Probe for WorkerProbe {
    fn status(&self) -> Status {
        let parts: [&dyn Probe; 3] = [&self.waiting, &self.joined, &self.progress];
        parts.iter().map(|part| part.status()).find(|status| !status.is_up()).unwrap_or(Status::Up)
    }
}

fn start_at(start: Option<&StartPosition>) -> Result<Option<StartAt>, String> {
    match start {
        None => Ok(None),
        Some(StartPosition::Earliest) => Ok(Some(StartAt::Earliest)),
        Some(StartPosition::Latest) => Ok(Some(StartAt::Latest)),
        Some(StartPosition::At(text)) => Moment::parse(text)
            .map(|moment| Some(StartAt::Time(moment.first)))
            .map_err(|rule| format!("must be earliest, latest or a timestamp, which {rule}")),
    }
}

pub(super) fn kafka_options(kafka: &KafkaSettings, settings: &Settings) -> KafkaOptions {
    let reveal = |secret: &Secret| secret.reveal().to_owned();
    KafkaOptions {
        brokers: kafka.brokers.join(","),
        client_id: kafka.client_id.clone(),
        group: kafka.consumer_group.clone(),
        topic: kafka.topic.clone(),
        partitions: kafka.topic_partitions,
        replication: kafka.topic_replication,
        security_protocol: kafka.security_protocol.clone(),
        sasl_mechanism: kafka.sasl_mechanism.clone(),
        sasl_username: kafka.sasl_username.clone(),
        sasl_password: kafka.sasl_password.as_ref().map(reveal),
        properties: kafka.properties.iter().map(|(name, value)| (name.clone(), reveal(value))).collect(),
        publish_timeout: kafka.publish_timeout,
        max_body_bytes: settings.http.max_body_bytes,
    }
}
