//! Bytes to columns. Nothing here trusts its input: whatever does not fit is [`Malformed`].

use std::sync::Arc;

use super::dense;
use super::encode::{ONE_LENGTH, SOME_ABSENT, code};
use super::header::{ColumnMeta, decode_origin};
use super::lines::Lines;
use super::pairs::{ABSENT, Overflow, PairCodes, Values};
use super::shapes::{PackedHex, Stamps, Table, append_hex, append_uuid, decode_codes};
use super::wire::{Input, Malformed};
use crate::{Level, Pair};

pub(crate) fn timestamps(column: &ColumnMeta, raw: &[u8], records: usize) -> Result<Vec<i64>, Malformed> {
    let mut input = Input::new(raw);
    let exponent = input.u8("scale of the timestamps")?;
    if exponent > 9 {
        return Err(Malformed("scale of the timestamps"));
    }
    let scale = 10_i64.pow(u32::from(exponent));
    let mut time = input.signed("timestamp")?;
    let mut timestamps = Vec::with_capacity(records);
    timestamps.push(time);
    let mut add = |step: i64| {
        let next = time.wrapping_add(step.wrapping_mul(scale));
        if next < time {
            return Err(Malformed("order of the timestamps"));
        }
        time = next;
        timestamps.push(time);
        Ok(())
    };
    match column.encoding {
        code::TIMESTAMPS_DELTA => {
            let mut step = 0_i64;
            for _ in 1..records {
                step = step.wrapping_add(input.signed("timestamp")?);
                add(step)?;
            }
        }
        code::TIMESTAMPS_STEPS => {
            let least = input.varint("least step of the timestamps")?;
            for step in dense::take(&mut input, least, records.saturating_sub(1))? {
                add(step.cast_signed())?;
            }
        }
        _ => return Err(Malformed("encoding of the timestamps")),
    }
    end(&input, timestamps)
}

pub(crate) fn levels(column: &ColumnMeta, raw: &[u8], records: usize) -> Result<Vec<Level>, Malformed> {
    let level = |code: &u8| Level::from_code(*code).ok_or(Malformed("level"));
    match (column.encoding, column.params.as_slice()) {
        (code::LEVELS_CONSTANT, [code]) => Ok(vec![level(code)?; records]),
        (code::LEVELS_EACH, []) if raw.len() == records => {
            // Both passes do many at once.
            if raw.iter().any(|code| usize::from(*code) >= Level::COUNT) {
                return Err(Malformed("level"));
            }
            Ok(raw.iter().map(|code| Level::ALL[usize::from(*code)]).collect())
        }
        _ => Err(Malformed("levels")),
    }
}

/// The lines as they are stored: holes, if any, are still to be filled. `lengths` are those of the lines
/// when a line may hold `\n`.
pub(crate) fn lines(
    column: &ColumnMeta,
    raw: Vec<u8>,
    lengths: Option<&[usize]>,
    records: usize,
) -> Result<Lines, Malformed> {
    if !matches!(column.encoding, code::LINES_TEXT | code::LINES_HOLES) {
        return Err(Malformed("encoding of the lines"));
    }
    let lines = match lengths {
        None => Lines::from_separated(raw),
        Some(lengths) => {
            let mut lines = Lines::with_capacity(records, raw.len());
            let mut input = Input::new(&raw);
            for len in lengths {
                lines.push(input.take(*len, "line")?);
                input.take(1, "end of a line")?;
            }
            end(&input, lines)?
        }
    };
    // The last byte must be the last line's separator.
    let last = lines.len().checked_sub(1).map(|i| lines.span(i).end + 1);
    if lines.len() != records || last != Some(lines.bytes().len()) {
        return Err(Malformed("number of lines"));
    }
    Ok(lines)
}

pub(crate) fn lengths(column: &ColumnMeta, raw: &[u8], records: usize) -> Result<Vec<usize>, Malformed> {
    if column.encoding != code::LENGTHS {
        return Err(Malformed("encoding of the lengths"));
    }
    let mut input = Input::new(raw);
    let lengths = (0..records).map(|_| input.len("length of a line")).collect::<Result<_, _>>()?;
    end(&input, lengths)
}

pub(crate) fn values(column: &ColumnMeta, raw: &[u8], records: usize) -> Result<Values, Malformed> {
    let unpacked: fn(&mut Input<'_>, usize, &mut Vec<u8>) -> Result<(), Malformed> = match column.encoding {
        code::PAIR_CONSTANT => {
            let value = std::str::from_utf8(&column.params).map_err(|_| Malformed("constant value"))?;
            return Ok(Values::Constant(value.into()));
        }
        code::PAIR_TEXT => unpack_text,
        code::PAIR_HEX => unpack_hex,
        code::PAIR_UUID => unpack_uuid,
        _ => return Err(Malformed("encoding of a pair")),
    };
    let mut input = Input::new(raw);
    let flags = input.u8("flags of a pair")?;
    let present = match flags & SOME_ABSENT {
        0 => None,
        _ => Some(bitmap(input.take(records.div_ceil(8), "presence of a pair")?)),
    };
    let is_one_length = flags & ONE_LENGTH != 0;
    if is_one_length && present.is_none() && column.encoding != code::PAIR_UUID {
        let len = input.len("length of a value")?;
        let is_whole = column.encoding == code::PAIR_TEXT || len.is_multiple_of(2);
        let all = len.checked_mul(records).filter(|all| is_whole && u32::try_from(*all).is_ok());
        let mut text = Vec::new();
        unpacked(&mut input, all.ok_or(Malformed("length of a value"))?, &mut text)?;
        let ends = (1..=records).map(|record| (record * len) as u32).collect();
        return end(&input, each(present, ends, text)?);
    }
    let is_present = |i: usize| present.as_ref().is_none_or(|bits| bits[i / 64] >> (i % 64) & 1 == 1);
    let lengths: Vec<usize> = if is_one_length {
        let len = input.len("length of a value")?;
        (0..records).map(|i| if is_present(i) { len } else { 0 }).collect()
    } else {
        let mut length = |i| if is_present(i) { input.len("length of a value") } else { Ok(0) };
        (0..records).map(&mut length).collect::<Result<_, _>>()?
    };
    // No encoding makes text of more than two bytes and a quarter from one.
    let bound = input.rest().len().saturating_mul(9) / 4;
    let mut text = Vec::with_capacity(bound);
    let mut ends = Vec::with_capacity(records);
    for (i, len) in lengths.into_iter().enumerate() {
        if is_present(i) {
            unpacked(&mut input, len, &mut text)?;
        }
        ends.push(text.len() as u32);
    }
    end(&input, each(present, ends, text)?)
}

/// The numbers of values in a table of `kinds`.
pub(crate) fn pair_codes(raw: &[u8], records: usize, kinds: usize) -> Result<PairCodes, Malformed> {
    let mut input = Input::new(raw);
    let present = match input.u8("flags of a pair")? & SOME_ABSENT {
        0 => None,
        _ => Some(bitmap(input.take(records.div_ceil(8), "presence of a pair")?)),
    };
    let mut codes = PairCodes { present, codes: Vec::new(), records };
    let len = (0..records).filter(|i| codes.is_present(*i)).count();
    codes.codes = decode_codes(&mut input, len, kinds)?;
    end(&input, codes)
}

/// The values of a pair column that are dates and times; `timestamps` are those of the records.
pub(crate) fn stamps(column: &ColumnMeta, raw: &[u8], timestamps: &[i64]) -> Result<Values, Malformed> {
    let mut input = Input::new(raw);
    let records = timestamps.len();
    let present = match input.u8("flags of a pair")? & SOME_ABSENT {
        0 => None,
        _ => Some(bitmap(input.take(records.div_ceil(8), "presence of a pair")?)),
    };
    let is_present = |i: &usize| present.as_ref().is_none_or(|bits| bits[i / 64] >> (i % 64) & 1 == 1);
    let times: Vec<i64> = (0..records).filter(is_present).map(|i| timestamps[i]).collect();
    let stamps = Stamps::decode(&column.params, input.rest(), times.iter().copied(), times.len())?;
    let (mut text, mut ends, mut next) = (Vec::new(), Vec::with_capacity(records), 0..stamps.len());
    for i in 0..records {
        if is_present(&i) {
            next.next().into_iter().for_each(|stamp| stamps.append(stamp, &mut text));
        }
        ends.push(text.len() as u32);
    }
    each(present, ends, text)
}

/// The values of a pair column that lie in `table`.
pub(crate) fn shared_values(found: &PairCodes, table: &Arc<Table>) -> Result<Values, Malformed> {
    table.write_out()?;
    let mut codes = vec![ABSENT; found.records];
    found.for_each(|record, code| codes[record] = code);
    Ok(Values::Shared { table: Arc::clone(table), codes })
}

fn each(present: Option<Vec<u64>>, ends: Vec<u32>, text: Vec<u8>) -> Result<Values, Malformed> {
    let text = String::from_utf8(text).map_err(|_| Malformed("text of a pair"))?;
    if ends.iter().any(|end| !text.is_char_boundary(*end as usize)) {
        return Err(Malformed("text of a pair"));
    }
    Ok(Values::Each { present, ends, text })
}

/// The packed digits of a pair column in that encoding, when every record has a value and all have one length.
pub(crate) fn packed_hex(raw: &[u8], records: usize) -> Result<Option<PackedHex<'_>>, Malformed> {
    let mut input = Input::new(raw);
    if input.u8("flags of a pair")? != ONE_LENGTH {
        return Ok(None);
    }
    let digits = input.len("length of a value")?;
    let bytes = input.rest();
    let fits = digits > 0 && digits.is_multiple_of(2) && records.checked_mul(digits / 2) == Some(bytes.len());
    Ok(fits.then_some(PackedHex { digits, bytes }))
}

pub(crate) fn overflow(column: &ColumnMeta, raw: &[u8], records: usize) -> Result<Overflow, Malformed> {
    if column.encoding != code::OVERFLOW {
        return Err(Malformed("encoding of further pairs"));
    }
    let mut input = Input::new(raw);
    let mut overflow: Overflow = Vec::new();
    while !input.is_empty() {
        let record = input.varint_u32("record of a pair")?;
        let in_order = overflow.last().is_none_or(|(last, _)| *last <= record);
        if record as usize >= records || !in_order {
            return Err(Malformed("record of a pair"));
        }
        let origin = decode_origin(input.u8("origin of a pair")?)?;
        let name = input.str("name of a pair")?.into();
        overflow.push((record, Pair { origin, name, value: input.str("value of a pair")?.into() }));
    }
    Ok(overflow)
}

fn end<T>(input: &Input<'_>, value: T) -> Result<T, Malformed> {
    if input.is_empty() { Ok(value) } else { Err(Malformed("end of a column")) }
}

fn bitmap(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks(8).map(word).collect()
}

fn unpack_text(input: &mut Input<'_>, len: usize, text: &mut Vec<u8>) -> Result<(), Malformed> {
    text.extend_from_slice(input.take(len, "value of a pair")?);
    Ok(())
}

fn unpack_hex(input: &mut Input<'_>, len: usize, text: &mut Vec<u8>) -> Result<(), Malformed> {
    append_hex(input.take(len / 2, "value of a pair")?, text);
    Ok(())
}

fn unpack_uuid(input: &mut Input<'_>, _: usize, text: &mut Vec<u8>) -> Result<(), Malformed> {
    append_uuid(input.take(16, "value of a pair")?, text);
    Ok(())
}
