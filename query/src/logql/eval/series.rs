//! The series that one thread has found, by their keys.
//!
//! The invariant: two lines have one place exactly if their keys are equal; a hash alone decides nothing, since
//! whoever writes logs could make equal ones. A query may find a series for every few lines: keys lie in one buffer and
//! cells in one list, too large for a cache. So samples are added some at a time, step by step: what the next step needs of
//! all of them is then on its way from memory at once, instead of one after the other.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cells::{Cells, Kind};

/// Slots of a table with a series, to begin with.
const MIN_SLOTS: usize = 64;
/// Samples added at a time: several times as many as a processor reads ahead.
const TOGETHER: usize = 128;

/// Series by key.
#[derive(Debug)]
pub(super) struct SeriesTable {
    /// Open addressing, at most half full.
    slots: Vec<Slot>,
    keys: Texts,
    cells: Vec<Cells>,
    /// Place found last: lines of one series often follow each other.
    last: usize,
    /// Differs from table to table, so that nobody can choose keys that collide.
    seed: u64,
    /// Samples not yet added, and their keys.
    waiting: Vec<Waiting>,
    waiting_keys: Texts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    /// Place of the series plus one; 0 is free.
    place: u32,
}

/// A sample, and what is known of its series.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    sample: Sample,
    hash: u32,
    place: Option<usize>,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Number of the pane it lies in.
    pub(super) pane: u32,
    pub(super) ts_ns: i64,
    pub(super) value: f64,
}

/// Texts by number, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Text `i`; empty when there is none.
    pub(super) fn get(&self, i: usize) -> &str {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..self.ends[i]).unwrap_or_default()
    }

    /// Whether text `i` is `other`; bytes are compared, as to look for characters takes another read.
    fn is(&self, i: usize, other: &str) -> bool {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.as_bytes().get(start..self.ends[i]) == Some(other.as_bytes())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

impl Default for SeriesTable {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); MIN_SLOTS],
            keys: Texts::default(),
            cells: Vec::new(),
            last: 0,
            seed: RandomState::new().hash_one(0),
            waiting: Vec::with_capacity(TOGETHER),
            waiting_keys: Texts::default(),
        }
    }
}

impl SeriesTable {
    /// Number of series.
    pub(super) const fn len(&self) -> usize {
        self.cells.len()
    }

    /// Adds a sample to the series with this key, at the latest when [`SeriesTable::settle`] is called; `None` when that
    /// would be one more than `max`.
    pub(super) fn add(&mut self, kind: Kind, key: &str, sample: Sample, max: usize) -> Option<()> {
        if self.waiting.is_empty() && self.is_last(key) {
            self.cells[self.last].add(kind, sample.pane, sample.ts_ns, sample.value);
            return Some(());
        }
        self.waiting_keys.push(key);
        self.waiting.push(Waiting { sample, hash: self.hash(key), place: None });
        if self.waiting.len() < TOGETHER { Some(()) } else { self.settle(kind, max) }
    }

    /// Adds all samples that wait.
    pub(super) fn settle(&mut self, kind: Kind, max: usize) -> Option<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let keys = std::mem::take(&mut self.waiting_keys);
        for sample in &mut waiting {
            sample.place = self.with_hash(sample.hash);
        }
        for (i, sample) in waiting.iter_mut().enumerate() {
            sample.place = sample.place.filter(|place| self.keys.is(*place, keys.get(i)));
        }
        for (i, Waiting { sample, hash, place }) in waiting.iter().enumerate() {
            self.last = match place {
                Some(place) => *place,
                None => self.place_of(keys.get(i), *hash, max)?,
            };
            self.cells[self.last].add(kind, sample.pane, sample.ts_ns, sample.value);
        }
        (self.waiting, self.waiting_keys) = (waiting, keys);
        self.waiting.clear();
        self.waiting_keys.clear();
        Some(())
    }

    /// The place of the series with this key; a new one, unless there are `max` already.
    pub(super) fn place(&mut self, key: &str, max: usize) -> Option<usize> {
        if self.is_last(key) {
            return Some(self.last);
        }
        self.last = self.place_of(key, self.hash(key), max)?;
        Some(self.last)
    }

    /// The samples of the series at `place`, which must be one that [`SeriesTable::place`] gave.
    pub(super) fn cells(&mut self, place: usize) -> &mut Cells {
        &mut self.cells[place]
    }

    /// Adds what another thread found.
    pub(super) fn merge(&mut self, kind: Kind, other: Self) {
        let Ok(()) = other.into_each(|key, cells| {
            // As many as there can be: each table alone has kept within the limit.
            if let Some(place) = self.place(key, usize::MAX) {
                self.cells[place].merge(kind, cells);
            }
            Ok::<(), Infallible>(())
        });
    }

    /// Calls `each` with every series and its key, until it fails.
    pub(super) fn into_each<E>(self, mut each: impl FnMut(&str, Cells) -> Result<(), E>) -> Result<(), E> {
        let (keys, cells) = self.into_parts();
        cells.into_iter().enumerate().try_for_each(|(i, cells)| each(keys.get(i), cells))
    }

    /// The keys of all series, and their samples in the same order.
    pub(super) fn into_parts(self) -> (Texts, Vec<Cells>) {
        debug_assert!(self.waiting.is_empty(), "BUG: samples are forgotten");
        (self.keys, self.cells)
    }

    /// Whether this is the key of the series found last.
    fn is_last(&self, key: &str) -> bool {
        self.last < self.len() && self.keys.is(self.last, key)
    }

    /// The first series whose key has this hash.
    fn with_hash(&self, hash: u32) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            let place = slot.place.checked_sub(1)?;
            if slot.hash == hash {
                return Some(place as usize);
            }
            at = (at + 1) & mask;
        }
    }

    fn place_of(&mut self, key: &str, hash: u32, max: usize) -> Option<usize> {
        let mut mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(place) = self.slots[at].place.checked_sub(1) {
            if self.slots[at].hash == hash && self.keys.is(place as usize, key) {
                return Some(place as usize);
            }
            at = (at + 1) & mask;
        }
        let place = self.len();
        if place >= max.min(u32::MAX as usize - 1) {
            return None;
        }
        if (place + 1) * 2 > self.slots.len() {
            self.grow();
            mask = self.slots.len() - 1;
        }
        insert(&mut self.slots, mask, Slot { hash, place: place as u32 + 1 });
        self.keys.push(key);
        self.cells.push(Cells::default());
        Some(place)
    }

    fn hash(&self, key: &str) -> u32 {
        (xxh3_64_with_seed(key.as_bytes(), self.seed) >> 32) as u32
    }

    fn grow(&mut self) {
        let mut slots = vec![Slot::default(); self.slots.len() * 2];
        let mask = slots.len() - 1;
        self.slots.iter().filter(|slot| slot.place != 0).for_each(|slot| insert(&mut slots, mask, *slot));
        self.slots = slots;
    }
}

/// Puts a slot into the first free one.
fn insert(slots: &mut [Slot], mask: usize, slot: Slot) {
    let mut at = slot.hash as usize & mask;
    while slots[at].place != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::eval::windows::{Steps, Windows};

    #[test]
    fn each_key_has_one_place() {
        let mut table = SeriesTable::default();
        for _ in 0..2 {
            for i in 0..10_000 {
                assert_eq!(table.place(&format!("key {i}"), 10_000), Some(i));
                assert_eq!(table.place(&format!("key {i}"), 10_000), Some(i));
            }
        }
        assert_eq!(table.place("", 10_000), None);
        assert_eq!(table.place("", 10_001), Some(10_000));
        let mut keys = Vec::new();
        let all = table.into_each(|key, _| {
            keys.push(key.to_owned());
            Ok::<(), Infallible>(())
        });
        assert_eq!(all, Ok(()));
        assert_eq!(keys.len(), 10_001);
        assert_eq!((keys[9_999].as_str(), keys[10_000].as_str()), ("key 9999", ""));
    }

    #[test]
    fn samples_that_wait_are_added_in_order_to_the_series_of_their_keys() {
        let mut table = SeriesTable::default();
        let max = 300;
        for i in 0..10_000_u32 {
            let sample = Sample { pane: 0, ts_ns: i.into(), value: f64::from(i) };
            table.add(Kind::Last, &format!("key {}", i % 300), sample, max).unwrap();
        }
        table.settle(Kind::Last, max).unwrap();
        assert_eq!(table.len(), 300);
        let mut other = SeriesTable::default();
        let late = Sample { pane: 0, ts_ns: 20_000, value: -1.0 };
        other.add(Kind::Last, "key 7", late, max).unwrap();
        other.settle(Kind::Last, max).unwrap();
        table.merge(Kind::Last, other);
        let windows = Windows::new(Steps::new(0, 0, 0), 1, 0);
        let all = table.into_each(|key, cells| {
            let i: u32 = key.strip_prefix("key ").unwrap().parse().unwrap();
            let last = if i < 100 { 9_900 + i } else { 9_600 + i };
            let expected = if i == 7 { -1.0 } else { f64::from(last) };
            assert_eq!(cells.points(&windows, 1, Kind::Last, |window, _| window.value()), [(0, expected)]);
            Ok::<(), Infallible>(())
        });
        assert_eq!(all, Ok(()));

        let mut full = SeriesTable::default();
        let sample = Sample { pane: 0, ts_ns: 0, value: 0.0 };
        let fits = |table: &mut SeriesTable, key: &str| {
            table.add(Kind::Sum, key, sample, 1).and_then(|()| table.settle(Kind::Sum, 1))
        };
        assert_eq!(fits(&mut full, "a"), Some(()));
        assert_eq!(fits(&mut full, "b"), None);
    }
}
