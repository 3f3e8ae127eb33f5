//! Spans of catalogs of formats 2 to 4, a row each, become sets. They keep their numbers, so that what has been exported
//! is not exported again.

use rusqlite::{Row, Transaction};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::encode::{checksum, hashes, take_tags};
use super::operations::Names;
use super::set::{Compressor, Head, MAX_BYTES, MAX_SPANS, Set, unpack};
use super::write::{Changes, failed};
use super::{SpanRow, damaged};

/// Moves the spans from the tables that formats 2 to 4 had, which go. Memory does not depend on how many there are.
pub(crate) fn from_rows(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "UPDATE span_operations SET spans = 0;
         UPDATE settings SET value = coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'spans'), 0)
         WHERE name = 'span_seq';",
    )?;
    let mut mover = Mover {
        changes: Changes::begin(transaction)?,
        names: Names::default(),
        compressor: Compressor::new().map_err(failed)?,
        set: None,
        raw: Vec::new(),
        hashes: Vec::new(),
    };
    let mut statement = transaction.prepare(
        "SELECT seq, trace_id, span_id, operation, start_ns, end_ns, error, checksum, content FROM spans ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        mover.take(transaction, row)?;
    }
    drop(rows);
    drop(statement);
    mover.put()?;
    mover.changes.finish()?;
    transaction.execute_batch(
        "DROP TABLE spans; DROP TABLE span_tags;
         DELETE FROM span_operations WHERE spans <= 0;
         DELETE FROM span_services WHERE id NOT IN (SELECT service FROM span_operations);
         ALTER TABLE span_operations DROP COLUMN bytes;",
    )
}

struct Mover<'t> {
    changes: Changes<'t>,
    names: Names,
    compressor: Compressor,
    /// The set that spans are added to while they are of its trace, and its content.
    set: Option<Set>,
    raw: Vec<u8>,
    hashes: Vec<u32>,
}

/// A span on its way.
struct Moved {
    head: Head,
    /// Its piece of the content.
    raw: Vec<u8>,
    hashes: Vec<u32>,
}

impl Mover<'_> {
    /// Adds a span to the set that is being filled, which is written first when it cannot take it.
    fn take(&mut self, transaction: &Transaction<'_>, row: &Row<'_>) -> rusqlite::Result<()> {
        let (seq, trace_id): (u64, [u8; 16]) = (row.get(0)?, row.get(1)?);
        let Some(Moved { head, raw, hashes }) = self.span_of(transaction, row)? else {
            damaged(seq);
            return Ok(());
        };
        let has_room = |set: &Set| {
            set.trace_id == trace_id
                && set.heads.len() < MAX_SPANS
                && self.raw.len() + raw.len() <= MAX_BYTES
                && seq - set.seq < MAX_SPANS as u64
        };
        if !self.set.as_ref().is_some_and(has_room) {
            self.put()?;
        }
        let set = self.set.get_or_insert(Set { seq, end_seq: seq, trace_id, heads: Vec::new(), bytes: 0 });
        set.end_seq = seq + 1;
        set.heads.push(head);
        self.raw.extend_from_slice(&raw);
        self.hashes.extend(hashes);
        Ok(())
    }

    /// Writes the set.
    fn put(&mut self) -> rusqlite::Result<()> {
        let Some(set) = self.set.take() else { return Ok(()) };
        let content = self.compressor.compress(&self.raw).map_err(failed)?;
        self.changes.put(&set, &content, std::iter::once(self.hashes.as_slice()))?;
        self.raw.clear();
        self.hashes.clear();
        Ok(())
    }

    /// The span of a row; `None` when it is damaged.
    fn span_of(&mut self, transaction: &Transaction<'_>, row: &Row<'_>) -> rusqlite::Result<Option<Moved>> {
        let operation = row.get(3)?;
        let Some(named) = self.names.of(transaction, operation)? else { return Ok(None) };
        let span = SpanRow {
            span_id: row.get(2)?,
            service: named.service.clone(),
            operation: named.operation.clone(),
            kind: named.kind,
            start_ns: row.get(4)?,
            end_ns: row.get(5)?,
            error: row.get(6)?,
            tags: Vec::new(),
            body: Vec::new(),
        };
        let Some(raw) = unpack(row.get_ref(8)?.as_blob()?) else { return Ok(None) };
        if checksum_of_row(&span, &raw) != row.get::<_, i64>(7)? {
            return Ok(None);
        }
        let Some(tags) = take_tags(&mut raw.as_slice()) else { return Ok(None) };
        let hashes = hashes(&span, tags.into_iter());
        let head = Head {
            seq: row.get(0)?,
            span_id: span.span_id,
            checksum: checksum(&span, &raw),
            operation,
            start_ns: span.start_ns,
            end_ns: span.end_ns,
            error: span.error,
            len: raw.len(),
        };
        Ok(Some(Moved { head, raw, hashes }))
    }
}

/// As the formats before had it.
pub(super) fn checksum_of_row(row: &SpanRow, raw: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&xxh3_64(row.service.as_bytes()).to_le_bytes());
    hash.update(&xxh3_64(row.operation.as_bytes()).to_le_bytes());
    hash.update(&[row.kind, u8::from(row.error)]);
    hash.update(&row.start_ns.to_le_bytes());
    hash.update(&row.end_ns.to_le_bytes());
    hash.update(raw);
    hash.digest().cast_signed()
}
