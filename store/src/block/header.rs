//! The self-describing header of a block: what the block holds, and where each column lies.
//!
//! The columns follow the header in the order of its directory. The same [`BlockMeta`] stands in the
//! footer of the part; a part whose footer is lost is read through the headers alone.

use std::sync::Arc;

use super::dictionary::TemplatesOf;
use super::encode::code;
use super::shapes::value_code;
use super::wire::{Input, Malformed, put_bytes, put_signed, put_varint};
use crate::record::Labels;
use crate::{Level, Origin, StreamId};

/// Newest format this build reads, and the one it writes. Each column names the oldest format that can
/// read it, so a new encoding leaves blocks that do not use it readable by older builds.
pub(crate) const FORMAT: u32 = 5;

/// Most records in a block, as a bound for readers. The writer stays below it (`BLOCK_RECORDS`).
pub(crate) const MAX_RECORDS: u32 = 1 << 16;

/// Most bytes of a column before compression, as a bound for readers: twice the largest record and block.
pub(crate) const MAX_COLUMN_BYTES: u32 = 128 << 20;

/// What is known about a block without reading its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    /// Stream of all records.
    pub(crate) stream: StreamId,
    /// The stream's labels.
    pub(crate) labels: Arc<Labels>,
    /// Number of records, at least one.
    pub(crate) records: u32,
    /// Bytes of the lines, without separators.
    pub(crate) line_bytes: u64,
    /// Time of the earliest record.
    pub(crate) min_ns: i64,
    /// Time of the latest record.
    pub(crate) max_ns: i64,
    /// Lowest commit that holds one of the records.
    pub(crate) min_seq: u64,
    /// Records by level code.
    pub(crate) level_counts: [u32; Level::COUNT],
    /// The block's words hold every run of letters inside its ids too (see `token`).
    pub(crate) runs_complete: bool,
}

impl BlockMeta {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.stream.0);
        put_varint(out, self.labels.len() as u64);
        for (name, value) in self.labels.iter() {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
        put_varint(out, u64::from(self.records));
        put_varint(out, self.line_bytes);
        put_signed(out, self.min_ns);
        put_signed(out, self.max_ns);
        put_varint(out, self.min_seq);
        put_varint(out, Level::COUNT as u64);
        for count in self.level_counts {
            put_varint(out, u64::from(count));
        }
        out.push(u8::from(self.runs_complete));
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let stream = StreamId(input.varint("stream")?);
        let mut labels = Vec::new();
        for _ in 0..input.varint("number of labels")? {
            labels.push((input.str("label name")?, input.str("label value")?));
        }
        let records = input.varint_u32("number of records")?;
        if records == 0 || records > MAX_RECORDS {
            return Err(Malformed("number of records"));
        }
        let line_bytes = input.varint("bytes of lines")?;
        if line_bytes > u64::from(MAX_COLUMN_BYTES) {
            return Err(Malformed("bytes of lines"));
        }
        let (min_ns, max_ns) = (input.signed("earliest time")?, input.signed("latest time")?);
        let min_seq = input.varint("sequence number")?;
        let mut level_counts = [0; Level::COUNT];
        if input.varint("number of levels")? != Level::COUNT as u64 {
            return Err(Malformed("number of levels"));
        }
        for count in &mut level_counts {
            *count = input.varint_u32("level count")?;
        }
        let runs_complete = input.u8("flags")? & 1 == 1;
        let labels = Arc::new(Labels::new(labels));
        Ok(Self { stream, labels, records, line_bytes, min_ns, max_ns, min_seq, level_counts, runs_complete })
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Timestamps,
    Levels,
    Lines,
    /// Lengths of the lines, when a line holds `\n`.
    LineLengths,
    /// One pair of every record.
    Pair(Origin, Arc<str>),
    /// Pairs beyond the most columns a block may have.
    Overflow,
    /// That many values of lines in shapes; numbered in the order of the directory.
    Values(u32),
    /// The dictionary with this number has what columns of the block refer to. Has no bytes.
    Dictionary(u64),
    /// That many templates; in dictionaries only.
    Templates(TemplatesOf, u32),
    /// That many values, which columns of blocks refer to; in dictionaries only, numbered in the order of the directory.
    Table(u32),
}

/// How a column's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Zstd,
    /// Piece by piece, some with zstd.
    Pieces,
    /// The same, with some bytes in fewer bits.
    NarrowPieces,
}

/// Entry of the column directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnMeta {
    pub(crate) role: Role,
    /// Code of the encoding, by role (see `encode`).
    pub(crate) encoding: u8,
    /// What the encoding needs to know, such as the value of a constant.
    pub(crate) params: Vec<u8>,
    pub(crate) packing: Packing,
    /// Bytes before compression.
    pub(crate) raw_len: u32,
    /// Bytes in the file.
    pub(crate) stored_len: u32,
    /// CRC-32 of the bytes in the file.
    pub(crate) crc: u32,
}

impl ColumnMeta {
    /// The oldest format that can read the column.
    fn format(&self) -> u32 {
        match self.role {
            _ if self.packing == Packing::NarrowPieces => 5,
            _ if self.packing == Packing::Pieces => 4,
            Role::Values(_) | Role::Table(_)
                if matches!(self.encoding, value_code::DENSE_NUMBERS | value_code::PARTED) =>
            {
                4
            }
            Role::Dictionary(_) | Role::Templates(..) | Role::Table(_) => 3,
            Role::Values(_) if matches!(self.encoding, value_code::SHARED_SHAPES | value_code::SHARED) => 3,
            Role::Pair(..) if self.encoding == code::PAIR_SHARED => 3,
            Role::Pair(..) if self.encoding == code::PAIR_STAMPS => 4,
            Role::Timestamps if self.encoding == code::TIMESTAMPS_STEPS => 4,
            Role::Values(_) => 2,
            Role::Lines if self.encoding == code::LINES_SHARED_SHAPES => 3,
            Role::Lines if self.encoding == code::LINES_SHAPES => 2,
            _ => 1,
        }
    }

    /// Number of values of a value column.
    pub(crate) const fn entries(&self) -> usize {
        match self.role {
            Role::Values(entries) | Role::Table(entries) => entries as usize,
            _ => 0,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.format()));
        match &self.role {
            Role::Timestamps => out.push(1),
            Role::Levels => out.push(2),
            Role::Lines => out.push(3),
            Role::LineLengths => out.push(4),
            Role::Pair(origin, name) => {
                out.push(5);
                out.push(origin_code(*origin));
                put_bytes(out, name.as_bytes());
            }
            Role::Overflow => out.push(6),
            Role::Values(entries) => {
                out.push(7);
                put_varint(out, u64::from(*entries));
            }
            Role::Dictionary(id) => {
                out.push(8);
                put_varint(out, *id);
            }
            Role::Table(entries) => {
                out.push(11);
                put_varint(out, u64::from(*entries));
            }
            Role::Templates(of, entries) => {
                out.push(match of {
                    TemplatesOf::Lines => 9,
                    TemplatesOf::Texts => 10,
                });
                put_varint(out, u64::from(*entries));
            }
        }
        out.push(self.encoding);
        put_bytes(out, &self.params);
        out.push(match self.packing {
            Packing::Plain => 0,
            Packing::Zstd => 1,
            Packing::Pieces => 2,
            Packing::NarrowPieces => 3,
        });
        put_varint(out, u64::from(self.raw_len));
        put_varint(out, u64::from(self.stored_len));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    pub(super) fn decode(input: &mut Input<'_>) -> Result<Self, HeaderError> {
        let format = input.varint_u32("format of a column")?;
        if format > FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let role = match input.u8("role of a column")? {
            1 => Role::Timestamps,
            2 => Role::Levels,
            3 => Role::Lines,
            4 => Role::LineLengths,
            5 => {
                let origin = decode_origin(input.u8("origin of a pair")?)?;
                Role::Pair(origin, input.str("name of a pair")?.into())
            }
            6 => Role::Overflow,
            7 => Role::Values(values(input)?),
            8 => Role::Dictionary(input.varint("number of a dictionary")?),
            9 => Role::Templates(TemplatesOf::Lines, values(input)?),
            10 => Role::Templates(TemplatesOf::Texts, values(input)?),
            11 => Role::Table(values(input)?),
            _ => return Err(Malformed("role of a column").into()),
        };
        let encoding = input.u8("encoding of a column")?;
        let params = input.bytes("parameters of a column")?.to_vec();
        let packing = match input.u8("packing of a column")? {
            0 => Packing::Plain,
            1 => Packing::Zstd,
            2 => Packing::Pieces,
            3 => Packing::NarrowPieces,
            _ => return Err(Malformed("packing of a column").into()),
        };
        let raw_len = input.varint_u32("length of a column")?;
        let stored_len = input.varint_u32("stored length of a column")?;
        if raw_len > MAX_COLUMN_BYTES || stored_len > MAX_COLUMN_BYTES {
            return Err(Malformed("length of a column").into());
        }
        Ok(Self { role, encoding, params, packing, raw_len, stored_len, crc: input.u32("crc of a column")? })
    }
}

/// Number of values of a column: lines have no more of them than bytes, about.
fn values(input: &mut Input<'_>) -> Result<u32, Malformed> {
    let values = input.varint_u32("number of values")?;
    if values > MAX_COLUMN_BYTES { Err(Malformed("number of values")) } else { Ok(values) }
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Malformed(Malformed),
    /// It has a column of this newer format.
    Newer(u32),
}

impl From<Malformed> for HeaderError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The header of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) meta: BlockMeta,
    pub(crate) columns: Vec<ColumnMeta>,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.meta.encode(&mut out);
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            column.encode(&mut out);
        }
        out
    }

    /// Number of the dictionary that columns refer to.
    pub(crate) fn dictionary(&self) -> Option<u64> {
        self.columns.iter().find_map(|column| match column.role {
            Role::Dictionary(id) => Some(id),
            _ => None,
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut input = Input::new(bytes);
        let meta = BlockMeta::decode(&mut input)?;
        let mut columns = Vec::new();
        for _ in 0..input.varint("number of columns")? {
            columns.push(ColumnMeta::decode(&mut input)?);
        }
        if !input.is_empty() {
            return Err(Malformed("end of the header").into());
        }
        let pairs = columns.iter().filter_map(|column| match &column.role {
            Role::Pair(origin, name) => Some((*origin, name)),
            _ => None,
        });
        if !pairs.is_sorted_by(|a, b| a < b) {
            return Err(Malformed("order of the pairs").into());
        }
        Ok(Self { meta, columns })
    }
}

pub(crate) const fn origin_code(origin: Origin) -> u8 {
    match origin {
        Origin::Given => 0,
        Origin::Derived => 1,
    }
}

pub(crate) const fn decode_origin(code: u8) -> Result<Origin, Malformed> {
    match code {
        0 => Ok(Origin::Given),
        1 => Ok(Origin::Derived),
        _ => Err(Malformed("origin of a pair")),
    }
}
