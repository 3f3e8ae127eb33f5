//! Which encoding a column gets: the first that gives back its very bytes, from the most to the least telling.

use super::bytes::ByteSet;
use super::column::code;
use super::number::Numbers;
use super::stamp::Stamps;
use super::{Builder, Coded, Codes, Interner, Outline, TableOf, Tables, hex, parted, templates, used};
use crate::block::wire::put_varint;
use crate::block::{Lines, Piece};
use crate::terms::Collector;

/// Values of which one in this many may be new for a dictionary.
const PER_DISTINCT: usize = 4;
/// Values after which a dictionary is given up when more than half of them are distinct.
const TRIED: usize = 128;
/// Longest constant that stands in the header.
const MAX_CONSTANT: usize = 4096;
/// Text of less bytes, or of shorter values, is not cut further.
const MIN_TEXT: usize = 4096;
/// Mean bytes of values that may be shared by blocks: shorter ones cost as much as their numbers.
const SHARED_MEAN: std::ops::Range<usize> = 4..256;
const MIN_MEAN: usize = 16;

/// A column as it goes into a block, before compression.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Number of values.
    pub(crate) entries: usize,
    pub(crate) encoding: u8,
    pub(crate) params: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    /// What `raw` is made of, if that is to be packed apart.
    pub(crate) pieces: Vec<Piece>,
    /// The same in another encoding, for values that do not repeat.
    pub(crate) instead: Option<Box<Self>>,
}

impl Encoded {
    pub(crate) const fn new(entries: usize, encoding: u8, params: Vec<u8>, raw: Vec<u8>) -> Self {
        Self { entries, encoding, params, raw, pieces: Vec::new(), instead: None }
    }
}

/// Running text of all blocks of a part, and memory that is used again for each.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    distinct: Interner,
    codes: Vec<u16>,
    pub(crate) nested: Builder,
    pub(crate) tables: Tables,
    literals: Lines,
}

/// Shapes of a block, as templates of the part's dictionary.
#[derive(Debug)]
pub(crate) struct EncodedShapes {
    /// Which templates: the end of the parameters of their column.
    pub(crate) used: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    /// What `raw` is made of, if that is to be packed apart.
    pub(crate) pieces: Vec<Piece>,
}

/// The templates of all blocks of `builder`, as a column of a dictionary.
pub(crate) fn encode_templates(builder: &Builder) -> Encoded {
    let (params, raw) = templates::encode(builder);
    Encoded::new(builder.shapes().len(), code::TEMPLATES, params, raw)
}

/// The shapes of `builder`, then its columns and those nested in them, by number. `times` are those of the
/// records. Adds the tokens of every line to `terms`, but for those of pairs.
pub(crate) fn encode_columns(
    builder: &Builder,
    times: &[i64],
    scratch: &mut Scratch,
    terms: &mut Collector,
) -> (EncodedShapes, Vec<Encoded>) {
    let shapes = encode_shapes(builder, 0);
    tell_literals(builder, &mut scratch.literals, terms);
    let own = builder.columns().count();
    let mut columns = Vec::with_capacity(own);
    let mut nested = Vec::new();
    for (number, texts) in builder.columns() {
        let chosen = few_or_numbers(texts, scratch, terms)
            .or_else(|| stamps(texts, builder, number, times, terms))
            .or_else(|| shared(texts, number, &mut scratch.tables, terms))
            .or_else(|| ids(texts, terms))
            .or_else(|| shapes_of(texts, own, scratch, &mut nested, terms));
        columns.push(chosen.unwrap_or_else(|| text(texts, terms)));
    }
    columns.extend(nested);
    (shapes, columns)
}

/// The shapes of the block whose columns begin with number `base`.
fn encode_shapes(builder: &Builder, base: usize) -> EncodedShapes {
    let mut numbers = builder.used().to_vec();
    numbers.sort_unstable();
    let mut places = vec![0_u16; builder.shapes().len()];
    numbers.iter().enumerate().for_each(|(place, number)| places[usize::from(*number)] = place as u16);
    let codes: Vec<u16> = builder.codes().iter().map(|code| places[usize::from(*code)]).collect();
    let mut used = Vec::new();
    used::encode(&numbers, &mut used);
    let mut raw = Vec::with_capacity(codes.len() * 2);
    put_varint(&mut raw, base as u64);
    put_varint(&mut raw, builder.columns().count() as u64);
    let mut next = 0;
    for (number, _) in builder.columns() {
        put_varint(&mut raw, number as u64 - next);
        next = number as u64 + 1;
    }
    Codes::encode_planes(&codes, numbers.len(), &mut raw);
    let pieces = Codes::pieces(raw.len(), numbers.len(), codes.len());
    EncodedShapes { used, raw, pieces }
}

fn tell_literals(builder: &Builder, literals: &mut Lines, terms: &mut Collector) {
    literals.clear();
    builder.for_each_literal(|literal| literals.push(literal));
    terms.add(literals.bytes());
}

/// An encoding that any column may have and that tells more than text, if one fits.
fn chosen(texts: &Lines, scratch: &mut Scratch, terms: &mut Collector) -> Option<Encoded> {
    few_or_numbers(texts, scratch, terms).or_else(|| ids(texts, terms))
}

fn few_or_numbers(texts: &Lines, scratch: &mut Scratch, terms: &mut Collector) -> Option<Encoded> {
    constant(texts, terms).or_else(|| dictionary(texts, scratch, terms)).or_else(|| numbers(texts, terms))
}

fn ids(texts: &Lines, terms: &mut Collector) -> Option<Encoded> {
    let ids = hex_digits(texts).or_else(|| uuids(texts))?;
    terms.add(texts.bytes());
    Some(ids)
}

/// A table of a dictionary, in the encoding that fits its values best.
pub(super) fn plain_table(texts: &Lines) -> Encoded {
    hex_digits(texts).or_else(|| uuids(texts)).unwrap_or_else(|| plain_text(texts))
}

/// Values that other blocks of the part have too, as numbers of a table.
fn shared(texts: &Lines, number: usize, tables: &mut Tables, terms: &mut Collector) -> Option<Encoded> {
    let mean = texts.line_bytes() / texts.len().max(1);
    if !SHARED_MEAN.contains(&mean) || memchr::memchr(b' ', texts.bytes()).is_some() {
        return None; // running text is better cut into shapes
    }
    let Coded { table, raw } = tables.code(TableOf::Column(number), texts.iter(), false)?;
    terms.add_alike(texts);
    let mut params = bytes_of(texts).encode();
    put_varint(&mut params, u64::from(table));
    Some(Encoded::new(texts.len(), code::SHARED, params, raw))
}

fn constant(texts: &Lines, terms: &mut Collector) -> Option<Encoded> {
    let first = texts.iter().next().unwrap_or_default();
    if first.len() > MAX_CONSTANT || texts.iter().any(|text| text != first) {
        return None;
    }
    terms.add(first);
    Some(Encoded::new(texts.len(), code::CONSTANT, first.to_vec(), Vec::new()))
}

fn dictionary(texts: &Lines, scratch: &mut Scratch, terms: &mut Collector) -> Option<Encoded> {
    let Scratch { distinct, codes, .. } = scratch;
    distinct.clear();
    codes.clear();
    let max = (texts.len() / PER_DISTINCT).min(usize::from(u16::MAX));
    let mut last: Option<(&[u8], u16)> = None;
    for (i, text) in texts.iter().enumerate() {
        let code = match last {
            Some((same, code)) if same == text => code,
            _ => distinct.number(text, max)? as u16,
        };
        codes.push(code);
        last = Some((text, code));
        if i == TRIED && distinct.len() * 2 > i {
            return None;
        }
    }
    terms.add(distinct.texts().bytes());
    let mut raw = Vec::new();
    put_varint(&mut raw, distinct.len() as u64);
    put_with_lengths(distinct.texts(), &mut raw);
    Codes::encode(codes, distinct.len(), &mut raw);
    let params = bytes_of(distinct.texts()).encode();
    let pieces =
        if distinct.len() <= 16 { Codes::pieces(raw.len(), distinct.len(), codes.len()) } else { Vec::new() };
    Some(Encoded { pieces, ..Encoded::new(texts.len(), code::DICTIONARY, params, raw) })
}

fn numbers(texts: &Lines, terms: &mut Collector) -> Option<Encoded> {
    let numbers = Numbers::of(texts)?;
    // Digits are a token by themselves behind what ends one.
    if numbers.format.prefix.iter().copied().all(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric()) {
        terms.add_numbers(&numbers.values, numbers.format.decimals);
    } else {
        terms.add(texts.bytes());
    }
    let (params, raw) = numbers.encode();
    let (dense, pieces) = numbers.encode_dense();
    let dense = Encoded::new(texts.len(), code::DENSE_NUMBERS, params.clone(), dense);
    let instead = Some(Box::new(Encoded { pieces, ..dense }));
    Some(Encoded { instead, ..Encoded::new(texts.len(), code::NUMBERS, params, raw) })
}

fn hex_digits(texts: &Lines) -> Option<Encoded> {
    let digits = texts.iter().next()?.len();
    let fits = |text: &[u8]| text.len() == digits && text.iter().all(|b| hex::is_digit(*b));
    if digits == 0 || !digits.is_multiple_of(2) || !texts.iter().all(fits) {
        return None;
    }
    let mut raw = Vec::with_capacity(texts.len() * digits / 2);
    texts.iter().for_each(|text| raw.extend(text.as_chunks().0.iter().map(|pair| hex::packed(*pair))));
    let mut params = Vec::new();
    put_varint(&mut params, digits as u64);
    Some(Encoded::new(texts.len(), code::HEX, params, raw))
}

fn uuids(texts: &Lines) -> Option<Encoded> {
    let fits = |text: &[u8]| {
        text.len() == 36
            && text.iter().enumerate().all(|(i, byte)| match i {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => hex::is_digit(*byte),
            })
    };
    if !texts.iter().all(fits) {
        return None;
    }
    let mut raw = Vec::with_capacity(texts.len() * 16);
    for text in texts.iter() {
        for group in [&text[..8], &text[9..13], &text[14..18], &text[19..23], &text[24..]] {
            raw.extend(group.as_chunks().0.iter().map(|pair| hex::packed(*pair)));
        }
    }
    Some(Encoded::new(texts.len(), code::UUID, Vec::new(), raw))
}

fn stamps(
    texts: &Lines,
    builder: &Builder,
    number: usize,
    times: &[i64],
    terms: &mut Collector,
) -> Option<Encoded> {
    let stamps = Stamps::of(texts.iter())?;
    terms.add_alike(texts);
    let mut of_values = Vec::with_capacity(texts.len());
    builder.for_each_entry(number, |record| of_values.push(times[record]));
    let (params, raw) = stamps.encode(of_values.into_iter());
    Some(Encoded::new(texts.len(), code::STAMPS, params, raw))
}

/// Running text as shapes with columns of their own, which are added to `nested`. `own` is the number of
/// columns before these.
fn shapes_of(
    texts: &Lines,
    own: usize,
    scratch: &mut Scratch,
    nested: &mut Vec<Encoded>,
    terms: &mut Collector,
) -> Option<Encoded> {
    if texts.line_bytes() < MIN_TEXT || texts.line_bytes() < texts.len() * MIN_MEAN {
        return None;
    }
    let mut builder = std::mem::take(&mut scratch.nested);
    let encoded = builder.cut_text(texts).then(|| {
        let base = own + nested.len();
        let EncodedShapes { used, raw, pieces } = encode_shapes(&builder, base);
        tell_literals(&builder, &mut scratch.literals, terms);
        let mut params = Outline::of(&builder, base).encode();
        params.extend_from_slice(&used);
        for (_, texts) in builder.columns() {
            let encoded = chosen(texts, scratch, terms);
            nested.push(encoded.unwrap_or_else(|| text(texts, terms)));
        }
        Encoded { pieces, ..Encoded::new(texts.len(), code::SHARED_SHAPES, params, raw) }
    });
    scratch.nested = builder;
    encoded
}

fn text(texts: &Lines, terms: &mut Collector) -> Encoded {
    terms.add_alike(texts);
    plain_text(texts)
}

fn plain_text(texts: &Lines) -> Encoded {
    let (encoding, raw) = if has_ends(texts) {
        let mut raw = Vec::new();
        put_with_lengths(texts, &mut raw);
        (code::TEXT_LENGTHS, raw)
    } else {
        (code::TEXT, texts.bytes().to_vec())
    };
    let params = bytes_of(texts).encode();
    let parted = if encoding == code::TEXT { parted::encode(texts) } else { None };
    let instead = parted.map(|(raw, pieces)| {
        Box::new(Encoded { pieces, ..Encoded::new(texts.len(), code::PARTED, params.clone(), raw) })
    });
    Encoded { instead, ..Encoded::new(texts.len(), encoding, params, raw) }
}

/// Whether a text holds a line end.
fn has_ends(texts: &Lines) -> bool {
    memchr::memchr_iter(b'\n', texts.bytes()).count() != texts.len()
}

/// The bytes of which the texts are made.
fn bytes_of(texts: &Lines) -> ByteSet {
    let set = ByteSet::of(texts.bytes());
    if has_ends(texts) { set } else { set.without(b'\n') }
}

fn put_with_lengths(texts: &Lines, out: &mut Vec<u8>) {
    texts.iter().for_each(|text| put_varint(out, text.len() as u64));
    out.extend_from_slice(texts.bytes());
}
