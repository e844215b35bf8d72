//! The body of a batch as it comes, and as it is meant.

use std::io;

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::stream::{MapErr, TryStreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use crate::api::extract::{ContentEncoding, ZSTD_WINDOW_LOG};

/// The bytes as they come.
pub(super) type Packed = StreamReader<MapErr<BodyDataStream, fn(axum::Error) -> io::Error>, Bytes>;

pub(super) fn packed(body: Body) -> Packed {
    let failed: fn(axum::Error) -> io::Error = io::Error::other;
    StreamReader::new(body.into_data_stream().map_err(failed))
}

pub(super) enum Unpacker {
    Plain(Packed),
    Gzip(GzipDecoder<Packed>),
    Zstd(ZstdDecoder<Packed>),
}

impl Unpacker {
    /// Gzip and zstd are unpacked, several of them one behind the other too; whoever packs in another way is refused
    /// before.
    pub(super) fn new(encoding: ContentEncoding, packed: Packed) -> Self {
        match encoding {
            ContentEncoding::Gzip => {
                let mut decoder = GzipDecoder::new(packed);
                decoder.multiple_members(true);
                Self::Gzip(decoder)
            }
            ContentEncoding::Zstd => {
                let mut decoder = ZstdDecoder::with_params(packed, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
                decoder.multiple_members(true);
                Self::Zstd(decoder)
            }
            ContentEncoding::Identity | ContentEncoding::Deflate | ContentEncoding::Brotli => Self::Plain(packed),
        }
    }

    pub(super) fn unpacked(&mut self) -> &mut (dyn AsyncRead + Send + Unpin) {
        match self {
            Self::Plain(packed) => packed,
            Self::Gzip(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    pub(super) fn packed(&mut self) -> &mut Packed {
        match self {
            Self::Plain(packed) => packed,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    /// How much of what was unpacked is kept, to refer back to.
    pub(super) fn keeps(&self, unpacked: usize) -> usize {
        match self {
            Self::Plain(_) | Self::Gzip(_) => 0,
            Self::Zstd(_) => unpacked.min(1 << ZSTD_WINDOW_LOG),
        }
    }
}
