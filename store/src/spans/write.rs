//! Changing the span tables. Each function is part of the caller's transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::content::{EncodedSpan, decode_tags, tag_hash};
use super::{Encoder, SpanRow, StoredTraces, TraceRows};
use crate::error::StoreError;

/// What a row takes on disk beside its content: columns, its entries in the indexes and ten tags, measured.
const ROW_BYTES: i64 = 350;

/// A trace ready to be stored.
#[derive(Debug)]
pub(crate) struct EncodedTrace {
    trace_id: [u8; 16],
    whole: bool,
    spans: Vec<EncodedSpan>,
}

impl EncodedTrace {
    /// Of two spans with the same id the first counts.
    pub(crate) fn new(trace: TraceRows, encoder: &mut Encoder) -> Result<Self, StoreError> {
        let mut seen = HashSet::new();
        let mut spans = Vec::with_capacity(trace.spans.len());
        for span in trace.spans {
            if seen.insert(span.span_id) {
                spans.push(encoder.encode(span)?);
            }
        }
        Ok(Self { trace_id: trace.trace_id, whole: trace.whole, spans })
    }
}

/// Stores what is new or changed of each trace; what is stored already, just so, is left alone.
pub(crate) fn store_traces(
    transaction: &Transaction<'_>,
    traces: &[EncodedTrace],
) -> rusqlite::Result<StoredTraces> {
    let mut done = StoredTraces::default();
    let mut totals = Totals::default();
    let mut operations = Operations::default();
    for trace in traces {
        let mut stored = stored_spans(transaction, trace.trace_id)?;
        for span in &trace.spans {
            match stored.remove(&span.row.span_id) {
                Some((_, checksum)) if checksum == span.checksum => done.unchanged += 1,
                older => {
                    if let Some((seq, _)) = older {
                        delete(transaction, seq, &mut totals)?;
                    }
                    insert(transaction, trace.trace_id, span, &mut operations, &mut totals)?;
                    done.written += 1;
                }
            }
        }
        for (seq, _) in stored.into_values().filter(|_| trace.whole) {
            delete(transaction, seq, &mut totals)?;
            done.removed += 1;
        }
    }
    totals.store(transaction)?;
    Ok(done)
}

/// Removes spans by trace id and span id; what is not there is passed over. Returns how many it were.
pub(crate) fn remove(transaction: &Transaction<'_>, gone: &[([u8; 16], [u8; 8])]) -> rusqlite::Result<u64> {
    let mut seqs: Vec<u64> = Vec::new();
    for (trace_id, span_id) in gone {
        let seq: Option<u64> = transaction
            .prepare_cached("SELECT seq FROM spans WHERE trace_id = ?1 AND span_id = ?2")?
            .query_row(params![trace_id, span_id], |row| row.get(0))
            .optional()?;
        seqs.extend(seq);
    }
    seqs.sort_unstable();
    seqs.dedup();
    delete_all(transaction, &seqs)
}

/// Sequence number and checksum of each stored span of a trace, by span id.
fn stored_spans(
    transaction: &Transaction<'_>,
    trace_id: [u8; 16],
) -> rusqlite::Result<HashMap<[u8; 8], (u64, i64)>> {
    transaction
        .prepare_cached("SELECT span_id, seq, checksum FROM spans WHERE trace_id = ?1")?
        .query_map([trace_id], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect()
}

fn insert<'a>(
    transaction: &Transaction<'_>,
    trace_id: [u8; 16],
    span: &'a EncodedSpan,
    operations: &mut Operations<'a>,
    totals: &mut Totals,
) -> rusqlite::Result<()> {
    let row = &span.row;
    let (service, operation) = operations.of(transaction, row)?;
    transaction
        .prepare_cached(
            "INSERT INTO spans
                 (trace_id, span_id, service, operation, start_ns, end_ns, error, checksum, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            trace_id,
            row.span_id,
            service,
            operation,
            row.start_ns,
            row.end_ns,
            row.error,
            span.checksum,
            span.content,
        ])?;
    let seq = transaction.last_insert_rowid();
    let mut insert_tag =
        transaction.prepare_cached("INSERT OR IGNORE INTO span_tags (hash, seq) VALUES (?1, ?2)")?;
    for (name, value) in &row.tags {
        insert_tag.execute([tag_hash(name, value), seq])?;
    }
    totals.add(operation, 1, bytes_of(span.content.len()));
    Ok(())
}

/// Numbers of services and their operations that a transaction has looked up: most of its spans are of a few.
#[derive(Default)]
struct Operations<'a>(HashMap<(&'a str, &'a str, u8), (i64, i64)>);

impl<'a> Operations<'a> {
    fn of(&mut self, transaction: &Transaction<'_>, row: &'a SpanRow) -> rusqlite::Result<(i64, i64)> {
        let place = (row.service.as_str(), row.operation.as_str(), row.kind);
        if let Some(known) = self.0.get(&place) {
            return Ok(*known);
        }
        let known = operation_of(transaction, &row.service, &row.operation, row.kind)?;
        self.0.insert(place, known);
        Ok(known)
    }
}

/// The numbers of a service and of its operation, given when they are new.
fn operation_of(
    transaction: &Transaction<'_>,
    service: &str,
    operation: &str,
    kind: u8,
) -> rusqlite::Result<(i64, i64)> {
    let known = transaction
        .prepare_cached("SELECT id FROM span_services WHERE name = ?1")?
        .query_row([service], |row| row.get(0))
        .optional()?;
    let service = match known {
        Some(id) => id,
        None => transaction
            .prepare_cached("INSERT INTO span_services (name) VALUES (?1) RETURNING id")?
            .query_row([service], |row| row.get(0))?,
    };
    let known = transaction
        .prepare_cached("SELECT id FROM span_operations WHERE service = ?1 AND name = ?2 AND kind = ?3")?
        .query_row(params![service, operation, kind], |row| row.get(0))
        .optional()?;
    let operation = match known {
        Some(id) => id,
        None => transaction
            .prepare_cached(
                "INSERT INTO span_operations (service, name, kind, spans, bytes)
                 VALUES (?1, ?2, ?3, 0, 0) RETURNING id",
            )?
            .query_row(params![service, operation, kind], |row| row.get(0))?,
    };
    Ok((service, operation))
}

fn delete(transaction: &Transaction<'_>, seq: u64, totals: &mut Totals) -> rusqlite::Result<()> {
    let (operation, content): (i64, Vec<u8>) = transaction
        .prepare_cached("DELETE FROM spans WHERE seq = ?1 RETURNING operation, content")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    totals.add(operation, -1, -bytes_of(content.len()));
    let Some(tags) = decode_tags(&content) else {
        // Tags that nobody can name stay; they lead to no span.
        tracing::warn!(seq, "deleted a span whose content is damaged");
        return Ok(());
    };
    let mut delete_tag = transaction.prepare_cached("DELETE FROM span_tags WHERE hash = ?1 AND seq = ?2")?;
    for (name, value) in &tags {
        delete_tag.execute(params![tag_hash(name, value), seq])?;
    }
    Ok(())
}

fn bytes_of(content: usize) -> i64 {
    ROW_BYTES + i64::try_from(content).unwrap_or(i64::MAX - ROW_BYTES)
}

/// What a transaction changes in the number and bytes of each operation's spans.
#[derive(Default)]
struct Totals(HashMap<i64, (i64, i64)>);

impl Totals {
    fn add(&mut self, operation: i64, spans: i64, bytes: i64) {
        let sums = self.0.entry(operation).or_default();
        sums.0 += spans;
        sums.1 += bytes;
    }

    /// An operation without spans goes, and with its last operation a service.
    fn store(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (operation, (spans, bytes)) in self.0 {
            transaction
                .prepare_cached(
                    "UPDATE span_operations SET spans = spans + ?2, bytes = bytes + ?3 WHERE id = ?1",
                )?
                .execute([operation, spans, bytes])?;
            if spans >= 0 {
                continue;
            }
            let service: Option<i64> = transaction
                .prepare_cached("DELETE FROM span_operations WHERE id = ?1 AND spans <= 0 RETURNING service")?
                .query_row([operation], |row| row.get(0))
                .optional()?;
            transaction
                .prepare_cached(
                    "DELETE FROM span_services
                     WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM span_operations WHERE service = ?1)",
                )?
                .execute([service])?;
        }
        Ok(())
    }
}

/// Deletes up to `max` spans that ended before `before_ns`, those that began first before others. Returns their
/// sequence numbers.
pub(crate) fn delete_before(
    transaction: &Transaction<'_>,
    before_ns: i64,
    max: usize,
) -> rusqlite::Result<Vec<u64>> {
    let old: Vec<u64> = transaction
        .prepare_cached(
            "SELECT seq FROM spans WHERE start_ns < ?1 AND end_ns < ?1 ORDER BY start_ns LIMIT ?2",
        )?
        .query_map(params![before_ns, max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    delete_all(transaction, &old)?;
    Ok(old)
}

/// Deletes the `max` oldest spans. Returns their sequence numbers.
pub(crate) fn delete_oldest(transaction: &Transaction<'_>, max: usize) -> rusqlite::Result<Vec<u64>> {
    delete_before(transaction, i64::MAX, max)
}

fn delete_all(transaction: &Transaction<'_>, seqs: &[u64]) -> rusqlite::Result<u64> {
    let mut totals = Totals::default();
    for seq in seqs {
        delete(transaction, *seq, &mut totals)?;
    }
    totals.store(transaction)?;
    Ok(seqs.len() as u64)
}

/// Number of all spans, and about how many bytes they take.
pub(crate) fn total_bytes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached("SELECT coalesce(sum(spans), 0), coalesce(sum(bytes), 0) FROM span_operations")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}
