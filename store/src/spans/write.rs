//! Changing the span index. Each function is part of the caller's transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{Transaction, params};

use super::encode::EncodedSpan;
use super::groups::{self, Groups};
use super::operations::Operations;
use super::set::{self, COLUMNS, Compressor, Packed, Set};
use super::{StoredTraces, TraceRows};
use crate::error::StoreError;

/// A trace ready to be stored.
#[derive(Debug)]
pub(crate) struct EncodedTrace {
    trace_id: [u8; 16],
    whole: bool,
    sets: Vec<Packed>,
}

impl EncodedTrace {
    /// Of two spans with the same id the first counts.
    pub(crate) fn new(trace: TraceRows, compressor: &mut Compressor) -> Result<Self, StoreError> {
        let mut seen = HashSet::new();
        let mut spans = Vec::with_capacity(trace.spans.len());
        for span in trace.spans {
            if seen.insert(span.span_id) {
                spans.push(EncodedSpan::new(span)?);
            }
        }
        Ok(Self { trace_id: trace.trace_id, whole: trace.whole, sets: Packed::all(spans, compressor)? })
    }
}

/// Stores what is new or changed of each trace; what is stored already, just so, is left alone.
pub(crate) fn store_traces(
    transaction: &Transaction<'_>,
    traces: Vec<EncodedTrace>,
) -> rusqlite::Result<StoredTraces> {
    if traces.is_empty() {
        return Ok(StoredTraces::default());
    }
    let mut changes = Changes::begin(transaction)?;
    for trace in traces {
        changes.store(trace)?;
    }
    changes.finish()
}

/// Removes spans by trace id and span id; what is not there is passed over. Returns how many it were.
pub(crate) fn remove(transaction: &Transaction<'_>, gone: &[([u8; 16], [u8; 8])]) -> rusqlite::Result<u64> {
    let mut by_trace: HashMap<[u8; 16], HashSet<[u8; 8]>> = HashMap::new();
    for (trace_id, span_id) in gone {
        by_trace.entry(*trace_id).or_default().insert(*span_id);
    }
    if by_trace.is_empty() {
        return Ok(0);
    }
    let mut changes = Changes::begin(transaction)?;
    let mut removed = 0;
    for (trace_id, gone) in by_trace {
        let sets = changes.sets_of(trace_id)?;
        let heads = sets.iter().flat_map(|set| &set.heads);
        let lost: HashSet<u64> = heads.filter(|h| gone.contains(&h.span_id)).map(|head| head.seq).collect();
        removed += lost.len() as u64;
        changes.drop_spans(sets, &lost)?;
    }
    changes.finish()?;
    Ok(removed)
}

/// Deletes sets all of whose spans ended before `before_ns`, about the oldest first, until that are `max` spans.
/// Returns their sequence numbers.
pub(crate) fn delete_before(
    transaction: &Transaction<'_>,
    before_ns: i64,
    max: usize,
) -> rusqlite::Result<Vec<u64>> {
    let mut changes = Changes::begin(transaction)?;
    let old: Vec<u64> = transaction
        .prepare_cached("SELECT id FROM span_groups WHERE min_ns < ?1 ORDER BY min_ns")?
        .query_map([before_ns], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut deleted = Vec::new();
    for group in old {
        let numbers = groups::numbers(group);
        let sql = format!(
            "SELECT {COLUMNS} FROM span_sets WHERE seq >= ?1 AND seq < ?2 AND end_ns < ?3 ORDER BY start_ns, seq"
        );
        for set in changes.sets(&sql, params![numbers.start, numbers.end, before_ns])? {
            if deleted.len() >= max {
                break;
            }
            deleted.extend(set.heads.iter().map(|head| head.seq));
            changes.delete(&set)?;
        }
        if deleted.len() >= max {
            break;
        }
    }
    changes.finish()?;
    Ok(deleted)
}

/// Deletes about the oldest `max` spans. Returns their sequence numbers.
pub(crate) fn delete_oldest(transaction: &Transaction<'_>, max: usize) -> rusqlite::Result<Vec<u64>> {
    delete_before(transaction, i64::MAX, max)
}

/// What a transaction changes.
pub(super) struct Changes<'t> {
    transaction: &'t Transaction<'t>,
    /// The highest sequence number ever given.
    last_seq: u64,
    operations: Operations,
    groups: Groups,
    /// Made when spans must be packed anew.
    compressor: Option<Compressor>,
    done: StoredTraces,
}

impl<'t> Changes<'t> {
    pub(super) fn begin(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let last_seq = transaction
            .prepare_cached("SELECT value FROM settings WHERE name = 'span_seq'")?
            .query_row([], |row| row.get(0))?;
        Ok(Self {
            transaction,
            last_seq,
            operations: Operations::default(),
            groups: Groups::default(),
            compressor: None,
            done: StoredTraces::default(),
        })
    }

    pub(super) fn finish(self) -> rusqlite::Result<StoredTraces> {
        self.transaction
            .prepare_cached("UPDATE settings SET value = ?1 WHERE name = 'span_seq' AND value <> ?1")?
            .execute([self.last_seq])?;
        self.operations.store(self.transaction)?;
        self.groups.store(self.transaction)?;
        Ok(self.done)
    }

    fn store(&mut self, trace: EncodedTrace) -> rusqlite::Result<()> {
        let stored = self.sets_of(trace.trace_id)?;
        if stored.is_empty() {
            return self.insert_all(trace.trace_id, &trace.sets);
        }
        let heads = stored.iter().flat_map(|set| &set.heads);
        let mut known: HashMap<[u8; 8], (u64, u64)> =
            heads.map(|head| (head.span_id, (head.seq, head.checksum))).collect();
        let (mut lost, mut new) = (HashSet::new(), Vec::new());
        for span in trace.sets.into_iter().flat_map(|set| set.spans) {
            match known.remove(&span.row.span_id) {
                Some((_, checksum)) if checksum == span.checksum => self.done.unchanged += 1,
                older => {
                    lost.extend(older.map(|(seq, _)| seq));
                    new.push(span);
                }
            }
        }
        if trace.whole {
            self.done.removed += known.len() as u64;
            lost.extend(known.into_values().map(|(seq, _)| seq));
        }
        self.drop_spans(stored, &lost)?;
        let sets = Packed::all(new, self.compressor()?).map_err(failed)?;
        self.insert_all(trace.trace_id, &sets)
    }

    fn insert_all(&mut self, trace_id: [u8; 16], sets: &[Packed]) -> rusqlite::Result<()> {
        for packed in sets {
            let set = packed.numbered(self.last_seq + 1, trace_id, &mut self.operations, self.transaction)?;
            self.last_seq += packed.spans.len() as u64;
            let hashes = packed.spans.iter().map(|span| span.hashes.as_slice());
            self.put(&set, &packed.content, hashes)?;
            self.done.written += packed.spans.len() as u64;
        }
        Ok(())
    }

    /// Writes a set that is not there, with the hashes of those of its spans that are new.
    pub(super) fn put<'a>(
        &mut self,
        set: &Set,
        content: &[u8],
        hashes: impl Iterator<Item = &'a [u32]>,
    ) -> rusqlite::Result<()> {
        let bytes = set.put(self.transaction, content)?;
        self.groups.add(set, bytes, hashes);
        for head in &set.heads {
            self.operations.add(head.operation, 1);
        }
        Ok(())
    }

    fn delete(&mut self, set: &Set) -> rusqlite::Result<()> {
        self.transaction.prepare_cached("DELETE FROM span_sets WHERE seq = ?1")?.execute([set.seq])?;
        self.groups.remove(set);
        for head in &set.heads {
            self.operations.add(head.operation, -1);
        }
        Ok(())
    }

    /// Takes the spans with these numbers out of their sets.
    fn drop_spans(&mut self, sets: Vec<Set>, lost: &HashSet<u64>) -> rusqlite::Result<()> {
        for set in sets {
            if !set.heads.iter().any(|head| lost.contains(&head.seq)) {
                continue;
            }
            let rest = self.without(&set, lost)?;
            self.delete(&set)?;
            if let Some((set, content)) = rest {
                self.put(&set, &content, std::iter::empty())?;
            }
        }
        Ok(())
    }

    /// A set without some of its spans; `None` when nothing is left, or nothing that can be read.
    fn without(&mut self, set: &Set, lost: &HashSet<u64>) -> rusqlite::Result<Option<(Set, Vec<u8>)>> {
        if set.heads.iter().all(|head| lost.contains(&head.seq)) {
            return Ok(None);
        }
        let content: Vec<u8> = self
            .transaction
            .prepare_cached("SELECT content FROM span_sets WHERE seq = ?1")?
            .query_row([set.seq], |row| row.get(0))?;
        let Some(content) = set::unpack(&content) else { return Ok(without_damaged(set)) };
        let Some(pieces) = set.pieces(&content) else { return Ok(without_damaged(set)) };
        let (mut heads, mut raw) = (Vec::new(), Vec::new());
        for (head, piece) in pieces.filter(|(head, _)| !lost.contains(&head.seq)) {
            heads.push(head.clone());
            raw.extend_from_slice(piece);
        }
        let content = self.compressor()?.compress(&raw).map_err(failed)?;
        Ok(Some((Set { heads, ..set.clone() }, content)))
    }

    fn compressor(&mut self) -> rusqlite::Result<&mut Compressor> {
        match &mut self.compressor {
            Some(compressor) => Ok(compressor),
            none => Ok(none.insert(Compressor::new().map_err(failed)?)),
        }
    }

    fn sets_of(&mut self, trace_id: [u8; 16]) -> rusqlite::Result<Vec<Set>> {
        self.sets(&format!("SELECT {COLUMNS} FROM span_sets WHERE trace_id = ?1"), [trace_id])
    }

    /// The sets that a statement selects. Those whose heads are damaged go: nobody could read or replace them.
    fn sets(&mut self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<Set>> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        let (mut sets, mut damaged): (Vec<Set>, Vec<u64>) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            match Set::of(row)? {
                Some(set) => sets.push(set),
                None => damaged.push(row.get(0)?),
            }
        }
        for seq in damaged {
            tracing::warn!(seq, "deleted spans that are damaged");
            self.transaction.prepare_cached("DELETE FROM span_sets WHERE seq = ?1")?.execute([seq])?;
            self.groups.remove_damaged(seq);
        }
        Ok(sets)
    }
}

fn without_damaged<T>(set: &Set) -> Option<T> {
    tracing::warn!(seq = set.seq, "deleted spans whose content is damaged");
    None
}

/// An error within a transaction that is none of SQLite's.
pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
