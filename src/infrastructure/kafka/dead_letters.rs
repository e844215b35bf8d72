//! The dead-letter topic: keeps what can never become a log, as it came, with where it came from and why.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use tokio::sync::Mutex;

use super::{
    aside::Aside,
    client_config,
    context::Trouble,
    delivery::{Alarms, Deliveries},
    error::code_of,
    flight::{Flight, Landing},
    options::KafkaOptions,
};
use crate::domain::ports::{DeadLetter, DeadLetters, PortError};

/// Letters are sent in portions of about this size, so that what is in flight stays bounded.
const PORTION_BYTES: usize = 8 * 1024 * 1024;
/// What is kept of a value that no broker takes as a whole.
const CUT_BYTES: usize = 512 * 1024;
/// What is kept where even the key and the headers are too large.
const BARE_BYTES: usize = 16 * 1024;

type Client = ThreadedProducer<Deliveries>;

/// Publishes to `<topic>.dlq`, through a producer of its own that is made at the first letter.
pub struct DeadLetterTopic {
    options: KafkaOptions,
    topic: String,
    live: Mutex<Option<Live>>,
}

struct Live {
    client: Arc<Aside<Client>>,
    alarms: Arc<Alarms>,
}

impl Live {
    fn is_fatal(&self) -> bool {
        Alarms::take(&self.alarms.fatal)
            || self.client.get().is_none_or(|client| client.client().fatal_error().is_some())
    }
}

impl DeadLetterTopic {
    pub fn new(options: KafkaOptions) -> Self {
        let topic = options.dead_letter_topic();
        Self { options, topic, live: Mutex::new(None) }
    }

    async fn client(&self) -> Result<Arc<Aside<Client>>, KafkaError> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.is_fatal()) {
            return Ok(Arc::clone(&live.client));
        }
        let alarms = Arc::new(Alarms::default());
        let (trouble, alarms_of_client) = (Trouble::default(), Arc::clone(&alarms));
        let context = Deliveries { circuit: None, trouble, alarms: alarms_of_client, arrivals: None };
        let client: Client = client_config::dead_letter_producer(&self.options).create_with_context(context)?;
        let client = Arc::new(Aside::new(client));
        *live = Some(Live { client: Arc::clone(&client), alarms });
        Ok(client)
    }

    async fn publish_portion(&self, client: &Client, letters: &[DeadLetter]) -> Result<(), PortError> {
        let sent = self.send(client, letters, Shape::Whole).await;
        for (letter, failed) in letters.iter().zip(sent) {
            if let Some(error) = failed {
                self.publish_smaller(client, letter, error).await?;
            }
        }
        Ok(())
    }

    /// A letter that was refused for its size is sent again with less of it.
    async fn publish_smaller(&self, client: &Client, letter: &DeadLetter, error: KafkaError) -> Result<(), PortError> {
        let mut error = error;
        for shape in [Shape::Cut, Shape::Bare] {
            if !is_too_large(&error) {
                break;
            }
            match self.send(client, std::slice::from_ref(letter), shape).await.pop().flatten() {
                None => return Ok(()),
                Some(next) => error = next,
            }
        }
        Err(PortError::unavailable("the dead-letter topic did not take a letter").caused_by(error))
    }

    /// Sends the letters and waits for all of them; for each the error, if it was not taken.
    async fn send(&self, client: &Client, letters: &[DeadLetter], shape: Shape) -> Vec<Option<KafkaError>> {
        let flight = Flight::of(letters.len());
        for (index, letter) in letters.iter().enumerate() {
            let value = letter.record.value.as_deref().map(|value| shape.cut(value));
            let mut record = BaseRecord::with_opaque_to(&self.topic, flight.ticket(index)).headers(headers(
                letter,
                shape,
                value.as_deref(),
            ));
            if let Some(value) = &value {
                record = record.payload(value.as_ref());
            }
            if let Some(key) = letter.record.key.as_deref().filter(|_| shape != Shape::Bare) {
                record = record.key(key);
            }
            if let Err((error, record)) = client.send(record) {
                let _ = record.delivery_opaque.land(Landing::NotQueued(error));
            }
        }
        // The client gives every record up after its delivery time-out at the latest.
        flight.landed().await;
        let failed = |landing| match landing {
            Landing::Acknowledged => None,
            Landing::NotQueued(error) | Landing::Failed(error) => Some(error),
            Landing::InTheAir => Some(KafkaError::Canceled),
        };
        flight.landings().into_iter().map(failed).collect()
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(code_of(error), Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge))
}

/// How much of a letter is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Whole,
    /// Not all of the value.
    Cut,
    /// Less of the value, and neither key nor headers of its own.
    Bare,
}

impl Shape {
    fn cut(self, value: &[u8]) -> Cow<'_, [u8]> {
        let most = match self {
            Self::Whole => value.len(),
            Self::Cut => CUT_BYTES,
            Self::Bare => BARE_BYTES,
        };
        Cow::Borrowed(&value[..value.len().min(most)])
    }
}

fn headers(letter: &DeadLetter, shape: Shape, sent: Option<&[u8]>) -> OwnedHeaders {
    let own = &letter.record.headers;
    let mut headers = OwnedHeaders::new_with_capacity(own.len() + 7);
    for (name, value) in own.iter().filter(|_| shape != Shape::Bare) {
        headers = headers.insert(Header { key: name, value });
    }
    let position = &letter.position;
    let facts = [
        ("dlq.event-id", letter.event_id.to_string()),
        ("dlq.reason", letter.reason.as_str().to_owned()),
        ("dlq.topic", position.topic.to_string()),
        ("dlq.partition", position.partition.to_string()),
        ("dlq.offset", position.offset.to_string()),
        ("dlq.timestamp", letter.timestamp.as_millis().to_string()),
    ];
    for (name, value) in &facts {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let whole = letter.record.value.as_ref().map_or(0, Vec::len);
    if sent.map_or(0, <[u8]>::len) < whole {
        headers = headers.insert(Header { key: "dlq.truncated", value: Some(&whole.to_string()) });
    }
    headers
}

/// The letters of one portion: at least one, and no more than fit.
fn portion(letters: &[DeadLetter]) -> usize {
    let mut bytes = 0;
    let fitting = letters.iter().take_while(|letter| {
        let empty = bytes == 0;
        bytes += 512 + letter.record.bytes();
        empty || bytes <= PORTION_BYTES
    });
    fitting.count()
}

#[async_trait]
impl DeadLetters for DeadLetterTopic {
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        if letters.is_empty() {
            return Ok(());
        }
        let unusable = |error| PortError::unavailable("the dead-letter producer could not be made").caused_by(error);
        let client = self.client().await.map_err(unusable)?;
        let mut rest = letters;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(portion(rest));
            let Some(client) = client.get() else { return Err(PortError::closed("shutting down")) };
            self.publish_portion(client, now).await?;
            rest = later;
        }
        Ok(())
    }
}
