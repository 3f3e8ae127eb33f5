//! A search: a filter over a time range, answered page by page from one snapshot.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use store::fields::{self, Shape};
use store::{BlockRef, Candidates, Reader, Record, Snapshot, StreamId, TimeRange};

use super::cursor::{Cursor, query_hash};
use super::export::Records;
use super::page::{Key, Page, PageRequest, page};
use super::question::{Question, Reads};
use super::select::Order;
use super::{Context, ExecError, Stats};
use crate::filter::field::{self, ValueTest};
use crate::filter::rows::{Within, rows_that_may};
use crate::filter::{BlockPairs, FieldTest, Filter, Row, RowPairs, TextTest};
use crate::hit::Hit;
use crate::plan::Plan;

/// Most bytes of hits held at once: one page of a streamed answer, or a JSON answer cut short.
pub const MAX_PAGE_BYTES: usize = 32 << 20;
/// Blocks looked into to decide whether a field exists at all, and rows of each.
const PROBED_BLOCKS: usize = 32;
const PROBED_ROWS: usize = 512;
/// Names of fields remembered while looking.
const MAX_KNOWN: usize = 10_000;
/// Known names offered instead of an unknown one.
const MAX_SUGGESTIONS: usize = 5;

/// What is searched.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The query's text; cursors belong to it.
    pub query: String,
    /// What it means.
    pub question: Question,
    /// Time range; ignored when there is a cursor, which carries its own.
    pub range: TimeRange,
    /// Order of the hits.
    pub order: Order,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// The search for every line of a trace or correlation id, oldest first: the lines whose `trace_id` or
/// `correlation_id` it is, and the lines that hold it as a word. `None` for an empty id.
#[must_use]
pub fn trace_request(id: &str, range: TimeRange) -> Option<SearchRequest> {
    let id = id.trim();
    if id.is_empty() {
        return None;
    }
    let field = |name: &str| Filter::Field(FieldTest::new(name, 0, ValueTest::equals(id)));
    Some(SearchRequest {
        query: format!("trace {id}"),
        question: Question::Filter(Filter::Or(vec![
            Filter::Line(TextTest::words(id)),
            field(store::record::attribute::TRACE_ID),
            field(store::record::attribute::CORRELATION_ID),
        ])),
        range,
        order: Order::Forward,
        cursor: None,
    })
}

/// A search over one snapshot.
#[derive(Debug)]
pub struct Search {
    request: SearchRequest,
    reads: Reads,
    candidates: Candidates,
    after: Option<Key>,
    found_any: bool,
    more: bool,
}

impl Search {
    /// Plans the search. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or the query may not go on.
    pub fn begin(reader: &Reader, mut request: SearchRequest, context: &Context) -> Result<Self, ExecError> {
        context.check()?;
        let mut read = request.range;
        if let Some(cursor) = &request.cursor {
            request.range = cursor.range;
            read = cursor.range;
            match request.order {
                Order::Forward => read.start_ns = read.start_ns.max(cursor.ts_ns),
                Order::Backward => read.end_ns = read.end_ns.min(cursor.ts_ns.saturating_add(1)),
            }
        }
        let snapshot = reader.snapshot()?;
        let reads = Reads::new(&request.question, &snapshot, read)?;
        let candidates = reads.candidates(&snapshot, read)?;
        context.note_candidates(&candidates);
        let mut search =
            Self { found_any: request.cursor.is_some(), request, reads, candidates, after: None, more: true };
        if let Some(cursor) = search.request.cursor {
            search.after = Some(search.key_of(&cursor, context)?);
        }
        Ok(search)
    }

    /// The next hits in order, at most `limit` and about [`MAX_PAGE_BYTES`]. Blocking.
    ///
    /// # Errors
    /// When the query may not go on.
    pub fn next_page(&mut self, limit: usize, context: &Context) -> Result<Vec<Hit>, ExecError> {
        self.next(limit, context, Reads::page)
    }

    /// The next records as stored, whatever a LogQL query makes of their lines; otherwise as [`Search::next_page`].
    ///
    /// # Errors
    /// When the query may not go on.
    pub fn next_records(&mut self, limit: usize, context: &Context) -> Result<Vec<Record>, ExecError> {
        self.next(limit, context, |reads, blocks, request, context| {
            page(blocks, &Records(reads), request, context)
        })
    }

    fn next<T>(
        &mut self,
        limit: usize,
        context: &Context,
        read: impl FnOnce(&Reads, &[BlockRef], &PageRequest, &Context) -> Result<Page<T>, ExecError>,
    ) -> Result<Vec<T>, ExecError> {
        if !self.more || limit == 0 {
            return Ok(Vec::new());
        }
        let request = PageRequest {
            order: self.request.order,
            range: self.request.range,
            limit,
            max_bytes: MAX_PAGE_BYTES,
            after: self.after,
        };
        let found = read(&self.reads, &self.candidates.blocks, &request, context)?;
        self.more = found.more && !found.rows.is_empty();
        self.found_any |= !found.rows.is_empty();
        if let Some((key, _)) = found.rows.last() {
            self.after = Some(*key);
        }
        Ok(found.rows.into_iter().map(|(_, item)| item).collect())
    }

    /// Whether hits may follow.
    #[must_use]
    pub const fn more(&self) -> bool {
        self.more
    }

    /// The time range that is searched.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        self.request.range
    }

    /// What the search has read so far.
    #[must_use]
    pub fn stats(&self, context: &Context) -> Stats {
        context.stats(&self.candidates)
    }

    /// Where the next page begins, `None` when there is none. Blocking.
    ///
    /// # Errors
    /// When the query may not go on.
    pub fn cursor(&self, context: &Context) -> Result<Option<Cursor>, ExecError> {
        let Some(last) = self.after.filter(|_| self.more) else { return Ok(None) };
        let equals = self.keys_at(last.stream, last.ts_ns, context)?;
        let ordinal = equals.iter().position(|key| *key == last).unwrap_or(equals.len());
        Ok(Some(Cursor {
            order: self.request.order,
            range: self.request.range,
            query_hash: query_hash(&self.request.query),
            ts_ns: last.ts_ns,
            stream: last.stream,
            ordinal: ordinal as u64,
        }))
    }

    fn key_of(&self, cursor: &Cursor, context: &Context) -> Result<Key, ExecError> {
        let equals = self.keys_at(cursor.stream, cursor.ts_ns, context)?;
        let ordinal = usize::try_from(cursor.ordinal).unwrap_or(usize::MAX);
        // Rows that have expired since leave fewer: then all that are left came before the one meant.
        let past_all = Key { ts_ns: cursor.ts_ns, stream: cursor.stream, seq: u64::MAX };
        Ok(equals.get(ordinal).copied().unwrap_or(past_all))
    }

    /// Matching rows of one stream and time, by arrival.
    fn keys_at(&self, stream: StreamId, ts_ns: i64, context: &Context) -> Result<Vec<Key>, ExecError> {
        let mut keys = Vec::new();
        for block in &self.candidates.blocks {
            if block.stream() != stream || ts_ns < block.min_ns() || ts_ns > block.max_ns() {
                continue;
            }
            context.check()?;
            let first_seq = block.min_seq();
            let read = block.open().and_then(|block| {
                let timestamps = block.timestamps()?;
                let start = timestamps.partition_point(|ts| *ts < ts_ns);
                let end = timestamps.partition_point(|ts| *ts <= ts_ns);
                self.reads.visit(&block, start..end, Order::Forward, &mut |row| {
                    keys.push(Key { ts_ns, stream, seq: first_seq + row as u64 });
                    ControlFlow::Continue(())
                })
            });
            if let Err(error) = read {
                context.note_damaged(&error);
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// After a search without a hit: the first field of the query that no record in the time range has. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or the query may not go on.
    pub fn unknown_field(
        &self,
        reader: &Reader,
        context: &Context,
    ) -> Result<Option<UnknownField>, ExecError> {
        if self.found_any {
            return Ok(None);
        }
        // In LogQL a label that no line has is an empty one.
        let Question::Filter(filter) = &self.request.question else { return Ok(None) };
        let unseen: Vec<&FieldTest> =
            filter.fields().into_iter().filter(|f| !f.seen.load(Ordering::Relaxed)).collect();
        if unseen.is_empty() {
            return Ok(None);
        }
        let snapshot = reader.snapshot()?;
        let everything =
            Plan { range: self.request.range, streams: None, levels: None, prune: store::Prune::Any };
        let all = everything.candidates(&snapshot)?;
        let mut known: BTreeSet<String> = [crate::hit::LEVEL.to_owned()].into();
        let mut missing = unseen;
        for block in all.blocks.iter().rev().take(PROBED_BLOCKS) {
            context.charge(block)?;
            match probe(block, &mut missing, &mut known) {
                Ok(()) => {}
                Err(error) => context.note_damaged(&error),
            }
        }
        // In an empty range nothing is known, so nothing is unknown.
        if all.blocks.is_empty() {
            return Ok(None);
        }
        let mut unknown = None;
        for field in missing {
            if !is_rare(&field.name, &snapshot, self.request.range, context)? {
                unknown = Some(field);
                break;
            }
        }
        let Some(field) = unknown else { return Ok(None) };
        Ok(Some(UnknownField {
            name: field.name.clone(),
            position: self.request.query.get(..field.position).map_or(0, |before| before.chars().count()),
            similar: similar(&field.name, known),
        }))
    }
}

/// A field of the query that no record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Its name.
    pub name: String,
    /// Its place in the query, in characters.
    pub position: usize,
    /// Known fields with similar names, or some known fields.
    pub similar: Vec<String>,
}

impl std::fmt::Display for UnknownField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no record in this time range has a field `{}`", self.name)?;
        if !self.similar.is_empty() {
            write!(f, "; known are for example `{}`", self.similar.join("`, `"))?;
        }
        write!(f, "; put the term in double quotes to search for it as text")
    }
}

/// Whether some record beyond those probed has the field: its line then holds the name, which the index knows.
fn is_rare(name: &str, snapshot: &Snapshot, range: TimeRange, context: &Context) -> Result<bool, ExecError> {
    let last_step = TextTest::words(name.rsplit('.').next().unwrap_or(name));
    let named = Plan { range, streams: None, levels: None, prune: last_step.prune() }.candidates(snapshot)?;
    for block in named.blocks.iter().rev().take(PROBED_BLOCKS) {
        context.charge(block)?;
        let found = block.open().and_then(|block| {
            let Some(rows) = rows_that_may(&last_step.prune(), Within::Line, &block)? else {
                return Ok(false);
            };
            let rows: Vec<usize> = rows.iter().collect();
            let lines = block.lines_of(&rows)?;
            for row in rows {
                if fields::get(&lines.get(row)?, name).is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        match found {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => context.note_damaged(&error),
        }
    }
    Ok(false)
}

fn probe(
    block: &store::BlockRef,
    missing: &mut Vec<&FieldTest>,
    known: &mut BTreeSet<String>,
) -> Result<(), store::block::BlockError> {
    known.extend(block.labels().iter().map(|(name, _)| name.to_owned()));
    let short_names = field::ALIASES.iter().filter(|(_, long)| block.labels().get(long).is_some());
    known.extend(short_names.map(|(short, _)| (*short).to_owned()));
    let block = block.open()?;
    let lines = block.lines()?;
    let levels = block.levels()?;
    let pairs = BlockPairs::of(&block);
    for (row, level) in levels.iter().enumerate().take(PROBED_ROWS) {
        known.extend(block.pairs()?.get(row).map(|(_, name, _)| name.to_owned()));
        let line = lines.get(row);
        fields::for_each(line, Shape::detect(line), |name, _| {
            if known.len() < MAX_KNOWN && !known.contains(name) {
                known.insert(name.to_owned());
            }
            ControlFlow::Continue(())
        });
        let row = Row { labels: block.labels(), level: *level, line, pairs: RowPairs::Block(&pairs, row) };
        missing.retain(|field| field::value_of(&row, &field.name).is_none());
    }
    pairs.checked()
}

fn similar(name: &str, known: BTreeSet<String>) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = known
        .into_iter()
        .map(|candidate| {
            let contains = candidate.contains(name) || name.contains(&candidate);
            let distance = strsim::levenshtein(name, &candidate);
            (if contains { distance.min(1) } else { distance }, candidate)
        })
        .collect();
    ranked.sort();
    let close = ranked.iter().take_while(|(distance, _)| *distance <= 2).count();
    ranked.truncate(if close > 0 { close.min(MAX_SUGGESTIONS) } else { MAX_SUGGESTIONS });
    ranked.into_iter().map(|(_, name)| name).collect()
}
