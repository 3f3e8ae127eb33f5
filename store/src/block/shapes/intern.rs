//! Distinct byte strings, numbered in the order in which they are first seen.

use crate::block::Lines;

/// See the module. Keeps its memory between blocks.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: Lines,
    /// Open addressing: upper half of the hash, and the number plus one; 0 is free.
    slots: Vec<(u32, u32)>,
}

impl Interner {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.slots.fill((0, 0));
    }

    pub(crate) const fn len(&self) -> usize {
        self.texts.len()
    }

    /// The distinct texts, by number.
    pub(crate) const fn texts(&self) -> &Lines {
        &self.texts
    }

    /// The number of `text`; `None` when it is new and there are `max` already.
    #[inline]
    pub(crate) fn number(&mut self, text: &[u8], max: usize) -> Option<u32> {
        if self.texts.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = xxhash_rust::xxh3::xxh3_64(text);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (upper, number) = self.slots[at];
            if number == 0 {
                break;
            }
            if upper == (hash >> 32) as u32 && self.texts.get(number as usize - 1) == text {
                return Some(number - 1);
            }
            at = (at + 1) & mask;
        }
        if self.texts.len() >= max {
            return None;
        }
        self.texts.push(text);
        self.slots[at] = ((hash >> 32) as u32, self.texts.len() as u32);
        Some(self.texts.len() as u32 - 1)
    }

    /// Forgets all texts but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        // Newest first: no other's way to its slot leads across these.
        for number in (len..self.texts.len()).rev() {
            let mask = self.slots.len() - 1;
            let mut at = xxhash_rust::xxh3::xxh3_64(self.texts.get(number)) as usize & mask;
            while self.slots[at].1 as usize != number + 1 {
                at = (at + 1) & mask;
            }
            self.slots[at] = (0, 0);
        }
        self.texts.truncate(len);
    }

    fn grow(&mut self) {
        let mut slots = vec![(0, 0); (self.slots.len() * 2).max(64)];
        let mask = slots.len() - 1;
        for (number, text) in self.texts.iter().enumerate() {
            let hash = xxhash_rust::xxh3::xxh3_64(text);
            let mut at = hash as usize & mask;
            while slots[at].1 != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = ((hash >> 32) as u32, number as u32 + 1);
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
