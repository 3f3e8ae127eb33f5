//! Which rows of a block match, and what is kept of each: the part that query languages differ in.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use store::block::BlockError;
use store::{Block, BlockRef, Level};

use crate::filter::{BlockPairs, Filter, Row, RowPairs};
use crate::hit::{self, Hit};
use crate::plan::StreamFilters;

/// The order in which rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Decides which rows of a block match, and what is kept of each.
pub trait Select: Sync {
    /// What is kept of a row.
    type Item: Send;

    /// Whether rows of the block may match at all; asked before it is read.
    fn wants(&self, block: &BlockRef) -> bool;

    /// Hands the matching rows within `rows` to `found`, in `order`, until it breaks.
    ///
    /// # Errors
    /// When a column cannot be read.
    fn select(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        found: &mut dyn FnMut(usize, Self::Item) -> ControlFlow<()>,
    ) -> Result<(), BlockError>;

    /// Bytes an item occupies, about.
    fn size(item: &Self::Item) -> usize;
}

/// Calls `visit` for the rows of `rows` that pass `filter`, in `order`, until it breaks.
///
/// # Errors
/// When a column cannot be read; what was visited until then is void.
pub fn matching_rows(
    block: &Block,
    filter: &Filter,
    rows: Range<usize>,
    order: Order,
    visit: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(), BlockError> {
    if rows.is_empty() {
        return Ok(());
    }
    if matches!(filter, Filter::All) {
        in_order(rows, order, |row| Ok(visit(row)))?;
        return Ok(());
    }
    if let Some(wanted) = filter.levels().listed() {
        let levels = block.levels()?.get(rows.clone()).unwrap_or_default();
        if !levels.iter().any(|level| wanted.contains(level)) {
            return Ok(());
        }
        if let Filter::Level(test) = filter
            && !levels.contains(&Level::Unset)
        {
            // The lines need not be decoded.
            let first = rows.start;
            return in_order(rows, order, |row| {
                Ok(if test.wanted.contains(levels[row - first]) {
                    visit(row)
                } else {
                    ControlFlow::Continue(())
                })
            });
        }
    }
    let rows: Vec<usize> = match filter.rows(block)? {
        Some(found) => found.iter().filter(|row| rows.contains(row)).collect(),
        None => rows.collect(),
    };
    if rows.is_empty() {
        return Ok(());
    }
    let pairs = BlockPairs::of(block);
    let lines = block.lines_of(&rows)?;
    let levels = block.levels()?;
    in_order(0..rows.len(), order, |i| {
        let row = rows[i];
        let line = lines.get(row)?;
        let passes = filter.is_match(&Row {
            labels: block.labels(),
            level: levels[row],
            line: &line,
            pairs: RowPairs::Block(&pairs, row),
        });
        if !passes {
            return Ok(ControlFlow::Continue(()));
        }
        pairs.checked()?;
        Ok(visit(row))
    })?;
    pairs.checked()
}

fn in_order(
    range: Range<usize>,
    order: Order,
    mut visit: impl FnMut(usize) -> Result<ControlFlow<()>, BlockError>,
) -> Result<(), BlockError> {
    let length = range.len();
    for i in 0..length {
        let at = match order {
            Order::Forward => range.start + i,
            Order::Backward => range.end - 1 - i,
        };
        if visit(at)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Selects the hits of a search.
#[derive(Clone, Debug)]
pub struct Hits<'a> {
    /// What is left to test, by stream.
    pub filters: &'a StreamFilters,
}

impl Select for Hits<'_> {
    type Item = Hit;

    fn wants(&self, block: &BlockRef) -> bool {
        self.filters.get(block.stream()).is_some()
    }

    fn select(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        found: &mut dyn FnMut(usize, Hit) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        let Some(filter) = self.filters.get(block.stream()) else { return Ok(()) };
        let mut failed = None;
        matching_rows(block, filter, rows, order, &mut |row| match hit_at(block, row) {
            Ok(hit) => found(row, hit),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn size(item: &Hit) -> usize {
        item.size()
    }
}

fn hit_at(block: &Block, row: usize) -> Result<Hit, BlockError> {
    Ok(Hit {
        timestamp_ns: block.timestamps()?[row],
        line: block.line(row)?.into_owned(),
        labels: Arc::clone(block.labels()),
        metadata: hit::metadata(block.levels()?[row], block.pairs()?.get(row)),
    })
}
