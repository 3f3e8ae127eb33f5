//! Small numbers, several in a byte: codes of levels, of templates and of few distinct values.
//!
//! zstd spends a bit on each byte at least, and looks for repetitions where random codes have none worth their place.
//! Of two, four or eight codes in a byte it sees how often they occur together, and has less to read.

/// Fewer bytes stay as they are.
const MIN: usize = 64;

/// Bits that hold each byte: 1, 2, 4, or 8 if the bytes stay as they are.
pub(super) fn bits(bytes: &[u8]) -> u8 {
    if bytes.len() < MIN {
        return 8;
    }
    match bytes.iter().fold(0, |all, byte| all | byte) {
        0..2 => 1,
        2..4 => 2,
        4..16 => 4,
        _ => 8,
    }
}

/// Appends `bytes`, none of which has more bits, from the low bit of each byte on.
pub(super) fn put(bytes: &[u8], bits: u8, out: &mut Vec<u8>) {
    let each = |bytes: &[u8]| bytes.iter().rev().fold(0, |all, byte| all << bits | byte);
    match bits {
        1 | 2 | 4 => out.extend(bytes.chunks(8 / usize::from(bits)).map(each)),
        _ => out.extend_from_slice(bytes),
    }
}

/// Bytes that [`put`] makes of so many; none of bits that it does not know.
pub(super) fn packed_len(len: usize, bits: u8) -> Option<usize> {
    matches!(bits, 1 | 2 | 4 | 8).then(|| len.div_ceil(8 / usize::from(bits)))
}

/// Appends the `len` bytes that `packed` was made of; `packed` is of [`packed_len`].
pub(super) fn take(packed: &[u8], len: usize, bits: u8, out: &mut Vec<u8>) {
    let end = out.len() + len;
    match bits {
        1 => widen::<8>(packed, out),
        2 => widen::<4>(packed, out),
        4 => widen::<2>(packed, out),
        _ => out.extend_from_slice(packed),
    }
    out.truncate(end);
}

fn widen<const IN_A_BYTE: usize>(packed: &[u8], out: &mut Vec<u8>) {
    let bits = 8 / IN_A_BYTE;
    let each =
        |byte: &u8| std::array::from_fn::<u8, IN_A_BYTE, _>(|i| *byte >> (i * bits) & ((1 << bits) - 1));
    out.extend(packed.iter().flat_map(each));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_from_as_few_bits_as_they_need() {
        for (most, expected) in [(0_u8, 1), (1, 1), (2, 2), (3, 2), (4, 4), (15, 4), (16, 8), (255, 8)] {
            for len in [64_usize, 65, 71, 1000] {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % (usize::from(most) + 1)) as u8).collect();
                let (bits, mut packed, mut read) = (bits(&bytes), Vec::new(), vec![9]);
                assert_eq!(bits, expected, "{most}");
                put(&bytes, bits, &mut packed);
                assert_eq!(packed_len(len, bits), Some(packed.len()));
                take(&packed, len, bits, &mut read);
                assert_eq!(read[1..], bytes, "{most}, {len}");
            }
        }
        assert_eq!(bits(&[0; 63]), 8);
        assert_eq!(packed_len(64, 3), None);
        assert_eq!(packed_len(64, 0), None);
    }
}
