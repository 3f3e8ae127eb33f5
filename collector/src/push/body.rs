//! The body of a push, read and decompressed within its limits: a decompression bomb ends at the limit.
//!
//! All bodies that are held share one bound. Nobody waits for it: waiting senders would hold what they have sent
//! already, and could block one another.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use store::config::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::PushError;

/// `Content-Encoding` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Snappy,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, PushError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match value.to_str().unwrap_or("?").trim() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "snappy" => Ok(Self::Snappy),
            other => Err(PushError::ContentEncoding(other.to_owned())),
        }
    }
}

/// The unit in which the memory of bodies is counted. Each body takes one at least, so that this bounds their number too.
const PAGE_BYTES: usize = 4 << 10;

/// Memory for the bodies that are being received or wait for their turn.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pages: Arc<Semaphore>,
    bytes: ByteSize,
}

/// A whole body, and its share of [`Space`] until it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Space {
    /// Room for so many bodies of the largest size.
    pub(super) fn new(bodies: usize, largest: ByteSize) -> Self {
        let bytes = largest.0.saturating_mul(bodies as u64);
        let pages = usize::try_from(bytes.div_ceil(PAGE_BYTES as u64)).unwrap_or(usize::MAX);
        Self { pages: Arc::new(Semaphore::new(pages.min(Semaphore::MAX_PERMITS))), bytes: ByteSize(bytes) }
    }

    /// The body as sent, at most `limit`, when it is here within `wait`.
    pub(super) async fn receive(
        &self,
        body: Body,
        limit: ByteSize,
        wait: Duration,
    ) -> Result<Received, PushError> {
        // What says that it is too large is not read.
        if body.size_hint().lower() > limit.0 {
            return Err(PushError::BodyTooLarge { limit });
        }
        let received = tokio::time::timeout(wait, self.read(body, limit)).await;
        received.map_err(|_| PushError::BodyLate(wait))?
    }

    async fn read(&self, body: Body, limit: ByteSize) -> Result<Received, PushError> {
        let mut share = self.take(1)?;
        let mut bytes = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| PushError::Bad(format!("cannot read the body: {e}")))?;
            let length = bytes.len() + chunk.len();
            if length as u64 > limit.0 {
                return Err(PushError::BodyTooLarge { limit });
            }
            let missing = length.div_ceil(PAGE_BYTES).saturating_sub(share.num_permits());
            if missing > 0 {
                share.merge(self.take(missing)?);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Received { bytes: bytes.freeze(), _share: share })
    }

    fn take(&self, pages: usize) -> Result<OwnedSemaphorePermit, PushError> {
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        Arc::clone(&self.pages).try_acquire_many_owned(pages).map_err(|_| PushError::NoSpace(self.bytes))
    }
}

/// The body as meant, at most `limit` at each step. `snappy` says that it is a snappy block inside, as Loki's
/// protobuf always is: with `gzip` around it, it is unpacked twice.
pub(super) fn decompress(
    body: Bytes,
    encoding: Encoding,
    snappy: bool,
    limit: ByteSize,
) -> Result<Bytes, PushError> {
    let body = match encoding {
        Encoding::Snappy if snappy => body,
        Encoding::Snappy => unsnap(&body, limit)?,
        Encoding::Identity if body.len() as u64 > limit.0 => {
            return Err(PushError::DecodedTooLarge { limit });
        }
        Encoding::Identity => body,
        Encoding::Gzip => inflate(flate2::read::MultiGzDecoder::new(&body[..]), "gzip", limit)?,
        // "deflate" means zlib's format; some senders leave its header out.
        Encoding::Deflate if body.first().is_some_and(|b| b & 0x0f == 8) => {
            inflate(flate2::read::ZlibDecoder::new(&body[..]), "deflate", limit)?
        }
        Encoding::Deflate => inflate(flate2::read::DeflateDecoder::new(&body[..]), "deflate", limit)?,
    };
    if snappy { unsnap(&body, limit) } else { Ok(body) }
}

/// The length of the body as meant, where that can be told without unpacking it.
pub(super) fn decompressed_len(body: &[u8], encoding: Encoding, snappy: bool) -> Option<usize> {
    match encoding {
        Encoding::Identity if !snappy => Some(body.len()),
        Encoding::Identity | Encoding::Snappy => snap::raw::decompress_len(body).ok(),
        Encoding::Gzip | Encoding::Deflate => None,
    }
}

fn inflate(reader: impl Read, name: &str, limit: ByteSize) -> Result<Bytes, PushError> {
    let mut out = Vec::new();
    let mut reader = reader.take(limit.0.saturating_add(1));
    reader.read_to_end(&mut out).map_err(|e| PushError::Bad(format!("the body is no {name}: {e}")))?;
    if out.len() as u64 > limit.0 {
        return Err(PushError::DecodedTooLarge { limit });
    }
    Ok(out.into())
}

fn unsnap(body: &[u8], limit: ByteSize) -> Result<Bytes, PushError> {
    let wrong = |e: snap::Error| PushError::Bad(format!("the body is no snappy block: {e}"));
    // The block states its length: it is checked before anything is allocated.
    let length = snap::raw::decompress_len(body).map_err(wrong)?;
    if length as u64 > limit.0 {
        return Err(PushError::DecodedTooLarge { limit });
    }
    snap::raw::Decoder::new().decompress_vec(body).map(Bytes::from).map_err(wrong)
}
