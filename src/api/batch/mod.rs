//! Taking many logs with one request: a JSON array, parsed whole before anything is published, or lines of JSON, taken
//! as they arrive.

mod array;
mod body;
mod intake;
mod lines;
mod results;
mod share;
mod unpacking;

use super::{
    error::ApiError,
    error_code::ErrorCode,
    state::{Intake, LogState},
};
use crate::domain::IdempotencyKey;
pub(super) use body::BatchBody;
use body::Form;
use intake::BatchIntake;
pub(super) use results::BatchResults;
use share::Share;

/// How much of a body is read at a time.
const PIECE: usize = 64 << 10;
/// How far beyond a limit is still read, so that the client learns what was too much: as much again.
const BEYOND: usize = 2;

/// What became of a batch, and the memory that is set aside for saying so.
pub(super) struct Taken<'a> {
    pub(super) results: BatchResults,
    pub(super) room: Share<'a>,
}

/// Takes the whole batch, item by item.
///
/// # Errors
/// Where nothing of it was taken and the reason is not one of its items.
pub(super) async fn take<'a>(
    state: &'a LogState,
    body: &mut BatchBody,
    key: Option<IdempotencyKey>,
    minimal: bool,
) -> Result<Taken<'a>, ApiError> {
    let intake = BatchIntake::new(state, key, BatchResults::new(minimal));
    match body.form() {
        Form::Array => take_array(state, body, intake).await,
        Form::Lines => lines::take(state, body, intake).await,
    }
}

async fn take_array<'a>(
    state: &'a LogState,
    body: &mut BatchBody,
    mut intake: BatchIntake<'a>,
) -> Result<Taken<'a>, ApiError> {
    let limits = &state.intake;
    let mut share = Share::of(&limits.budget);
    let mut text = Vec::new();
    loop {
        let needed = text.len() + PIECE + body.keeps(text.len());
        share.grow_to(needed.min(limits.max_batch_bytes))?;
        if body.read(&mut text, PIECE).await? == 0 {
            break;
        }
        if text.len() > limits.max_batch_bytes {
            return Err(too_many_bytes(limits.max_batch_bytes));
        }
    }
    let items = array::split(&text, limits.max_batch_items)?;
    intake.set_room_aside(items.len())?;
    for item in items {
        intake.add(item.get().as_bytes()).await;
    }
    share.shrink_to(text.len().min(window(limits)));
    drop(text);
    Ok(intake.finish().await)
}

/// The most that a batch holds besides its body: what is read of the next item, and the chunks on their way to the bus.
fn window(limits: &Intake) -> usize {
    const LEAST: usize = 1 << 20;
    LEAST.max(4 * limits.max_body_bytes).min(limits.max_batch_bytes)
}

fn too_many_bytes(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("MAX_BATCH_BYTES is {limit} bytes, after unpacking"))
}

fn too_many_items(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BatchLimit, format!("MAX_BATCH_ITEMS is {limit}"))
}
