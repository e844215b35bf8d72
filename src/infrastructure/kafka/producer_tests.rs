//! The publisher against brokers that go away, come back, hang and refuse.

use std::time::{Duration, Instant};

use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::{
    Action, EventId, Metadata, NewLog, Timestamp, UserId,
    ports::{PortErrorKind, Probe},
};

type Brokers = MockCluster<'static, DefaultProducerContext>;

fn event() -> Event {
    let log = NewLog {
        user_id: UserId::parse("u".to_owned()).unwrap(),
        action: Action::parse("a".to_owned()).unwrap(),
        timestamp: Timestamp::from_millis(0),
        metadata: Metadata::empty(),
    };
    Event { id: EventId::fresh(Timestamp::from_millis(0)), received_at: Timestamp::from_millis(0), log }
}

struct Scene {
    brokers: Brokers,
    publisher: Arc<KafkaPublisher>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn new() -> Self {
        let brokers = MockCluster::new(1).unwrap();
        let mut options = KafkaOptions::new(brokers.bootstrap_servers());
        options.publish_timeout = Duration::from_secs(2);
        brokers.create_topic(&options.topic, 2, 1).unwrap();
        brokers.create_topic(&options.dead_letter_topic(), 1, 1).unwrap();
        let publisher = Arc::new(KafkaPublisher::new(options).unwrap());
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(Arc::clone(&publisher).supervise(stop.clone()));
        let scene = Self { brokers, publisher, stop, tasks };
        scene.eventually("up", async || scene.publisher.status().status().is_up()).await;
        scene
    }

    async fn publish(&self) -> PublishOutcome {
        self.publisher.publish(vec![event()]).await.remove(0)
    }

    async fn is_taken(&self) -> bool {
        matches!(self.publish().await, PublishOutcome::Taken)
    }

    async fn is_refused(&self) -> bool {
        let began = Instant::now();
        match self.publish().await {
            PublishOutcome::Refused(error) => {
                assert_eq!(error.kind(), PortErrorKind::Unavailable);
                began.elapsed() < Duration::from_millis(100)
            }
            PublishOutcome::Taken | PublishOutcome::Unknown(_) => false,
        }
    }

    async fn eventually(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition().await {
            assert!(Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let _ = self.publisher.close(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_brokers_are_away_nothing_is_taken_and_soon_after_everything() {
    let scene = Scene::new().await;
    assert!(scene.is_taken().await);
    scene.brokers.broker_down(1).unwrap();
    let outcome = scene.publish().await;
    assert!(matches!(outcome, PublishOutcome::Unknown(_)), "{outcome:?}");
    scene.eventually("refused at once", async || scene.is_refused().await).await;
    assert!(!scene.publisher.status().status().is_up());
    scene.brokers.broker_up(1).unwrap();
    let back = Instant::now();
    scene.eventually("taken again", async || scene.is_taken().await).await;
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
    scene.eventually("up again", async || scene.publisher.status().status().is_up()).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_go_away_unused_are_missed_too() {
    let scene = Scene::new().await;
    scene.brokers.broker_down(1).unwrap();
    scene.eventually("down", async || !scene.publisher.status().status().is_up()).await;
    assert!(scene.is_refused().await);
    scene.brokers.broker_up(1).unwrap();
    scene.eventually("up again", async || scene.publisher.status().status().is_up()).await;
    assert!(scene.is_taken().await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_hang_are_noticed() {
    let scene = Scene::new().await;
    assert!(scene.is_taken().await);
    scene.brokers.broker_round_trip_time(1, Duration::from_secs(8)).unwrap();
    assert!(matches!(scene.publish().await, PublishOutcome::Unknown(_)));
    scene.eventually("refused at once", async || scene.is_refused().await).await;
    scene.brokers.broker_round_trip_time(1, Duration::from_millis(1)).unwrap();
    scene.eventually("taken again", async || scene.is_taken().await).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gave_up_is_replaced() {
    let scene = Scene::new().await;
    assert!(scene.is_taken().await);
    let client = || scene.publisher.with_live(|live, _| Arc::as_ptr(&live.alarms).addr());
    let first = client();
    let broken = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    scene.brokers.request_errors(RDKafkaApiKey::Produce, &broken);
    let outcome = scene.publish().await;
    assert!(matches!(outcome, PublishOutcome::Unknown(_)), "{outcome:?}");
    scene.eventually("taken again", async || scene.is_taken().await).await;
    assert_ne!(client(), first);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_broker_is_definite() {
    let scene = Scene::new().await;
    assert!(scene.is_taken().await);
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    scene.brokers.request_errors(RDKafkaApiKey::Produce, &refused);
    let outcome = scene.publish().await;
    assert!(
        matches!(&outcome, PublishOutcome::Refused(error) if error.kind() == PortErrorKind::Unavailable),
        "{outcome:?}"
    );
    scene.eventually("taken again", async || scene.is_taken().await).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_nobody_waits_for_is_still_made() {
    let scene = Scene::new().await;
    scene.brokers.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    let publisher = Arc::clone(&scene.publisher);
    let abandoned = tokio::time::timeout(Duration::from_millis(20), publisher.publish(vec![event()])).await;
    assert!(abandoned.is_err());
    // Closing waits for what is in flight, and has nothing to complain of.
    scene.publisher.close(Duration::from_secs(10)).await.unwrap();
    scene.end().await;
}
