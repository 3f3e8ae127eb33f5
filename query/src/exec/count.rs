//! Counts of matching records over time, by level or by any field: the data of a histogram.
//!
//! Blocks that lie within one bucket and are not filtered beyond stream and level are answered from their
//! level counts, without reading them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use store::{Block, BlockRef, Candidates, Level, Reader, TimeRange};

use super::fold::{FoldError, fold, lies_within, rows_in};
use super::select::{Order, matching_rows};
use super::{Context, ExecError, Stats};
use crate::filter::{BlockPairs, Filter, LevelSet, Row, RowPairs, field};
use crate::hit::LEVEL;
use crate::plan::StreamFilters;
use crate::time;

/// Distinct values times buckets that one thread of a count may hold (8 bytes each).
const MAX_CELLS: usize = 4 << 20;
/// Buckets aimed at when the step is left to us.
const AUTO_BUCKETS: i64 = 60;
/// Steps chosen from, in seconds.
const AUTO_STEPS: [i64; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];

/// What is counted.
#[derive(Clone, Debug)]
pub struct CountRequest {
    /// Which records.
    pub filter: Filter,
    /// Time range.
    pub range: TimeRange,
    /// Field whose values are counted apart, `None` for one count.
    pub by: Option<String>,
    /// Width of the buckets.
    pub step: Step,
    /// Values listed, those with the highest counts; the rest is summed up.
    pub top: usize,
    /// Most listed values times buckets.
    pub max_points: usize,
}

/// Width of the buckets of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One bucket for the whole range.
    Whole,
    /// As wide as gives at most 60 buckets.
    Auto,
    /// This wide.
    Width(Duration),
}

/// Counts of matching records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Start of the first bucket: a multiple of the step, at or before the start of the range.
    pub start: String,
    /// Width of the buckets in nanoseconds; of a single bucket, the length of the range.
    pub step_ns: i64,
    /// Matching records in all.
    pub total: u64,
    /// Field whose values are counted apart.
    pub by: Option<String>,
    /// How many values there are.
    pub distinct: usize,
    /// The values with the highest totals, highest first.
    pub series: Vec<Series>,
    /// Sum of the values not listed, by bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Vec<u64>>,
}

/// Counts of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// The value; empty for records without the field.
    pub value: String,
    /// Sum over the buckets.
    pub total: u64,
    /// Records by bucket.
    pub counts: Vec<u64>,
}

/// Buckets of equal width over a time range.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    start_ns: i64,
    step_ns: i64,
    len: usize,
}

type Sums = HashMap<String, Vec<u64>>;

/// Counts the matching records. Blocking.
///
/// # Errors
/// When the store cannot be read, the query may not go on, or the answer would be too big.
pub fn count(
    reader: &Reader,
    request: &CountRequest,
    context: &Context,
) -> Result<(Counts, Stats), ExecError> {
    context.check()?;
    let snapshot = reader.snapshot()?;
    let filters = StreamFilters::of(&request.filter, &snapshot, request.range);
    let candidates: Candidates = filters.plan(request.range).candidates(&snapshot)?;
    context.note_candidates(&candidates);
    let range = clipped(request.range, &candidates);
    let buckets = Buckets::of(range, request.step, request.max_points)?;
    let counter = Counter { request, filters: &filters, buckets, range };
    let sums =
        fold(&candidates.blocks, context, Sums::new, |sums, block| counter.add(sums, block, context), merge)?;
    Ok((counter.listed(sums)?, context.stats(&candidates)))
}

/// An endless range is as long as the data.
fn clipped(range: TimeRange, candidates: &Candidates) -> TimeRange {
    let first = candidates.blocks.iter().map(BlockRef::min_ns).min().unwrap_or(0);
    let last = candidates.blocks.iter().map(BlockRef::max_ns).max().unwrap_or(0);
    let start_ns = if range.start_ns == TimeRange::ALL.start_ns { first } else { range.start_ns };
    let end_ns = if range.end_ns == TimeRange::ALL.end_ns { last.saturating_add(1) } else { range.end_ns };
    TimeRange { start_ns, end_ns: end_ns.max(start_ns) }
}

impl Buckets {
    fn of(range: TimeRange, step: Step, max_points: usize) -> Result<Self, ExecError> {
        let length = range.end_ns.saturating_sub(range.start_ns).max(1);
        let step_ns = match step {
            Step::Whole => return Ok(Self { start_ns: range.start_ns, step_ns: length, len: 1 }),
            Step::Width(width) => i64::try_from(width.as_nanos()).unwrap_or(i64::MAX).max(1),
            Step::Auto => auto_step_ns(length),
        };
        let start_ns = range.start_ns.saturating_sub(range.start_ns.rem_euclid(step_ns));
        let spanned = range.end_ns.saturating_sub(start_ns).max(1);
        let len = usize::try_from((spanned - 1) / step_ns + 1).unwrap_or(usize::MAX);
        if len > max_points {
            return Err(ExecError::TooManyPoints { limit: max_points, hint: "use a longer `step`" });
        }
        Ok(Self { start_ns, step_ns, len })
    }

    /// Bucket of a time inside the range.
    fn index(&self, ts_ns: i64) -> usize {
        let index = ts_ns.saturating_sub(self.start_ns) / self.step_ns;
        usize::try_from(index).unwrap_or(0).min(self.len - 1)
    }
}

fn auto_step_ns(length_ns: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let wanted = length_ns / AUTO_BUCKETS;
    let fitting = AUTO_STEPS.iter().map(|seconds| seconds * SECOND).find(|step| *step >= wanted);
    let days = || (wanted / (86_400 * SECOND)).saturating_add(1).saturating_mul(86_400 * SECOND);
    fitting.unwrap_or_else(days)
}

struct Counter<'a> {
    request: &'a CountRequest,
    filters: &'a StreamFilters,
    buckets: Buckets,
    range: TimeRange,
}

impl Counter<'_> {
    fn add(&self, sums: &mut Sums, block: &BlockRef, context: &Context) -> Result<(), FoldError> {
        let Some(filter) = self.filters.get(block.stream()) else { return Ok(()) };
        if self.add_from_counts(sums, block, filter)? {
            return Ok(());
        }
        context.charge(block)?;
        self.add_rows(sums, &*block.open()?, filter)
    }

    /// Adds a block by its level counts; `false` when they are not enough.
    fn add_from_counts(&self, sums: &mut Sums, block: &BlockRef, filter: &Filter) -> Result<bool, FoldError> {
        let bucket = self.buckets.index(block.min_ns());
        if !lies_within(block, self.range) || bucket != self.buckets.index(block.max_ns()) {
            return Ok(false);
        }
        let counts = block.level_counts();
        let wanted = match filter {
            Filter::All => LevelSet::ALL,
            Filter::Level(test) if counts[Level::Unset as usize] == 0 => test.wanted,
            _ => return Ok(false),
        };
        let by = self.request.by.as_deref();
        let of_stream = by.map_or(Some(""), |name| field::in_labels(block.labels(), name));
        if of_stream.is_none() && (by != Some(LEVEL) || counts[Level::Unset as usize] > 0) {
            return Ok(false);
        }
        for level in Level::ALL.into_iter().filter(|level| wanted.contains(*level)) {
            let count = u64::from(counts[level as usize]);
            let value = if by == Some(LEVEL) {
                level.name().unwrap_or_default()
            } else {
                of_stream.unwrap_or_default()
            };
            if count > 0 {
                self.cell(sums, value)?[bucket] += count;
            }
        }
        Ok(true)
    }

    fn add_rows(&self, sums: &mut Sums, block: &Block, filter: &Filter) -> Result<(), FoldError> {
        let timestamps = block.timestamps()?;
        let rows = rows_in(block, self.range)?;
        let pairs = BlockPairs::of(block);
        let mut matched = Vec::new();
        matching_rows(block, filter, rows, Order::Forward, &mut |row| {
            matched.push(row);
            ControlFlow::Continue(())
        })?;
        let by = self.request.by.as_deref();
        let of_stream = by.map_or(Some(""), |name| field::in_labels(block.labels(), name));
        if let Some(value) = of_stream.filter(|_| by != Some(LEVEL)) {
            for row in matched {
                self.cell(sums, value)?[self.buckets.index(timestamps[row])] += 1;
            }
            return Ok(());
        }
        let by = by.unwrap_or_default();
        let levels = block.levels()?;
        for row in matched {
            let bucket = self.buckets.index(timestamps[row]);
            let named = levels[row].name().filter(|_| by == LEVEL);
            if let Some(name) = named {
                self.cell(sums, name)?[bucket] += 1;
                continue;
            }
            let row = Row {
                labels: block.labels(),
                level: levels[row],
                line: block.lines()?.get(row),
                pairs: RowPairs::Block(&pairs, row),
            };
            let value = field::value_of(&row, by);
            self.cell(sums, value.as_deref().unwrap_or_default())?[bucket] += 1;
        }
        Ok(pairs.checked()?)
    }

    fn cell<'s>(&self, sums: &'s mut Sums, value: &str) -> Result<&'s mut Vec<u64>, ExecError> {
        if !sums.contains_key(value) {
            if (sums.len() + 1).saturating_mul(self.buckets.len) > MAX_CELLS {
                return Err(ExecError::TooManyPoints {
                    limit: MAX_CELLS,
                    hint: "count by a field with fewer values, or use a longer `step`",
                });
            }
            sums.insert(value.to_owned(), vec![0; self.buckets.len]);
        }
        Ok(sums.entry(value.to_owned()).or_default())
    }

    fn listed(&self, sums: Sums) -> Result<Counts, ExecError> {
        let distinct = sums.len();
        let mut series: Vec<Series> = sums
            .into_iter()
            .map(|(value, counts)| Series { value, total: counts.iter().sum(), counts })
            .collect();
        series.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.value.cmp(&b.value)));
        let rest = series.split_off(series.len().min(self.request.top));
        if series.len().saturating_mul(self.buckets.len) > self.request.max_points {
            return Err(ExecError::TooManyPoints {
                limit: self.request.max_points,
                hint: "use a longer `step` or a smaller `count_top`",
            });
        }
        let total = series.iter().chain(&rest).map(|s| s.total).sum();
        let other = (!rest.is_empty()).then(|| {
            let mut other = vec![0; self.buckets.len];
            for one in &rest {
                add(&mut other, &one.counts);
            }
            other
        });
        Ok(Counts {
            start: time::rfc3339(self.buckets.start_ns),
            step_ns: self.buckets.step_ns,
            total,
            by: self.request.by.clone(),
            distinct,
            series,
            other,
        })
    }
}

fn merge(total: &mut Sums, part: Sums) {
    for (value, counts) in part {
        match total.get_mut(&value) {
            Some(sum) => add(sum, &counts),
            None => {
                total.insert(value, counts);
            }
        }
    }
}

fn add(sum: &mut [u64], counts: &[u64]) {
    for (cell, count) in sum.iter_mut().zip(counts) {
        *cell += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_multiples_of_the_step_and_cover_the_range() {
        let range = TimeRange { start_ns: 25, end_ns: 61 };
        let buckets = Buckets::of(range, Step::Width(Duration::from_nanos(20)), 100).unwrap();
        assert_eq!((buckets.start_ns, buckets.len), (20, 3));
        assert_eq!([25, 39, 40, 60].map(|ts| buckets.index(ts)), [0, 0, 1, 2]);
        let negative = TimeRange { start_ns: -5, end_ns: 5 };
        assert_eq!(Buckets::of(negative, Step::Width(Duration::from_nanos(10)), 9).unwrap().start_ns, -10);
        assert!(Buckets::of(range, Step::Width(Duration::from_nanos(1)), 9).is_err());
        let whole = Buckets::of(TimeRange::ALL, Step::Whole, 1).unwrap();
        assert_eq!(whole.index(i64::MAX - 1), 0);
    }

    #[test]
    fn the_step_left_to_us_gives_at_most_sixty_buckets() {
        for (hours, seconds) in [(1, 60), (24, 1_800), (24 * 7, 21_600), (24 * 365, 604_800)] {
            let length = hours * 3_600 * 1_000_000_000_i64;
            assert_eq!(auto_step_ns(length), seconds * 1_000_000_000, "{hours} h");
        }
    }
}
