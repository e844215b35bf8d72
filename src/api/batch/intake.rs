//! Items become submissions, and submissions go to the bus in chunks, several of which may be on their way at a time.

use std::{future::poll_fn, mem, task::Poll};

use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{FuturesOrdered, StreamExt},
};

use super::{
    Share, Taken,
    results::{BatchResults, Status},
};
use crate::{
    api::{dto::create_log::parse_item, error::ApiError, error_code::ErrorCode, state::LogState},
    application::log_service::{ServiceError, Submission},
    domain::{EventId, IdempotencyKey},
};

const CHUNK_ITEMS: usize = 1000;
const CHUNK_BYTES: usize = 128 << 10;
const CHUNKS_ON_THE_WAY: usize = 4;
/// What the result of an accepted item takes.
const RESULT_BYTES: usize = 96;

/// Takes items in order. Publishing begins in that order too, and so do the results stand.
pub(super) struct BatchIntake<'a> {
    state: &'a LogState,
    key: Option<IdempotencyKey>,
    items: usize,
    chunk: Chunk,
    on_the_way: FuturesOrdered<BoxFuture<'a, Settled>>,
    results: BatchResults,
    room: Share<'a>,
}

#[derive(Default)]
struct Chunk {
    items: Vec<Item>,
    submissions: Vec<Submission>,
    bytes: usize,
}

enum Item {
    Submitted,
    Refused(Status, ApiError),
}

struct Settled {
    items: Vec<Item>,
    outcomes: Vec<(EventId, Result<(), ServiceError>)>,
}

impl<'a> BatchIntake<'a> {
    pub(super) fn new(state: &'a LogState, key: Option<IdempotencyKey>, results: BatchResults) -> Self {
        let (chunk, on_the_way) = (Chunk::default(), FuturesOrdered::new());
        Self { state, key, items: 0, chunk, on_the_way, results, room: Share::of(&state.answers) }
    }

    /// Sets memory aside for the results of so many items in all. What was taken has to be said: it is too late to ask
    /// for it then.
    pub(super) fn set_room_aside(&mut self, items: usize) -> Result<(), ApiError> {
        self.room.grow_to(items * RESULT_BYTES)
    }

    /// How many items there were so far.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn too_long(&self) -> ApiError {
        let detail = format!("MAX_BODY_BYTES is {} bytes", self.state.intake.max_body_bytes);
        ApiError::new(ErrorCode::BodyTooLarge, detail)
    }

    /// Reads the item, and publishes it sooner or later.
    pub(super) async fn add(&mut self, item: &[u8]) {
        match self.read(item) {
            Ok(submission) => {
                self.items += 1;
                self.chunk.items.push(Item::Submitted);
                self.chunk.submissions.push(submission);
                self.chunk.bytes += item.len();
                self.send_if_full().await;
            }
            Err(problem) => self.refuse(Status::Rejected, problem).await,
        }
    }

    fn read(&self, item: &[u8]) -> Result<Submission, ApiError> {
        if item.len() > self.state.intake.max_body_bytes {
            return Err(self.too_long());
        }
        let text =
            std::str::from_utf8(item).map_err(|error| ApiError::new(ErrorCode::InvalidJson, error.to_string()))?;
        parse_item(text, || self.key.as_ref().map(|key| key.of_item(self.items)))
    }

    /// The item is not even looked at.
    pub(super) async fn reject(&mut self, problem: ApiError) {
        self.refuse(Status::Rejected, problem).await;
    }

    /// The rest of the body could not be read.
    pub(super) async fn not_read(&mut self, problem: &ApiError) {
        let status = match problem.code() {
            ErrorCode::QueueUnavailable | ErrorCode::Overloaded => Status::Unavailable,
            _ => Status::Rejected,
        };
        let detail = format!("this item and what follows was not read: {}", problem.explanation());
        self.refuse(status, ApiError::new(problem.code(), detail)).await;
    }

    async fn refuse(&mut self, status: Status, problem: ApiError) {
        self.items += 1;
        self.chunk.items.push(Item::Refused(status, problem));
        self.send_if_full().await;
    }

    async fn send_if_full(&mut self) {
        if self.chunk.items.len() >= CHUNK_ITEMS || self.chunk.bytes >= CHUNK_BYTES {
            self.send().await;
        }
    }

    async fn send(&mut self) {
        while self.on_the_way.len() >= CHUNKS_ON_THE_WAY {
            self.settle_next().await;
        }
        let Chunk { items, submissions, .. } = mem::take(&mut self.chunk);
        let logs = &self.state.logs;
        self.on_the_way
            .push_back(async move { Settled { items, outcomes: logs.submit_all(submissions).await } }.boxed());
        // Publishing begins with the first poll, and it has to begin in order.
        let (on_the_way, results) = (&mut self.on_the_way, &mut self.results);
        poll_fn(|context| {
            while let Poll::Ready(Some(settled)) = on_the_way.poll_next_unpin(context) {
                add(results, settled);
            }
            Poll::Ready(())
        })
        .await;
        // Between two chunks others get their turn, also where nothing has to be waited for.
        tokio::task::yield_now().await;
    }

    async fn settle_next(&mut self) {
        if let Some(settled) = self.on_the_way.next().await {
            add(&mut self.results, settled);
        }
    }

    /// Sends what is left and waits for all of it.
    pub(super) async fn finish(mut self) -> Taken<'a> {
        self.send().await;
        while !self.on_the_way.is_empty() {
            self.settle_next().await;
        }
        Taken { results: self.results, room: self.room }
    }
}

fn add(results: &mut BatchResults, settled: Settled) {
    let mut outcomes = settled.outcomes.into_iter();
    for item in settled.items {
        match item {
            Item::Refused(status, problem) => results.refused(status, None, &problem),
            // There is one outcome for each submission.
            Item::Submitted => match outcomes.next() {
                Some((id, Ok(()))) => results.accepted(id),
                Some((id, Err(error))) => results.not_taken(id, error),
                None => {}
            },
        }
    }
}
