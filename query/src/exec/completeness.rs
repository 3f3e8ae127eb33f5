//! How complete an answer is: up to when each source is stored, where lines may be missing, what was cut or
//! skipped. Part of every answer to a search.

use std::collections::BTreeMap;

use serde::Serialize;
use store::writer::StoreError;
use store::{Gap, Reader, TimeRange};

use super::Context;
use crate::time;

/// Sources and gaps listed in one answer; of more, the number is told.
const MAX_LISTED: usize = 1_000;

/// How complete an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// No gap, nothing cut, nothing damaged.
    pub complete: bool,
    /// Newest time stored, by source.
    pub covered_until: BTreeMap<String, String>,
    /// Sources not listed in `covered_until`.
    pub sources_omitted: usize,
    /// Places inside the time range where lines may be missing.
    pub gaps: Vec<ShownGap>,
    /// Gaps not listed in `gaps`.
    pub gaps_omitted: usize,
    /// Whether more records match than were given.
    pub cut_by_limit: bool,
    /// Blocks that could not be read; their records are missing from the answer.
    pub damaged: Vec<String>,
}

/// A gap, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownGap {
    /// Key of the source.
    pub source: String,
    /// Name of the container or file.
    pub name: String,
    /// Last time known to be covered before the gap.
    pub from: String,
    /// First time known to be covered after it.
    pub to: String,
    /// Number of lines missing, where known.
    pub lines: Option<u64>,
    /// `rotated`, `removed`, `daemon_error`, `unreadable`
    pub reason: &'static str,
}

impl From<Gap> for ShownGap {
    fn from(gap: Gap) -> Self {
        Self {
            source: gap.source,
            name: gap.name,
            from: time::rfc3339(gap.from_ns),
            to: time::rfc3339(gap.to_ns),
            lines: gap.lines,
            reason: gap.reason.name(),
        }
    }
}

impl Completeness {
    /// What the catalog and the query itself know about the answer for `range`. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn of(
        reader: &Reader,
        range: TimeRange,
        cut_by_limit: bool,
        context: &Context,
    ) -> Result<Self, StoreError> {
        let coverage = reader.coverage()?;
        let sources = coverage.len();
        let covered_until: BTreeMap<String, String> =
            coverage.into_iter().take(MAX_LISTED).map(|(source, ns)| (source, time::rfc3339(ns))).collect();
        let gaps = reader.gaps(range)?;
        let all_gaps = gaps.len();
        let damaged = context.damaged();
        Ok(Self {
            complete: all_gaps == 0 && !cut_by_limit && damaged.is_empty(),
            sources_omitted: sources - covered_until.len(),
            covered_until,
            gaps: gaps.into_iter().take(MAX_LISTED).map(ShownGap::from).collect(),
            gaps_omitted: all_gaps.saturating_sub(MAX_LISTED),
            cut_by_limit,
            damaged,
        })
    }
}
