//! Columns to bytes.
//!
//! Every encoding gives back exactly what went in; where one might not, it is not chosen.

use std::io;

use super::dense;
use super::dictionary::{self, EncodedDictionary};
use super::header::{BlockMeta, Header, Role, origin_code};
use super::lines::Lines;
use super::pack::{PackedColumns, Packer, Piece};
use super::pairs::{Overflow, Values};
use super::shapes::{self, Builder, ByteSet, Coded, Encoded, Scratch, Stamps, TableOf, Tables};
use super::wire::{put_bytes, put_signed, put_varint};
use super::{Block, BlockError, Pairs, Summary, holes};
use crate::Level;
use crate::terms::{BlockTerms, Collector};

/// Codes of the encodings, by role. Never reuse a number.
pub(crate) mod code {
    /// Differences of differences, as signed varints, over a power of ten they all divide by.
    pub(crate) const TIMESTAMPS_DELTA: u8 = 1;
    /// Differences over such a power, as `dense` numbers.
    pub(crate) const TIMESTAMPS_STEPS: u8 = 2;
    /// One code for all records, in the parameters.
    pub(crate) const LEVELS_CONSTANT: u8 = 1;
    /// One byte a record.
    pub(crate) const LEVELS_EACH: u8 = 2;
    /// The lines, each followed by `\n`.
    pub(crate) const LINES_TEXT: u8 = 1;
    /// The same with holes: the parameters name bytes that stand for the value of a pair column.
    pub(crate) const LINES_HOLES: u8 = 2;
    /// Shapes, their values in columns of their own; parameters: flags.
    pub(crate) const LINES_SHAPES: u8 = 3;
    /// The same of templates of the part's dictionary; parameters: flags, which templates.
    pub(crate) const LINES_SHARED_SHAPES: u8 = 4;
    /// Varints.
    pub(crate) const LENGTHS: u8 = 1;
    /// One value for all records, in the parameters.
    pub(crate) const PAIR_CONSTANT: u8 = 1;
    /// Values as text.
    pub(crate) const PAIR_TEXT: u8 = 2;
    /// Values of lower-case hex digits, two a byte.
    pub(crate) const PAIR_HEX: u8 = 3;
    /// UUIDs in lower case with hyphens, 16 bytes each.
    pub(crate) const PAIR_UUID: u8 = 4;
    /// Numbers of values in a table of the part's dictionary; parameters: which bytes there are, the table.
    pub(crate) const PAIR_SHARED: u8 = 5;
    /// Dates and times by their difference to the record's; parameters: how they are written.
    pub(crate) const PAIR_STAMPS: u8 = 6;
    /// Record number, origin, name and value of each.
    pub(crate) const OVERFLOW: u8 = 1;
}

/// Flags before the values of a pair column.
pub(crate) const SOME_ABSENT: u8 = 1;
pub(crate) const ONE_LENGTH: u8 = 2;

/// Fewest records whose ids go to a table, and fewest digits of them: as with shapes, few are not worth it.
const MIN_SHARED: usize = 16;
const MIN_SHARED_ID: usize = 16;

/// Flag of lines in shapes: every byte is ASCII.
pub(crate) const ASCII_LINES: u8 = 1;

/// A block as it stands in a part: header and columns.
#[derive(Debug)]
pub(crate) struct EncodedBlock {
    pub(crate) header: Header,
    pub(crate) columns: Vec<u8>,
    pub(crate) summary: Option<Summary>,
}

/// Encodes the blocks of a part one after the other, then the dictionary they share.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Number of the dictionary.
    dictionary: u64,
    packer: Packer,
    builder: Builder,
    scratch: Scratch,
}

impl Encoder {
    /// For a part whose dictionary has this number.
    pub(crate) fn new(dictionary: u64) -> io::Result<Self> {
        let (builder, scratch) = (Builder::default(), Scratch::default());
        Ok(Self { dictionary, packer: Packer::new()?, builder, scratch })
    }

    /// The dictionary of all blocks encoded so far, in pieces, if they need one. Fails when memory runs out.
    pub(crate) fn dictionary(&mut self) -> io::Result<Vec<EncodedDictionary>> {
        let Self { dictionary, packer, builder, scratch } = self;
        dictionary::encode(*dictionary, builder, scratch, packer)
    }

    /// Encodes a block, and collects its terms. Fails when the block comes from a part and cannot be read, or
    /// memory runs out.
    pub(crate) fn encode(
        &mut self,
        block: &Block,
        min_seq: u64,
        terms: &mut Collector,
    ) -> Result<(EncodedBlock, BlockTerms), BlockError> {
        let (timestamps, levels, lines, pairs) =
            (block.timestamps()?, block.levels()?, block.lines()?, block.pairs()?);
        terms.begin();
        let Self { packer, builder, scratch, dictionary } = self;
        let mut columns = Columns { packer, packed: PackedColumns::default(), is_shared: false };
        let shapes = builder.cut_lines(lines, pairs);
        columns
            .encode_small(timestamps, levels, pairs, &mut scratch.tables)
            .and_then(|()| {
                if !shapes {
                    terms.add_lines(lines, pairs);
                    return columns.encode_lines(lines, pairs);
                }
                terms.add_pairs(pairs);
                columns.encode_shapes(lines, timestamps, builder, scratch, terms)
            })
            .and_then(|()| {
                let names_it = columns.is_shared || shapes;
                if names_it { columns.add(Role::Dictionary(*dictionary), 0, Vec::new(), &[]) } else { Ok(()) }
            })
            .map_err(|source| BlockError::Io { file: "the block being written".to_owned(), source })?;
        let terms = terms.finish();
        let mut level_counts = [0; Level::COUNT];
        for level in levels {
            level_counts[*level as usize] += 1;
        }
        let meta = BlockMeta {
            stream: block.stream(),
            labels: block.labels().clone(),
            records: timestamps.len() as u32,
            line_bytes: lines.line_bytes() as u64,
            min_ns: timestamps.first().copied().unwrap_or_default(),
            max_ns: timestamps.last().copied().unwrap_or_default(),
            min_seq,
            level_counts,
            runs_complete: terms.runs_complete,
        };
        let PackedColumns { directory, bytes } = columns.packed;
        let header = Header { meta, columns: directory };
        let summary =
            if shapes { Summary::of(header.columns.iter(), *dictionary, &builder.literals()) } else { None };
        Ok((EncodedBlock { header, columns: bytes, summary }, terms))
    }
}

struct Columns<'a> {
    packer: &'a mut Packer,
    packed: PackedColumns,
    /// Whether a pair column refers to the dictionary.
    is_shared: bool,
}

impl Columns<'_> {
    /// Small columns first, so that the ones read most lie together.
    fn encode_small(
        &mut self,
        timestamps: &[i64],
        levels: &[Level],
        pairs: &Pairs,
        tables: &mut Tables,
    ) -> io::Result<()> {
        self.add_smaller(Role::Timestamps, &encode_times(timestamps))?;
        match levels.first() {
            Some(first) if levels.iter().all(|l| l == first) => {
                self.add(Role::Levels, code::LEVELS_CONSTANT, vec![*first as u8], &[])?;
            }
            _ => {
                let codes: Vec<u8> = levels.iter().map(|l| *l as u8).collect();
                self.add(Role::Levels, code::LEVELS_EACH, Vec::new(), &codes)?;
            }
        }
        for column in pairs.columns() {
            let role = Role::Pair(column.origin, column.name.clone());
            match column.values.get() {
                Some(Values::Constant(value)) => {
                    self.add(role, code::PAIR_CONSTANT, value.as_bytes().to_vec(), &[])?;
                }
                Some(each) => {
                    let of = TableOf::Pair(column.origin, column.name.clone());
                    if let Some((params, bytes)) = encode_shared(each, timestamps.len(), of, tables) {
                        self.add(role, code::PAIR_SHARED, params, &bytes)?;
                        self.is_shared = true;
                        continue;
                    }
                    if let Some((params, bytes)) = encode_stamps(each, timestamps) {
                        self.add(role, code::PAIR_STAMPS, params, &bytes)?;
                        continue;
                    }
                    let (encoding, bytes) = encode_values(each, timestamps.len());
                    self.add(role, encoding, Vec::new(), &bytes)?;
                }
                None => {}
            }
        }
        if let Some(overflow) = pairs.overflow_cell().get()
            && !overflow.is_empty()
        {
            self.add(Role::Overflow, code::OVERFLOW, Vec::new(), &encode_overflow(overflow))?;
        }
        Ok(())
    }

    fn encode_shapes(
        &mut self,
        lines: &Lines,
        timestamps: &[i64],
        builder: &Builder,
        scratch: &mut Scratch,
        terms: &mut Collector,
    ) -> io::Result<()> {
        let (shapes, columns) = shapes::encode_columns(builder, timestamps, scratch, terms);
        let mut params = vec![u8::from(lines.bytes().is_ascii()) * ASCII_LINES];
        params.extend_from_slice(&shapes.used);
        let raw = (shapes.raw.as_slice(), shapes.pieces.as_slice());
        self.packed.add(self.packer, Role::Lines, code::LINES_SHARED_SHAPES, params, raw)?;
        for column in columns {
            self.add_smaller(Role::Values(column.entries as u32), &column)?;
        }
        Ok(())
    }

    fn encode_lines(&mut self, lines: &Lines, pairs: &Pairs) -> io::Result<()> {
        let holes = holes::punch(lines, pairs);
        let (lines, encoding, params) = match &holes {
            Some(punched) => (&punched.lines, code::LINES_HOLES, punched.params()),
            None => (lines, code::LINES_TEXT, Vec::new()),
        };
        if memchr::memchr_iter(b'\n', lines.bytes()).count() != lines.len() {
            let mut lengths = Vec::new();
            lines.iter().for_each(|line| put_varint(&mut lengths, line.len() as u64));
            self.add(Role::LineLengths, code::LENGTHS, Vec::new(), &lengths)?;
        }
        self.add(Role::Lines, encoding, params, lines.bytes())
    }

    fn add(&mut self, role: Role, encoding: u8, params: Vec<u8>, raw: &[u8]) -> io::Result<()> {
        self.packed.add(self.packer, role, encoding, params, (raw, &[]))
    }

    /// The column in the one or the other of its encodings.
    fn add_smaller(&mut self, role: Role, column: &Encoded) -> io::Result<()> {
        self.packed.add_smaller(self.packer, role, column)
    }
}

/// Clocks tick in micro- or milliseconds more often than in nanoseconds: what all steps divide by is
/// taken out first. Steps are alike, or random.
fn encode_times(timestamps: &[i64]) -> Encoded {
    let steps = || timestamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let mut exponent = 9_u8;
    for step in steps() {
        while step % 10_i64.pow(u32::from(exponent)) != 0 {
            exponent -= 1;
        }
    }
    let scale = 10_i64.pow(u32::from(exponent));
    let mut out = Vec::with_capacity(timestamps.len() * 3 + 10);
    out.push(exponent);
    put_signed(&mut out, timestamps.first().copied().unwrap_or_default());
    let mut random = out.clone();
    let mut previous = 0_i64;
    for step in steps() {
        let step = step / scale;
        put_signed(&mut out, step.wrapping_sub(previous));
        previous = step;
    }
    let each: Vec<u64> = steps().map(|step| (step / scale).cast_unsigned()).collect();
    let least = each.iter().copied().min().unwrap_or(0);
    put_varint(&mut random, least);
    let start = Piece::Plain(random.len());
    let pieces = dense::put(&each, least, &mut random);
    let random = Encoded::new(0, code::TIMESTAMPS_STEPS, Vec::new(), random);
    let instead = Encoded { pieces: [&[start], &pieces[..]].concat(), ..random };
    Encoded { instead: Some(Box::new(instead)), ..Encoded::new(0, code::TIMESTAMPS_DELTA, Vec::new(), out) }
}

/// Ids as numbers of a table, with the parameters: those of a trace are met in many blocks.
fn encode_shared(
    values: &Values,
    records: usize,
    of: TableOf,
    tables: &mut Tables,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let present = || (0..records).filter_map(|i| values.get(i));
    let is_id = |value: &str| value.len() >= MIN_SHARED_ID && (is_even_hex(value) || is_uuid(value));
    if records < MIN_SHARED || !present().all(is_id) {
        return None;
    }
    let Coded { table, raw } = tables.code(of, present().map(str::as_bytes), true)?;
    let mut params = ByteSet::uuid().encode();
    put_varint(&mut params, u64::from(table));
    let mut out = absence(values, records);
    out.extend_from_slice(&raw);
    Some((params, out))
}

/// Dates and times that were found in the lines: most differ little from the records' own, all by the same, or by nothing.
fn encode_stamps(values: &Values, timestamps: &[i64]) -> Option<(Vec<u8>, Vec<u8>)> {
    let present = || (0..timestamps.len()).filter_map(|i| Some((i, values.get(i)?)));
    let stamps = Stamps::of(present().map(|(_, value)| value.as_bytes()))?;
    let (params, raw) = stamps.encode(present().map(|(i, _)| timestamps[i]));
    let mut out = absence(values, timestamps.len());
    out.extend_from_slice(&raw);
    Some((params, out))
}

/// Flags of a pair column, and which records have a value if some have none.
fn absence(values: &Values, records: usize) -> Vec<u8> {
    let absent = (0..records).any(|i| values.get(i).is_none());
    let mut out = vec![u8::from(absent) * SOME_ABSENT];
    if absent {
        out.extend_from_slice(&presence(values, records));
    }
    out
}

/// A bit for each record: whether it has a value.
fn presence(values: &Values, records: usize) -> Vec<u8> {
    let mut bits = vec![0_u8; records.div_ceil(8)];
    for i in (0..records).filter(|i| values.get(*i).is_some()) {
        bits[i / 8] |= 1 << (i % 8);
    }
    bits
}

fn encode_values(values: &Values, records: usize) -> (u8, Vec<u8>) {
    let values_of = || (0..records).map(|i| values.get(i));
    let present = || values_of().flatten();
    let (encoding, packed): (u8, fn(&str, &mut Vec<u8>)) = if present().all(is_uuid) {
        (code::PAIR_UUID, pack_uuid)
    } else if present().all(is_even_hex) {
        (code::PAIR_HEX, pack_hex)
    } else {
        (code::PAIR_TEXT, |value, out| out.extend_from_slice(value.as_bytes()))
    };
    let absent = values_of().any(|v| v.is_none());
    let first_len = present().next().map_or(0, str::len);
    let one_length = present().all(|v| v.len() == first_len);

    let mut out = vec![(u8::from(absent) * SOME_ABSENT) | (u8::from(one_length) * ONE_LENGTH)];
    if absent {
        out.extend_from_slice(&presence(values, records));
    }
    if one_length {
        put_varint(&mut out, first_len as u64);
    } else {
        present().for_each(|value| put_varint(&mut out, value.len() as u64));
    }
    present().for_each(|value| packed(value, &mut out));
    (encoding, out)
}

fn encode_overflow(overflow: &Overflow) -> Vec<u8> {
    let mut out = Vec::new();
    for (record, pair) in overflow {
        put_varint(&mut out, u64::from(*record));
        out.push(origin_code(pair.origin));
        put_bytes(&mut out, pair.name.as_bytes());
        put_bytes(&mut out, pair.value.as_bytes());
    }
    out
}

fn is_even_hex(value: &str) -> bool {
    let is_digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    // All of them, so that they are looked at many at a time.
    value.len().is_multiple_of(2) && value.bytes().fold(true, |all, b| all & is_digit(b))
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

const fn nibble(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 }
}

fn pack_hex(value: &str, out: &mut Vec<u8>) {
    for pair in value.as_bytes().chunks_exact(2) {
        out.push(nibble(pair[0]) << 4 | nibble(pair[1]));
    }
}

fn pack_uuid(value: &str, out: &mut Vec<u8>) {
    let mut digits = value.bytes().filter(|b| *b != b'-');
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        out.push(nibble(high) << 4 | nibble(low));
    }
}
