//! Records as bytes, for the catalog's batches: fast to write, read back only after a restart or by another
//! process, gone once the records are in blocks.
//!
//! A payload is one version byte, the raw length (u32, little endian) and one zstd frame over the sections
//! described in docs/on-disk-format.md. Integers are LEB128 varints, signed ones zigzagged. Streams are
//! numbers of the catalog. The checksum is kept outside, in the row.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::hash::PointerHasher;
use crate::record::{Labels, Pair, Record, StreamId};
use crate::{Level, Origin};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
/// The frame's level: the payload lives for a minute, so speed counts.
const ZSTD_LEVEL: i32 = 1;

/// Writes payloads; keeps its buffers from one to the next.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    frame: Vec<u8>,
    pairs: Vec<u8>,
    pair_ids: HashMap<(Origin, usize, usize), u64, BuildHasherDefault<PointerHasher>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            raw: Vec::new(),
            frame: Vec::new(),
            pairs: Vec::new(),
            pair_ids: HashMap::default(),
        })
    }

    /// The payload of `records`; `streams` has the stream of each. Fails when they have 4 GiB or more.
    pub(crate) fn encode(&mut self, records: &[Record], streams: &[StreamId]) -> std::io::Result<Vec<u8>> {
        self.raw.clear();
        put_varint(&mut self.raw, records.len() as u64);
        for stream in streams {
            put_varint(&mut self.raw, stream.0);
        }
        let mut last_ns = 0_i64;
        for record in records {
            put_varint(&mut self.raw, zigzag(record.timestamp_ns.wrapping_sub(last_ns)));
            last_ns = record.timestamp_ns;
        }
        for record in records {
            self.raw.push(record.level as u8);
        }
        self.put_pairs(records);
        for record in records {
            put_varint(&mut self.raw, record.line.len() as u64);
        }
        for record in records {
            self.raw.extend_from_slice(&record.line);
        }
        let raw_len = u32::try_from(self.raw.len()).map_err(std::io::Error::other)?;
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor.compress_to_buffer(&self.raw, &mut self.frame)?;
        let mut payload = Vec::with_capacity(HEADER_BYTES + self.frame.len());
        payload.push(VERSION);
        payload.extend_from_slice(&raw_len.to_le_bytes());
        payload.extend_from_slice(&self.frame);
        Ok(payload)
    }

    /// The distinct pairs, then the numbers of each record's pairs. Records share most pairs by reference, so
    /// pairs are told apart by address: a pair that occurs at two addresses is merely written twice.
    fn put_pairs(&mut self, records: &[Record]) {
        self.pairs.clear();
        self.pair_ids.clear();
        let mut table = Vec::new();
        for record in records {
            put_varint(&mut self.pairs, record.pairs.len() as u64);
            for pair in &record.pairs {
                let key = (pair.origin, pair.name.as_ptr().addr(), pair.value.as_ptr().addr());
                let next = self.pair_ids.len() as u64;
                let id = *self.pair_ids.entry(key).or_insert_with(|| {
                    table.push(pair);
                    next
                });
                put_varint(&mut self.pairs, id);
            }
        }
        put_varint(&mut self.raw, table.len() as u64);
        for pair in table {
            self.raw.push(match pair.origin {
                Origin::Given => 0,
                Origin::Derived => 1,
            });
            put_bytes(&mut self.raw, pair.name.as_bytes());
            put_bytes(&mut self.raw, pair.value.as_bytes());
        }
        self.raw.extend_from_slice(&self.pairs);
    }
}

/// Checksum of a payload.
pub(crate) fn checksum(payload: &[u8]) -> i64 {
    xxh3_64(payload).cast_signed()
}

/// Why a payload cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it has version {0}, which this binnacle does not know")]
    Version(u8),
    #[error("its contents are not what was written")]
    Contents,
    #[error("it names stream {0}, which the catalog does not have")]
    Stream(u64),
}

/// The records of a payload and their streams.
pub(crate) fn decode(
    payload: &[u8],
    expected_checksum: i64,
    labels_of: impl Fn(StreamId) -> Option<Arc<Labels>>,
) -> Result<(Vec<Record>, Vec<StreamId>), PayloadError> {
    if checksum(payload) != expected_checksum {
        return Err(PayloadError::Checksum);
    }
    let (header, frame) = payload.split_at_checked(HEADER_BYTES).ok_or(PayloadError::Contents)?;
    if header[0] != VERSION {
        return Err(PayloadError::Version(header[0]));
    }
    let raw_len = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    let raw = zstd::bulk::decompress(frame, raw_len).map_err(|_| PayloadError::Contents)?;
    let sections = Sections::read(&raw).ok_or(PayloadError::Contents)?;
    sections.records(&Bytes::from(raw), labels_of)
}

/// The parts of a payload before they are put together to records.
struct Sections {
    streams: Vec<StreamId>,
    timestamps: Vec<i64>,
    levels: Vec<Level>,
    pairs: Vec<Vec<Pair>>,
    line_lens: Vec<usize>,
    /// Where the lines begin in the raw bytes.
    lines_at: usize,
}

impl Sections {
    fn read(raw: &[u8]) -> Option<Self> {
        let mut rest = raw;
        let count = usize::try_from(take_varint(&mut rest)?).ok()?;
        // Each record has at least one byte, so a wrong count cannot make us reserve much.
        if count > rest.len() {
            return None;
        }
        let streams = (0..count).map(|_| take_varint(&mut rest).map(StreamId)).collect::<Option<_>>()?;
        let mut last_ns = 0_i64;
        let mut timestamps = Vec::with_capacity(count);
        for _ in 0..count {
            last_ns = last_ns.wrapping_add(unzigzag(take_varint(&mut rest)?));
            timestamps.push(last_ns);
        }
        let (levels, after) = rest.split_at_checked(count)?;
        rest = after;
        let levels = levels.iter().map(|code| Level::from_code(*code)).collect::<Option<_>>()?;
        let table = read_pair_table(&mut rest)?;
        let pairs = (0..count).map(|_| read_pairs(&mut rest, &table)).collect::<Option<_>>()?;
        let mut line_lens = Vec::with_capacity(count);
        for _ in 0..count {
            line_lens.push(usize::try_from(take_varint(&mut rest)?).ok()?);
        }
        let total = line_lens.iter().try_fold(0_usize, |sum, len| sum.checked_add(*len))?;
        let lines_at = raw.len() - rest.len();
        (total == rest.len()).then_some(Self { streams, timestamps, levels, pairs, line_lens, lines_at })
    }

    fn records(
        self,
        raw: &Bytes,
        labels_of: impl Fn(StreamId) -> Option<Arc<Labels>>,
    ) -> Result<(Vec<Record>, Vec<StreamId>), PayloadError> {
        let mut records = Vec::with_capacity(self.streams.len());
        let mut line_at = self.lines_at;
        let mut known: HashMap<StreamId, Arc<Labels>> = HashMap::new();
        for (i, pairs) in self.pairs.into_iter().enumerate() {
            let stream = self.streams[i];
            let labels = match known.get(&stream) {
                Some(labels) => Arc::clone(labels),
                None => {
                    let labels = labels_of(stream).ok_or(PayloadError::Stream(stream.0))?;
                    known.insert(stream, Arc::clone(&labels));
                    labels
                }
            };
            let line = raw.slice(line_at..line_at + self.line_lens[i]);
            line_at += self.line_lens[i];
            let timestamp_ns = self.timestamps[i];
            records.push(Record { timestamp_ns, labels, line, level: self.levels[i], pairs });
        }
        Ok((records, self.streams))
    }
}

fn read_pair_table(rest: &mut &[u8]) -> Option<Vec<Pair>> {
    let count = take_varint(rest)?;
    let mut names: HashMap<&str, Arc<str>> = HashMap::new();
    let mut table = Vec::new();
    for _ in 0..count {
        let (origin, after) = rest.split_first()?;
        *rest = after;
        let origin = match origin {
            0 => Origin::Given,
            1 => Origin::Derived,
            _ => return None,
        };
        let name = std::str::from_utf8(take_bytes(rest)?).ok()?;
        let value = std::str::from_utf8(take_bytes(rest)?).ok()?;
        let name = Arc::clone(names.entry(name).or_insert_with(|| name.into()));
        table.push(Pair { origin, name, value: value.into() });
    }
    Some(table)
}

fn read_pairs(rest: &mut &[u8], table: &[Pair]) -> Option<Vec<Pair>> {
    let count = usize::try_from(take_varint(rest)?).ok()?;
    if count > rest.len() {
        return None;
    }
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push(table.get(usize::try_from(take_varint(rest)?).ok()?)?.clone());
    }
    Some(pairs)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends a LEB128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What [`put_varint`] wrote, `None` when it is cut short.
pub(crate) fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends `bytes` after their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What [`put_bytes`] wrote, `None` when `rest` is too short.
pub(crate) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let pair = (any::<bool>(), "[a-c]{1,2}", ".{0,5}").prop_map(|(given, name, value)| Pair {
            origin: if given { Origin::Given } else { Origin::Derived },
            name: name.into(),
            value: value.into(),
        });
        (
            any::<i64>(),
            prop::collection::vec(any::<u8>(), 0..50),
            0..Level::COUNT,
            prop::collection::vec(pair, 0..4),
        )
            .prop_map(|(timestamp_ns, line, level, pairs)| Record {
                timestamp_ns,
                labels: Arc::new(Labels::new([("a", "1")])),
                line: line.into(),
                level: Level::ALL[level],
                pairs,
            })
    }

    proptest! {
        #[test]
        fn a_payload_reads_back_as_written(records in prop::collection::vec(record(), 0..40)) {
            let streams: Vec<StreamId> = (0..records.len() as u64).map(|i| StreamId(i % 3 + 1)).collect();
            let payload = Encoder::new().unwrap().encode(&records, &streams).unwrap();
            let labels = Arc::new(Labels::new([("a", "1")]));
            let read = decode(&payload, checksum(&payload), |_| Some(Arc::clone(&labels))).unwrap();
            prop_assert_eq!(read, (records, streams));
        }

        #[test]
        fn hostile_bytes_are_an_error_and_no_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
            compress in any::<bool>(),
        ) {
            if compress {
                let mut payload = vec![VERSION];
                payload.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                payload.extend_from_slice(&zstd::bulk::compress(&bytes, 1).unwrap());
                bytes = payload;
            }
            match decode(&bytes, checksum(&bytes), |_| Some(Arc::default())) {
                Ok((records, streams)) => prop_assert_eq!(records.len(), streams.len()),
                Err(e) => prop_assert_ne!(e, PayloadError::Checksum),
            }
        }
    }

    #[test]
    fn a_changed_payload_does_not_match_its_checksum() {
        let mut payload = Encoder::new().unwrap().encode(&[], &[]).unwrap();
        let sum = checksum(&payload);
        payload[1] ^= 1;
        assert_eq!(decode(&payload, sum, |_| None).unwrap_err(), PayloadError::Checksum);
    }
}
