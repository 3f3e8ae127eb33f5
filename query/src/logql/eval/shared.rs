//! Groups of lines told apart by codes that many blocks share: a text is looked at once for all of them.
//!
//! The invariant: what a group has counted is part of its series when [`SharedGroups::settle`] has been called, and
//! not before.

use std::ops::Range;

use store::block::{Dictionary, OneDictionary, SharedCodes};

use super::cells::Kind;
use super::counts::Counts;
use super::key;
use super::series::SeriesTable;
use super::unite::Counted;
use crate::logql::pipeline::Quoting;

/// Sets of groups that are remembered, per thread: the codes of a dictionary of 60,000 texts take half a megabyte. Once there are as many,
/// all are settled and forgotten.
const MAX_SETS: usize = 16;
/// Bytes of tables that sets keep in memory, per thread: some 25 of 60,000 paths. Beyond it, the same happens.
const MAX_HELD_BYTES: usize = 64 << 20;
/// A group that has no place yet.
const NO_PLACE: u32 = u32::MAX;

/// What tells sets of groups apart: the key of a series is the text of a code between two others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SetId {
    pub(super) dictionary: Dictionary,
    pub(super) quoting: Quoting,
    pub(super) before: String,
    pub(super) after: String,
}

/// The groups of all sets.
#[derive(Debug, Default)]
pub(super) struct SharedGroups {
    sets: Vec<GroupSet>,
    /// Of the tables of all sets.
    held_bytes: usize,
}

/// Groups by code.
#[derive(Debug)]
pub(super) struct GroupSet {
    id: SetId,
    /// The pane of lines that are counted.
    pane: u32,
    /// At least as many as are counted: no count is larger.
    lines: u32,
    /// Lines not yet added.
    counts: Counts,
    /// Places of the groups' series, as far as they were asked for.
    places: Vec<u32>,
}

impl SharedGroups {
    /// Numbers of these sets, valid until the next call; `None` for those beyond the most that are remembered. Gives `None`
    /// when there are too many series.
    pub(super) fn find(
        &mut self,
        ids: Vec<SetId>,
        kind: Kind,
        series: &mut SeriesTable,
        max_series: usize,
    ) -> Option<Vec<Option<usize>>> {
        let is_new = |id: &&SetId| self.sets.iter().all(|set| set.id != **id);
        if self.sets.len() + ids.iter().filter(is_new).count() > MAX_SETS || self.held_bytes > MAX_HELD_BYTES
        {
            self.settle(kind, series, max_series)?;
            self.sets.clear();
            self.held_bytes = 0;
        }
        let numbers = ids.into_iter().map(|id| self.number(id));
        Some(numbers.collect())
    }

    fn number(&mut self, id: SetId) -> Option<usize> {
        let found = self.sets.iter().position(|set| set.id == id);
        let Some(found) = found else {
            if self.sets.len() == MAX_SETS {
                return None;
            }
            self.held_bytes += id.dictionary.held_bytes();
            self.sets.push(GroupSet::new(id));
            return Some(self.sets.len() - 1);
        };
        let held = &mut self.sets[found].id.dictionary;
        let before = held.held_bytes();
        held.take_in(id.dictionary);
        self.held_bytes += held.held_bytes() - before;
        Some(found)
    }

    /// A set by its number.
    pub(super) fn set(&mut self, number: usize) -> &mut GroupSet {
        &mut self.sets[number]
    }

    /// Adds all lines counted to their series; `None` when there are too many of these.
    pub(super) fn settle(&mut self, kind: Kind, series: &mut SeriesTable, max_series: usize) -> Option<()> {
        self.sets.iter_mut().try_for_each(|set| set.settle(kind, series, max_series))
    }

    /// All sets.
    pub(super) fn sets_mut(&mut self) -> &mut [GroupSet] {
        &mut self.sets
    }

    /// Bytes of the keys of all groups, about.
    pub(super) fn key_bytes(&self) -> usize {
        let bytes = |GroupSet { id, counts, .. }: &GroupSet| {
            let others = counts.max_codes().saturating_mul(id.before.len() + id.after.len() + 1);
            others.saturating_add(id.dictionary.bytes(counts.max_codes()))
        };
        self.sets.iter().map(bytes).fold(0, usize::saturating_add)
    }

    /// Number of groups with lines that are not yet added.
    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| set.counts.len()).sum()
    }

    /// Counts lines of groups of one text together, as far as there is room for a dictionary of all tables.
    pub(super) fn join(&mut self) {
        let dictionaries: Vec<&Dictionary> = self.sets.iter().map(|set| &set.id.dictionary).collect();
        let Some(OneDictionary { dictionary, codes, recoded }) = Dictionary::unite(&dictionaries) else {
            return;
        };
        for (mut set, recoded) in std::mem::take(&mut self.sets).into_iter().zip(recoded) {
            if let Some(recoded) = recoded {
                let id = SetId { dictionary: dictionary.clone(), ..set.id.clone() };
                let joined = self.like(id, set.pane, set.lines);
                joined.counts.reserve(codes);
                set.counts.offer(|code, lines| {
                    recoded.get(code).inspect(|code| joined.counts.add(*code, lines)).is_some()
                });
            }
            if set.counts.len() > 0 {
                self.sets.push(set);
            }
        }
    }

    /// The set of this kind that has room for so many more lines, a new one if there is none.
    fn like(&mut self, id: SetId, pane: u32, lines: u32) -> &mut GroupSet {
        let is_it =
            |set: &GroupSet| set.id == id && set.pane == pane && set.lines.checked_add(lines).is_some();
        let at = self.sets.iter().position(is_it).unwrap_or_else(|| {
            self.sets.push(GroupSet { pane, ..GroupSet::new(id) });
            self.sets.len() - 1
        });
        let set = &mut self.sets[at];
        set.lines += lines;
        set
    }

    /// Adds what another thread has counted. Its series have other places than ours.
    pub(super) fn merge(&mut self, kind: Kind, other: Self, series: &mut SeriesTable) {
        for mut more in other.sets {
            let known = self.sets.iter_mut().find(|set| set.id == more.id && set.pane == more.pane);
            if let Some(known) = known
                && let Some(lines) = known.lines.checked_add(more.lines)
            {
                known.lines = lines;
                known.id.dictionary.take_in(more.id.dictionary);
                known.counts.reserve(more.counts.max_codes());
                more.counts.offer(|code, lines| {
                    known.counts.add(code, lines);
                    true
                });
                continue;
            }
            more.places.clear();
            if self.sets.len() < MAX_SETS {
                self.sets.push(more);
                continue;
            }
            // As many as there can be: how many there are is looked at in the end.
            let settled = more.settle(kind, series, usize::MAX);
            debug_assert!(settled.is_some(), "BUG: more series than memory");
        }
    }
}

impl GroupSet {
    fn new(id: SetId) -> Self {
        Self { id, pane: 0, lines: 0, counts: Counts::default(), places: Vec::new() }
    }

    /// Goes on with so many `lines` of `pane`, whose codes are less than `codes`; `None` when there are too many series.
    pub(super) fn begin(
        &mut self,
        pane: u32,
        lines: usize,
        codes: usize,
        kind: Kind,
        series: &mut SeriesTable,
        max_series: usize,
    ) -> Option<()> {
        let sum = u32::try_from(lines).ok().and_then(|lines| self.lines.checked_add(lines));
        if pane != self.pane || sum.is_none() {
            self.settle(kind, series, max_series)?;
            self.pane = pane;
        }
        self.lines = sum.unwrap_or(lines as u32); // of one block
        self.counts.reserve(codes);
        Some(())
    }

    /// Counts a line of a group.
    #[inline]
    pub(super) fn count(&mut self, code: usize) {
        self.counts.add(code, 1);
    }

    /// Counts lines of a block that all have a code.
    pub(super) fn count_lines(&mut self, codes: &SharedCodes<'_>, rows: Range<usize>) {
        self.counts.add_lines(codes, rows);
    }

    /// The groups with lines that are not yet added, by code.
    pub(super) fn counted(&self) -> Vec<Counted> {
        let all = (0..self.counts.max_codes()).map(|code| (code, self.counts.lines(code)));
        let some = all.filter(|(_, lines)| *lines > 0);
        some.map(|(code, lines)| Counted { code: code as u32, lines: f64::from(lines) }).collect()
    }

    /// Whether no two groups have one key: texts mean what they say.
    pub(super) fn is_plain(&self) -> bool {
        self.id.dictionary.is_plain()
    }

    /// Makes [`GroupSet::set_key`] know a group.
    pub(super) fn look_up(&mut self, code: usize) {
        self.id.dictionary.look_up(code);
    }

    /// Sets `key` to that of a group that was looked up; `value` is scratch.
    pub(super) fn set_key(&self, code: usize, key: &mut String, value: &mut Vec<u8>) {
        let SetId { dictionary, quoting, before, after } = &self.id;
        key.clear();
        key.push_str(before);
        key::push(key, Some(&quoting.read(dictionary.text(code, value))));
        key.push_str(after);
    }

    /// The place of the series of a group; `None` when there are too many. `key` and `value` are scratch.
    pub(super) fn place(
        &mut self,
        code: usize,
        series: &mut SeriesTable,
        max_series: usize,
        (key, value): (&mut String, &mut Vec<u8>),
    ) -> Option<usize> {
        if self.places.len() <= code {
            self.places.resize(self.counts.max_codes(), NO_PLACE);
        }
        if self.places[code] == NO_PLACE {
            self.look_up(code);
            self.set_key(code, key, value);
            self.places[code] = series.place(key, max_series)? as u32;
        }
        Some(self.places[code] as usize)
    }

    fn settle(&mut self, kind: Kind, series: &mut SeriesTable, max_series: usize) -> Option<()> {
        let (mut key, mut value) = (String::new(), Vec::new());
        for at in 0..self.counts.len() {
            let code = self.counts.code(at);
            let place = self.place(code, series, max_series, (&mut key, &mut value))?;
            series.cells(place).add(kind, self.pane, 0, f64::from(self.counts.lines(code)));
        }
        self.counts.clear();
        self.lines = 0;
        Some(())
    }
}
