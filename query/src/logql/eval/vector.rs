//! Functions over the series of one step: `sum`, `topk`, `sort` and their kin.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::order::order;
use super::{Environment, Matrix, Series};
use crate::logql::ast::{Grouping, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp};
use crate::logql::label_set::LabelSet;

/// The range aggregation within, when summing its lines by group gives the same as summing its series.
pub(super) fn fusible(vector: &VectorAggregation) -> Option<&RangeAggregation> {
    let MetricExpr::Range(range) = &*vector.inner else { return None };
    let same = match vector.op {
        VectorOp::Sum => matches!(
            range.op,
            RangeOp::Rate
                | RangeOp::CountOverTime
                | RangeOp::BytesRate
                | RangeOp::BytesOverTime
                | RangeOp::SumOverTime
        ),
        VectorOp::Min => range.op == RangeOp::MinOverTime,
        VectorOp::Max => range.op == RangeOp::MaxOverTime,
        _ => false,
    };
    (same && range.grouping.is_none()).then_some(range)
}

/// The labels of a group.
pub(super) fn group(labels: &LabelSet, grouping: Option<&Grouping>) -> LabelSet {
    match grouping {
        None => LabelSet::default(),
        Some(grouping) => {
            labels.filtered(|name| grouping.labels.iter().any(|known| known == name) != grouping.without)
        }
    }
}

/// Applies the function at every step.
pub(super) fn aggregate(vector: &VectorAggregation, matrix: Matrix, env: &Environment<'_>) -> Matrix {
    match vector.op {
        VectorOp::Sort | VectorOp::SortDesc => sort(vector.op, matrix),
        op if is_selective(op) => top(vector, &matrix),
        _ => reduce(vector, &matrix, env),
    }
}

/// Whether the function keeps some of the series as they are.
pub(super) const fn is_selective(op: VectorOp) -> bool {
    matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk)
}

/// By the value at the first step: sorting means something for instant queries only.
fn sort(op: VectorOp, mut matrix: Matrix) -> Matrix {
    let value = |series: &Series| series.points.first().map_or(f64::NAN, |(_, value)| *value);
    matrix.sort_by(|a, b| {
        let by_value = order(value(a), value(b));
        let by_value = if op == VectorOp::SortDesc { by_value.reverse() } else { by_value };
        by_value.then_with(|| a.labels.cmp(&b.labels))
    });
    matrix
}

/// Numbers of the series of each group, with the group's labels.
fn groups(grouping: Option<&Grouping>, matrix: &Matrix) -> Vec<(LabelSet, Vec<usize>)> {
    if grouping.is_none() && !matrix.is_empty() {
        return vec![(LabelSet::default(), (0..matrix.len()).collect())];
    }
    let mut index: HashMap<LabelSet, usize> = HashMap::new();
    let mut groups: Vec<(LabelSet, Vec<usize>)> = Vec::new();
    for (i, series) in matrix.iter().enumerate() {
        let labels = group(&series.labels, grouping);
        let place = *index.entry(labels.clone()).or_insert_with(|| {
            groups.push((labels, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(i);
    }
    groups
}

/// What is known of one group at one step.
#[derive(Clone, Copy, Debug)]
struct Sum {
    count: f64,
    sum: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Sum {
    const fn of(value: f64) -> Self {
        Self { count: 1.0, sum: value, mean: value, squares: 0.0, min: value, max: value }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
        if self.min.is_nan() || (!value.is_nan() && order(value, self.min).is_lt()) {
            self.min = value;
        }
        if order(value, self.max).is_gt() {
            self.max = value;
        }
    }

    fn value(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Avg => self.sum / self.count,
            VectorOp::Min => self.min,
            VectorOp::Max => self.max,
            VectorOp::Count => self.count,
            // A single infinite or absent value has no spread that could be told
            VectorOp::Stddev => self.variance().sqrt(),
            VectorOp::Stdvar => self.variance(),
            _ => self.sum,
        }
    }

    fn variance(&self) -> f64 {
        if self.sum.is_finite() { self.squares / self.count } else { f64::NAN }
    }
}

fn reduce(vector: &VectorAggregation, matrix: &Matrix, env: &Environment<'_>) -> Matrix {
    let mut out = Matrix::new();
    let mut sums: Vec<Option<Sum>> = vec![None; env.steps.count()];
    for (labels, members) in groups(vector.grouping.as_ref(), matrix) {
        sums.fill(None);
        for (step, value) in members.iter().flat_map(|i| &matrix[*i].points) {
            match &mut sums[*step as usize] {
                Some(sum) => sum.add(*value),
                empty => *empty = Some(Sum::of(*value)),
            }
        }
        let steps = (0_u32..).zip(&sums);
        let points = steps.filter_map(|(k, sum)| sum.map(|sum| (k, sum.value(vector.op)))).collect();
        out.push(Series { labels: Arc::new(labels), points });
    }
    out
}

/// So many series of the largest or smallest value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    count: usize,
    largest: bool,
}

impl Best {
    /// What a selective function keeps of all series together; `None` when it does of each group.
    pub(super) fn of(vector: &VectorAggregation) -> Option<Self> {
        let best = Self { count: vector.count.unwrap_or(1), largest: vector.op != VectorOp::Bottomk };
        vector.grouping.is_none().then_some(best)
    }

    /// How many are kept, where these are the largest.
    pub(super) fn most(self) -> Option<usize> {
        self.largest.then_some(self.count)
    }

    /// Best value first; not-a-number is worst either way.
    fn order(self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ if self.largest => order(b, a),
            _ => order(a, b),
        }
    }

    /// Removes series, each with its points by step, that are among the best at no step whatever their labels.
    pub(super) fn retain<T, P: AsRef<[(u32, f64)]>>(self, series: &mut Vec<(T, P)>) {
        let Some(last) = self.count.checked_sub(1) else { return series.clear() };
        if series.len() <= self.count {
            return;
        }
        let steps = series
            .iter()
            .filter_map(|(_, points)| points.as_ref().last())
            .map(|(step, _)| *step as usize + 1)
            .max();
        let mut by_step: Vec<Vec<f64>> = vec![Vec::new(); steps.unwrap_or(0)];
        for (step, value) in series.iter().flat_map(|(_, points)| points.as_ref()) {
            by_step[*step as usize].push(*value);
        }
        let mut worst_kept = Vec::with_capacity(by_step.len());
        for values in &mut by_step {
            let has_more = values.len() > self.count;
            worst_kept
                .push(has_more.then(|| *values.select_nth_unstable_by(last, |a, b| self.order(*a, *b)).1));
        }
        let is_kept = |(step, value): &(u32, f64)| {
            worst_kept[*step as usize].is_none_or(|worst| self.order(*value, worst) != Ordering::Greater)
        };
        series.retain(|(_, points)| points.as_ref().iter().any(is_kept));
    }
}

/// Keeps the best series of each group at each step, with their own labels.
fn top(vector: &VectorAggregation, matrix: &Matrix) -> Matrix {
    let best = Best { count: vector.count.unwrap_or(1), largest: vector.op != VectorOp::Bottomk };
    let count = best.count;
    let mut out: Matrix =
        matrix.iter().map(|s| Series { labels: Arc::clone(&s.labels), points: Vec::new() }).collect();
    for (_, members) in groups(vector.grouping.as_ref(), matrix) {
        let mut by_step: Vec<(u32, usize, f64)> = Vec::new();
        for i in members {
            by_step.extend(matrix[i].points.iter().map(|(step, value)| (*step, i, *value)));
        }
        by_step.sort_by_key(|(step, ..)| *step);
        let better = |a: &(u32, usize, f64), b: &(u32, usize, f64)| {
            best.order(a.2, b.2).then_with(|| matrix[a.1].labels.cmp(&matrix[b.1].labels))
        };
        for of_step in by_step.chunk_by_mut(|a, b| a.0 == b.0) {
            let kept =
                if count < of_step.len() { of_step.select_nth_unstable_by(count, better).0 } else { of_step };
            for (step, i, value) in kept {
                out[*i].points.push((*step, *value));
            }
        }
    }
    out.retain(|series| !series.points.is_empty());
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    out
}
