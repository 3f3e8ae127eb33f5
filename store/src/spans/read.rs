//! Reading and searching the span tables, from the writer's process or another.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::content::{self, tag_hash};
use super::write::total_bytes;
use super::{Operation, SpanPage, SpanRow, SpanStats, StoredSpan, TraceQuery};
use crate::catalog::{CatalogReader, Failure};
use crate::error::StoreError;
use crate::readings::{self, Round};
use crate::record::TimeRange;

/// A tag on fewer spans than this is where a search begins; with more, it goes through the spans by time and
/// looks each one's tags up, since enough of them will fit. Tests take both ways.
const RARE_TAG: usize = if cfg!(test) { 3 } else { 10_000 };

/// A page of spans ends when their bodies take this much: a request of that many bytes is below what OTLP
/// receivers take (4 MiB over gRPC), even with one more span of the largest size.
const MAX_PAGE_BYTES: usize = 2 << 20;

/// All columns of a span, in the order in which [`span_of`] takes them.
const COLUMNS: &str = "s.seq, s.trace_id, s.span_id, v.name, o.name, o.kind, s.start_ns, s.end_ns, s.error,
    s.checksum, s.content
    FROM spans s JOIN span_operations o ON o.id = s.operation JOIN span_services v ON v.id = s.service";

/// A reading connection of its own: a long search holds up no other reader.
#[derive(Debug)]
pub(crate) struct SpanReader {
    connection: Connection,
    fail: Failure,
}

impl SpanReader {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let (connection, fail) = CatalogReader::open(dir)?.into_parts();
        Ok(Self { connection, fail })
    }

    /// Services with spans, by name.
    pub(crate) fn services(&self) -> Result<Vec<String>, StoreError> {
        self.read("read the services", |connection| {
            connection
                .prepare_cached("SELECT name FROM span_services ORDER BY name")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// Operations of a service, by name.
    pub(crate) fn operations(&self, service: &str) -> Result<Vec<Operation>, StoreError> {
        self.read("read the operations", |connection| {
            connection
                .prepare_cached(
                    "SELECT o.name, o.kind FROM span_operations o JOIN span_services v ON v.id = o.service
                     WHERE v.name = ?1 ORDER BY o.name, o.kind",
                )?
                .query_map([service], |row| Ok(Operation { name: row.get(0)?, kind: row.get(1)? }))?
                .collect()
        })
    }

    /// The spans of a trace, by start.
    pub(crate) fn spans_of(&self, trace_id: [u8; 16]) -> Result<Vec<StoredSpan>, StoreError> {
        let page = self.read("read a trace", |connection| {
            let sql = format!("SELECT {COLUMNS} WHERE s.trace_id = ?1 ORDER BY s.start_ns, s.span_id");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([trace_id])?;
            let mut page = SpanPage::default();
            while let Some(row) = rows.next()? {
                page.push(row)?;
            }
            Ok(page)
        })?;
        Ok(page.spans)
    }

    /// Up to `max` spans with a higher sequence number than `seq`, fewer when they are large.
    pub(crate) fn spans_after(&self, seq: u64, max: usize) -> Result<SpanPage, StoreError> {
        self.read("read spans", |connection| {
            let sql = format!("SELECT {COLUMNS} WHERE s.seq > ?1 ORDER BY s.seq LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params![seq, max])?;
            let mut page = SpanPage { up_to: seq, ..SpanPage::default() };
            let mut bytes = 0;
            while bytes < MAX_PAGE_BYTES
                && let Some(row) = rows.next()?
            {
                page.push(row)?;
                bytes += page.spans.last().map_or(0, |span| span.span.body.len());
            }
            Ok(page)
        })
    }

    /// How much there is.
    pub(crate) fn stats(&self) -> Result<SpanStats, StoreError> {
        self.read("count the spans", |connection| {
            let (spans, bytes) = total_bytes(connection)?;
            let last_seq: Option<u64> = connection.query_row(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = 'spans'",
                [],
                |row| row.get(0),
            )?;
            Ok(SpanStats { spans, bytes, last_seq: last_seq.unwrap_or(0) })
        })
    }

    /// What these containers used at the moments in `range`, by time.
    pub(crate) fn readings(&self, range: TimeRange, containers: &[&str]) -> Result<Vec<Round>, StoreError> {
        readings::read(&self.connection, range, containers).map_err(self.fail.of("read readings"))
    }

    /// Ids of the traces that `query` wants, by their latest fitting span, the newest first.
    pub(crate) fn find_traces(&self, query: &TraceQuery) -> Result<Vec<[u8; 16]>, StoreError> {
        self.read("search the traces", |connection| {
            let Some(search) = Search::new(connection, query)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(&search.sql)?;
            let mut rows = statement.query(params_from_iter(search.values))?;
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if found.len() >= query.limit {
                    break;
                }
                let trace_id = row.get(0)?;
                if seen.contains(&trace_id) || !has_tags(row.get_ref(1)?.as_blob()?, &query.tags) {
                    continue;
                }
                seen.insert(trace_id);
                found.push(trace_id);
            }
            Ok(found)
        })
    }

    /// Runs `read`; the answer of an older catalog, which has no spans, is the empty one.
    fn read<T: Default>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let answer = || {
            let tables: i64 = self
                .connection
                .prepare_cached("SELECT count(*) FROM sqlite_schema WHERE name = 'spans'")?
                .query_row([], |row| row.get(0))?;
            if tables == 0 { Ok(T::default()) } else { read(&self.connection) }
        };
        answer().map_err(self.fail.of(action))
    }
}

impl SpanPage {
    fn push(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.up_to = row.get(0)?;
        match span_of(row)? {
            Some(span) => self.spans.push(span),
            None => {
                tracing::error!(seq = self.up_to, "damaged span left out");
                self.damaged += 1;
            }
        }
        Ok(())
    }
}

/// A span, `None` when it is damaged.
fn span_of(row: &Row<'_>) -> rusqlite::Result<Option<StoredSpan>> {
    let columns = SpanRow {
        span_id: row.get(2)?,
        service: row.get(3)?,
        operation: row.get(4)?,
        kind: row.get(5)?,
        start_ns: row.get(6)?,
        end_ns: row.get(7)?,
        error: row.get(8)?,
        tags: Vec::new(),
        body: Vec::new(),
    };
    let (seq, trace_id, checksum) = (row.get(0)?, row.get(1)?, row.get(9)?);
    let span = content::decode(columns, row.get_ref(10)?.as_blob()?, checksum);
    Ok(span.map(|span| StoredSpan { seq, trace_id, span }))
}

/// Whether a span has all these tags: their hashes may belong to others.
fn has_tags(content: &[u8], wanted: &[(String, String)]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let Some(tags) = content::decode_tags(content) else { return false };
    wanted.iter().all(|tag| tags.contains(tag))
}

/// A search as SQL: trace id and content of the fitting spans, the newest first.
struct Search {
    sql: String,
    values: Vec<Value>,
}

impl Search {
    /// `None` when nothing can fit.
    fn new(connection: &Connection, query: &TraceQuery) -> rusqlite::Result<Option<Self>> {
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        let mut require = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("?{}", values.len())));
        };
        require("s.start_ns >= ?", query.range.start_ns.into());
        require("s.start_ns < ?", query.range.end_ns.into());
        if let Some(service) = &query.service {
            require("s.service = (SELECT id FROM span_services WHERE name = ?)", service.clone().into());
        }
        if let Some(operation) = &query.operation {
            require(
                "s.operation IN (SELECT id FROM span_operations WHERE name = ?)",
                operation.clone().into(),
            );
        }
        if let Some(min) = query.min_duration_ns {
            require("s.end_ns - s.start_ns >= ?", min.into());
        }
        if let Some(max) = query.max_duration_ns {
            require("s.end_ns - s.start_ns <= ?", max.into());
        }
        let mut hashes: Vec<(usize, i64)> = Vec::new();
        for (name, value) in &query.tags {
            let hash = tag_hash(name, value);
            hashes.push((spans_with(connection, hash)?, hash));
        }
        hashes.sort_unstable();
        let rarest = hashes.first().copied();
        if matches!(rarest, Some((0, _))) {
            return Ok(None);
        }
        for (_, hash) in hashes {
            require("EXISTS (SELECT 1 FROM span_tags WHERE hash = ? AND seq = s.seq)", hash.into());
        }
        // The unary plus keeps SQLite from another index than the one meant.
        let from = match rarest {
            Some((count, hash)) if count < RARE_TAG => {
                values.push(hash.into());
                format!("span_tags t CROSS JOIN spans s ON s.seq = t.seq WHERE t.hash = ?{}", values.len())
            }
            _ if query.service.is_some() => "spans s INDEXED BY spans_by_service WHERE 1".to_owned(),
            _ => "spans s INDEXED BY spans_by_start WHERE 1".to_owned(),
        };
        let sql = format!(
            "SELECT s.trace_id, s.content FROM {from} AND {} ORDER BY s.start_ns DESC",
            conditions.join(" AND ")
        );
        Ok(Some(Self { sql, values }))
    }
}

/// On how many spans a tag is, counted up to [`RARE_TAG`].
fn spans_with(connection: &Connection, hash: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM span_tags WHERE hash = ?1 LIMIT ?2)")?
        .query_row(rusqlite::params![hash, RARE_TAG], |row| row.get(0))
}
