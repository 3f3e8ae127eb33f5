//! A span as bytes: its piece of a set's content, its checksum, and the hashes it is found by
//! (docs/on-disk-format.md).

use xxhash_rust::xxh3::xxh3_64;

use super::{MAX_SPAN_BYTES, SpanRow};
use crate::error::StoreError;
use crate::payload::{put_bytes, put_varint, take_bytes, take_varint};

/// A span ready to be stored.
#[derive(Debug)]
pub(crate) struct EncodedSpan {
    /// Without tags and body, which are in `raw`.
    pub(super) row: SpanRow,
    pub(super) checksum: u64,
    /// Tags and body.
    pub(super) raw: Vec<u8>,
    /// Of its service, its operation and its tags.
    pub(super) hashes: Vec<u32>,
}

impl EncodedSpan {
    /// Fails on a span of more than [`MAX_SPAN_BYTES`].
    pub(super) fn new(mut row: SpanRow) -> Result<Self, StoreError> {
        let (tags, body) = (std::mem::take(&mut row.tags), std::mem::take(&mut row.body));
        let bytes = body.len() + tags.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        if bytes > MAX_SPAN_BYTES {
            return Err(StoreError::SpanTooLarge { bytes, limit: MAX_SPAN_BYTES });
        }
        let mut raw = Vec::with_capacity(bytes + 4 * tags.len() + 4);
        put_varint(&mut raw, tags.len() as u64);
        for (name, value) in &tags {
            put_bytes(&mut raw, name.as_bytes());
            put_bytes(&mut raw, value.as_bytes());
        }
        raw.extend_from_slice(&body);
        let hashes = hashes(&row, tags.iter().map(|(name, value)| (&**name, &**value)));
        Ok(Self { checksum: checksum(&row, &raw), raw, hashes, row })
    }
}

/// What a span is found by: its service, its operation, each of its tags.
pub(super) fn hashes<'a>(row: &SpanRow, tags: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u32> {
    let mut text = Vec::new();
    let mut hashes = vec![hash(SERVICE, &row.service, &mut text), hash(OPERATION, &row.operation, &mut text)];
    hashes.extend(tags.map(|(name, value)| hash(name, value, &mut text)));
    hashes
}

/// Under these names a service and an operation are hashed as if they were tags.
const SERVICE: &str = "service";
const OPERATION: &str = "operation";

/// Hash of a service, as in the table `span_filters`.
pub(super) fn service_hash(name: &str) -> u32 {
    hash(SERVICE, name, &mut Vec::new())
}

/// Hash of an operation.
pub(super) fn operation_hash(name: &str) -> u32 {
    hash(OPERATION, name, &mut Vec::new())
}

/// Hash of a tag.
pub(super) fn tag_hash(name: &str, value: &str) -> u32 {
    hash(name, value, &mut Vec::new())
}

/// The low half of the XXH3-64 of name, zero byte and value, put together in `text`.
fn hash(name: &str, value: &str, text: &mut Vec<u8>) -> u32 {
    text.clear();
    text.extend_from_slice(name.as_bytes());
    text.push(0);
    text.extend_from_slice(value.as_bytes());
    xxh3_64(text) as u32
}

/// Checksum of all that is stored of a span but its ids: equal for spans that are the same.
pub(super) fn checksum(row: &SpanRow, raw: &[u8]) -> u64 {
    let mut fixed = Vec::with_capacity(42);
    fixed.extend_from_slice(&xxh3_64(row.service.as_bytes()).to_le_bytes());
    fixed.extend_from_slice(&xxh3_64(row.operation.as_bytes()).to_le_bytes());
    fixed.extend_from_slice(&[row.kind, u8::from(row.error)]);
    fixed.extend_from_slice(&row.start_ns.to_le_bytes());
    fixed.extend_from_slice(&row.end_ns.to_le_bytes());
    fixed.extend_from_slice(&xxh3_64(raw).to_le_bytes());
    xxh3_64(&fixed)
}

/// Fills in tags and body of a span whose other fields are known; `None` when something does not fit the
/// checksum.
pub(super) fn decode(mut row: SpanRow, raw: &[u8], expected: u64) -> Option<SpanRow> {
    if checksum(&row, raw) != expected {
        return None;
    }
    let mut rest = raw;
    row.tags = take_tags(&mut rest)?.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    row.body = rest.to_vec();
    Some(row)
}

/// Whether a span has all these tags; not one whose tags cannot be read.
pub(super) fn has_tags(mut raw: &[u8], wanted: &[(String, String)]) -> bool {
    let Some(tags) = take_tags(&mut raw) else { return false };
    wanted.iter().all(|(name, value)| tags.contains(&(&**name, &**value)))
}

pub(super) fn take_tags<'a>(rest: &mut &'a [u8]) -> Option<Vec<(&'a str, &'a str)>> {
    let count = take_varint(rest)?;
    let mut tags = Vec::new();
    for _ in 0..count {
        let name = std::str::from_utf8(take_bytes(rest)?).ok()?;
        let value = std::str::from_utf8(take_bytes(rest)?).ok()?;
        tags.push((name, value));
    }
    Some(tags)
}
