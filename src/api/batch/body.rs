//! The body of a batch as a stream of bytes: of the right type, unpacked, and not slower than it may be.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_TYPE, EXPECT},
    },
};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    BEYOND, too_many_bytes,
    unpacking::{Packed, Unpacker, packed},
};
use crate::api::{
    error::ApiError,
    error_code::ErrorCode,
    extract::{ContentEncoding, content_length, media_type},
    state::LogState,
};

/// How many pauses of the longest kind a whole batch may take.
const PAUSES: u32 = 6;
/// How long a body that is given up is read off, so that the client gets to see the answer: a connection closed with
/// unread data takes it back.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How much of it at least.
const DRAIN_BYTES: usize = 2 << 20;

/// How the items stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Array,
    Lines,
}

/// The bytes of a batch. Every pause is bounded by the time for a body, and all of them together by six times that.
pub(in crate::api) struct BatchBody {
    form: Form,
    announced: usize,
    unpacker: Unpacker,
    pause: Duration,
    deadline: Instant,
    ending: CancellationToken,
    /// There may be more to come that nobody reads.
    unread: bool,
    /// How much of that is read off.
    most_drained: usize,
}

impl FromRequest<LogState> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &LogState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut packed = packed(body);
        let most_drained = DRAIN_BYTES.max(BEYOND * state.intake.max_batch_bytes);
        // Who asks first has not sent anything yet.
        let unread = !parts.headers.contains_key(EXPECT);
        let (form, encoding) = match kind(&parts.headers, state) {
            Ok(kind) => kind,
            Err(refused) => {
                if unread {
                    read_off(&mut packed, most_drained).await;
                }
                return Err(refused);
            }
        };
        let announced = content_length(&parts.headers).unwrap_or(0);
        let pause = state.intake.body_timeout;
        let deadline = Instant::now() + pause * PAUSES;
        let ending = state.logs.ending().clone();
        Ok(Self {
            form,
            announced,
            unpacker: Unpacker::new(encoding, packed),
            pause,
            deadline,
            ending,
            unread,
            most_drained,
        })
    }
}

fn kind(headers: &HeaderMap, state: &LogState) -> Result<(Form, ContentEncoding), ApiError> {
    let form = form(headers)?;
    let unsupported = || ApiError::new(ErrorCode::UnsupportedEncoding, "supported for batches are gzip and zstd");
    let encoding = ContentEncoding::of(headers).map_err(|_| unsupported())?;
    if matches!(encoding, ContentEncoding::Deflate | ContentEncoding::Brotli) {
        return Err(unsupported());
    }
    let limit = state.intake.max_batch_bytes;
    let whole = form == Form::Array && encoding == ContentEncoding::Identity;
    if whole && content_length(headers).is_some_and(|length| length > limit) {
        return Err(too_many_bytes(limit));
    }
    Ok((form, encoding))
}

impl BatchBody {
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// How many bytes are to come at least; 0 where the client does not say. It may be packed.
    pub(super) fn announced(&self) -> usize {
        self.announced
    }

    /// Appends at most so many bytes, and returns how many; 0 at the end.
    ///
    /// # Errors
    /// The body broke off, came too slowly or is not packed as it says; or the service ends. Nothing more can be read.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, ApiError> {
        self.unread = true;
        let until = self.deadline.min(Instant::now() + self.pause);
        buffer.reserve(most.min(16 << 10));
        let mut piece = self.unpacker.unpacked().take(most as u64);
        let reading = timeout_at(until, piece.read_buf(buffer));
        match self.ending.run_until_cancelled(reading).await {
            Some(Ok(Ok(0))) => {
                self.unread = false;
                Ok(0)
            }
            Some(Ok(Ok(bytes))) => Ok(bytes),
            Some(Ok(Err(_))) => Err(ApiError::new(ErrorCode::InvalidBody, "the body broke off, or is packed wrongly")),
            Some(Err(_)) => {
                // Who was too slow is not waited for any longer.
                self.unread = false;
                Err(ErrorCode::BodyTimeout.into())
            }
            None => Err(ApiError::new(ErrorCode::QueueUnavailable, "the service is shutting down")),
        }
    }

    /// What unpacking holds in memory once it has given so many bytes.
    pub(super) fn keeps(&self, unpacked: usize) -> usize {
        self.unpacker.keeps(unpacked)
    }

    /// Reads off some of what nobody has read.
    pub(in crate::api) async fn drain(&mut self) {
        if self.unread {
            read_off(self.unpacker.packed(), self.most_drained).await;
        }
    }
}

async fn read_off(packed: &mut Packed, most: usize) {
    let _ = timeout(DRAIN_TIME, async move {
        let (mut done, mut buffer) = (0, Vec::with_capacity(16 << 10));
        while done < most {
            match packed.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => done += bytes,
            }
            buffer.clear();
        }
    })
    .await;
}

fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let unsupported = || {
        let detail = "send application/json with an array, or application/x-ndjson, in UTF-8";
        ApiError::new(ErrorCode::UnsupportedMediaType, detail)
    };
    let given = headers.get(CONTENT_TYPE).ok_or_else(unsupported)?.to_str().map_err(|_| unsupported())?;
    match media_type(given).as_deref() {
        Some("application/json") => Ok(Form::Array),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines") => {
            Ok(Form::Lines)
        }
        _ => Err(unsupported()),
    }
}
