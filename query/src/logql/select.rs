//! Which streams, blocks and rows a query reads.
//!
//! Selectors are resolved to streams first; what the stages require of a line then rules out blocks (by
//! the store's index) and rows (by a scan over the block). None of it changes an answer.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use store::block::{BlockError, Needle, Rows};
use store::writer::StoreError;
use store::{Block, Candidates, Labels, Level, Snapshot, StreamId, TimeRange};

use super::ast::{LogExpr, Matcher};
use super::pipeline::{LabelTest, Requirements};
use crate::filter::rows::{self as filter, Within};
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

/// The rows of `rows` worth running the pipeline on, ascending: without those whose line lacks what `requirements`
/// name. `None` requires nothing.
pub(crate) fn rows_that_may(
    block: &Block,
    rows: Range<usize>,
    requirements: Option<&Requirements>,
) -> Result<Vec<usize>, BlockError> {
    let Some(requirements) = requirements else { return Ok(rows.collect()) };
    let of_lines = filter::rows_that_may(&requirements.of_lines(), Within::Line, block)?;
    let kept = if of_lines.as_ref().is_some_and(Rows::is_empty) {
        of_lines
    } else {
        match (of_lines, filter::rows_that_may(&requirements.of_records(), Within::Record, block)?) {
            (Some(mut rows), Some(others)) => {
                rows.keep(&others);
                Some(rows)
            }
            (rows, others) => rows.or(others),
        }
    };
    let kept = if requirements.excluded().is_empty() {
        kept
    } else {
        Some(without(requirements.excluded(), block, kept)?)
    };
    let kept = matched(requirements, block, kept)?;
    Ok(match kept {
        Some(kept) => kept.iter().filter(|row| rows.contains(row)).collect(),
        None => rows.collect(),
    })
}

/// The rows that are `kept`, or all, whose lines match the regular expressions, where columns tell.
fn matched(
    requirements: &Requirements,
    block: &Block,
    mut kept: Option<Rows>,
) -> Result<Option<Rows>, BlockError> {
    for pattern in requirements.patterns() {
        if kept.as_ref().is_some_and(Rows::is_empty) {
            break;
        }
        let Some(found) = block.rows_with_pattern(pattern)? else { continue };
        kept = Some(match kept {
            Some(mut kept) => {
                kept.keep(&found);
                kept
            }
            None => found,
        });
    }
    Ok(kept)
}

/// The rows that are `kept`, or all, but for those whose lines hold one of the texts.
fn without(excluded: &[String], block: &Block, kept: Option<Rows>) -> Result<Rows, BlockError> {
    let mut rows = kept.unwrap_or_else(|| Rows::with(block.len(), |_| true));
    for text in excluded {
        if rows.is_empty() {
            break;
        }
        rows.leave_out(&block.rows_with(&Needle::exact(text.as_bytes()))?);
    }
    Ok(rows)
}
