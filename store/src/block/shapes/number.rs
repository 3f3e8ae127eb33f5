//! Numbers that are written the one way their value tells: `17`, `0.50`, `u4711`.
//!
//! All of a column have the same text before them and the same number of digits after the point, so that the
//! text follows from the digits as one whole number. Stored as the difference to the lowest, all lowest
//! bytes first, then all second bytes: bytes of one place compress together.

use super::Rows;
use crate::block::wire::{Input, Malformed, put_bytes, put_varint};
use crate::block::{Lines, Piece, dense};

/// Most digits of a number: what fits into 64 bits whatever they are.
pub(super) const MAX_DIGITS: usize = 19;

/// How all numbers of a column are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Format {
    /// Text before each.
    pub(crate) prefix: Vec<u8>,
    /// Digits after the point; 0: there is no point.
    pub(crate) decimals: usize,
}

/// A column of numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) format: Format,
    /// The numbers without their points.
    pub(crate) values: Vec<u64>,
}

impl Numbers {
    /// The values as numbers, if their text follows from them.
    pub(super) fn of(texts: &Lines) -> Option<Self> {
        let first = texts.iter().next()?;
        let prefix = &first[..first.iter().position(u8::is_ascii_digit)?];
        let point = first[prefix.len()..].iter().position(|byte| *byte == b'.');
        let decimals = point.map_or(0, |point| first.len() - prefix.len() - point - 1);
        if prefix.len() > 64 || (point.is_some() && decimals == 0) {
            return None;
        }
        let mut values = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            // Most have no text before them, which is quicker to tell here.
            let number = if prefix.is_empty() { text } else { text.strip_prefix(prefix)? };
            values.push(parsed(number, decimals)?);
        }
        Some(Self { format: Format { prefix: prefix.to_vec(), decimals }, values })
    }

    /// Parameters and content of the column.
    pub(super) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let min = self.values.iter().copied().min().unwrap_or(0);
        let max = self.values.iter().copied().max().unwrap_or(0);
        let width = (max - min).checked_ilog2().map_or(1, |bits| bits as usize / 8 + 1);
        let mut params = Vec::new();
        put_bytes(&mut params, &self.format.prefix);
        put_varint(&mut params, self.format.decimals as u64);
        put_varint(&mut params, min);
        put_varint(&mut params, max);
        let mut raw = Vec::with_capacity(self.values.len() * width);
        for place in 0..width {
            raw.extend(self.values.iter().map(|value| ((value - min) >> (8 * place)) as u8));
        }
        (params, raw)
    }

    /// Content of the column in the other encoding, and what it is made of.
    pub(super) fn encode_dense(&self) -> (Vec<u8>, Vec<Piece>) {
        let min = self.values.iter().copied().min().unwrap_or(0);
        let mut raw = Vec::with_capacity(self.values.len() * 3);
        let pieces = dense::put(&self.values, min, &mut raw);
        (raw, pieces.into())
    }

    pub(super) fn decode_dense(params: &[u8], raw: &[u8], len: usize) -> Result<Self, Malformed> {
        let (format, min, max) = Format::decode(params)?;
        let mut input = Input::new(raw);
        let values = dense::take(&mut input, min, len)?;
        if !input.is_empty() || values.iter().any(|value| *value > max) {
            return Err(Malformed("range of the numbers"));
        }
        Ok(Self { format, values })
    }

    pub(super) fn decode(params: &[u8], raw: &[u8], len: usize) -> Result<Self, Malformed> {
        let (format, min, max) = Format::decode(params)?;
        let width = (max - min).checked_ilog2().map_or(1, |bits| bits as usize / 8 + 1);
        if len.checked_mul(width) != Some(raw.len()) {
            return Err(Malformed("length of the numbers"));
        }
        let mut values = vec![min; len];
        for (place, bytes) in raw.chunks_exact(len.max(1)).enumerate() {
            for (value, byte) in values.iter_mut().zip(bytes) {
                *value = value.wrapping_add(u64::from(*byte) << (8 * place));
            }
        }
        if values.iter().any(|value| *value < min || *value > max) {
            return Err(Malformed("range of the numbers"));
        }
        Ok(Self { format, values })
    }

    /// Appends the text of number `i`.
    pub(super) fn append(&self, i: usize, out: &mut Vec<u8>) {
        self.format.append(self.values[i], out);
    }
}

impl Format {
    /// Appends the text of a number without its point.
    pub(crate) fn append(&self, value: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        if self.decimals == 0 {
            return out.extend_from_slice(digits);
        }
        if let Some(whole) = digits.len().checked_sub(self.decimals).filter(|whole| *whole > 0) {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            return out.extend_from_slice(&digits[whole..]);
        }
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', self.decimals - digits.len()));
        out.extend_from_slice(digits);
    }
}

impl Numbers {
    /// The numbers that hold these digits; `None` when it is not digits alone.
    pub(super) fn rows_with(&self, needle: &[u8]) -> Option<Rows> {
        let digits = Digits::of(needle)?;
        let mut rows = Rows::none(self.values.len());
        let fraction = 10_u64.pow(self.format.decimals as u32); // at most 19 of them
        // Smaller ones have too few digits on either side of the point.
        let least = if digits.len <= self.format.decimals.max(1) {
            0
        } else {
            fraction.saturating_mul(digits.unit / 10)
        };
        for (i, value) in self.values.iter().enumerate() {
            if *value < least {
                continue;
            }
            let is_hit = match self.format.decimals {
                0 => digits.are_in(*value),
                width => digits.are_in(value / fraction) || digits.are_in_last(value % fraction, width),
            };
            if is_hit {
                rows.insert(i);
            }
        }
        Some(rows)
    }
}

impl Numbers {
    /// The numbers that begin with these digits, end with them or both; `None` when they need to be written out.
    pub(super) fn rows_at(&self, needle: &[u8], from_start: bool, to_end: bool) -> Option<Rows> {
        let digits = Digits::of(needle)?;
        if self.format.decimals > 0 || (from_start && !self.format.prefix.is_empty()) {
            return None;
        }
        Some(Rows::with(self.values.len(), |i| {
            let value = self.values[i];
            match (from_start, to_end) {
                (true, true) => digits.are(value),
                (true, false) => digits.begin(value),
                _ => digits.end(value),
            }
        }))
    }
}

/// Decimal digits that are looked for in numbers, without writing these out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    value: u64,
    len: usize,
    /// Ten to the power of `len`.
    unit: u64,
}

impl Digits {
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_DIGITS || !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        Some(Self { value, len: text.len(), unit: 10_u64.pow(text.len() as u32) })
    }

    /// Whether they are among the digits of `number`, which begins with no zero.
    fn are_in(self, number: u64) -> bool {
        if number == 0 {
            return self.len == 1 && self.value == 0;
        }
        let mut rest = number;
        while rest >= self.unit / 10 && rest > 0 {
            if self.last_of(rest) == self.value {
                return true;
            }
            rest /= 10;
        }
        false
    }

    /// As many digits at the end of `number`.
    const fn last_of(self, number: u64) -> u64 {
        if number < self.unit { number } else { number % self.unit } // division is slow
    }

    /// Whether `number`, which begins with no zero, has as many digits.
    const fn fit(self, number: u64) -> bool {
        self.len == 1 || number >= self.unit / 10
    }

    /// Whether they are all digits of `number`.
    const fn are(self, number: u64) -> bool {
        number == self.value && self.fit(number)
    }

    /// Whether `number` ends with them.
    const fn end(self, number: u64) -> bool {
        self.fit(number) && self.last_of(number) == self.value
    }

    /// Whether `number` begins with them.
    const fn begin(self, mut number: u64) -> bool {
        while number >= self.unit {
            number /= 10;
        }
        self.are(number)
    }

    /// Whether they are among the last `width` digits of `number`, which may begin with zeroes.
    pub(super) fn are_in_last(self, number: u64, width: usize) -> bool {
        let mut rest = number;
        for _ in self.len..=width {
            if rest % self.unit == self.value {
                return true;
            }
            rest /= 10;
        }
        false
    }
}

impl Format {
    /// The format, the lowest and the highest number.
    pub(super) fn decode(params: &[u8]) -> Result<(Self, u64, u64), Malformed> {
        let mut input = Input::new(params);
        let prefix = input.bytes("text before a number")?.to_vec();
        let decimals = input.len("decimals of a number")?;
        let (min, max) = (input.varint("lowest number")?, input.varint("highest number")?);
        if decimals > MAX_DIGITS || min > max || prefix.len() > 64 || !input.is_empty() {
            return Err(Malformed("format of the numbers"));
        }
        Ok((Self { prefix, decimals }, min, max))
    }

    /// Most bytes of a number up to `max`.
    pub(super) fn longest(&self, max: u64) -> usize {
        let digits = max.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.prefix.len() + if self.decimals > 0 { digits.max(self.decimals + 1) + 1 } else { digits }
    }
}

/// Whether a text is a number in decimal digits: `17`, `-3`, `0.50`.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match text.iter().position(|byte| *byte == b'.') {
        Some(point) => digits(&text[..point]) && digits(&text[point + 1..]),
        None => digits(text),
    }
}

/// The digits of `text` as one number, if it is written as [`Numbers::append`] writes it.
fn parsed(text: &[u8], decimals: usize) -> Option<u64> {
    let whole_len = if decimals == 0 {
        text.len()
    } else {
        let point = text.len().checked_sub(decimals + 1)?;
        (text[point] == b'.').then_some(point)?
    };
    let leading_zero = whole_len > 1 && text[0] == b'0';
    if whole_len == 0 || leading_zero || whole_len + decimals > MAX_DIGITS {
        return None;
    }
    let mut value = 0_u64;
    let digits = text[..whole_len].iter().chain(text.get(whole_len + 1..).unwrap_or_default());
    for digit in digits {
        value = value * 10 + u64::from(digit.wrapping_sub(b'0'));
        if !digit.is_ascii_digit() {
            return None;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_bytes()));
        lines
    }

    fn read_back(texts: &[&str]) -> Option<Vec<String>> {
        let numbers = Numbers::of(&lines(texts))?;
        let (params, raw) = numbers.encode();
        let dense = Numbers::decode_dense(&params, &numbers.encode_dense().0, texts.len()).unwrap();
        let numbers = Numbers::decode(&params, &raw, texts.len()).unwrap();
        assert_eq!(dense.values, numbers.values);
        let text = |i| {
            let mut out = Vec::new();
            numbers.append(i, &mut out);
            String::from_utf8(out).unwrap()
        };
        Some((0..texts.len()).map(text).collect())
    }

    #[test]
    fn numbers_are_taken_only_when_their_text_follows_from_them() {
        for texts in [
            &["0", "17", "9999999999999999999"][..],
            &["0.00", "0.07", "12.50", "100.00"],
            &["u1", "u0", "u77"],
            &["-5", "-7"],
            &["3"],
        ] {
            assert_eq!(
                read_back(texts).as_deref(),
                Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>().as_slice())
            );
        }
        for texts in [
            &["007"][..],
            &["1", "1.5"],
            &["1.5", "1.25"],
            &["00.5"],
            &["5."],
            &["1e5"],
            &["1", "u1"],
            &["10000000000000000000"],
            &["1", ""],
            &["1/2"],
        ] {
            assert_eq!(read_back(texts), None, "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn digits_are_found_where_they_are_once_written_out(
            values in prop::collection::vec(prop_oneof![0..2000_u64, Just(0), Just(100), any::<u64>().prop_map(|n| n / 2)], 1..20),
            decimals in 0..4_usize,
            needle in "[0-9]{1,4}",
        ) {
            let numbers = Numbers { format: Format { prefix: b"u".to_vec(), decimals }, values };
            let holds = |row: &usize| {
                let mut text = Vec::new();
                numbers.append(*row, &mut text);
                memchr::memmem::find(&text, needle.as_bytes()).is_some()
            };
            let expected: Vec<usize> = (0..numbers.values.len()).filter(holds).collect();
            let found = numbers.rows_with(needle.as_bytes()).unwrap();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn digits_are_found_at_the_ends_of_numbers(
            values in prop::collection::vec(prop_oneof![0..2000_u64, Just(0), Just(100), any::<u64>().prop_map(|n| n / 2)], 1..20),
            needle in "[0-9]{1,4}",
        ) {
            let numbers = Numbers { format: Format::default(), values };
            for (from_start, to_end) in [(true, true), (true, false), (false, true)] {
                let holds = |row: &usize| {
                    let text = numbers.values[*row].to_string();
                    (!from_start || text.starts_with(&needle))
                        && (!to_end || text.ends_with(&needle))
                        && (!(from_start && to_end) || text == needle)
                };
                let expected: Vec<usize> = (0..numbers.values.len()).filter(holds).collect();
                let found = numbers.rows_at(needle.as_bytes(), from_start, to_end).unwrap();
                prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn what_is_taken_reads_back(texts in prop::collection::vec("[a-]{0,1}[0-9]{1,3}(\\.[0-9]{2}){0,1}", 1..4)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            if let Some(back) = read_back(&texts) {
                prop_assert_eq!(back, texts);
            }
        }
    }
}
