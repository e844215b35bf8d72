//! Taking many logs with one request: a JSON array, parsed whole before anything is published, or lines of JSON, taken
//! as they arrive.

mod array;
mod body;
mod intake;
mod lines;
mod results;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{error::ApiError, error_code::ErrorCode, state::LogState};
use crate::domain::IdempotencyKey;
pub(super) use body::BatchBody;
use body::Form;
use intake::BatchIntake;
pub(super) use results::BatchResults;

/// What a batch of lines holds at a time: a line, what is read of the next, and the chunks on their way to the bus.
const LINES_WINDOW: usize = 1 << 20;
/// How much of an array is asked of the budget at a time.
const PIECE: usize = 64 << 10;

/// Takes the whole batch, item by item.
///
/// # Errors
/// Where nothing of it was taken and the reason is not one of its items.
pub(super) async fn take(
    state: &LogState,
    body: &mut BatchBody,
    key: Option<IdempotencyKey>,
    results: BatchResults,
) -> Result<BatchResults, ApiError> {
    let intake = BatchIntake::new(state, key, results);
    match body.form() {
        Form::Array => take_array(state, body, intake).await,
        Form::Lines => lines::take(state, body, intake).await,
    }
}

async fn take_array(
    state: &LogState,
    body: &mut BatchBody,
    mut intake: BatchIntake<'_>,
) -> Result<BatchResults, ApiError> {
    let limits = &state.intake;
    let mut share = Share::new(&limits.budget)?;
    let mut text = Vec::new();
    loop {
        share.grow_to(text.len() + PIECE)?;
        if body.read(&mut text, PIECE).await? == 0 {
            break;
        }
        if text.len() > limits.max_batch_bytes {
            return Err(too_many_bytes(limits.max_batch_bytes));
        }
    }
    for item in array::split(&text, limits.max_batch_items)? {
        intake.add(item.get().as_bytes()).await;
    }
    drop((text, share));
    Ok(intake.finish().await)
}

/// A batch's share of the budget of all bodies.
struct Share<'a> {
    budget: &'a Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl<'a> Share<'a> {
    fn new(budget: &'a Arc<Semaphore>) -> Result<Self, ApiError> {
        Ok(Self { budget, held: permits(budget, 0)? })
    }

    fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.held.num_permits());
        self.held.merge(permits(self.budget, more)?);
        Ok(())
    }
}

fn permits(budget: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let count = u32::try_from(bytes).unwrap_or(u32::MAX);
    Arc::clone(budget).try_acquire_many_owned(count).map_err(|_| {
        ApiError::new(ErrorCode::Overloaded, "the bodies of other requests fill the memory set aside for them")
    })
}

fn too_many_bytes(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("MAX_BATCH_BYTES is {limit} bytes, after unpacking"))
}

fn too_many_items(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BatchLimit, format!("MAX_BATCH_ITEMS is {limit}"))
}
