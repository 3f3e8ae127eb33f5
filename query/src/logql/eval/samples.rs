//! Range aggregations: from lines to series.
//!
//! Blocks are read in parallel, each thread with sums of its own. What a line adds depends on its labels
//! only through the key of its series, so labels are built once per series, not per line. Blocks whose
//! counts say all that is asked are not opened.

use std::borrow::Cow;
use std::sync::Arc;

use store::{Block, BlockRef, Level};

use super::cells::{Kind, Window};
use super::columnar::{Columnar, PaneRows, Target, Wanted};
use super::key::{self, KeyLabels};
use super::range_plan::{Plan, read_number};
use super::series::{Sample, SeriesTable};
use super::shared::{GroupSet, SharedGroups};
use super::unite::{self, Counted, Dealt, Keys, Source};
use super::vector::Best;
use super::windows::Windows;
use super::{Environment, EvalError, Matrix, Series};
use crate::exec::ExecError;
use crate::exec::fold::{FoldError, fold, lies_within, rows_in};
use crate::logql::ast::*;
use crate::logql::label_set::LabelSet;
use crate::logql::line_labels::{Category, LineLabels};
use crate::logql::pipeline::{DETECTED_LEVEL, JsonColumns, LabelTest, Scratch};
use crate::logql::select::{StreamSelection, rows_that_may};

const SAMPLE_ERROR: &str = "SampleExtractionErr";
/// Samples kept one by one (`quantile_over_time`, `rate_counter`), per thread: 16 bytes each.
const MAX_KEPT_SAMPLES: usize = 32 << 20;

/// Bytes of keys that are written out at once to unite groups. With more, they are added to their series one by one.
const MAX_KEY_BYTES: usize = 64 << 20;

/// The sums of one thread.
#[derive(Debug, Default)]
struct Sums {
    series: SeriesTable,
    /// Lines counted by codes, not yet added to their series.
    shared: SharedGroups,
    /// Key of the line at hand.
    key: String,
    kept_samples: usize,
    /// The first line with an error: the query fails.
    failed: Option<String>,
}

impl Sums {
    /// How much there is to be merged.
    fn len(&self) -> usize {
        self.series.len() + self.shared.len()
    }
}

/// Evaluates a range aggregation at every step; the series are in no order. With `best`, series may be missing that are
/// none of these.
#[expect(clippy::option_option, reason = "an aggregation without grouping is one group")]
pub(super) fn aggregate(
    range: &RangeAggregation,
    outer: Option<Option<&Grouping>>,
    best: Option<Best>,
    env: &Environment<'_>,
) -> Result<Matrix, EvalError> {
    let plan = Plan::new(range, outer).map_err(EvalError::Query)?;
    let windows = Windows::new(env.steps, range.range_ns, range.offset_ns);
    let selection =
        StreamSelection::new(&range.log, env.snapshot, windows.span()).map_err(EvalError::Query)?;
    let candidates = selection.candidates(env.snapshot).map_err(ExecError::from)?;
    env.context.note_candidates(&candidates);
    let reader = Sampler { plan: &plan, windows, selection: &selection, env };
    let mut sums = fold(
        &candidates.blocks,
        env.context,
        Sums::default,
        |sums, block| reader.add_block(sums, block),
        |sums, more| reader.merge(sums, more),
    )?;
    if let Some(failed) = sums.failed {
        return Err(EvalError::Query(failed));
    }
    if env.steps.count() == 1 && sums.shared.len() > 0 && sums.shared.key_bytes() <= MAX_KEY_BYTES {
        return reader.united(sums, best);
    }
    let settled = sums.shared.settle(plan.kind, &mut sums.series, env.max_series);
    if settled.is_none() || sums.series.len() > env.max_series {
        return Err(reader.too_many_series().into());
    }
    reader.matrix(sums, best)
}

struct Sampler<'a> {
    plan: &'a Plan<'a>,
    windows: Windows,
    selection: &'a StreamSelection,
    env: &'a Environment<'a>,
}

impl Sampler<'_> {
    fn add_block(&self, sums: &mut Sums, block: &BlockRef) -> Result<(), FoldError> {
        if sums.failed.is_some()
            || !self.selection.includes(block.stream())
            || self.add_counts(sums, block)?
        {
            return Ok(());
        }
        self.env.context.charge(block)?;
        let added = self.add_rows(sums, block, &*block.open()?);
        let settled = sums.series.settle(self.plan.kind, self.env.max_series);
        settled.ok_or_else(|| self.too_many_series())?;
        added
    }

    /// Adds a block that lies within one pane by its counts; false when they are not enough.
    fn add_counts(&self, sums: &mut Sums, block: &BlockRef) -> Result<bool, FoldError> {
        let span = self.windows.span();
        if !self.plan.takes_all_lines() || !lies_within(block, span) {
            return Ok(false);
        }
        let pane = self.windows.pane(block.min_ns());
        if pane != self.windows.pane(block.max_ns()) {
            return Ok(false);
        }
        let KeyLabels::By(names) = &self.plan.key else { return Ok(false) };
        let counts = block.level_counts();
        let in_stream = |name: &String| block.labels().get(name).is_some();
        let by_level = names.iter().any(|name| name == DETECTED_LEVEL && !in_stream(name));
        if !names.iter().all(|name| in_stream(name) || name == DETECTED_LEVEL)
            || (by_level && (counts[Level::Unset as usize] > 0 || self.plan.sums_bytes()))
        {
            return Ok(false);
        }
        let mut scratch = Scratch::default();
        if self.plan.sums_bytes() {
            scratch.begin(block.labels(), Level::Unset, std::iter::empty(), |_| false);
            let place = self.place(sums, &scratch)?;
            #[expect(clippy::cast_precision_loss, reason = "no block has 2^53 bytes")]
            sums.series.cells(place).add(self.plan.kind, pane, block.min_ns(), block.line_bytes() as f64);
            return Ok(true);
        }
        for (level, count) in Level::ALL.into_iter().zip(counts) {
            if count > 0 {
                scratch.begin(block.labels(), level, std::iter::empty(), |_| false);
                let place = self.place(sums, &scratch)?;
                sums.series.cells(place).add(self.plan.kind, pane, block.min_ns(), f64::from(count));
            }
        }
        Ok(true)
    }

    fn add_rows(&self, sums: &mut Sums, found: &BlockRef, block: &Block) -> Result<(), FoldError> {
        let span = self.windows.span();
        let rows = if lies_within(found, span) { 0..block.len() } else { rows_in(block, span)? };
        let by_stream = self.plan.is_by_stream(block.labels());
        let reads_lines = !self.plan.counts_lines();
        let mut rows = rows_that_may(block, rows, reads_lines.then_some(self.selection.requirements()))?;
        if rows.is_empty() {
            return Ok(());
        }
        let levels = if self.plan.reads_levels() && !by_stream { Some(block.levels()?) } else { None };
        let pairs = if self.plan.reads_pairs(block)? && !by_stream { Some(block.pairs()?) } else { None };
        let stages = self.plan.pipeline.unsettled();
        let keeps_lines = self.plan.sums_bytes();
        let mut by_columns = if keeps_lines { None } else { stages.by_columns(block, rows.len())? };
        if let Some((columns, rest)) = &by_columns
            && rest.pass_all_without_errors()
            && self.plan.filters.iter().all(LabelTest::keeps_all_without_errors)
            && levels.is_none()
            && pairs.is_none()
        {
            rows = self.add_columns(sums, columns, found, block, rows)?;
            if rows.is_empty() {
                return Ok(());
            }
        }
        let timestamps = block.timestamps()?;
        let reads_lines = keeps_lines || stages.read_lines();
        // Where columns may do, lines are put together as they turn out to be needed.
        let lines = if by_columns.is_none() && reads_lines { Some(block.lines_of(&rows)?) } else { None };
        let mut lines_read = 0;
        let mut scratch = Scratch::default();
        let mut known_place = None;
        let (mut pane, mut until_ns) = (0, i64::MIN);
        for row in rows {
            let level = levels.map_or(Level::Unset, |levels| levels[row]);
            let pairs = pairs.into_iter().flat_map(|pairs| pairs.get(row));
            scratch.begin(block.labels(), level, pairs, |name| self.plan.references.names(name));
            let (mut line, mut stages) = (Cow::default(), stages);
            let parsed = match &mut by_columns {
                Some((columns, _)) => columns.extract(row, &mut scratch.labels)?,
                None => false,
            };
            if let Some((_, rest)) = by_columns.as_ref().filter(|_| parsed) {
                stages = *rest;
            } else if reads_lines {
                line = match &lines {
                    Some(lines) => lines.get(row)?,
                    None => block.line_after(row, lines_read)?,
                };
                lines_read += 1;
            }
            let ts_ns = timestamps[row];
            if !stages.run(&mut scratch, ts_ns, &line) {
                continue;
            }
            let Some(value) = self.sample(&mut scratch, &line) else { continue };
            if let Some(error) = scratch.labels.error()
                && !self.plan.shows_errors
            {
                sums.failed = Some(format!(
                    "pipeline error: '{error}' for series: '{}'.\n\
                    Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
                    To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
                    The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )",
                    scratch.labels.to_set()
                ));
                return Ok(());
            }
            self.keep_samples(sums, 1)?;
            if ts_ns > until_ns {
                (pane, until_ns) = self.windows.pane_until(ts_ns);
            }
            if let Some(place) = known_place {
                sums.series.cells(place).add(self.plan.kind, pane, ts_ns, value);
            } else if by_stream {
                let place = self.place(sums, &scratch)?;
                sums.series.cells(place).add(self.plan.kind, pane, ts_ns, value);
                known_place = Some(place);
            } else {
                self.set_key(sums, &scratch);
                let sample = Sample { pane, ts_ns, value };
                let added = sums.series.add(self.plan.kind, &sums.key, sample, self.env.max_series);
                added.ok_or_else(|| self.too_many_series())?;
            }
        }
        Ok(())
    }

    /// Adds the rows that need but columns; gives the others.
    fn add_columns(
        &self,
        sums: &mut Sums,
        columns: &JsonColumns<'_>,
        found: &BlockRef,
        block: &Block,
        rows: Vec<usize>,
    ) -> Result<Vec<usize>, FoldError> {
        let (KeyLabels::By(names), kind) = (&self.plan.key, self.plan.kind) else { return Ok(rows) };
        let unwrap = self.plan.range.unwrap.as_ref();
        let wanted = Wanted { names, unwrap, kind };
        let Some(mut columnar) = Columnar::of(columns, block.labels(), wanted) else { return Ok(rows) };
        let span = self.windows.span();
        let (first, last) = (self.windows.pane(found.min_ns()), self.windows.pane(found.max_ns()));
        let is_one_pane = first == last && lies_within(found, span);
        let needs_times = !is_one_pane || matches!(kind, Kind::First | Kind::Last | Kind::Samples);
        let timestamps = if needs_times { Some(block.timestamps()?) } else { None };
        let mut left = Vec::new();
        let mut rest = rows.as_slice();
        while let Some(row) = rest.first() {
            let (pane, within) = match timestamps.filter(|_| !is_one_pane) {
                None => (first, rest.len()),
                Some(timestamps) => {
                    let (pane, until_ns) = self.windows.pane_until(timestamps[*row]);
                    (pane, rest.partition_point(|row| timestamps[*row] <= until_ns))
                }
            };
            let (of_pane, after) = rest.split_at(within);
            let at = PaneRows { pane, rows: of_pane, timestamps };
            let Sums { series, shared, key, .. } = &mut *sums;
            let mut target = Target { series, shared, key, kind, max_series: self.env.max_series };
            let before = left.len();
            columnar.add(at, &mut target, &mut left)?.ok_or_else(|| self.too_many_series())?;
            self.keep_samples(sums, of_pane.len() - (left.len() - before))?;
            rest = after;
        }
        Ok(left)
    }

    /// Notes that so many more samples are kept one by one, if they are.
    fn keep_samples(&self, sums: &mut Sums, more: usize) -> Result<(), ExecError> {
        if !self.plan.kind.keeps_samples() {
            return Ok(());
        }
        sums.kept_samples += more;
        if sums.kept_samples > MAX_KEPT_SAMPLES {
            let hint = "use a shorter time range";
            return Err(ExecError::TooManyPoints { limit: MAX_KEPT_SAMPLES, hint });
        }
        Ok(())
    }

    /// What the line adds; `None` when it has no sample.
    fn sample(&self, scratch: &mut Scratch, line: &[u8]) -> Option<f64> {
        let Some(unwrap) = &self.plan.range.unwrap else {
            #[expect(clippy::cast_precision_loss, reason = "no line has 2^53 bytes")]
            return Some(match self.plan.range.op {
                RangeOp::BytesOverTime | RangeOp::BytesRate => scratch.line(line).len() as f64,
                _ => 1.0,
            });
        };
        let text = scratch.labels.get(&unwrap.label).filter(|text| !text.is_empty())?;
        let value = read_number(text, unwrap.conversion).unwrap_or_else(|message| {
            scratch.labels.set_error(SAMPLE_ERROR, message);
            0.0
        });
        self.plan.filters.iter().all(|filter| filter.is_match(&mut scratch.labels)).then_some(value)
    }

    /// Place of the series to which the line belongs.
    fn place(&self, sums: &mut Sums, scratch: &Scratch) -> Result<usize, ExecError> {
        self.set_key(sums, scratch);
        sums.series.place(&sums.key, self.env.max_series).ok_or_else(|| self.too_many_series())
    }

    fn set_key(&self, sums: &mut Sums, scratch: &Scratch) {
        let labels = &scratch.labels;
        sums.key.clear();
        match &self.plan.key {
            KeyLabels::By(names) => names.iter().for_each(|name| key::push(&mut sums.key, labels.get(name))),
            KeyLabels::Without(names) => {
                for (name, value) in self.labels_without(names, labels) {
                    key::push(&mut sums.key, Some(name));
                    key::push(&mut sums.key, Some(value));
                }
            }
        }
    }

    const fn too_many_series(&self) -> ExecError {
        ExecError::TooManyPoints {
            limit: self.env.max_series,
            hint: "group by fewer labels, or drop labels that differ from line to line",
        }
    }

    /// The labels that tell series apart when all but `names` do, by name.
    fn labels_without<'l>(&self, names: &[String], labels: &'l LineLabels) -> Vec<(&'l str, &'l str)> {
        let mut pairs = Vec::new();
        labels.for_each(|category, name, value| {
            let hidden = category == Category::Derived && !self.plan.references.names(name);
            if !hidden && !names.iter().any(|known| known == name) {
                pairs.push((name, value));
            }
        });
        pairs.sort_unstable();
        pairs
    }

    fn merge(&self, sums: &mut Sums, mut more: Sums) {
        if more.len() > sums.len() {
            std::mem::swap(sums, &mut more);
        }
        sums.kept_samples += more.kept_samples;
        sums.failed = sums.failed.take().or(more.failed);
        sums.series.merge(self.plan.kind, more.series);
        sums.shared.merge(self.plan.kind, more.shared, &mut sums.series);
    }

    fn matrix(&self, sums: Sums, best: Option<Best>) -> Result<Matrix, EvalError> {
        let range = self.plan.range;
        let steps = u32::try_from(self.env.steps.count()).unwrap_or(u32::MAX);
        let (keys, cells) = sums.series.into_parts();
        let mut points_of: Vec<(usize, Vec<(u32, f64)>)> = Vec::with_capacity(cells.len());
        for (series, cells) in cells.into_iter().enumerate() {
            self.env.context.check()?;
            let points =
                cells.points(&self.windows, steps, self.plan.kind, |window, k| self.value(&window, k));
            if !points.is_empty() {
                points_of.push((series, points));
            }
        }
        if let Some(best) = best {
            best.retain(&mut points_of);
        }
        let labels = |series| Arc::new(self.plan.key.labels(keys.get(series)));
        let series = points_of.into_iter().map(|(series, points)| Series { labels: labels(series), points });
        let matrix = series.collect();
        if range.op == RangeOp::AbsentOverTime {
            return Ok(absent(range, steps, &matrix));
        }
        Ok(matrix)
    }

    /// The same at the only step, when lines have been counted by codes: all of them lie in one window.
    fn united(&self, mut sums: Sums, best: Option<Best>) -> Result<Matrix, EvalError> {
        let (keys, cells) = sums.series.into_parts();
        let mut of_series = Vec::with_capacity(cells.len());
        for (code, cells) in (0..).zip(cells) {
            let points = cells.points(&self.windows, 1, self.plan.kind, |window, _| window.value());
            of_series.extend(points.first().map(|(_, lines)| Counted { code, lines: *lines }));
        }
        sums.shared.join();
        let sets = sums.shared.sets_mut();
        let mut groups: Vec<_> = sets.iter().map(GroupSet::counted).collect();
        groups.push(of_series);
        if let Some(most) = best.and_then(Best::most)
            && groups.iter().map(Vec::len).sum::<usize>() <= self.env.max_series
            && sets.iter().all(GroupSet::is_plain)
        {
            unite::keep_most(most, &mut groups);
        }
        for (set, groups) in sets.iter_mut().zip(&groups) {
            groups.iter().for_each(|group| set.look_up(group.code as usize));
        }
        let keys = sets.iter().map(Keys::Set).chain([Keys::Series(&keys)]);
        let sources: Vec<_> = keys.zip(&groups).map(|(keys, groups)| Source { keys, groups }).collect();
        let dealt = Dealt::of(&sources, self.env.context)?;
        let groups = dealt.unite(self.env.context, self.env.max_series)?;
        let groups = groups.ok_or_else(|| self.too_many_series())?.into_iter();
        let points = |lines| [(0, self.value(&Window::of_sum(lines), 0))];
        let mut points_of: Vec<_> = groups.map(|group| (group.key, points(group.lines))).collect();
        if let Some(best) = best {
            best.retain(&mut points_of);
        }
        let labels = |key| Arc::new(self.plan.key.labels(key));
        let series =
            points_of.iter().map(|(key, points)| Series { labels: labels(key), points: points.to_vec() });
        Ok(series.collect())
    }

    /// The value of a window, which ends at step `k`.
    fn value(&self, window: &Window<'_>, k: u32) -> f64 {
        let range = self.plan.range;
        #[expect(clippy::cast_precision_loss, reason = "seconds need no nanoseconds")]
        let seconds = range.range_ns as f64 / 1e9;
        match range.op {
            RangeOp::Rate | RangeOp::BytesRate => window.value() / seconds,
            RangeOp::StddevOverTime => window.value().sqrt(),
            RangeOp::QuantileOverTime => window.quantile(range.parameter.unwrap_or(f64::NAN)),
            RangeOp::RateCounter => {
                let end_ns = self.env.steps.time_ns(k).saturating_sub(range.offset_ns);
                window.counter_rate(end_ns, range.range_ns)
            }
            _ => window.value(),
        }
    }
}

/// One series, with the labels the selector states, wherever there is nothing.
fn absent(range: &RangeAggregation, steps: u32, matrix: &Matrix) -> Matrix {
    let present: Vec<u32> = matrix.iter().flat_map(|s| &s.points).map(|(step, _)| *step).collect();
    let named = |name: &str| range.log.matchers.iter().filter(|m| m.name == name).count();
    let stated = range.log.matchers.iter().filter(|m| m.op == MatchOp::Equal && named(&m.name) == 1);
    let labels = LabelSet::new(stated.map(|m| (m.name.as_str(), m.value.as_str())));
    let points: Vec<(u32, f64)> =
        (0..steps).filter(|step| present.binary_search(step).is_err()).map(|step| (step, 1.0)).collect();
    if points.is_empty() { Matrix::new() } else { vec![Series { labels: Arc::new(labels), points }] }
}
