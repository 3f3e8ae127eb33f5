//! Groups of span sets: those whose first numbers share all but the lowest digits. What a group says of its spans lets
//! a search pass over it: the times they began, the longest of them, and the hashes of what they are found by.
//!
//! A group may say too much, since spans that are deleted leave their traces in it, and never too little.

use std::collections::HashMap;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use xxhash_rust::xxh3::xxh3_64;

use super::set::Set;

/// Sequence numbers of a group: with four spans a trace, its hashes take about 2 KB and its sets 150 KB.
const NUMBERS: u64 = if cfg!(test) { 8 } else { 512 };
/// Bytes of a hash.
const WIDTH: usize = size_of::<u32>();

/// The group that a set belongs to, by the set's first number.
pub(super) const fn of(seq: u64) -> u64 {
    seq / NUMBERS
}

/// First numbers of the sets of a group.
pub(super) const fn numbers(group: u64) -> Range<u64> {
    group * NUMBERS..(group + 1) * NUMBERS
}

/// What a transaction changes in groups.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<u64, Change>);

#[derive(Debug)]
struct Change {
    min_ns: i64,
    max_ns: i64,
    max_duration_ns: i64,
    spans: i64,
    bytes: i64,
    hashes: Vec<u32>,
    has_lost: bool,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            min_ns: i64::MAX,
            max_ns: i64::MIN,
            max_duration_ns: 0,
            spans: 0,
            bytes: 0,
            hashes: Vec::new(),
            has_lost: false,
        }
    }
}

impl Groups {
    /// Adds a set, and hashes of spans that are new.
    pub(super) fn add<'a>(&mut self, set: &Set, bytes: u64, hashes: impl Iterator<Item = &'a [u32]>) {
        let change = self.0.entry(of(set.seq)).or_default();
        for head in &set.heads {
            change.min_ns = change.min_ns.min(head.start_ns);
            change.max_ns = change.max_ns.max(head.start_ns);
            let duration_ns = head.end_ns.saturating_sub(head.start_ns);
            change.max_duration_ns = change.max_duration_ns.max(duration_ns);
        }
        change.spans += set.heads.len() as i64;
        change.bytes += bytes.cast_signed();
        for hashes in hashes {
            change.hashes.extend_from_slice(hashes);
        }
    }

    /// Takes a set out.
    pub(super) fn remove(&mut self, set: &Set) {
        let change = self.0.entry(of(set.seq)).or_default();
        change.spans -= set.heads.len() as i64;
        change.bytes -= set.bytes.cast_signed();
        change.has_lost = true;
    }

    /// Takes a set out of which nothing is known.
    pub(super) fn remove_damaged(&mut self, seq: u64) {
        self.0.entry(of(seq)).or_default().has_lost = true;
    }

    pub(super) fn store(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (group, change) in self.0 {
            change.store(transaction, group)?;
        }
        Ok(())
    }
}

impl Change {
    fn store(mut self, transaction: &Transaction<'_>, group: u64) -> rusqlite::Result<()> {
        let stored = transaction
            .prepare_cached(
                "SELECT min_ns, max_ns, max_duration_ns, spans, bytes FROM span_groups WHERE id = ?1",
            )?
            .query_row([group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .optional()?;
        let stored: (i64, i64, i64, i64, i64) = stored.unwrap_or((i64::MAX, i64::MIN, 0, 0, 0));
        self.min_ns = self.min_ns.min(stored.0);
        self.max_ns = self.max_ns.max(stored.1);
        self.max_duration_ns = self.max_duration_ns.max(stored.2);
        if self.has_lost {
            // Retention goes by the oldest that is left.
            let Range { start, end } = numbers(group);
            let oldest_ns: Option<i64> = transaction
                .prepare_cached("SELECT min(start_ns) FROM span_sets WHERE seq >= ?1 AND seq < ?2")?
                .query_row([start, end], |row| row.get(0))?;
            match oldest_ns {
                Some(oldest_ns) => self.min_ns = oldest_ns,
                None => return delete(transaction, group),
            }
        }
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO span_groups (id, min_ns, max_ns, max_duration_ns, spans, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                group,
                self.min_ns,
                self.max_ns,
                self.max_duration_ns,
                stored.3 + self.spans,
                stored.4 + self.bytes,
            ])?;
        match self.hashes.is_empty() {
            true => Ok(()),
            false => add_hashes(transaction, group, self.hashes),
        }
    }
}

fn delete(transaction: &Transaction<'_>, group: u64) -> rusqlite::Result<()> {
    for sql in ["DELETE FROM span_groups WHERE id = ?1", "DELETE FROM span_filters WHERE id = ?1"] {
        transaction.prepare_cached(sql)?.execute([group])?;
    }
    Ok(())
}

fn add_hashes(transaction: &Transaction<'_>, group: u64, mut hashes: Vec<u32>) -> rusqlite::Result<()> {
    match read(transaction, group)? {
        Some(Filter::Hashes(stored)) => {
            hashes.extend(stored.chunks_exact(WIDTH).map(hash_of));
        }
        Some(Filter::Damaged) => return Ok(()), // it says nothing, and goes on saying nothing
        None => {}
    }
    hashes.sort_unstable();
    hashes.dedup();
    let bytes: Vec<u8> = hashes.into_iter().flat_map(u32::to_le_bytes).collect();
    transaction
        .prepare_cached("INSERT OR REPLACE INTO span_filters (id, checksum, hashes) VALUES (?1, ?2, ?3)")?
        .execute(params![group, xxh3_64(&bytes).cast_signed(), bytes])?;
    Ok(())
}

/// The hashes of a group.
#[derive(Debug)]
pub(super) enum Filter {
    /// Ascending, each little-endian.
    Hashes(Vec<u8>),
    Damaged,
}

pub(super) fn read(connection: &Connection, group: u64) -> rusqlite::Result<Option<Filter>> {
    connection
        .prepare_cached("SELECT checksum, hashes FROM span_filters WHERE id = ?1")?
        .query_row([group], |row| {
            let (expected, hashes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let is_whole = xxh3_64(&hashes).cast_signed() == expected;
            Ok(if is_whole { Filter::Hashes(hashes) } else { Filter::Damaged })
        })
        .optional()
}

/// Whether a group may hold spans with all these hashes. One whose hashes cannot be read may.
pub(super) fn may_hold(connection: &Connection, group: u64, wanted: &[u32]) -> rusqlite::Result<bool> {
    if wanted.is_empty() {
        return Ok(true);
    }
    let Some(Filter::Hashes(bytes)) = read(connection, group)? else { return Ok(true) };
    Ok(wanted.iter().all(|hash| contains(&bytes, *hash)))
}

pub(super) fn contains(bytes: &[u8], wanted: u32) -> bool {
    let (mut low, mut high) = (0, bytes.len() / WIDTH);
    while low < high {
        let middle = low.midpoint(high);
        let Some(hash) = bytes.get(middle * WIDTH..(middle + 1) * WIDTH).map(hash_of) else { return false };
        match hash.cmp(&wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    false
}

fn hash_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// Number of all spans, and about how many bytes they take.
pub(crate) fn total_bytes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached("SELECT coalesce(sum(spans), 0), coalesce(sum(bytes), 0) FROM span_groups")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}
