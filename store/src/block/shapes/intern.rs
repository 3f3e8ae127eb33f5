//! Distinct byte strings, numbered in the order in which they are first seen.

use crate::block::Lines;

/// See the module. Keeps its memory between blocks.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: Lines,
    /// Of each text.
    hashes: Vec<Hash>,
    /// Open addressing by the low bits of the hash: it, and the number plus one; 0 is free.
    slots: Vec<(Hash, u32)>,
}

/// There are far fewer texts than hashes of 32 bits.
pub(super) type Hash = u32;

impl Interner {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.hashes.clear();
        self.slots.fill((0, 0));
    }

    pub(crate) const fn len(&self) -> usize {
        self.texts.len()
    }

    /// The distinct texts, by number.
    pub(crate) const fn texts(&self) -> &Lines {
        &self.texts
    }

    pub(super) fn hash(text: &[u8]) -> Hash {
        xxhash_rust::xxh3::xxh3_64(text) as Hash
    }

    /// The number of `text`; `None` when it is new and there are `max` already.
    #[inline]
    pub(crate) fn number(&mut self, text: &[u8], max: usize) -> Option<u32> {
        self.number_of(text, Self::hash(text), max)
    }

    /// The same for a text whose hash is known.
    #[inline]
    pub(super) fn number_of(&mut self, text: &[u8], hash: Hash, max: usize) -> Option<u32> {
        if self.texts.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (found, number) = self.slots[at];
            if number == 0 {
                break;
            }
            if found == hash && self.texts.get(number as usize - 1) == text {
                return Some(number - 1);
            }
            at = (at + 1) & mask;
        }
        if self.texts.len() >= max {
            return None;
        }
        self.texts.push(text);
        self.hashes.push(hash);
        self.slots[at] = (hash, self.texts.len() as u32);
        Some(self.texts.len() as u32 - 1)
    }

    /// Brings what texts of these hashes are looked up in into the cache: all at once takes as long as one after the
    /// other for one.
    pub(super) fn look_ahead(&self, hashes: impl Iterator<Item = Hash>) {
        let Some(mask) = self.slots.len().checked_sub(1) else { return };
        let mut seen = 0;
        for hash in hashes {
            let (found, number) = self.slots[hash as usize & mask];
            if found == hash && number > 0 {
                let text = self.texts.get(number as usize - 1);
                seen ^= text.first().copied().unwrap_or(0) ^ text.last().copied().unwrap_or(0);
            }
        }
        std::hint::black_box(seen);
    }

    /// Forgets all texts but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        // Newest first: no other's way to its slot leads across these.
        for number in (len..self.texts.len()).rev() {
            let mask = self.slots.len() - 1;
            let mut at = self.hashes[number] as usize & mask;
            while self.slots[at].1 as usize != number + 1 {
                at = (at + 1) & mask;
            }
            self.slots[at] = (0, 0);
        }
        self.texts.truncate(len);
        self.hashes.truncate(len);
    }

    fn grow(&mut self) {
        let mut slots = vec![(0, 0); (self.slots.len() * 2).max(64)];
        let mask = slots.len() - 1;
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut at = *hash as usize & mask;
            while slots[at].1 != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = (*hash, number as u32 + 1);
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbered_once_and_never_beyond_the_most() {
        let mut interner = Interner::default();
        for round in 0..2 {
            for i in 0..1000_u32 {
                assert_eq!(interner.number(format!("t{i}").as_bytes(), 1000), Some(i), "{round}");
            }
        }
        assert_eq!(interner.number(b"another", 1000), None);
        assert_eq!(interner.texts().get(7), b"t7");
        interner.clear();
        assert_eq!(interner.number(b"another", 1000), Some(0));
    }

    #[test]
    fn texts_that_are_forgotten_leave_the_others_where_they_are() {
        let mut interner = Interner::default();
        let text = |i: u32| format!("t{i}").into_bytes();
        for len in [900_u32, 333, 1, 0] {
            (0..1000).for_each(|i| assert_eq!(interner.number(&text(i), 1000), Some(i)));
            interner.truncate(len as usize);
            assert_eq!(interner.len(), len as usize);
            (0..len).for_each(|i| assert_eq!(interner.number(&text(i), 0), Some(i)));
            assert_eq!(interner.number(&text(len), 0), None);
        }
    }
}
