//! The body of a push, read and decompressed within its limits: a decompression bomb ends at the limit.

use std::io::Read;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use store::config::ByteSize;

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

/// The body as sent, at most `limit`.
pub(super) async fn read(body: Body, limit: ByteSize) -> Result<Bytes, PushError> {
    let most = usize::try_from(limit.0).unwrap_or(usize::MAX);
    axum::body::to_bytes(body, most).await.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if too_large {
            PushError::BodyTooLarge { limit }
        } else {
            PushError::Bad(format!("cannot read the body: {error}"))
        }
    })
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
