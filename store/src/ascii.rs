//! ASCII letters and digits, sixteen bytes at a time.
//!
//! Each byte is looked at by itself: adding sets its high bit where it is above a bound, and never carries.

/// The high bit of every byte.
pub(crate) const HIGH: u128 = each(0x80);

/// Sixteen times the same byte.
pub(crate) const fn each(byte: u8) -> u128 {
    u128::from_le_bytes([byte; 16])
}

/// The high bit of every byte that is a digit.
pub(crate) const fn digits(bytes: u128) -> u128 {
    let low = bytes & !HIGH;
    (low + each(0x80 - b'0')) & !(low + each(0x7f - b'9')) & !bytes & HIGH
}

/// The high bit of every byte that is a letter.
pub(crate) const fn letters(bytes: u128) -> u128 {
    let lower = bytes & !HIGH | each(0x20);
    (lower + each(0x80 - b'a')) & !(lower + each(0x7f - b'z')) & !bytes & HIGH
}

/// The high bit of every byte that is `byte`, and perhaps of some after the first of these.
const fn equal(bytes: u128, byte: u8) -> u128 {
    let differing = bytes ^ each(byte);
    differing.wrapping_sub(each(1)) & !differing & HIGH
}

/// Number of bytes before the first of `marked`, of which no bit but the high one of a byte is set.
pub(crate) const fn before(marked: u128) -> usize {
    marked.trailing_zeros() as usize / 8
}

/// Where the first of two bytes stands in `text`: quicker than `memchr` where it is not far.
#[inline]
pub(crate) fn first_of_two(a: u8, b: u8, text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text.as_chunks();
    for (i, chunk) in chunks.iter().enumerate() {
        let bytes = u128::from_le_bytes(*chunk);
        let found = equal(bytes, a) | equal(bytes, b);
        if found != 0 {
            return Some(16 * i + before(found));
        }
    }
    rest.iter().position(|byte| *byte == a || *byte == b).map(|at| 16 * chunks.len() + at)
}

/// Where the first digit of `text` stands.
pub(crate) fn first_digit(text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text.as_chunks();
    for (i, chunk) in chunks.iter().enumerate() {
        let digits = digits(u128::from_le_bytes(*chunk));
        if digits != 0 {
            return Some(16 * i + before(digits));
        }
    }
    rest.iter().position(u8::is_ascii_digit).map(|at| 16 * chunks.len() + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_told_whatever_stands_beside_it() {
        let marked = |bytes: u128, place: usize| bytes.to_le_bytes()[place];
        for byte in 0..=u8::MAX {
            for beside in [0, b'a', b'z', b'0', 0x7f, 0x80, 0xff] {
                let mut bytes = [beside; 16];
                bytes[7] = byte;
                let bytes = u128::from_le_bytes(bytes);
                assert_eq!(marked(digits(bytes), 7), u8::from(byte.is_ascii_digit()) << 7, "{byte}");
                assert_eq!(marked(letters(bytes), 7), u8::from(byte.is_ascii_alphabetic()) << 7, "{byte}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_of_two_bytes_is_found(text in prop::collection::vec(prop_oneof![9 => 0x1f..0x24_u8, 1 => any::<u8>()], 0..40)) {
            let expected = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(first_of_two(b'"', b'\\', &text), expected);
        }

        #[test]
        fn the_first_digit_is_found(text in "[a-z/:é]{0,40}[0-9a]{0,3}") {
            prop_assert_eq!(first_digit(text.as_bytes()), text.bytes().position(|byte| byte.is_ascii_digit()));
        }
    }
}
