//! A hasher for addresses and small numbers that come from ourselves, never from outside.

use std::hash::Hasher;

/// Multiplies and folds; no defence against chosen keys, which is why only our own addresses go in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PointerHasher(u64);

/// 2^64 divided by the golden ratio: spreads neighbouring addresses.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for PointerHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(MULTIPLIER);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
