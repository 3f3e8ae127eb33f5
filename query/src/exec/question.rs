//! What a search asks for, in either language, and what that means for the blocks of one snapshot.

use std::ops::{ControlFlow, Range};

use store::block::BlockError;
use store::writer::StoreError;
use store::{Block, BlockRef, Candidates, Prune, Snapshot, StreamId, TimeRange};

use super::page::{Page, PageRequest, page};
use super::select::{Hits, Order, Select, matching_rows};
use super::{Context, ExecError};
use crate::filter::Filter;
use crate::hit::Hit;
use crate::logql::ast::LogExpr;
use crate::logql::logs::{CompiledLog, Passing};
use crate::plan::StreamFilters;

/// What a search asks for, in either language.
#[derive(Clone, Debug)]
pub enum Question {
    /// Records that pass a filter.
    Filter(Filter),
    /// Lines of a LogQL log query.
    LogQl(LogExpr),
}

/// [`Question`] compiled for one snapshot.
#[derive(Debug)]
pub(crate) enum Reads {
    Filter(StreamFilters),
    LogQl(Box<CompiledLog>),
}

impl Reads {
    pub(crate) fn new(question: &Question, snapshot: &Snapshot, range: TimeRange) -> Result<Self, ExecError> {
        Ok(match question {
            Question::Filter(filter) => Self::Filter(StreamFilters::of(filter, snapshot, range)),
            Question::LogQl(log) => {
                Self::LogQl(Box::new(CompiledLog::new(log, snapshot, range).map_err(ExecError::Query)?))
            }
        })
    }

    pub(crate) fn candidates(&self, snapshot: &Snapshot, range: TimeRange) -> Result<Candidates, StoreError> {
        match self {
            Self::Filter(filters) => filters.plan(range).candidates(snapshot),
            Self::LogQl(log) => log.candidates(snapshot),
        }
    }

    /// What every matching record fulfils, for the index.
    pub(crate) fn prune(&self, range: TimeRange) -> Prune {
        match self {
            Self::Filter(filters) => filters.plan(range).prune,
            Self::LogQl(log) => log.selection().requirements().prune(),
        }
    }

    /// How many streams are read.
    pub(crate) fn num_streams(&self) -> usize {
        match self {
            Self::Filter(filters) => filters.num_streams(),
            Self::LogQl(log) => log.selection().num_streams(),
        }
    }

    pub(crate) fn page(
        &self,
        blocks: &[BlockRef],
        request: &PageRequest,
        context: &Context,
    ) -> Result<Page<Hit>, ExecError> {
        match self {
            Self::Filter(filters) => page(blocks, &Hits { filters }, request, context),
            Self::LogQl(log) => page(blocks, &Passing::<Hit>::new(log), request, context),
        }
    }

    /// Calls `visit` for the matching rows within `rows`, in `order`, until it breaks.
    pub(crate) fn visit(
        &self,
        block: &Block,
        rows: Range<usize>,
        order: Order,
        visit: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(), BlockError> {
        match self {
            Self::Filter(filters) => match filters.get(block.stream()) {
                Some(filter) => matching_rows(block, filter, rows, order, visit),
                None => Ok(()),
            },
            Self::LogQl(log) => Passing::<Hit>::new(log).select(block, rows, order, &mut |row, _| visit(row)),
        }
    }

    /// Whether rows of the stream may match at all.
    pub(crate) fn reads(&self, stream: StreamId) -> bool {
        match self {
            Self::Filter(filters) => filters.get(stream).is_some(),
            Self::LogQl(log) => log.selection().includes(stream),
        }
    }
}
