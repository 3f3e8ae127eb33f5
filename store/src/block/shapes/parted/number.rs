//! Tokens that are numbers, decimal or hexadecimal, with the same letters before and after each.

use crate::block::Lines;
use crate::block::shapes::hex;
use crate::block::wire::{Input, Malformed, put_bytes, put_varint};

/// Numbers so near each other need no dictionary.
const NEAR: u64 = 1024;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Tokens that are numbers between the same letters.
#[derive(Debug)]
pub(super) struct Numbers {
    format: Format,
    pub(super) values: Vec<u64>,
    pub(super) min: u64,
    max: u64,
}

#[derive(Debug)]
pub(super) struct Format {
    before: Vec<u8>,
    after: Vec<u8>,
    is_hex: bool,
    /// Digits of each; 0: as many as it has, no zeros before others.
    digits: usize,
}

impl Numbers {
    /// `None` if not all are of one kind.
    pub(super) fn of(tokens: &Lines) -> Option<Self> {
        let first = tokens.get(0);
        let (mut before, mut after) = (first, first);
        for token in tokens.iter() {
            let same = before.iter().zip(token).take_while(|(a, b)| a == b).count();
            before = &before[..same];
            let same = after.iter().rev().zip(token.iter().rev()).take_while(|(a, b)| a == b).count();
            after = &after[after.len() - same..];
            if before.is_empty() && after.is_empty() {
                break;
            }
        }
        // Digits that all have in common are part of the number.
        let is_letter = |byte: &u8| !byte.is_ascii_digit();
        before = &before[..before.iter().rposition(is_letter).map_or(0, |at| at + 1)];
        after = &after[after.iter().position(is_letter).unwrap_or(after.len())..];
        let middle =
            |token: &'_ [u8]| before.len()..token.len().saturating_sub(after.len()).max(before.len());
        let span = middle(first);
        let digits = span.len();
        let (mut is_decimal, mut is_plain, mut is_hex) = (true, true, digits <= 16);
        let mut is_fixed = digits <= 19;
        for token in tokens.iter() {
            let number = &token[middle(token)];
            is_fixed &= number.len() == digits;
            is_decimal &= number.iter().all(u8::is_ascii_digit);
            is_plain &= (1..=19).contains(&number.len()) && (number[0] != b'0' || number.len() == 1);
            is_hex &= number.iter().all(|byte| hex::is_digit(*byte));
            is_plain &= is_decimal;
            if !is_plain && (!is_fixed || digits == 0 || !(is_decimal || is_hex)) {
                return None;
            }
        }
        let is_hex = !is_decimal;
        let format = Format {
            before: before.into(),
            after: after.into(),
            is_hex,
            digits: if is_plain { 0 } else { digits },
        };
        let base = base(is_hex);
        let value = |token: &[u8]| {
            let digits = token[middle(token)].iter();
            digits.fold(0_u64, |value, digit| {
                value * base + u64::from(char::from(*digit).to_digit(16).unwrap_or(0))
            })
        };
        let values: Vec<u64> = tokens.iter().map(value).collect();
        let (min, max) = (values.iter().min().copied()?, values.iter().max().copied()?);
        Some(Self { format, values, min, max })
    }

    pub(super) const fn are_near(&self) -> bool {
        self.max - self.min < NEAR
    }

    /// Appends all but the numbers themselves.
    pub(super) fn put_params(&self, out: &mut Vec<u8>) {
        let Format { before, after, is_hex, digits } = &self.format;
        put_bytes(out, before);
        put_bytes(out, after);
        out.push(base(*is_hex) as u8);
        out.push(*digits as u8);
        put_varint(out, self.min);
    }
}

impl Format {
    /// Reads what [`Numbers::put_params`] wrote: the lowest number too.
    pub(super) fn decode(input: &mut Input<'_>) -> Result<(Self, u64), Malformed> {
        let (before, after) =
            (input.bytes("text of a number")?.into(), input.bytes("text of a number")?.into());
        let is_hex = match input.u8("base of a number")? {
            10 => false,
            16 => true,
            _ => return Err(Malformed("base of a number")),
        };
        let digits = usize::from(input.u8("digits of a number")?);
        Ok((Self { before, after, is_hex, digits }, input.varint("lowest number")?))
    }

    /// Appends a token. Digits beyond those that a number has room for are left out, as its highest.
    pub(super) fn append(&self, value: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        if self.is_hex {
            // Numbers have at most 16 digits, whatever a damaged part says they have.
            let digits =
                (0..self.digits).rev().map(|place| value.checked_shr(4 * place as u32).unwrap_or(0) & 0xf);
            out.extend(digits.map(|digit| HEX[digit as usize]));
        } else {
            let mut buffer = itoa::Buffer::new();
            let text = buffer.format(value).as_bytes();
            let fixed = if self.digits == 0 { text.len() } else { self.digits };
            out.resize(out.len() + fixed.saturating_sub(text.len()), b'0');
            out.extend_from_slice(&text[text.len().saturating_sub(fixed)..]);
        }
        out.extend_from_slice(&self.after);
    }
}

const fn base(is_hex: bool) -> u64 {
    if is_hex { 16 } else { 10 }
}
