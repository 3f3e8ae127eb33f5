//! The primitives of the on-disk format: little-endian integers, LEB128 varints, length-prefixed bytes.
//!
//! Reading never panics and never allocates: what it hands out are slices of its input, so a corrupt
//! length costs nothing.

/// Why bytes do not parse: what was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign become small varints.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads values from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.array(what).map(i64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        // Most are short.
        match self.rest {
            [a @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*a))
            }
            [a, b @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.long_varint(what),
        }
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed(what));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed(what))
    }

    pub(crate) fn varint_u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        u32::try_from(self.varint(what)?).map_err(|_| Malformed(what))
    }

    pub(crate) fn len(&mut self, what: &'static str) -> Result<usize, Malformed> {
        usize::try_from(self.varint(what)?).map_err(|_| Malformed(what))
    }

    #[inline]
    pub(crate) fn signed(&mut self, what: &'static str) -> Result<i64, Malformed> {
        let value = self.varint(what)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.len(what)?;
        self.take(len, what)
    }

    pub(crate) fn str(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| Malformed(what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_bytes_read_back(values: Vec<u64>, signed: Vec<i64>, bytes: Vec<u8>) {
            let mut out = Vec::new();
            values.iter().for_each(|v| put_varint(&mut out, *v));
            signed.iter().for_each(|v| put_signed(&mut out, *v));
            put_bytes(&mut out, &bytes);
            let mut input = Input::new(&out);
            for value in values {
                prop_assert_eq!(input.varint("v"), Ok(value));
            }
            for value in signed {
                prop_assert_eq!(input.signed("s"), Ok(value));
            }
            prop_assert_eq!(input.bytes("b"), Ok(bytes.as_slice()));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn lengths_and_varints_beyond_the_input_are_refused() {
        assert_eq!(Input::new(&[0xff; 3]).varint("v"), Err(Malformed("v")));
        assert_eq!(Input::new(&[0xff; 11]).varint("v"), Err(Malformed("v")));
        assert_eq!(Input::new(&[200, 200, 1, 0]).bytes("b"), Err(Malformed("b")));
        assert_eq!(Input::new(&[1, 0xff]).str("s"), Err(Malformed("s")));
        assert_eq!(Input::new(&[0; 3]).u32("n"), Err(Malformed("n")));
    }
}
