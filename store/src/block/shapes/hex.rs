//! Lower-case hex digits, two a byte, and how to find some of them without writing them out.

use memchr::memmem;

use super::Rows;

pub(super) const fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The byte that two hex digits stand for.
pub(super) const fn packed([high, low]: [u8; 2]) -> u8 {
    value(high) << 4 | value(low)
}

const fn value(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 }
}

/// Appends the digits of `bytes`.
pub(crate) fn append(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    for (digits, byte) in out[start..].as_chunks_mut().0.iter_mut().zip(bytes) {
        *digits = [digit(byte >> 4), digit(byte & 15)];
    }
}

/// The digit of a value below 16, without a table: so many are written at once.
const fn digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'a' - 10 }
}

/// Values that have the same, even number of digits each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedHex<'a> {
    pub(crate) digits: usize,
    pub(crate) bytes: &'a [u8],
}

impl PackedHex<'_> {
    /// Whether [`PackedHex::rows_with`] can look for these bytes.
    pub(super) fn can_find(needle: &[u8]) -> bool {
        needle.len() >= 3 && needle.iter().all(|byte| is_digit(*byte))
    }

    /// The values that hold these hex digits; `None` when there are too few of them to look for.
    pub(super) fn rows_with(self, needle: &[u8]) -> Option<Rows> {
        if !Self::can_find(needle) {
            return None;
        }
        let mut rows = Rows::none(self.bytes.len() / (self.digits / 2));
        // An occurrence begins with the first digit of a byte or with the second.
        for odd in [0, 1] {
            let (pairs, last) = needle[odd..].as_chunks();
            let whole: Vec<u8> = pairs.iter().map(|pair| packed(*pair)).collect();
            let finder = memmem::Finder::new(&whole);
            let mut from = 0;
            while let Some(at) = self.bytes.get(from..).and_then(|rest| finder.find(rest)) {
                let start = from + at;
                from = start + 1;
                let before = start.checked_sub(odd).map(|before| self.bytes[before] & 15);
                let after = self.bytes.get(start + whole.len()).map(|after| after >> 4);
                let begins = odd == 0 || before == Some(value(needle[0]));
                let ends = last.first().is_none_or(|last| after == Some(value(*last)));
                let Some(first) = (start * 2).checked_sub(odd).filter(|_| begins && ends) else { continue };
                let row = first / self.digits;
                if (first + needle.len() - 1) / self.digits == row {
                    rows.insert(row);
                }
            }
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_found_where_they_are_once_written_out(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(0x10), Just(0x01), any::<u8>()], 0..48),
            needle in "[01]{3,6}|[0-9a-f]{3}",
        ) {
            let bytes = &bytes[..bytes.len() / 4 * 4];
            let mut text = Vec::new();
            append(bytes, &mut text);
            let holds = |row: &usize| memmem::find(&text[row * 8..][..8], needle.as_bytes()).is_some();
            let expected: Vec<usize> = (0..bytes.len() / 4).filter(holds).collect();
            let found = PackedHex { digits: 8, bytes }.rows_with(needle.as_bytes()).unwrap();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }
    }
}
