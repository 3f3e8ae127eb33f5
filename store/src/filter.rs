//! Binary fuse filter over 64-bit keys, 8 bits a fingerprint: 9.5 to 11 bits a key, 0.39 % false positives.
//!
//! After Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters" (2022). Written here
//! rather than taken from a crate because its bytes are part of the on-disk format, and are read back
//! from files that may be damaged.

use crate::block::{Input, Malformed, put_varint};

/// Largest segment, as a power of two: the paper's bound.
const MAX_SEGMENT_BITS: u32 = 18;

/// A filter within the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    seed: u64,
    segment_bits: u32,
    /// Number of places for a key's first fingerprint: segments but the last two, times their length.
    first_places: u64,
    fingerprints: &'a [u8],
}

impl<'a> Filter<'a> {
    pub(crate) fn decode(input: &mut Input<'a>) -> Result<Self, Malformed> {
        let seed = input.u64("seed of a filter")?;
        let segment_bits = u32::from(input.u8("segment of a filter")?);
        let segments = input.varint_u32("segments of a filter")?;
        if segment_bits > MAX_SEGMENT_BITS {
            return Err(Malformed("segment of a filter"));
        }
        let first_places = u64::from(segments) << segment_bits;
        let len = if segments == 0 { 0 } else { first_places + (2 << segment_bits) };
        let len = usize::try_from(len).map_err(|_| Malformed("length of a filter"))?;
        let fingerprints = input.take(len, "fingerprints of a filter")?;
        Ok(Self { seed, segment_bits, first_places, fingerprints })
    }

    /// Whether `key` may be among the filter's keys.
    pub(crate) fn may_contain(&self, key: u64) -> bool {
        if self.fingerprints.is_empty() {
            return false;
        }
        let hash = mixed(key, self.seed);
        let found = places(hash, self.first_places, self.segment_bits)
            .iter()
            .fold(fingerprint(hash), |found, place| found ^ self.fingerprints[*place]);
        found == 0
    }
}

/// Builds filters; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    slots: Vec<Slot>,
    /// Slots with one key left.
    alone: Vec<u32>,
    /// Keys' hashes in the order they were taken out, and the slot each was alone in.
    taken: Vec<(u64, u32)>,
}

/// Keys whose hashes place them here: how many, and all hashes xor-ed.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    count: u32,
    hashes: u64,
}

impl FilterBuilder {
    /// Appends a filter of `keys`, which are distinct, to `out`.
    pub(crate) fn build(&mut self, keys: &[u64], out: &mut Vec<u8>) {
        let (segment_bits, mut segments) = shape(keys.len());
        let mut seed = 0;
        while !self.take_all(keys, seed, segment_bits, segments) {
            seed += 1;
            if seed % 2 == 0 {
                segments += 1;
            }
        }
        out.extend_from_slice(&seed.to_le_bytes());
        out.push(segment_bits as u8);
        put_varint(out, u64::from(segments));
        let start = out.len();
        out.resize(start + self.slots.len(), 0);
        let fingerprints = &mut out[start..];
        let first_places = u64::from(segments) << segment_bits;
        for (hash, slot) in self.taken.iter().rev() {
            // The slot itself is still 0.
            fingerprints[*slot as usize] = places(*hash, first_places, segment_bits)
                .iter()
                .fold(fingerprint(*hash), |print, place| print ^ fingerprints[*place]);
        }
    }

    /// Takes out keys that are alone in a slot until none is left; false when some are stuck.
    fn take_all(&mut self, keys: &[u64], seed: u64, segment_bits: u32, segments: u32) -> bool {
        let first_places = u64::from(segments) << segment_bits;
        let len = if segments == 0 { 0 } else { (segments as usize + 2) << segment_bits };
        self.slots.clear();
        self.slots.resize(len, Slot::default());
        self.alone.clear();
        self.taken.clear();
        for key in keys {
            let hash = mixed(*key, seed);
            for place in places(hash, first_places, segment_bits) {
                self.slots[place].count += 1;
                self.slots[place].hashes ^= hash;
            }
        }
        self.alone.extend((0..len as u32).filter(|place| self.slots[*place as usize].count == 1));
        while let Some(slot) = self.alone.pop() {
            if self.slots[slot as usize].count != 1 {
                continue; // taken out through another of its slots
            }
            let hash = self.slots[slot as usize].hashes;
            self.taken.push((hash, slot));
            for place in places(hash, first_places, segment_bits) {
                let left = &mut self.slots[place];
                left.count -= 1;
                left.hashes ^= hash;
                if left.count == 1 {
                    self.alone.push(place as u32);
                }
            }
        }
        self.taken.len() == keys.len()
    }
}

/// Segment length as a power of two, and number of segments but the last two, that are tried first for so many keys.
///
/// The paper gives the room that nearly every seed succeeds in, with the longest segments. Up to a tenth less suffices for
/// every second seed, and shorter segments come closer to it.
fn shape(keys: usize) -> (u32, u32) {
    if keys == 0 {
        return (0, 0);
    }
    let n = (keys.max(2)) as f64;
    let longest = ((n.ln() / 3.33_f64.ln() + 2.25) as u32).min(MAX_SEGMENT_BITS);
    let room = (0.9 + 0.21 * 1e6_f64.ln() / n.ln()).max(1.125) * n;
    let shapes = (longest.saturating_sub(2).max(1)..=longest).rev().map(|segment_bits| {
        let segments = (room / f64::from(1 << segment_bits)).ceil() as u32;
        (segment_bits, segments.saturating_sub(2).max(1))
    });
    shapes.min_by_key(|(segment_bits, segments)| (u64::from(*segments) + 2) << segment_bits).unwrap_or((1, 1))
}

/// The three slots of a key, in three segments that follow each other.
#[inline]
fn places(hash: u64, first_places: u64, segment_bits: u32) -> [usize; 3] {
    let segment = 1_u64 << segment_bits;
    let first = ((u128::from(hash) * u128::from(first_places)) >> 64) as u64;
    let second = (first + segment) ^ ((hash >> 18) & (segment - 1));
    let third = (first + 2 * segment) ^ (hash & (segment - 1));
    [first as usize, second as usize, third as usize]
}

#[inline]
const fn fingerprint(hash: u64) -> u8 {
    (hash ^ (hash >> 32)) as u8
}

/// Another hash of the key for each seed (the finalizer of MurmurHash3).
#[inline]
const fn mixed(key: u64, seed: u64) -> u64 {
    let mut hash = key.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u64) -> Vec<u64> {
        (0..n).map(|i| mixed(i, 77)).collect()
    }

    #[test]
    fn every_key_is_found_and_few_others_are() {
        let mut builder = FilterBuilder::default();
        for n in (0..200).chain([1_000, 5_000, 30_000, 100_000]) {
            let (keys, mut bytes) = (keys(n), Vec::new());
            builder.build(&keys, &mut bytes);
            let mut input = Input::new(&bytes);
            let filter = Filter::decode(&mut input).unwrap();
            assert!(input.is_empty());
            assert!(keys.iter().all(|key| filter.may_contain(*key)), "{n} keys");
            let wrong = (0..10_000).filter(|i| filter.may_contain(mixed(*i, 78))).count();
            assert!(wrong < 80, "{n} keys: {wrong} of 10000 others");
            if n >= 30_000 {
                assert!((bytes.len() as u64) < n * 5 / 4, "{n} keys: {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn damaged_filters_are_refused() {
        let mut bytes = Vec::new();
        FilterBuilder::default().build(&keys(100), &mut bytes);
        for len in 0..bytes.len() {
            assert!(Filter::decode(&mut Input::new(&bytes[..len])).is_err());
        }
        bytes[8] = 19;
        assert!(Filter::decode(&mut Input::new(&bytes)).is_err());
    }
}
