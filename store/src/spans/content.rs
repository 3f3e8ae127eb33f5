//! What a span's row holds beside its columns: tags and body, one zstd frame (docs/on-disk-format.md).

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{MAX_SPAN_BYTES, SpanRow};
use crate::error::StoreError;
use crate::payload::{put_bytes, put_varint, take_bytes, take_varint};

/// The frame's level: a span is some hundred bytes, more effort finds nothing more.
const ZSTD_LEVEL: i32 = 1;
/// What the number and lengths of tags may add to [`MAX_SPAN_BYTES`].
const MAX_CONTENT_BYTES: usize = 2 * MAX_SPAN_BYTES;

/// Hash of a tag, as in the table `span_tags`.
pub(super) fn tag_hash(name: &str, value: &str) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(name.as_bytes());
    hash.update(&[0]);
    hash.update(value.as_bytes());
    hash.digest().cast_signed()
}

/// A span ready to be stored.
#[derive(Debug)]
pub(crate) struct EncodedSpan {
    pub(super) row: SpanRow,
    pub(super) checksum: i64,
    pub(super) content: Vec<u8>,
}

/// Encodes spans one after the other with one compression context.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, raw: Vec::new() })
    }

    /// Fails on a span of more than [`MAX_SPAN_BYTES`].
    pub(crate) fn encode(&mut self, row: SpanRow) -> Result<EncodedSpan, StoreError> {
        let bytes = row.body.len() + row.tags.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        if bytes > MAX_SPAN_BYTES {
            return Err(StoreError::SpanTooLarge { bytes, limit: MAX_SPAN_BYTES });
        }
        self.raw.clear();
        put_varint(&mut self.raw, row.tags.len() as u64);
        for (name, value) in &row.tags {
            put_bytes(&mut self.raw, name.as_bytes());
            put_bytes(&mut self.raw, value.as_bytes());
        }
        self.raw.extend_from_slice(&row.body);
        let content = self
            .compressor
            .compress(&self.raw)
            .map_err(|e| StoreError::Damaged { what: format!("a span that cannot be compressed: {e}") })?;
        Ok(EncodedSpan { checksum: checksum(&row, &self.raw), row, content })
    }
}

/// Checksum of all that is stored of a span but its ids: equal for spans that are the same.
fn checksum(row: &SpanRow, raw: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&xxh3_64(row.service.as_bytes()).to_le_bytes());
    hash.update(&xxh3_64(row.operation.as_bytes()).to_le_bytes());
    hash.update(&[row.kind, u8::from(row.error)]);
    hash.update(&row.start_ns.to_le_bytes());
    hash.update(&row.end_ns.to_le_bytes());
    hash.update(raw);
    hash.digest().cast_signed()
}

/// Fills in tags and body of a span whose other fields come from the columns; `None` when something does not
/// fit the checksum.
pub(super) fn decode(mut row: SpanRow, content: &[u8], expected: i64) -> Option<SpanRow> {
    let raw = unpack(content)?;
    if checksum(&row, &raw) != expected {
        return None;
    }
    let mut rest = raw.as_slice();
    row.tags = take_tags(&mut rest)?;
    row.body = rest.to_vec();
    Some(row)
}

/// The tags alone.
pub(super) fn decode_tags(content: &[u8]) -> Option<Vec<(String, String)>> {
    take_tags(&mut unpack(content)?.as_slice())
}

fn unpack(content: &[u8]) -> Option<Vec<u8>> {
    let len = zstd::zstd_safe::get_frame_content_size(content).ok()??;
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_CONTENT_BYTES)?;
    crate::block::unpack(content, len).ok()
}

fn take_tags(rest: &mut &[u8]) -> Option<Vec<(String, String)>> {
    let count = take_varint(rest)?;
    let mut tags = Vec::new();
    for _ in 0..count {
        let name = std::str::from_utf8(take_bytes(rest)?).ok()?;
        let value = std::str::from_utf8(take_bytes(rest)?).ok()?;
        tags.push((name.to_owned(), value.to_owned()));
    }
    Some(tags)
}
