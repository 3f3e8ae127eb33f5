//! Groups united: those that have one key, whether sets of codes or series know them.
//!
//! Parts have tables of their own, with many texts in common; half a million keys may be united to a tenth as many.
//! Threads first write out the keys of some groups each, dealt by their hashes; then each takes all groups of some hashes, so
//! few that they fit into a cache. Memory is read in the order in which it lies, since what is looked up here and there takes
//! ten times as long. The invariant: a hash alone decides nothing, since whoever writes logs could make equal ones.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::series::Texts;
use super::shared::GroupSet;
use crate::exec::{Context, ExecError, on_threads};

/// Groups whose keys a thread writes out at a time.
const CHUNK: usize = 1 << 13;
/// Groups of each deal, about: so many with their keys fit into a cache.
const GROUPS_PER_DEAL: usize = 1 << 13;
/// Most deals: twice as many places are written to in turns, and a processor knows the addresses of few.
const MAX_DEALS: usize = 1 << 6;
/// Bytes of a key, about.
const KEY_BYTES: usize = 32;

/// Groups that are known from one place, and told apart by codes there.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) groups: &'a [Counted],
}

/// Where the keys of groups are known from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keys<'a> {
    /// A set of codes that have been looked up.
    Set(&'a GroupSet),
    /// Series.
    Series(&'a Texts),
}

/// The code of a group, and how many lines it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) code: u32,
    pub(super) lines: f64,
}

/// All groups that have one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct United<'d> {
    pub(super) key: &'d str,
    /// Of all of them.
    pub(super) lines: f64,
}

/// Groups with keys written out, by thread and deal.
#[derive(Debug)]
pub(super) struct Dealt(Vec<Vec<Deal>>);

/// Groups whose hashes end alike, as far as one thread has written them out.
#[derive(Debug, Default)]
struct Deal {
    keys: String,
    groups: Vec<Group>,
}

/// One group as one source knows it.
#[derive(Clone, Copy, Debug)]
struct Group {
    hash: u32,
    /// Of its key.
    len: u32,
    lines: f64,
}

impl Dealt {
    /// All groups that have lines. Blocking.
    ///
    /// # Errors
    /// When the query may not go on.
    pub(super) fn of(sources: &[Source<'_>], context: &Context) -> Result<Self, ExecError> {
        let groups: usize = sources.iter().map(|source| source.groups.len()).sum();
        let deals = (groups / GROUPS_PER_DEAL).next_power_of_two().min(MAX_DEALS);
        let chunks: Vec<(Keys<'_>, &[Counted])> = sources.iter().flat_map(Source::chunks).collect();
        // Differs from query to query, so that nobody can choose keys that collide.
        let seed = RandomState::new().hash_one(0);
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let threads = context.threads_for(chunks.len());
        on_threads(threads, || {
            let mut dealt: Vec<Deal> = (0..deals).map(|_| Deal::of(groups / deals / threads)).collect();
            let (mut key, mut text) = (String::new(), Vec::new());
            while let Some((keys, groups)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                context.check()?;
                for Counted { code, lines } in groups.iter().copied() {
                    keys.set_key(code as usize, &mut key, &mut text);
                    let hash = xxh3_64_with_seed(key.as_bytes(), seed);
                    let deal = &mut dealt[(hash >> 32) as usize & (deals - 1)];
                    deal.keys.push_str(&key);
                    deal.groups.push(Group { hash: hash as u32, len: key.len() as u32, lines });
                }
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).push(dealt);
            Ok(())
        })?;
        Ok(Self(all.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The groups united, in no order; `None` when there are more than `max`. Blocking.
    ///
    /// # Errors
    /// When the query may not go on.
    pub(super) fn unite(&self, context: &Context, max: usize) -> Result<Option<Vec<United<'_>>>, ExecError> {
        let deals = self.0.first().map_or(0, Vec::len);
        let (next, count, all) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
        on_threads(context.threads_for(deals), || {
            let mut united = Vec::new();
            loop {
                let deal = next.fetch_add(1, Ordering::Relaxed);
                if deal >= deals || count.load(Ordering::Relaxed) > max {
                    break;
                }
                context.check()?;
                let before = united.len();
                unite(self.0.iter().map(|dealt| &dealt[deal]), &mut united);
                count.fetch_add(united.len() - before, Ordering::Relaxed);
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut united);
            Ok(())
        })?;
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((all.len() <= max).then_some(all))
    }
}

impl Deal {
    /// With room for so many groups.
    fn of(groups: usize) -> Self {
        Self { keys: String::with_capacity(groups * KEY_BYTES), groups: Vec::with_capacity(groups) }
    }
}

/// Appends the groups of one deal, as all threads have written them out.
fn unite<'d>(deal: impl Iterator<Item = &'d Deal> + Clone, united: &mut Vec<United<'d>>) {
    let groups: usize = deal.clone().map(|some| some.groups.len()).sum();
    // Open addressing, at most half full: the hash, and the number of the group plus one; 0 is free.
    let mut slots = vec![(0_u32, 0_u32); (groups * 2).next_power_of_two()];
    let (mask, start) = (slots.len() - 1, united.len());
    for some in deal {
        let mut rest = some.keys.as_str();
        for Group { hash, len, lines } in &some.groups {
            let (key, after) = rest.split_at(*len as usize);
            rest = after;
            let mut at = *hash as usize & mask;
            loop {
                let (known_hash, number) = slots[at];
                let Some(known) = number.checked_sub(1) else {
                    united.push(United { key, lines: *lines });
                    slots[at] = (*hash, (united.len() - start) as u32);
                    break;
                };
                let known = &mut united[start + known as usize];
                if known_hash == *hash && known.key == key {
                    known.lines += lines;
                    break;
                }
                at = (at + 1) & mask;
            }
        }
    }
}

impl<'a> Source<'a> {
    /// All groups, some at a time.
    fn chunks(&self) -> impl Iterator<Item = (Keys<'a>, &'a [Counted])> {
        let keys = self.keys;
        self.groups.chunks(CHUNK).map(move |groups| (keys, groups))
    }
}

impl Keys<'_> {
    fn set_key(self, code: usize, key: &mut String, text: &mut Vec<u8>) {
        match self {
            Self::Set(set) => set.set_key(code, key, text),
            Self::Series(keys) => keys.get(code).clone_into(key),
        }
    }
}

/// Leaves out groups that cannot be among the `most` with most lines when all are united. No two groups of one source may have
/// one key.
///
/// With lines of all other sources, a group has at most its own and those of the largest group of each; and so many groups of
/// one source have at least as many lines as the last of them there. A group that is among the `most` is kept wherever it is
/// known, so that all its lines are.
pub(super) fn keep_most(most: usize, sources: &mut [Vec<Counted>]) {
    let Some(last) = most.checked_sub(1) else { return };
    let largest = |groups: &Vec<Counted>| groups.iter().map(|group| group.lines).fold(0.0, f64::max);
    let all_largest: f64 = sources.iter().map(largest).sum();
    let mut least = 0.0_f64;
    for groups in sources.iter().filter(|groups| groups.len() > last) {
        let mut lines: Vec<f64> = groups.iter().map(|group| group.lines).collect();
        let (_, nth, _) = lines.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
        least = least.max(*nth);
    }
    for groups in sources {
        let others = all_largest - largest(groups);
        groups.retain(|group| group.lines + others >= least);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Config;
    use crate::logql::eval::series::SeriesTable;

    /// Lines by key; none of them twice.
    fn by_key(united: &[United<'_>]) -> BTreeMap<String, f64> {
        let by_key: BTreeMap<_, _> = united.iter().map(|one| (one.key.to_owned(), one.lines)).collect();
        assert_eq!(by_key.len(), united.len());
        by_key
    }

    proptest! {
        #[test]
        fn hashes_decide_nothing(
            groups in prop::collection::vec(prop::collection::vec("[ab]{0,3}", 0..30), 0..4)
        ) {
            let mut deals = Vec::new();
            let mut expected = BTreeMap::new();
            for some in &groups {
                let mut deal = Deal::default();
                for key in some {
                    let len = key.len() as u32;
                    deal.keys.push_str(key);
                    deal.groups.push(Group { hash: len / 2, len, lines: 1.0 });
                    *expected.entry(key.clone()).or_insert(0.0) += 1.0;
                }
                deals.push(deal);
            }
            let mut united = Vec::new();
            unite(deals.iter(), &mut united);
            prop_assert_eq!(by_key(&united), expected);
        }
    }

    proptest! {
        #[test]
        fn those_with_most_lines_are_kept_with_all_their_lines(
            sources in prop::collection::vec(
                prop::collection::btree_map(0..12_u32, prop_oneof![3 => 1..4_u32, 1 => 1..60_u32], 0..12),
                0..5,
            ),
            most in 0..5_usize,
        ) {
            // The code of a group is its key, too.
            let counted = |(code, lines): (&u32, &u32)| Counted { code: *code, lines: f64::from(*lines) };
            let mut all: Vec<Vec<_>> = sources.iter().map(|one| one.iter().map(counted).collect()).collect();
            let united = |all: &[Vec<Counted>]| {
                let mut lines = BTreeMap::new();
                for group in all.iter().flatten() {
                    *lines.entry(group.code).or_insert(0) += group.lines as u32;
                }
                let mut lines: Vec<_> = lines.into_iter().collect();
                lines.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
                let least = most.checked_sub(1).and_then(|last| lines.get(last)).map_or(0, |(_, lines)| *lines);
                // With all that have as many lines as the last one.
                lines.retain(|(_, lines)| *lines >= least);
                lines
            };
            let expected = united(&all);
            keep_most(most, &mut all);
            prop_assert_eq!(united(&all), expected);
        }
    }

    #[test]
    fn groups_of_one_source_are_left_out_but_for_the_best() {
        let mut all = vec![(0..100).map(|i| Counted { code: i, lines: f64::from(i) }).collect::<Vec<_>>()];
        keep_most(3, &mut all);
        assert_eq!(all[0].iter().map(|group| group.code).collect::<Vec<_>>(), [97, 98, 99]);
    }

    #[test]
    fn series_of_several_sources_are_united_up_to_the_limit() {
        const EACH: usize = 20_000;
        let mut expected = BTreeMap::new();
        let mut sources = Vec::new();
        for number in 0..3 {
            let mut series = SeriesTable::default();
            let (mut groups, mut key) = (Vec::new(), String::new());
            for i in (0..EACH).map(|i| i * (number + 1)) {
                key.clear();
                key.push_str(&"long ".repeat(i % 3));
                key.push_str(&i.to_string());
                series.place(&key, EACH).unwrap();
                let lines = (i % 5 + 1) as f64;
                groups.push(Counted { code: groups.len() as u32, lines });
                *expected.entry(key.clone()).or_insert(0.0) += lines;
            }
            sources.push((series.into_parts().0, groups));
        }
        let source = |(keys, groups)| Source { keys: Keys::Series(keys), groups };
        let sources: Vec<_> = sources.iter().map(|(keys, groups)| source((keys, groups))).collect();
        for threads in [1, 3] {
            let config = Config { threads, ..Config::default() };
            let context = Context::new(&config, CancellationToken::new());
            let dealt = Dealt::of(&sources, &context).unwrap();
            let united = dealt.unite(&context, expected.len()).unwrap().unwrap();
            assert_eq!(by_key(&united), expected);
            assert!(dealt.unite(&context, expected.len() - 1).unwrap().is_none());
        }
    }
}
