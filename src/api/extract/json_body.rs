//! A JSON body: bounded in bytes and time, within the budget of all bodies, unpacked and valid UTF-8.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
    },
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::content_encoding::{ContentEncoding, too_large};
use crate::api::{
    error::ApiError,
    error_code::ErrorCode,
    state::{Intake, LogState},
};

/// How much of a refused body is read off, and how long, so that the client gets to see the answer: a connection
/// closed with unread data takes it back.
const DRAIN_BYTES: usize = 2 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// What cannot be packed gets a little larger by trying.
const PACKING_OVERHEAD: usize = 64 << 10;

/// A JSON body; empty where there was none.
#[derive(Debug)]
pub(in crate::api) struct JsonBody {
    bytes: Bytes,
    share: BodyShare,
}

/// A body's share of the budget. To be held for as long as what was read from the body is in memory.
#[derive(Debug)]
pub(in crate::api) struct BodyShare {
    _permit: OwnedSemaphorePermit,
}

impl JsonBody {
    /// Reads the text; the body itself is gone then, its share of the budget is not.
    pub(in crate::api) fn read<T>(
        self,
        read: impl FnOnce(&str) -> Result<T, ApiError>,
    ) -> Result<(T, BodyShare), ApiError> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
        let text =
            std::str::from_utf8(bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson, error.to_string()))?;
        Ok((read(text)?, self.share))
    }
}

impl FromRequest<LogState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &LogState) -> Result<Self, ApiError> {
        let intake = &state.intake;
        let (parts, mut body) = request.into_parts();
        match read(&parts.headers, &mut body, intake).await {
            Ok(body) => Ok(body),
            Err(error) => {
                // Who asks first has not sent it yet, and who was too slow is not waited for any longer.
                if !parts.headers.contains_key(EXPECT) && error.code() != ErrorCode::BodyTimeout {
                    drain(&mut body).await;
                }
                Err(error)
            }
        }
    }
}

async fn read(headers: &HeaderMap, body: &mut Body, intake: &Intake) -> Result<JsonBody, ApiError> {
    check_content_type(headers)?;
    let encoding = ContentEncoding::of(headers)?;
    let announced = content_length(headers);
    if encoding == ContentEncoding::Identity && announced.is_some_and(|length| length > intake.max_body_bytes) {
        return Err(too_large(intake.max_body_bytes));
    }
    // An unknown length counts as the largest until it is known; a packed body is there twice for a moment.
    let (expected, limit) = match encoding {
        ContentEncoding::Identity => (announced.unwrap_or(intake.max_body_bytes), intake.max_body_bytes),
        _ => (2 * intake.max_body_bytes, intake.max_body_bytes + PACKING_OVERHEAD),
    };
    let mut share = reserve(intake, expected)?;
    let packed = timeout(intake.body_timeout, collect(body, limit, announced.unwrap_or(0)))
        .await
        .map_err(|_| ErrorCode::BodyTimeout)??;
    if !packed.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        return Err(no_content_type());
    }
    let bytes = match encoding {
        ContentEncoding::Identity => packed,
        packing => packing.unpack(&packed, intake.max_body_bytes)?.into(),
    };
    drop(share.split(expected.saturating_sub(bytes.len())));
    Ok(JsonBody { bytes, share: BodyShare { _permit: share } })
}

/// A body needs its type; whether there is one without is known only once it is read.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_TYPE) {
        None if content_length(headers).is_none_or(|length| length == 0) => Ok(()),
        None => Err(no_content_type()),
        Some(value) if value.to_str().is_ok_and(is_json) => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::UnsupportedMediaType, "send application/json in UTF-8")),
    }
}

fn no_content_type() -> ApiError {
    ApiError::new(ErrorCode::UnsupportedMediaType, "the request has no Content-Type")
}

fn is_json(content_type: &str) -> bool {
    media_type(content_type).as_deref() == Some("application/json")
}

/// The type without its parameters, in lower case; `None` where it is not in UTF-8.
pub(in crate::api) fn media_type(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    let in_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            matches!(value.trim().trim_matches('"').to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "us-ascii")
        }
        _ => true,
    });
    in_utf8.then_some(essence)
}

pub(in crate::api) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn reserve(intake: &Intake, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    intake.budget.clone().try_acquire_many_owned(permits).map_err(|_| {
        ApiError::new(ErrorCode::Overloaded, "the bodies of other requests fill the memory set aside for them")
    })
}

async fn collect(body: &mut Body, limit: usize, announced: usize) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::new(ErrorCode::InvalidBody, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one piece, which is then not copied. The first of several is: it lies in the connection's
        // read buffer, which would have to be made anew for the next.
        if first.is_empty() && whole.is_empty() && data.len() >= announced {
            first = data;
        } else {
            if whole.is_empty() {
                whole.reserve_exact(announced.min(limit).max(first.len() + data.len()));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

/// Reads off some of a refused body.
async fn drain(body: &mut Body) {
    let _ = timeout(DRAIN_TIME, async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAIN_BYTES {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_in_utf_8() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\";x=y",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/json-patch+json", "application/json; charset=latin1", ""] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
