//! Which bytes occur in a text: tells without reading a column that it cannot hold a needle.

use crate::block::wire::Malformed;

/// A set of bytes; those beyond ASCII are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteSet {
    ascii: u128,
    others: bool,
}

impl ByteSet {
    /// Bytes of the encoded form.
    pub(crate) const LEN: usize = 17;

    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.len() < 64 {
            return Self::of_few(bytes);
        }
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        let mut set = Self::default();
        (0..=255_u8).filter(|byte| seen[usize::from(*byte)]).for_each(|byte| set.insert(byte));
        set
    }

    /// As [`ByteSet::of`], for few bytes.
    pub(super) const fn of_few(bytes: &[u8]) -> Self {
        let mut set = Self { ascii: 0, others: false };
        let mut at = 0;
        while at < bytes.len() {
            set.insert(bytes[at]);
            at += 1;
        }
        set
    }

    /// All bytes.
    pub(crate) const ALL: Self = Self { ascii: u128::MAX, others: true };

    /// Lower-case hex digits.
    pub(crate) const fn hex() -> Self {
        Self::of_few(b"0123456789abcdef")
    }

    /// What UUIDs in lower case are written with.
    pub(crate) const fn uuid() -> Self {
        Self::of_few(b"0123456789abcdef-")
    }

    pub(crate) const fn insert(&mut self, byte: u8) {
        if byte < 128 {
            self.ascii |= 1 << byte;
        } else {
            self.others = true;
        }
    }

    /// Adds all of `other`.
    pub(crate) const fn add(&mut self, other: Self) {
        self.ascii |= other.ascii;
        self.others |= other.others;
    }

    pub(crate) const fn without(mut self, byte: u8) -> Self {
        self.ascii &= !(1 << byte);
        self
    }

    pub(crate) const fn contains(self, byte: u8) -> bool {
        if byte < 128 { self.ascii >> byte & 1 == 1 } else { self.others }
    }

    /// Whether some byte is in both.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.ascii & other.ascii != 0 || (self.others && other.others)
    }

    /// Whether every byte of it is in `other`.
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.ascii & !other.ascii == 0 && (other.others || !self.others)
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = self.ascii.to_le_bytes().to_vec();
        out.push(u8::from(self.others));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first_chunk::<16>() {
            Some((ascii, [others])) => Ok(Self { ascii: u128::from_le_bytes(*ascii), others: *others != 0 }),
            _ => Err(Malformed("bytes of a column")),
        }
    }
}
