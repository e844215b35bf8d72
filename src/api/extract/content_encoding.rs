//! Unpacking request bodies, with the limit on what comes out and on what the unpacking itself may take.

use std::io::{self, Read};

use axum::http::{HeaderMap, header::CONTENT_ENCODING};
use brotli_decompressor::Decompressor;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use crate::api::{error::ApiError, error_code::ErrorCode};

/// A zstd frame may ask for a window of up to 128 MiB before its first byte. 8 MiB is what RFC 8878 asks of every
/// decoder, and what encoders use up to their highest common levels.
pub(in crate::api) const ZSTD_WINDOW_LOG: u32 = 23;
const BROTLI_BUFFER: usize = 4096;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum ContentEncoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl ContentEncoding {
    pub(in crate::api) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let (first, more) = (values.next(), values.next());
        let encoding = match first.map(|value| value.as_bytes().to_ascii_lowercase()).as_deref() {
            None | Some(b"identity" | b"") => Some(Self::Identity),
            Some(b"gzip" | b"x-gzip") => Some(Self::Gzip),
            Some(b"deflate") => Some(Self::Deflate),
            Some(b"br") => Some(Self::Brotli),
            Some(b"zstd") => Some(Self::Zstd),
            Some(_) => None,
        };
        encoding.filter(|_| more.is_none()).ok_or_else(|| {
            ApiError::new(ErrorCode::UnsupportedEncoding, "supported are gzip, deflate, br and zstd, one at a time")
        })
    }

    /// Unpacks on the spot: bodies are small, and so only as many unpackers exist at a time as there are threads.
    pub(super) fn unpack(self, packed: &[u8], limit: usize) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Identity => Ok(packed.to_vec()),
            Self::Gzip => read(MultiGzDecoder::new(packed), limit),
            Self::Deflate => read(ZlibDecoder::new(packed), limit),
            Self::Brotli => read(Decompressor::new(packed, BROTLI_BUFFER), limit),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| broken())?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| broken())?;
                read(decoder, limit)
            }
        }
    }
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let unpacked: io::Result<usize> = decoder.take(most).read_to_end(&mut body);
    // A body that is too large is that first, wherever its packing breaks off.
    if body.len() > limit {
        return Err(too_large(limit));
    }
    unpacked.map_err(|_| broken())?;
    Ok(body)
}

fn broken() -> ApiError {
    ApiError::new(ErrorCode::InvalidBody, "the body is not what its Content-Encoding says")
}

pub(super) fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("the limit is {limit} bytes, after unpacking"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_limit_holds_after_unpacking_and_is_inclusive() {
        let packed = gzip(&[b'x'; 1000]);
        assert_eq!(ContentEncoding::Gzip.unpack(&packed, 1000).unwrap().len(), 1000);
        let code = |limit| ContentEncoding::Gzip.unpack(&packed, limit).unwrap_err().code();
        assert_eq!(code(999), ErrorCode::BodyTooLarge);
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(ContentEncoding::Gzip.unpack(&bomb, 1000).unwrap_err().code(), ErrorCode::BodyTooLarge);
    }

    #[test]
    fn broken_packing_is_said() {
        let mut packed = gzip(b"hello");
        packed.truncate(12);
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd] {
            assert_eq!(encoding.unpack(&packed, 1000).unwrap_err().code(), ErrorCode::InvalidBody, "{encoding:?}");
        }
    }

    #[test]
    fn a_zstd_window_beyond_eight_mebibytes_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&vec![7; 3 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(ContentEncoding::Zstd.unpack(&packed, 1000).unwrap_err().code(), ErrorCode::InvalidBody);
        let small = zstd::stream::encode_all(&b"hello"[..], 3).unwrap();
        assert_eq!(ContentEncoding::Zstd.unpack(&small, 1000).unwrap(), b"hello");
    }
}
