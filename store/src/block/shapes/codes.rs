//! One code a record: which of a few things it has.

use crate::block::pack::Piece;
use crate::block::wire::{Input, Malformed};

/// Which of a few things each record has, one byte a record or two.
#[derive(Debug)]
pub(crate) enum Codes {
    /// All have the first.
    One(usize),
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Codes {
    /// Codes below `kinds` of `len` records.
    pub(super) fn decode(input: &mut Input<'_>, kinds: usize, len: usize) -> Result<Self, Malformed> {
        let codes = match kinds {
            0 if len > 0 => return Err(Malformed("number of codes")),
            0 | 1 => return Ok(Self::One(len)),
            2..=256 => Self::Narrow(input.take(len, "codes")?.to_vec()),
            _ => {
                let bytes = input.take(len * 2, "codes")?.chunks_exact(2);
                Self::Wide(bytes.map(|code| u16::from(code[0]) | u16::from(code[1]) << 8).collect())
            }
        };
        if (0..len).any(|i| codes.get(i) >= kinds) {
            return Err(Malformed("code"));
        }
        Ok(codes)
    }

    /// The same where those above 256 kinds lie in two planes: all low bytes, then all high bytes.
    pub(super) fn decode_planes(input: &mut Input<'_>, kinds: usize, len: usize) -> Result<Self, Malformed> {
        if kinds <= 256 {
            return Self::decode(input, kinds, len);
        }
        let (low, high) = (input.take(len, "codes")?, input.take(len, "codes")?);
        let codes: Vec<u16> =
            low.iter().zip(high).map(|(low, high)| u16::from(*low) | u16::from(*high) << 8).collect();
        if codes.iter().any(|code| usize::from(*code) >= kinds) {
            return Err(Malformed("code"));
        }
        Ok(Self::Wide(codes))
    }

    pub(super) fn encode_planes(codes: &[u16], kinds: usize, out: &mut Vec<u8>) {
        if kinds <= 256 {
            return Self::encode(codes, kinds, out);
        }
        out.extend(codes.iter().map(|code| *code as u8));
        out.extend(codes.iter().map(|code| (*code >> 8) as u8));
    }

    /// The pieces of a column of so many bytes that ends with `len` codes of so many kinds in planes: those that need few
    /// bits are packed apart. None if all need as many as the rest.
    pub(super) fn pieces(column: usize, kinds: usize, len: usize) -> Vec<Piece> {
        let planes = match kinds {
            2..=16 => 1,
            257.. => 2,
            _ => return Vec::new(),
        };
        let mut pieces = vec![Piece::Packed(column - planes * len)];
        pieces.resize(1 + planes, Piece::Packed(len));
        pieces
    }

    pub(super) fn encode(codes: &[u16], kinds: usize, out: &mut Vec<u8>) {
        match kinds {
            0 | 1 => {}
            2..=256 => out.extend(codes.iter().map(|code| *code as u8)),
            _ => out.extend(codes.iter().flat_map(|code| code.to_le_bytes())),
        }
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Narrow(codes) => usize::from(codes[i]),
            Self::Wide(codes) => usize::from(codes[i]),
        }
    }

    /// Calls `each` with the number of each record and its code: cheaper than one by one.
    #[inline]
    pub(super) fn for_each(&self, mut each: impl FnMut(usize, usize)) {
        match self {
            Self::One(len) => (0..*len).for_each(|i| each(i, 0)),
            Self::Narrow(codes) => codes.iter().enumerate().for_each(|(i, code)| each(i, usize::from(*code))),
            Self::Wide(codes) => codes.iter().enumerate().for_each(|(i, code)| each(i, usize::from(*code))),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::One(len) => *len,
            Self::Narrow(codes) => codes.len(),
            Self::Wide(codes) => codes.len(),
        }
    }
}
