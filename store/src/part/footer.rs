//! The fixed and the repeated pieces of a part file: preamble, directory, trailer.

use super::dictionaries::DictionaryPlace;
use super::groups::Groups;
use super::{PartId, Place};
use crate::TimeRange;
use crate::block::{BlockMeta, FORMAT, HeaderError, Input, Malformed, Summary, crc, put_varint};

const PART_MAGIC: [u8; 8] = *b"BINNACLE";
const TRAILER_MAGIC: [u8; 8] = *b"BNTRAIL1";

/// Bytes of the preamble: magic, format u32, part id u64, window's two ends i64, CRC u32.
pub(super) const PREAMBLE_LEN: usize = 8 + 4 + 8 + 8 + 8 + 4;

/// Bytes of the trailer: footer's place u64, length u32, length before compression u32, CRC u32, magic.
pub(super) const TRAILER_LEN: usize = 8 + 4 + 4 + 4 + 4 + 8;

/// Most bytes of a directory before compression: a bound for readers, some hundred thousand blocks.
pub(super) const MAX_FOOTER_BYTES: u32 = 256 << 20;

/// The file's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) id: PartId,
    pub(super) window: TimeRange,
}

impl Preamble {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREAMBLE_LEN);
        out.extend_from_slice(&PART_MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.window.start_ns.to_le_bytes());
        out.extend_from_slice(&self.window.end_ns.to_le_bytes());
        let crc = crc(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut input = Input::new(bytes);
        if input.take(8, "magic")? != PART_MAGIC {
            return Err(Malformed("not a part file").into());
        }
        let format = input.u32("format")?;
        let id = PartId(input.u64("part id")?);
        let window = TimeRange { start_ns: input.i64("window")?, end_ns: input.i64("window")? };
        // The checksum comes first: a flipped bit must not pass for a newer format.
        if input.u32("crc")? != crc(&bytes[..PREAMBLE_LEN - 4]) {
            return Err(Malformed("checksum of the preamble").into());
        }
        if format > FORMAT {
            return Err(HeaderError::Newer(format));
        }
        Ok(Self { id, window })
    }
}

/// The file's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) footer_at: u64,
    pub(super) footer_len: u32,
    pub(super) footer_raw_len: u32,
    pub(super) footer_crc: u32,
}

impl Trailer {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRAILER_LEN);
        out.extend_from_slice(&self.footer_at.to_le_bytes());
        out.extend_from_slice(&self.footer_len.to_le_bytes());
        out.extend_from_slice(&self.footer_raw_len.to_le_bytes());
        out.extend_from_slice(&self.footer_crc.to_le_bytes());
        let crc = crc(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let trailer = Self {
            footer_at: input.u64("trailer")?,
            footer_len: input.u32("trailer")?,
            footer_raw_len: input.u32("trailer")?,
            footer_crc: input.u32("trailer")?,
        };
        let crc_found = input.u32("trailer")?;
        if input.rest() != TRAILER_MAGIC || crc_found != crc(&bytes[..TRAILER_LEN - 12]) {
            return Err(Malformed("checksum of the trailer"));
        }
        if trailer.footer_raw_len > MAX_FOOTER_BYTES {
            return Err(Malformed("length of the directory"));
        }
        Ok(trailer)
    }
}

/// The directory of a part's blocks and dictionaries.
#[derive(Debug, Default)]
pub(super) struct Footer {
    pub(super) blocks: Vec<BlockMeta>,
    pub(super) places: Vec<Place>,
    pub(super) dictionaries: Vec<DictionaryPlace>,
    /// What each block cannot hold, where that is known; empty where it is of none.
    pub(super) summaries: Vec<Option<Box<Summary>>>,
    pub(super) groups: Groups,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.blocks.len() as u64);
        for (meta, place) in self.blocks.iter().zip(&self.places) {
            meta.encode(&mut out);
            put_varint(&mut out, place.at);
            put_varint(&mut out, u64::from(place.header_len));
            put_varint(&mut out, place.columns_len);
            put_varint(&mut out, place.filter_at);
            put_varint(&mut out, u64::from(place.filter_len));
        }
        put_varint(&mut out, self.dictionaries.len() as u64);
        for place in &self.dictionaries {
            put_varint(&mut out, place.id);
            put_varint(&mut out, place.at);
            put_varint(&mut out, u64::from(place.header_len));
            put_varint(&mut out, place.columns_len);
        }
        for summary in &self.summaries {
            match summary {
                Some(summary) => summary.encode(&mut out),
                None => Summary::encode_unknown(&mut out),
            }
        }
        self.groups.encode(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let mut footer = Self::default();
        for _ in 0..input.varint("number of blocks")? {
            let mut meta = BlockMeta::decode(&mut input)?;
            // Most blocks of a part are of few streams: share their labels.
            if let Some(same) = footer.blocks.iter().rev().take(64).find(|b| b.labels == meta.labels) {
                meta.labels = same.labels.clone();
            }
            footer.blocks.push(meta);
            footer.places.push(Place {
                at: input.varint("place of a block")?,
                header_len: input.varint_u32("length of a header")?,
                columns_len: input.varint("length of columns")?,
                filter_at: input.varint("place of a filter")?,
                filter_len: input.varint_u32("length of a filter")?,
            });
        }
        // Before format 3 there are none.
        let dictionaries = if input.is_empty() { 0 } else { input.varint("number of dictionaries")? };
        for _ in 0..dictionaries {
            footer.dictionaries.push(DictionaryPlace {
                id: input.varint("number of a dictionary")?,
                at: input.varint("place of a dictionary")?,
                header_len: input.varint_u32("length of a header")?,
                columns_len: input.varint("length of columns")?,
            });
        }
        if !input.is_empty() {
            for _ in 0..footer.blocks.len() {
                footer.summaries.push(Summary::decode(&mut input)?.map(Box::new));
            }
        }
        if !input.is_empty() {
            footer.groups = Groups::decode(&mut input, footer.blocks.len())?;
        }
        if input.is_empty() { Ok(footer) } else { Err(Malformed("end of the directory")) }
    }
}
