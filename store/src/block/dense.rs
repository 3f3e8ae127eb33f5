//! Numbers that do not repeat, in about as many bits as they have entropy.
//!
//! The high bits of a number are a byte, and how often which occur is what zstd makes use of. Its low bits are as good as
//! random: they stand behind all bytes as they are, so that neither spoils the other.
//!
//! ```text
//! low bits of a number u8, bytes: its high bits each, or 255 where these are 255 or more    packed by zstd
//! for each of the latter: its high bits less 255 varint; low bits of all numbers            as they are
//! ```

use super::pack::Piece;
use super::wire::{Input, Malformed, put_varint};

/// Most low bits: with those of a byte before they fit into 64.
const MAX_LOW: u32 = 56;
/// The byte of numbers whose high bits are in none.
const BEYOND: u64 = 255;
/// One number in so many may be beyond the others: few large ones must not take the bits of all.
const PER_BEYOND: usize = 512;

/// Appends the numbers less `min`, and tells the pieces they are to be packed in.
pub(crate) fn put(values: &[u64], min: u64, out: &mut Vec<u8>) -> [Piece; 2] {
    let start = out.len();
    let low = low_bits(values, min);
    out.push(low as u8);
    let high = |value: &u64| (value - min) >> low;
    out.extend(values.iter().map(|value| high(value).min(BEYOND) as u8));
    let middle = out.len();
    let beyond = values.iter().map(high).filter(|high| *high >= BEYOND);
    beyond.for_each(|high| put_varint(out, high - BEYOND));
    put_low(values.iter().map(|value| value - min), low, out);
    [Piece::Packed(middle - start), Piece::Plain(out.len() - middle)]
}

fn low_bits(values: &[u64], min: u64) -> u32 {
    let max = values.iter().copied().max().unwrap_or(min) - min;
    let mut low = max.checked_ilog2().unwrap_or(0).saturating_sub(7).min(MAX_LOW);
    while low > 0 {
        let beyond = values.iter().filter(|value| (*value - min) >> (low - 1) >= BEYOND).count();
        if beyond > values.len() / PER_BEYOND {
            break;
        }
        low -= 1;
    }
    low
}

fn put_low(values: impl Iterator<Item = u64>, low: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u128, 0);
    for value in values {
        bits |= u128::from(value & ((1 << low) - 1)) << filled;
        filled += low;
        while filled >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(bits as u8);
    }
}

/// Reads `len` numbers, to which `min` is added.
pub(crate) fn take(input: &mut Input<'_>, min: u64, len: usize) -> Result<Vec<u64>, Malformed> {
    const WRONG: Malformed = Malformed("numbers");
    let low = u32::from(input.u8("low bits of a number")?);
    if low > MAX_LOW {
        return Err(WRONG);
    }
    let bytes = input.take(len, "high bits of numbers")?;
    let mut values: Vec<u64> = bytes.iter().map(|byte| u64::from(*byte)).collect();
    for value in values.iter_mut().filter(|value| **value == BEYOND) {
        *value = value.checked_add(input.varint("high bits of a number")?).ok_or(WRONG)?;
        if *value > u64::MAX >> low {
            return Err(WRONG);
        }
    }
    let low_len = len.checked_mul(low as usize).ok_or(WRONG)?.div_ceil(8);
    let mut lows = input.take(low_len, "low bits of numbers")?.to_vec();
    lows.resize(low_len + 8, 0); // so that eight bytes begin at each
    for (i, value) in values.iter_mut().enumerate() {
        let at = i * low as usize;
        let bytes = lows.get(at / 8..).and_then(|rest| rest.first_chunk()).ok_or(WRONG)?;
        let low_part = u64::from_le_bytes(*bytes) >> (at % 8) & ((1 << low) - 1);
        *value = min.checked_add(*value << low | low_part).ok_or(WRONG)?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(values: &[u64], min: u64) -> Vec<u64> {
        let mut raw = Vec::new();
        let [Piece::Packed(first), Piece::Plain(second)] = put(values, min, &mut raw) else { panic!() };
        assert_eq!(first + second, raw.len());
        let mut input = Input::new(&raw);
        let found = take(&mut input, min, values.len()).unwrap();
        assert!(input.is_empty());
        found
    }

    #[test]
    fn a_few_large_numbers_do_not_widen_the_others() {
        let mut values: Vec<u64> = (0..8192).map(|i| i * 7919 % 1000).collect();
        let mut raw = Vec::new();
        put(&values, 0, &mut raw);
        let before = raw.len();
        values[77] = u64::MAX;
        values[78] = 1 << 40;
        raw.clear();
        put(&values, 0, &mut raw);
        assert!(raw.len() < before + 24, "{} after {before}", raw.len());
        assert_eq!(read_back(&values, 0), values);
    }

    #[test]
    fn cut_or_harmed_numbers_are_refused_or_of_the_same_number() {
        let values: Vec<u64> = (0..600).map(|i| i * i * i).chain([u64::MAX]).collect();
        let mut raw = Vec::new();
        put(&values, 0, &mut raw);
        for len in 0..raw.len() {
            assert!(take(&mut Input::new(&raw[..len]), 0, values.len()).is_err());
        }
        for at in 0..raw.len() {
            let mut harmed = raw.clone();
            harmed[at] = !harmed[at];
            let found = take(&mut Input::new(&harmed), 0, values.len());
            assert!(found.is_err() || found.unwrap().len() == values.len());
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back_whatever_they_are(
            values in prop::collection::vec(prop_oneof![any::<u64>(), 5..300_u64, 5..100_000_u64], 0..700),
        ) {
            let min = values.iter().copied().min().unwrap_or(3);
            prop_assert_eq!(read_back(&values, min), values);
        }
    }
}
