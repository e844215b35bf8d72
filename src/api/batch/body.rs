//! The body of a batch as a stream of bytes: of the right type, unpacked, and not slower than it may be.

use std::{io, pin::Pin, time::Duration};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_TYPE, EXPECT},
    },
};
use futures_util::TryStreamExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{io::StreamReader, sync::CancellationToken};

use super::too_many_bytes;
use crate::api::{
    error::ApiError,
    error_code::ErrorCode,
    extract::{ContentEncoding, ZSTD_WINDOW_LOG, content_length, drain, media_type},
    state::LogState,
};

/// How many pauses of the longest kind a whole batch may take.
const PAUSES: u32 = 6;
/// How much of a body that is given up is read off, and how long, so that the client gets to see the answer.
const DRAIN_BYTES: usize = 2 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How the items stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Array,
    Lines,
}

/// The bytes of a batch. Every pause is bounded by the time for a body, and all of them together by six times that.
pub(in crate::api) struct BatchBody {
    form: Form,
    reader: Pin<Box<dyn AsyncRead + Send>>,
    pause: Duration,
    deadline: Instant,
    ending: CancellationToken,
    /// Who asks first has not sent anything yet.
    asks_first: bool,
}

impl FromRequest<LogState> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &LogState) -> Result<Self, ApiError> {
        let (parts, mut body) = request.into_parts();
        let asks_first = parts.headers.contains_key(EXPECT);
        let (form, encoding) = match kind(&parts.headers, state) {
            Ok(kind) => kind,
            Err(refused) => {
                if !asks_first {
                    drain(&mut body).await;
                }
                return Err(refused);
            }
        };
        let pause = state.intake.body_timeout;
        let deadline = Instant::now() + pause * PAUSES;
        let ending = state.logs.ending().clone();
        Ok(Self { form, reader: unpacked(encoding, body), pause, deadline, ending, asks_first })
    }
}

fn kind(headers: &HeaderMap, state: &LogState) -> Result<(Form, ContentEncoding), ApiError> {
    let form = form(headers)?;
    let encoding = ContentEncoding::of(headers)?;
    if matches!(encoding, ContentEncoding::Deflate | ContentEncoding::Brotli) {
        return Err(ApiError::new(ErrorCode::UnsupportedEncoding, "supported for batches are gzip and zstd"));
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

    /// Appends at most so many bytes, and returns how many; 0 at the end.
    ///
    /// # Errors
    /// The body broke off, came too slowly or is not packed as it says; or the service ends. Nothing more can be read.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, ApiError> {
        let until = self.deadline.min(Instant::now() + self.pause);
        buffer.reserve(most.min(16 << 10));
        let mut piece = (&mut self.reader).take(most as u64);
        let reading = timeout_at(until, piece.read_buf(buffer));
        match self.ending.run_until_cancelled(reading).await {
            Some(Ok(Ok(bytes))) => Ok(bytes),
            Some(Ok(Err(_))) => Err(ApiError::new(ErrorCode::InvalidBody, "the body broke off, or is packed wrongly")),
            Some(Err(_)) => Err(ErrorCode::BodyTimeout.into()),
            None => Err(ApiError::new(ErrorCode::QueueUnavailable, "the service is shutting down")),
        }
    }

    /// Reads off some of what nobody wants, so that the client gets to see the answer.
    pub(in crate::api) async fn drain(&mut self) {
        if self.asks_first {
            return;
        }
        let reader = &mut self.reader;
        let _ = timeout(DRAIN_TIME, async move {
            let (mut drained, mut buffer) = (0, Vec::with_capacity(16 << 10));
            while drained < DRAIN_BYTES {
                match reader.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => drained += bytes,
                }
                buffer.clear();
            }
        })
        .await;
    }
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

fn unpacked(encoding: ContentEncoding, body: Body) -> Pin<Box<dyn AsyncRead + Send>> {
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    match encoding {
        ContentEncoding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        ContentEncoding::Zstd => {
            let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        // The others are refused before.
        ContentEncoding::Identity | ContentEncoding::Deflate | ContentEncoding::Brotli => Box::pin(reader),
    }
}
