//! Which streams, blocks and rows a query reads.
//!
//! Selectors are resolved to streams first; what the stages require of a line then rules out blocks (by
//! the store's index) and rows (by a scan over the block). None of it changes an answer.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use store::block::BlockError;
use store::writer::StoreError;
use store::{Block, Candidates, Labels, Level, Lines, Snapshot, StreamId, TimeRange};

use super::ast::{LogExpr, Matcher};
use super::pipeline::{LabelTest, LabelText, Requirements};
use crate::plan::Plan;

/// Compiled matchers of a selector.
#[derive(Debug)]
pub(crate) struct Selector(Vec<(String, LabelTest)>);

impl Selector {
    pub(crate) fn new(matchers: &[Matcher]) -> Result<Self, String> {
        let compile = |matcher: &Matcher| Ok((matcher.name.clone(), LabelTest::of_matcher(matcher)?));
        matchers.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    /// Whether a stream is selected. A missing label compares as empty.
    pub(crate) fn is_match(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(name, test)| test.is_match_value(labels.get(name).unwrap_or_default()))
    }
}

/// What a log expression reads within a time range.
#[derive(Debug)]
pub(crate) struct StreamSelection {
    plan: Plan,
    requirements: Requirements,
}

impl StreamSelection {
    pub(crate) fn new(log: &LogExpr, snapshot: &Snapshot, range: TimeRange) -> Result<Self, String> {
        let selector = Selector::new(&log.matchers)?;
        let mut selected: Vec<&Arc<Labels>> = Vec::new();
        let mut streams: HashSet<StreamId> = HashSet::new();
        for stream in snapshot.streams() {
            if range.overlaps(stream.min_ns, stream.max_ns) && selector.is_match(&stream.labels) {
                selected.push(&stream.labels);
                streams.insert(stream.id);
            }
        }
        let in_stream = |name: &str| selected.iter().any(|labels| labels.get(name).is_some());
        let requirements = Requirements::of(&log.stages, in_stream);
        let level = requirements.level.as_deref().and_then(Level::from_name);
        let levels = level.map(|level| vec![level, Level::Unset]);
        let prune = requirements.prune();
        Ok(Self { plan: Plan { range, streams: Some(streams), levels, prune }, requirements })
    }

    /// The blocks that may hold a line of the result. Blocking.
    pub(crate) fn candidates(&self, snapshot: &Snapshot) -> Result<Candidates, StoreError> {
        self.plan.candidates(snapshot)
    }

    pub(crate) fn includes(&self, stream: StreamId) -> bool {
        self.plan.streams.as_ref().is_none_or(|streams| streams.contains(&stream))
    }

    pub(crate) fn num_streams(&self) -> usize {
        self.plan.streams.as_ref().map_or(0, HashSet::len)
    }

    pub(crate) const fn requirements(&self) -> &Requirements {
        &self.requirements
    }
}

/// The rows of a block worth running the pipeline on, ascending.
#[derive(Debug)]
pub(crate) enum Rows {
    All(Range<usize>),
    Some(Vec<usize>),
}

impl Rows {
    /// `rows`, less those whose line lacks what `requirements` name. `None` requires nothing.
    pub(crate) fn new(
        block: &Block,
        rows: Range<usize>,
        requirements: Option<&Requirements>,
    ) -> Result<Self, BlockError> {
        let Some(requirements) = requirements else { return Ok(Self::All(rows)) };
        let mut kept = match &requirements.text {
            Some(text) => Self::Some(rows_with(block.lines()?, &rows, text)),
            None => Self::All(rows),
        };
        for label in &requirements.labels {
            kept = kept.with_label(block, label)?;
        }
        Ok(kept)
    }

    /// Rows whose line holds the pieces, or that have a pair of the label's name.
    fn with_label(self, block: &Block, label: &LabelText) -> Result<Self, BlockError> {
        let lines = block.lines()?;
        let pairs = block.pairs_named(&label.name)?;
        let mut pieces = label.pieces.iter().map(memchr::memmem::Finder::new).collect::<Vec<_>>();
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.needle().len()));
        let holds = |row: &usize, pieces: &[memchr::memmem::Finder<'_>]| {
            let line = lines.get(*row);
            pieces.iter().all(|piece| piece.find(line).is_some())
        };
        let has_pair = |row: &usize| !pairs.is_empty() && pairs.value(*row).is_some();
        let rows = match (self, pieces.split_first()) {
            (kept, None) => return Ok(kept),
            (Self::All(rows), Some((first, others))) if pairs.is_empty() => {
                let mut found = rows_with(lines, &rows, first.needle());
                found.retain(|row| holds(row, others));
                found
            }
            (kept, Some(_)) => kept.iter().filter(|row| has_pair(row) || holds(row, &pieces)).collect(),
        };
        Ok(Self::Some(rows))
    }

    pub(crate) fn iter(&self) -> Box<dyn DoubleEndedIterator<Item = usize> + '_> {
        match self {
            Self::All(rows) => Box::new(rows.clone()),
            Self::Some(rows) => Box::new(rows.iter().copied()),
        }
    }
}

/// Rows whose line holds `text`, by one scan over the whole block.
fn rows_with(lines: &Lines, rows: &Range<usize>, text: &[u8]) -> Vec<usize> {
    let finder = memchr::memmem::Finder::new(text);
    let bytes = lines.bytes();
    let mut found = Vec::new();
    let mut at = if rows.is_empty() { bytes.len() } else { lines.span(rows.start).start };
    while let Some(offset) = bytes.get(at..).and_then(|rest| finder.find(rest)) {
        let hit = at + offset;
        let row = lines.line_at(hit);
        if row >= rows.end {
            break;
        }
        // A hit over the end of a line is none, but a later one in the same line may be.
        let end = lines.span(row).end;
        if hit + text.len() <= end {
            found.push(row);
            at = end + 1;
        } else {
            at = hit + 1;
        }
    }
    found
}
