//! Rows in a total order, up to a limit: the best rows so far are kept, and blocks that cannot better them
//! are never read.
//!
//! The order is by time, then stream, then order of arrival; newest first is its exact reverse. Blocks are
//! taken by their best time, several at once. Once the page is full, its worst row bounds what is still
//! worth reading. A page is also full when its rows occupy `max_bytes`.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use store::block::BlockError;
use store::{Block, BlockRef, StreamId, TimeRange};

use super::fold::lies_within;
use super::select::{Order, Select};
use super::{Context, ExecError, on_threads};

/// Place of a row in the order of all rows of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Time of the record.
    pub ts_ns: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the order of arrival ([`BlockRef::min_seq`]).
    pub seq: u64,
}

/// Which rows a page holds.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Order of the rows.
    pub order: Order,
    /// Time range.
    pub range: TimeRange,
    /// Most rows, at least 1.
    pub limit: usize,
    /// Most bytes of rows, as [`Select::size`] counts them; one row is given however large.
    pub max_bytes: usize,
    /// Only rows that come after this one in the order.
    pub after: Option<Key>,
}

/// Rows in order.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<(Key, T)>,
    /// Whether rows after the last may exist.
    pub more: bool,
}

/// The next page of the rows that `select` picks from `blocks`, candidates of one snapshot. Blocking.
///
/// # Errors
/// When the query is cancelled or uses more than it may. Damaged blocks are noted in `context` instead.
pub fn page<S: Select>(
    blocks: &[BlockRef],
    select: &S,
    request: &PageRequest,
    context: &Context,
) -> Result<Page<S::Item>, ExecError> {
    let mut turns: Vec<&BlockRef> = blocks.iter().collect();
    match request.order {
        Order::Forward => turns.sort_by_key(|block| block.min_ns()),
        Order::Backward => turns.sort_by_key(|block| std::cmp::Reverse(block.max_ns())),
    }
    let best =
        Mutex::new(Best { request: *request, rows: BTreeMap::new(), bytes: 0, bound: None, more: false });
    let next = AtomicUsize::new(0);
    on_threads(context.threads_for(blocks.len()), || {
        while let Some(block) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
            let reader = BlockReader { block, select, request, context };
            if reader.read_into(&best)?.is_break() {
                break;
            }
        }
        Ok(())
    })?;
    let best = best.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut rows: Vec<(Key, S::Item)> = best.rows.into_values().collect();
    if request.order == Order::Backward {
        rows.reverse();
    }
    Ok(Page { rows, more: best.more })
}

/// The best rows so far.
struct Best<T> {
    request: PageRequest,
    rows: BTreeMap<Key, (Key, T)>,
    bytes: usize,
    /// Rows at or after this one do not belong to the page.
    bound: Option<Key>,
    /// Whether some row was left out, or may have been.
    more: bool,
}

impl<T> Best<T> {
    fn add<S: Select<Item = T>>(&mut self, key: Key, item: T) {
        if self.bound.is_some_and(|bound| !before(self.request.order, key, bound)) {
            self.more = true;
            return;
        }
        self.bytes += S::size(&item);
        self.rows.insert(key, (key, item));
        while self.rows.len() > self.request.limit
            || (self.bytes > self.request.max_bytes && self.rows.len() > 1)
        {
            let worst = match self.request.order {
                Order::Forward => self.rows.pop_last(),
                Order::Backward => self.rows.pop_first(),
            };
            let Some((key, (_, item))) = worst else { break };
            self.bytes -= S::size(&item);
            self.bound = Some(key);
            self.more = true;
        }
        if self.rows.len() == self.request.limit {
            self.bound = match self.request.order {
                Order::Forward => self.rows.last_key_value(),
                Order::Backward => self.rows.first_key_value(),
            }
            .map(|(key, _)| *key);
        }
    }
}

/// Whether `a` comes before `b`.
fn before(order: Order, a: Key, b: Key) -> bool {
    match order {
        Order::Forward => a < b,
        Order::Backward => a > b,
    }
}

struct BlockReader<'a, S> {
    block: &'a BlockRef,
    select: &'a S,
    request: &'a PageRequest,
    context: &'a Context,
}

impl<S: Select> BlockReader<'_, S> {
    /// Adds the block's rows; `Break` when neither this block nor any after it can hold a row of the page.
    fn read_into(&self, best: &Mutex<Best<S::Item>>) -> Result<ControlFlow<()>, ExecError> {
        let block = self.block;
        let bound = {
            let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
            if best.bound.is_some_and(|bound| self.lies_beyond(block, bound)) {
                best.more = true;
                return Ok(ControlFlow::Break(()));
            }
            best.bound
        };
        if !self.select.wants(block) || self.lies_before_page(block) {
            return Ok(ControlFlow::Continue(()));
        }
        self.context.charge(block)?;
        match self.rows(bound) {
            Ok((rows, cut)) => {
                let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
                best.more |= cut;
                for (key, item) in rows {
                    best.add::<S>(key, item);
                }
            }
            Err(error) => self.context.note_damaged(&error),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn lies_beyond(&self, block: &BlockRef, bound: Key) -> bool {
        match self.request.order {
            Order::Forward => block.min_ns() > bound.ts_ns,
            Order::Backward => block.max_ns() < bound.ts_ns,
        }
    }

    fn lies_before_page(&self, block: &BlockRef) -> bool {
        self.request.after.is_some_and(|after| match self.request.order {
            Order::Forward => block.max_ns() < after.ts_ns,
            Order::Backward => block.min_ns() > after.ts_ns,
        })
    }

    /// The block's rows that belong to the page as it stands, and whether some were left out.
    #[expect(clippy::type_complexity, reason = "two values of a private function")]
    fn rows(&self, bound: Option<Key>) -> Result<(Vec<(Key, S::Item)>, bool), BlockError> {
        let block = self.block.open()?;
        let first_seq = self.block.min_seq();
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut cut = false;
        let mut failed = None;
        let order = self.request.order;
        self.select.select(&block, self.span(&block)?, order, &mut |row, item| {
            let ts_ns = match block.timestamps() {
                Ok(timestamps) => timestamps[row],
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            let key = Key { ts_ns, stream: block.stream(), seq: first_seq + row as u64 };
            if self.request.after.is_some_and(|after| !before(order, after, key)) {
                return ControlFlow::Continue(());
            }
            let full = rows.len() == self.request.limit || bytes > self.request.max_bytes;
            if full || bound.is_some_and(|bound| !before(order, key, bound)) {
                cut = true;
                return ControlFlow::Break(());
            }
            bytes += S::size(&item);
            rows.push((key, item));
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok((rows, cut)), Err)
    }

    /// Rows within the time range and not wholly before the page.
    fn span(&self, block: &Block) -> Result<Range<usize>, BlockError> {
        let range = self.request.range;
        if self.request.after.is_none() && lies_within(self.block, range) {
            return Ok(0..block.len()); // most blocks hold no hit: their times are not read
        }
        let timestamps = block.timestamps()?;
        let mut start = timestamps.partition_point(|ts| *ts < range.start_ns);
        let mut end = timestamps.partition_point(|ts| *ts < range.end_ns);
        match (self.request.order, self.request.after) {
            (Order::Forward, Some(after)) => {
                start = start.max(timestamps.partition_point(|ts| *ts < after.ts_ns))
            }
            (Order::Backward, Some(after)) => {
                end = end.min(timestamps.partition_point(|ts| *ts <= after.ts_ns))
            }
            (_, None) => {}
        }
        Ok(start..end.max(start))
    }
}
