//! Reading and searching the span index, from the writer's process or another.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::encode;
use super::groups::total_bytes;
use super::operations::Names;
use super::search;
use super::set::{self, COLUMNS, CONTENT, Head, Set};
use super::{Operation, SpanPage, SpanRow, SpanStats, StoredSpan, TraceQuery, damaged};
use crate::catalog::{CatalogReader, Failure};
use crate::error::StoreError;
use crate::readings::{self, Round};
use crate::record::TimeRange;

/// A page of spans ends when their bodies take this much: a request of that many bytes is below what OTLP
/// receivers take (4 MiB over gRPC), even with one more span of the largest size.
const MAX_PAGE_BYTES: usize = 2 << 20;

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
        let mut page = self.read("read a trace", |connection| {
            let sql = format!("SELECT {COLUMNS} FROM span_sets WHERE trace_id = ?1 ORDER BY seq");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([trace_id])?;
            let (mut page, mut names) = (SpanPage::default(), Names::default());
            while let Some(row) = rows.next()? {
                page.take(connection, &mut names, row, None)?;
            }
            Ok(page)
        })?;
        page.spans.sort_by_key(|stored| (stored.span.start_ns, stored.span.span_id));
        Ok(page.spans)
    }

    /// Up to `max` spans with a higher sequence number than `seq`, fewer when they are large.
    pub(crate) fn spans_after(&self, seq: u64, max: usize) -> Result<SpanPage, StoreError> {
        self.read("read spans", |connection| {
            // The set that holds `seq` may hold more.
            let sql = format!(
                "SELECT {COLUMNS} FROM span_sets
                 WHERE seq >= (SELECT coalesce(max(seq), 0) FROM span_sets WHERE seq <= ?1) AND end_seq - 1 > ?1
                 ORDER BY seq"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([seq])?;
            let mut page = SpanPage { up_to: seq, ..SpanPage::default() };
            let mut names = Names::default();
            while page.has_room(Some(max))
                && let Some(row) = rows.next()?
            {
                page.take(connection, &mut names, row, Some(max))?;
            }
            Ok(page)
        })
    }

    /// How much there is.
    pub(crate) fn stats(&self) -> Result<SpanStats, StoreError> {
        self.read("count the spans", |connection| {
            let (spans, bytes) = total_bytes(connection)?;
            let last_seq = connection
                .prepare_cached("SELECT value FROM settings WHERE name = 'span_seq'")?
                .query_row([], |row| row.get(0))?;
            Ok(SpanStats { spans, bytes, last_seq })
        })
    }

    /// What these containers used at the moments in `range`, by time.
    pub(crate) fn readings(&self, range: TimeRange, containers: &[&str]) -> Result<Vec<Round>, StoreError> {
        readings::read(&self.connection, range, containers).map_err(self.fail.of("read readings"))
    }

    /// Ids of the traces that `query` wants, by their latest fitting span, the newest first.
    pub(crate) fn find_traces(&self, query: &TraceQuery) -> Result<Vec<[u8; 16]>, StoreError> {
        self.read("search the traces", |connection| search::find_traces(connection, query))
    }

    /// Runs `read` on one unchanging state; the answer of an older catalog, which a writer has not brought up to date
    /// yet, is the empty one.
    fn read<T: Default>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let answer = || {
            let transaction = self.connection.unchecked_transaction()?;
            let tables: i64 = transaction
                .prepare_cached("SELECT count(*) FROM sqlite_schema WHERE name = 'span_sets'")?
                .query_row([], |row| row.get(0))?;
            if tables == 0 { Ok(T::default()) } else { read(&transaction) }
        };
        answer().map_err(self.fail.of(action))
    }
}

impl SpanPage {
    /// Whether it has fewer than `max` spans and [`MAX_PAGE_BYTES`]; always where there is no bound.
    fn has_room(&self, max: Option<usize>) -> bool {
        let bytes = || self.spans.iter().map(|stored| stored.span.body.len()).sum::<usize>();
        max.is_none_or(|max| self.spans.len() < max && bytes() < MAX_PAGE_BYTES)
    }

    /// Takes in the spans of a set after those it has, as far as there is room.
    pub(super) fn take(
        &mut self,
        connection: &Connection,
        names: &mut Names,
        row: &Row<'_>,
        max: Option<usize>,
    ) -> rusqlite::Result<()> {
        let Some(set) = Set::of(row)? else {
            self.leave_out(row.get(0)?, row.get(1)?);
            return Ok(());
        };
        let content = set::unpack(row.get_ref(CONTENT)?.as_blob()?);
        let Some(pieces) = content.as_deref().and_then(|content| set.pieces(content)) else {
            self.leave_out(set.seq, set.end_seq);
            return Ok(());
        };
        let after = self.up_to;
        for (head, piece) in pieces.filter(|(head, _)| head.seq > after) {
            if !self.has_room(max) {
                return Ok(());
            }
            self.up_to = head.seq;
            match span_of(connection, names, head, piece)? {
                Some(span) => self.spans.push(StoredSpan { seq: head.seq, trace_id: set.trace_id, span }),
                None => {
                    damaged(head.seq);
                    self.damaged += 1;
                }
            }
        }
        // The last numbers of a set may be those of spans that are gone.
        self.up_to = self.up_to.max(set.end_seq.saturating_sub(1));
        Ok(())
    }

    /// Passes over a set of which nothing can be read.
    fn leave_out(&mut self, seq: u64, end_seq: u64) {
        damaged(seq);
        let last_seq = end_seq.saturating_sub(1);
        self.damaged += last_seq.saturating_sub(self.up_to.max(seq.saturating_sub(1)));
        self.up_to = self.up_to.max(last_seq);
    }
}

/// A span, `None` when it is damaged.
fn span_of(
    connection: &Connection,
    names: &mut Names,
    head: &Head,
    piece: &[u8],
) -> rusqlite::Result<Option<SpanRow>> {
    let Some(named) = names.of(connection, head.operation)? else { return Ok(None) };
    let row = SpanRow {
        span_id: head.span_id,
        service: Arc::clone(&named.service),
        operation: named.operation.clone(),
        kind: named.kind,
        start_ns: head.start_ns,
        end_ns: head.end_ns,
        error: head.error,
        tags: Vec::new(),
        body: Vec::new(),
    };
    Ok(encode::decode(row, piece, head.checksum))
}
