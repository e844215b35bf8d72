//! The backend as `eyego verify` needs it: nothing is prepared, joined or written.

use std::{sync::Arc, time::Duration};

use super::{StartError, servers};
use crate::{
    application::verification::BusVerification,
    config::{Backend, KafkaSettings, MongoSettings, Settings},
    domain::ports::{PortError, Verification, VerificationReporter, VerificationSummary},
    infrastructure::{
        clock::SystemClock,
        embedded::EmbeddedVerification,
        kafka::{KafkaHistory, KafkaOffsets},
        mongo::{MongoFates, MongoLedger, MongoOptions, MongoStore},
    },
};

/// How long servers may take to answer for the first time.
const CONNECT: Duration = Duration::from_secs(15);

/// Holds the bus against the store, beside a running service or without one.
///
/// # Errors
/// Where the backend cannot be opened or read to the end.
pub async fn verify(
    settings: &Settings,
    reporter: &mut dyn VerificationReporter,
) -> Result<VerificationSummary, StartError> {
    match &settings.backend {
        Backend::Embedded(embedded) => {
            let verification = EmbeddedVerification::open(&embedded.data_dir)?;
            verification.verify(reporter).await.map_err(StartError::Backend)
        }
        Backend::Servers { kafka, mongo } => servers_verified(kafka, mongo, settings, reporter).await,
        Backend::KafkaOnly(_) => Err(StartError::NothingToVerify),
    }
}

async fn servers_verified(
    kafka: &KafkaSettings,
    mongo: &MongoSettings,
    settings: &Settings,
    reporter: &mut dyn VerificationReporter,
) -> Result<VerificationSummary, StartError> {
    let mongo = MongoOptions::parse(mongo.uri.reveal(), settings.tombstone_days).map_err(StartError::MongoUri)?;
    let store = Arc::new(MongoStore::new(mongo));
    let options = servers::kafka_options(kafka, settings);
    let verification = BusVerification {
        ledger: Arc::new(MongoLedger::new(Arc::clone(&store), &kafka.topic)),
        offsets: Arc::new(KafkaOffsets::new(options.clone())),
        history: Arc::new(KafkaHistory::new(options)),
        fates: Arc::new(MongoFates::new(Arc::clone(&store))),
        erasure: store.clone(),
        clock: Arc::new(SystemClock),
        tombstone_days: settings.tombstone_days,
    };
    let verified = async {
        let connected = tokio::time::timeout(CONNECT, store.answers()).await;
        connected.map_err(|_| PortError::unavailable("MongoDB does not answer"))?;
        verification.verify(reporter).await
    };
    let verified = tokio::select! {
        verified = verified => verified.map_err(StartError::Backend),
        never = store.observe() => match never {},
    };
    store.close().await;
    verified
}
