//! A span set: spans of one trace that were stored together, one row of `span_sets` (docs/on-disk-format.md).
//!
//! The heads say what a search needs to know of each span; the content, one zstd frame, holds the rest. Sequence
//! numbers of different sets do not overlap, so that going through the sets is going through the spans.

use rusqlite::{Row, Transaction, params};
use xxhash_rust::xxh3::xxh3_64;

use super::MAX_SPAN_BYTES;
use super::encode::EncodedSpan;
use super::operations::Operations;
use crate::error::StoreError;
use crate::payload::{put_varint, take_varint};

/// The frame's level: a set is some kilobytes, more effort finds little more.
const ZSTD_LEVEL: i32 = 1;
/// Most spans of a set.
pub(super) const MAX_SPANS: usize = 128;
/// Most bytes of a set's content before it is compressed, unless its only span is larger.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// What the number and lengths of tags may add to [`MAX_SPAN_BYTES`].
const MAX_CONTENT_BYTES: usize = 2 * MAX_SPAN_BYTES;
/// What a row takes on disk beside heads and content: columns and its entry in the index, measured.
const ROW_BYTES: usize = 90;

/// The columns of a set, in the order in which [`Set::of`] takes them. The content is read on demand.
pub(super) const COLUMNS: &str =
    "seq, end_seq, trace_id, start_ns, end_ns, checksum, heads, length(content), content";
/// Place of the content among them: what is not asked for is not read from the disk.
pub(super) const CONTENT: usize = 8;

/// Compresses sets one after the other with one context.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(ZSTD_LEVEL)?))
    }

    pub(super) fn compress(&mut self, raw: &[u8]) -> Result<Vec<u8>, StoreError> {
        let fail = |e| StoreError::Damaged { what: format!("spans that cannot be compressed: {e}") };
        self.0.compress(raw).map_err(fail)
    }
}

/// What is known of a span without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) span_id: [u8; 8],
    /// Of all that is stored of the span but its ids.
    pub(super) checksum: u64,
    pub(super) operation: i64,
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    pub(super) error: bool,
    /// Bytes of its piece of the content.
    pub(super) len: usize,
}

/// A set without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// The first sequence number, and the one after the last.
    pub(super) seq: u64,
    pub(super) end_seq: u64,
    pub(super) trace_id: [u8; 16],
    /// By sequence number.
    pub(super) heads: Vec<Head>,
    /// What it takes on disk, about.
    pub(super) bytes: u64,
}

impl Set {
    /// The set of a row of [`COLUMNS`]; `None` when its heads are damaged.
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (seq, end_seq, trace_id) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (start_ns, end_ns, expected): (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let heads = row.get_ref(6)?.as_blob()?;
        if checksum(seq, end_seq, &trace_id, start_ns, end_ns, heads) != expected {
            return Ok(None);
        }
        let bytes = size(heads.len(), row.get(7)?);
        let heads = take_heads(heads, seq, start_ns);
        Ok(heads.map(|heads| Self { seq, end_seq, trace_id, heads, bytes }))
    }

    /// Each span's head and piece of the content; `None` when the content is damaged.
    pub(super) fn pieces<'a>(
        &'a self,
        content: &'a [u8],
    ) -> Option<impl Iterator<Item = (&'a Head, &'a [u8])>> {
        let sum = self.heads.iter().try_fold(0_usize, |sum, head| sum.checked_add(head.len))?;
        if content.len() != sum {
            return None;
        }
        let mut rest = content;
        Some(self.heads.iter().map(move |head| {
            let (piece, after) = rest.split_at(head.len);
            rest = after;
            (head, piece)
        }))
    }

    /// Writes it with its content, which is compressed, in place of what was stored under its first number.
    pub(super) fn put(&self, transaction: &Transaction<'_>, content: &[u8]) -> rusqlite::Result<u64> {
        let start_ns = self.heads.iter().map(|head| head.start_ns).min().unwrap_or(0);
        let end_ns = self.heads.iter().map(|head| head.end_ns).max().unwrap_or(0);
        let heads = put_heads(&self.heads, self.seq, start_ns);
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO span_sets
                     (seq, end_seq, trace_id, start_ns, end_ns, checksum, heads, content)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.seq,
                self.end_seq,
                self.trace_id,
                start_ns,
                end_ns,
                checksum(self.seq, self.end_seq, &self.trace_id, start_ns, end_ns, &heads),
                heads,
                content,
            ])?;
        Ok(size(heads.len(), content.len()))
    }
}

/// Spans of one trace that make a set: bounded in number and bytes.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) spans: Vec<EncodedSpan>,
    /// Compressed.
    pub(super) content: Vec<u8>,
}

impl Packed {
    /// The sets that hold these spans.
    pub(super) fn all(spans: Vec<EncodedSpan>, compressor: &mut Compressor) -> Result<Vec<Self>, StoreError> {
        let (mut sets, mut raw, mut packed) = (Vec::new(), Vec::new(), Vec::new());
        for span in spans {
            if !packed.is_empty() && (packed.len() >= MAX_SPANS || raw.len() + span.raw.len() > MAX_BYTES) {
                let content = compressor.compress(&raw)?;
                sets.push(Self { spans: std::mem::take(&mut packed), content });
                raw.clear();
            }
            raw.extend_from_slice(&span.raw);
            packed.push(span);
        }
        if !packed.is_empty() {
            sets.push(Self { spans: packed, content: compressor.compress(&raw)? });
        }
        Ok(sets)
    }

    /// The set, its first span under number `seq`.
    pub(super) fn numbered(
        &self,
        seq: u64,
        trace_id: [u8; 16],
        operations: &mut Operations,
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<Set> {
        let mut heads = Vec::with_capacity(self.spans.len());
        for (seq, span) in (seq..).zip(&self.spans) {
            heads.push(Head {
                seq,
                span_id: span.row.span_id,
                checksum: span.checksum,
                operation: operations.number(transaction, &span.row)?,
                start_ns: span.row.start_ns,
                end_ns: span.row.end_ns,
                error: span.row.error,
                len: span.raw.len(),
            });
        }
        let end_seq = seq + heads.len() as u64;
        Ok(Set { seq, end_seq, trace_id, heads, bytes: 0 })
    }
}

/// A set's content, unpacked; `None` when it is damaged.
pub(super) fn unpack(content: &[u8]) -> Option<Vec<u8>> {
    let len = zstd::zstd_safe::get_frame_content_size(content).ok()??;
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_CONTENT_BYTES)?;
    crate::block::unpack(content, len).ok()
}

fn size(heads: usize, content: usize) -> u64 {
    (ROW_BYTES + heads + content) as u64
}

fn checksum(seq: u64, end_seq: u64, trace_id: &[u8; 16], start_ns: i64, end_ns: i64, heads: &[u8]) -> i64 {
    let mut fixed = [0; 56];
    fixed[..8].copy_from_slice(&seq.to_le_bytes());
    fixed[8..16].copy_from_slice(&end_seq.to_le_bytes());
    fixed[16..24].copy_from_slice(&start_ns.to_le_bytes());
    fixed[24..32].copy_from_slice(&end_ns.to_le_bytes());
    fixed[32..48].copy_from_slice(trace_id);
    fixed[48..].copy_from_slice(&xxh3_64(heads).to_le_bytes());
    xxh3_64(&fixed).cast_signed()
}

fn put_heads(heads: &[Head], first_seq: u64, start_ns: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(heads.len() * 40 + 2);
    put_varint(&mut out, heads.len() as u64);
    for head in heads {
        put_varint(&mut out, head.seq - first_seq);
        out.extend_from_slice(&head.span_id);
        out.extend_from_slice(&head.checksum.to_le_bytes());
        put_varint(&mut out, head.operation.cast_unsigned());
        put_varint(&mut out, head.start_ns.wrapping_sub(start_ns).cast_unsigned());
        put_varint(&mut out, head.end_ns.wrapping_sub(head.start_ns).cast_unsigned());
        out.push(u8::from(head.error));
        put_varint(&mut out, head.len as u64);
    }
    out
}

fn take_heads(mut rest: &[u8], first_seq: u64, set_start_ns: i64) -> Option<Vec<Head>> {
    let rest = &mut rest;
    let count = take_varint(rest)?;
    let mut heads = Vec::with_capacity(usize::try_from(count).ok()?.min(MAX_SPANS));
    for _ in 0..count {
        let seq = first_seq.checked_add(take_varint(rest)?)?;
        let span_id = take_array(rest)?;
        let checksum = u64::from_le_bytes(take_array(rest)?);
        let operation = take_varint(rest)?.cast_signed();
        let start_ns = set_start_ns.wrapping_add(take_varint(rest)?.cast_signed());
        let end_ns = start_ns.wrapping_add(take_varint(rest)?.cast_signed());
        let [error] = take_array(rest)?;
        let len = usize::try_from(take_varint(rest)?).ok()?;
        heads.push(Head { seq, span_id, checksum, operation, start_ns, end_ns, error: error != 0, len });
    }
    rest.is_empty().then_some(heads)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_head() -> impl Strategy<Value = Head> {
        (any::<[u8; 8]>(), any::<u64>(), 1..1000_i64, any::<i64>(), 0..i64::MAX, any::<bool>(), 0..5000_usize)
            .prop_map(|(span_id, checksum, operation, start_ns, duration, error, len)| Head {
                seq: 0,
                span_id,
                checksum,
                operation,
                start_ns,
                end_ns: start_ns.saturating_add(duration),
                error,
                len,
            })
    }

    proptest! {
        #[test]
        fn heads_read_back_and_broken_ones_are_no_panic(
            mut heads in prop::collection::vec(any_head(), 0..9),
            first in 0..u64::MAX / 2,
            cut in any::<prop::sample::Index>(),
        ) {
            for (seq, head) in (first..).zip(&mut heads) {
                head.seq = seq;
            }
            let start_ns = heads.iter().map(|head| head.start_ns).min().unwrap_or(0);
            let bytes = put_heads(&heads, first, start_ns);
            prop_assert_eq!(take_heads(&bytes, first, start_ns), Some(heads));
            prop_assert_eq!(take_heads(&bytes[..cut.index(bytes.len())], first, start_ns), None);
        }
    }
}
