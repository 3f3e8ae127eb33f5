//! The values of a column, in the form in which they are stored.

use std::sync::Arc;

use super::bytes::ByteSet;
use super::number::{Format, Numbers};
use super::stamp::{Stamps, bytes_of_stamps};
use super::texts::Texts;
use super::{Codes, Limits, Outline, Shapes, Table, Templates, decode_codes, hex, parted};
use crate::block::Lines;
use crate::block::header::ColumnMeta;
use crate::block::wire::{Input, Malformed};

/// Codes of the encodings of value columns. Never reuse a number.
pub(crate) mod code {
    /// All have the value that is the parameters.
    pub(crate) const CONSTANT: u8 = 1;
    /// Few values: each once, then the codes.
    pub(crate) const DICTIONARY: u8 = 2;
    /// Values without line ends, each followed by `\n`; parameters: which bytes there are.
    pub(crate) const TEXT: u8 = 3;
    /// Lengths, then the values, each followed by `\n`; parameters as above.
    pub(crate) const TEXT_LENGTHS: u8 = 4;
    /// Lower-case hex digits, two a byte; parameters: how many digits.
    pub(crate) const HEX: u8 = 5;
    /// UUIDs in lower case with hyphens.
    pub(crate) const UUID: u8 = 6;
    /// See [`super::Numbers`].
    pub(crate) const NUMBERS: u8 = 7;
    /// See [`super::Stamps`].
    pub(crate) const STAMPS: u8 = 8;
    /// Shapes with columns of their own.
    pub(crate) const SHAPES: u8 = 9;
    /// The same of templates of the part's dictionary.
    pub(crate) const SHARED_SHAPES: u8 = 10;
    /// Templates; in dictionaries only.
    pub(crate) const TEMPLATES: u8 = 11;
    /// Numbers of values in a table of the part's dictionary; parameters: which bytes there are, the table.
    pub(crate) const SHARED: u8 = 12;
    /// The numbers of 7 in about as many bits as they have entropy: see `dense`.
    pub(crate) const DENSE_NUMBERS: u8 = 13;
    /// The texts of 3 in parts: see `parted`.
    pub(crate) const PARTED: u8 = 14;
}

/// Values, each in the order of the lines.
#[derive(Debug)]
pub(crate) enum Column {
    /// All are the same.
    Constant {
        text: Vec<u8>,
        len: usize,
    },
    /// Few are distinct.
    Dictionary {
        texts: Lines,
        codes: Codes,
    },
    Text(Texts),
    /// All have this many lower-case hex digits.
    Hex {
        digits: usize,
        bytes: Vec<u8>,
    },
    Uuid(Vec<u8>),
    Numbers(Numbers),
    Stamps(Stamps),
    Shapes(Shapes),
    /// Numbers of values of a table.
    Shared {
        table: Arc<Table>,
        codes: Vec<u32>,
    },
}

/// What bounds nested shapes, and what they are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    /// Columns of the lines' own shapes, which come before all others.
    pub(crate) own: usize,
    /// Value columns of the block.
    pub(crate) columns: usize,
    /// Bytes of all lines.
    pub(crate) line_bytes: usize,
    /// Those of the dictionary for running text, if the column is made of them.
    pub(crate) templates: Option<&'a Templates>,
    /// The table that has the values, if they lie in one.
    pub(crate) table: Option<&'a Arc<Table>>,
}

impl Column {
    /// Reads a column of `len` values. `of_lines`: it is one of the lines' own shapes; `times` are then those of
    /// the record of each value, if they are needed.
    pub(crate) fn decode(
        meta: &ColumnMeta,
        raw: Vec<u8>,
        len: usize,
        of_lines: bool,
        times: Option<Vec<i64>>,
        bounds: Bounds<'_>,
    ) -> Result<Self, Malformed> {
        match meta.encoding {
            code::CONSTANT if raw.is_empty() => Ok(Self::Constant { text: meta.params.clone(), len }),
            code::DICTIONARY => dictionary(&raw, len),
            code::TEXT => {
                let fits =
                    memchr::memchr_iter(b'\n', &raw).count() == len && raw.last().is_none_or(|b| *b == b'\n');
                if fits { Ok(Self::Text(Texts::new(raw, len))) } else { Err(Malformed("number of values")) }
            }
            code::PARTED => parted::decode(&raw, len).map(Self::Text),
            code::TEXT_LENGTHS => {
                let mut input = Input::new(&raw);
                let texts = with_lengths(&mut input, len)?;
                if input.is_empty() {
                    Ok(Self::Text(texts.into()))
                } else {
                    Err(Malformed("end of the values"))
                }
            }
            code::HEX => {
                let digits = Input::new(&meta.params).len("digits of a value")?;
                let fits =
                    digits > 0 && digits.is_multiple_of(2) && len.checked_mul(digits / 2) == Some(raw.len());
                if fits { Ok(Self::Hex { digits, bytes: raw }) } else { Err(Malformed("digits of a value")) }
            }
            code::UUID if len.checked_mul(16) == Some(raw.len()) => Ok(Self::Uuid(raw)),
            code::NUMBERS => Numbers::decode(&meta.params, &raw, len).map(Self::Numbers),
            code::DENSE_NUMBERS => Numbers::decode_dense(&meta.params, &raw, len).map(Self::Numbers),
            code::STAMPS => {
                let times = times.ok_or(Malformed("stamps in running text"))?;
                Stamps::decode(&meta.params, &raw, times.into_iter(), len).map(Self::Stamps)
            }
            code::SHARED => {
                let table = bounds.table.ok_or(Malformed("table of a column"))?;
                let mut input = Input::new(&raw);
                let codes = decode_codes(&mut input, len, table.values.len())?;
                if input.is_empty() {
                    Ok(Self::Shared { table: Arc::clone(table), codes })
                } else {
                    Err(Malformed("end of a column"))
                }
            }
            code::SHAPES | code::SHARED_SHAPES => {
                let limits = Limits { texts: len, slots: bounds.line_bytes + len, columns: bounds.columns };
                let shapes = if meta.encoding == code::SHAPES {
                    Shapes::decode(&raw, limits, 0)?
                } else {
                    let templates = bounds.templates.ok_or(Malformed("templates of a column"))?;
                    let used = Outline::templates(meta)?;
                    Shapes::decode_templates(&raw, limits, &used, templates, |_| None)?
                };
                // Columns of nested shapes are not the lines' own, so that no column can be part of itself.
                if of_lines && (shapes.base >= bounds.own || shapes.entries.is_empty()) {
                    Ok(Self::Shapes(shapes))
                } else {
                    Err(Malformed("columns of nested shapes"))
                }
            }
            _ => Err(Malformed("encoding of a value column")),
        }
    }

    /// The table that the values of a column, or of pairs, lie in.
    pub(crate) fn table_of(params: &[u8]) -> Result<u32, Malformed> {
        let mut input = Input::new(params);
        input.take(ByteSet::LEN, "bytes of a column")?;
        let table = input.varint_u32("table of a column")?;
        if input.is_empty() { Ok(table) } else { Err(Malformed("parameters of a column")) }
    }

    /// Whether a column is of nested shapes.
    pub(crate) const fn is_of_shapes(meta: &ColumnMeta) -> bool {
        matches!(meta.encoding, code::SHAPES | code::SHARED_SHAPES)
    }

    /// The bytes that may occur in values of this column, as far as is known without reading it.
    pub(crate) fn bytes_of(meta: &ColumnMeta) -> Option<ByteSet> {
        match meta.encoding {
            code::CONSTANT => Some(ByteSet::of(&meta.params)),
            code::TEXT | code::TEXT_LENGTHS | code::PARTED | code::DICTIONARY => {
                ByteSet::decode(&meta.params).ok()
            }
            code::SHARED => ByteSet::decode(meta.params.get(..ByteSet::LEN)?).ok(),
            code::HEX => Some(ByteSet::hex()),
            code::UUID => Some(ByteSet::uuid()),
            code::STAMPS => Some(bytes_of_stamps(&meta.params)),
            code::NUMBERS | code::DENSE_NUMBERS => {
                let (format, ..) = Format::decode(&meta.params).ok()?;
                let mut set = ByteSet::of(&format.prefix);
                set.add(ByteSet::of(if format.decimals > 0 { b"0123456789." } else { b"0123456789" }));
                Some(set)
            }
            _ => None,
        }
    }

    /// Whether all values of this column are numbers ([`super::is_number`]), as far as is known without reading it.
    pub(crate) fn are_numbers(meta: &ColumnMeta) -> Option<bool> {
        match meta.encoding {
            code::NUMBERS | code::DENSE_NUMBERS => {
                let (format, ..) = Format::decode(&meta.params).ok()?;
                Some(matches!(format.prefix.as_slice(), b"" | b"-"))
            }
            code::CONSTANT | code::DICTIONARY => None,
            _ => Some(false),
        }
    }

    /// Value `i`, if it lies there as it is.
    #[inline]
    pub(crate) fn text(&self, i: usize) -> Option<&[u8]> {
        match self {
            Self::Constant { text, .. } => Some(text),
            Self::Dictionary { texts, codes } => Some(texts.get(codes.get(i))),
            Self::Text(texts) => Some(texts.get(i)),
            Self::Shared { table, codes } => table.values.text(codes[i] as usize),
            _ => None,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Constant { len, .. } => *len,
            Self::Dictionary { codes, .. } => codes.len(),
            Self::Text(texts) => texts.len,
            Self::Hex { digits, bytes } => bytes.len() / (*digits / 2),
            Self::Uuid(bytes) => bytes.len() / 16,
            Self::Numbers(numbers) => numbers.values.len(),
            Self::Stamps(stamps) => stamps.len(),
            Self::Shapes(shapes) => shapes.codes.len(),
            Self::Shared { codes, .. } => codes.len(),
        }
    }
}

fn dictionary(raw: &[u8], len: usize) -> Result<Column, Malformed> {
    let mut input = Input::new(raw);
    let number = input.len("number of distinct values")?;
    if number > len.min(1 << 16) {
        return Err(Malformed("number of distinct values"));
    }
    let texts = with_lengths(&mut input, number)?;
    let codes = Codes::decode(&mut input, number, len)?;
    if input.is_empty() {
        Ok(Column::Dictionary { texts, codes })
    } else {
        Err(Malformed("end of a dictionary"))
    }
}

/// Lengths, then texts, each followed by `\n`.
fn with_lengths(input: &mut Input<'_>, len: usize) -> Result<Lines, Malformed> {
    let mut lengths = Vec::with_capacity(len.min(input.rest().len()));
    for _ in 0..len {
        lengths.push(input.len("length of a value")?);
    }
    let mut texts = Lines::with_capacity(len, input.rest().len());
    for len in lengths {
        texts.push(input.take(len, "value")?);
        input.take(1, "end of a value")?;
    }
    Ok(texts)
}

pub(crate) fn append_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    for (i, group) in
        [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]].into_iter().enumerate()
    {
        if i > 0 {
            out.push(b'-');
        }
        hex::append(group, out);
    }
}
