//! A range aggregation, compiled: what it looks at and what it may leave unread.

use store::{Block, Labels};

use super::cells::Kind;
use super::key::KeyLabels;
use crate::exec::fold::FoldError;
use crate::logql::ast::*;
use crate::logql::line_labels::ERROR;
use crate::logql::pipeline::{DETECTED_LEVEL, LabelTest, Pipeline, References, of_log};
use crate::logql::units;

/// A compiled range aggregation.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) range: &'a RangeAggregation,
    pub(super) kind: Kind,
    pub(super) pipeline: Pipeline,
    pub(super) filters: Vec<LabelTest>,
    pub(super) key: KeyLabels,
    pub(super) references: References,
    /// Stages other than line filters: they need the labels of each line.
    uses_labels: bool,
    /// `by (__error__)` asks to see errors instead of failing.
    pub(super) shows_errors: bool,
}

impl<'a> Plan<'a> {
    /// `outer` is the grouping of the vector aggregation around it, when the two are done as one.
    #[expect(clippy::option_option, reason = "an aggregation without grouping is one group")]
    pub(super) fn new(range: &'a RangeAggregation, outer: Option<Option<&Grouping>>) -> Result<Self, String> {
        let unwrapped = range.unwrap.as_ref().map(|unwrap| unwrap.label.as_str());
        let key = KeyLabels::of(range, outer);
        let mut references = of_log(&range.log);
        for filter in range.unwrap.iter().flat_map(|unwrap| &unwrap.filters) {
            references.add_filter(filter);
        }
        key.add_references(&mut references, unwrapped);
        let wanted = matches!(key, KeyLabels::By(_)).then_some(&references);
        let filters = range.unwrap.iter().flat_map(|unwrap| &unwrap.filters).map(LabelTest::new);
        Ok(Self {
            range,
            kind: Kind::of(range.op),
            pipeline: Pipeline::new(&range.log.stages, wanted)?,
            filters: filters.collect::<Result<_, _>>()?,
            shows_errors: matches!(&key, KeyLabels::By(names) if names.iter().any(|name| name == ERROR)),
            key,
            references,
            uses_labels: range.unwrap.is_some()
                || range.log.stages.iter().any(|stage| !matches!(stage, Stage::Line(_))),
        })
    }

    /// Whether the lines are only counted, whatever is in them.
    pub(super) fn counts_lines(&self) -> bool {
        self.takes_all_lines() && !self.sums_bytes()
    }

    /// Whether every line is a sample, whatever is in it.
    pub(super) fn takes_all_lines(&self) -> bool {
        self.pipeline.is_empty() && self.range.unwrap.is_none()
    }

    pub(super) const fn sums_bytes(&self) -> bool {
        matches!(self.range.op, RangeOp::BytesOverTime | RangeOp::BytesRate)
    }

    /// Whether the level of a record may make a difference.
    pub(super) fn reads_levels(&self) -> bool {
        self.named_labels().is_none_or(|names| names.iter().any(|name| name == DETECTED_LEVEL))
    }

    /// Whether the pairs of the block's records may make a difference.
    pub(super) fn reads_pairs(&self, block: &Block) -> Result<bool, FoldError> {
        let Some(names) = self.named_labels() else { return Ok(true) };
        for name in names {
            if !block.pairs_named(name)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The labels that are looked at, unless it is all of them.
    pub(super) fn named_labels(&self) -> Option<&[String]> {
        match self.key {
            KeyLabels::By(_) => self.references.listed(),
            KeyLabels::Without(_) => None,
        }
    }

    /// Whether all lines of a stream belong to one series.
    pub(super) fn is_by_stream(&self, labels: &Labels) -> bool {
        !self.uses_labels
            && matches!(&self.key, KeyLabels::By(names) if names.iter().all(|n| labels.get(n).is_some()))
    }
}

/// An unwrapped text as a number.
///
/// # Errors
/// When it is none, with the details that Loki gives.
#[expect(clippy::cast_precision_loss, reason = "as Loki does")]
pub(super) fn read_number(text: &str, conversion: Conversion) -> Result<f64, String> {
    match conversion {
        Conversion::Number => units::parse_float(text),
        Conversion::Duration => units::parse_go_duration(text).map(|ns| ns as f64 / 1e9),
        Conversion::Bytes => units::parse_bytes(text).map(|bytes| bytes as f64),
    }
}
