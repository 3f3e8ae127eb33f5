//! Operators between series and numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::{EvalError, Evaluated, Matrix, Series};
use crate::logql::arithmetic::apply;
use crate::logql::ast::{Binary, BinaryOp, Cardinality, Matching};
use crate::logql::label_set::LabelSet;

/// `left op right`.
pub(super) fn combine(binary: &Binary, left: Evaluated, right: Evaluated) -> Result<Evaluated, EvalError> {
    match (left, right) {
        (Evaluated::Scalar(a), Evaluated::Scalar(b)) => Ok(Evaluated::Scalar(apply(binary.op, a, b))),
        (Evaluated::Matrix(matrix), Evaluated::Scalar(number)) => {
            Ok(Evaluated::Matrix(with_number(binary, matrix, |value| (value, number))))
        }
        (Evaluated::Scalar(number), Evaluated::Matrix(matrix)) => {
            Ok(Evaluated::Matrix(with_number(binary, matrix, |value| (number, value))))
        }
        (Evaluated::Matrix(left), Evaluated::Matrix(right)) if binary.op.is_set() => {
            Ok(Evaluated::Matrix(set_operation(binary, left, &right)))
        }
        (Evaluated::Matrix(left), Evaluated::Matrix(right)) => {
            match_series(binary, &left, &right).map(Evaluated::Matrix)
        }
    }
}

/// The result at one step; a comparison that fails drops it. `shown` is what a passing comparison yields.
fn result(binary: &Binary, left: f64, right: f64, shown: f64) -> Option<f64> {
    let value = apply(binary.op, left, right);
    match binary.op {
        BinaryOp::Compare(_) if !binary.return_bool => (value == 1.0).then_some(shown),
        _ => Some(value),
    }
}

/// With a number on one side, whichever, passing comparisons yield the series' value.
fn with_number(binary: &Binary, mut matrix: Matrix, sides: impl Fn(f64) -> (f64, f64)) -> Matrix {
    for series in &mut matrix {
        series.points = series
            .points
            .iter()
            .filter_map(|(step, value)| {
                let (left, right) = sides(*value);
                result(binary, left, right, *value).map(|value| (*step, value))
            })
            .collect();
    }
    matrix.retain(|series| !series.points.is_empty());
    matrix
}

/// The labels by which series find each other.
fn signature(labels: &LabelSet, matching: Option<&Matching>) -> LabelSet {
    match matching {
        None => labels.clone(),
        Some(matching) => labels.filtered(|name| matching.labels.iter().any(|l| l == name) == matching.on),
    }
}

fn by_signature(matrix: &Matrix, matching: Option<&Matching>) -> HashMap<LabelSet, Vec<usize>> {
    let mut found: HashMap<LabelSet, Vec<usize>> = HashMap::new();
    for (i, series) in matrix.iter().enumerate() {
        found.entry(signature(&series.labels, matching)).or_default().push(i);
    }
    found
}

fn set_operation(binary: &Binary, left: Matrix, right: &Matrix) -> Matrix {
    let matching = binary.matching.as_ref();
    let mut out = Matrix::new();
    let present = |matrix: &Matrix, members: Option<&Vec<usize>>| {
        let mut steps: Vec<u32> =
            members.into_iter().flatten().flat_map(|i| &matrix[*i].points).map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    };
    if binary.op == BinaryOp::Or {
        let lefts = by_signature(&left, matching);
        let mut added = Matrix::new();
        for series in right {
            let steps = present(&left, lefts.get(&signature(&series.labels, matching)));
            added.push(retained(series, |step| steps.binary_search(&step).is_err()));
        }
        out = left;
        // A series may stand on both sides, at different steps: it is one series.
        let mut known: HashMap<Arc<LabelSet>, usize> =
            out.iter().enumerate().map(|(i, series)| (Arc::clone(&series.labels), i)).collect();
        for series in added {
            match known.get(&series.labels) {
                Some(i) => {
                    out[*i].points.extend(series.points);
                    out[*i].points.sort_by_key(|(step, _)| *step);
                }
                None => {
                    known.insert(Arc::clone(&series.labels), out.len());
                    out.push(series);
                }
            }
        }
    } else {
        let rights = by_signature(right, matching);
        for series in &left {
            let steps = present(right, rights.get(&signature(&series.labels, matching)));
            let wanted = binary.op == BinaryOp::And;
            out.push(retained(series, |step| steps.binary_search(&step).is_ok() == wanted));
        }
    }
    out.retain(|series| !series.points.is_empty());
    out
}

fn retained(series: &Series, keep: impl Fn(u32) -> bool) -> Series {
    let points = series.points.iter().filter(|(step, _)| keep(*step)).copied().collect();
    Series { labels: Arc::clone(&series.labels), points }
}

/// The labels of a result. `many` and `one` are the sides of a group match, left and right of a plain one.
fn result_labels(many: &LabelSet, one: &LabelSet, matching: Option<&Matching>) -> LabelSet {
    let Some(matching) = matching else { return many.clone() };
    let mut labels = match matching.cardinality {
        Cardinality::OneToOne => signature(many, Some(matching)),
        _ => many.clone(),
    };
    for name in &matching.include {
        labels = labels.with(name, one.get(name).unwrap_or_default());
    }
    labels
}

fn match_series(binary: &Binary, left: &Matrix, right: &Matrix) -> Result<Matrix, EvalError> {
    let matching = binary.matching.as_ref();
    let cardinality = matching.map_or(Cardinality::OneToOne, |m| m.cardinality);
    let swapped = cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let side = if swapped { "left" } else { "right" };
    let ones = unique_by_step(one, matching, side)?;
    let mut results = Results::default();
    for series in many {
        let key = signature(&series.labels, matching);
        let Some(partners) = ones.get(&key) else { continue };
        let mut last: Option<(usize, usize)> = None;
        for (step, value) in &series.points {
            let Ok(found) = partners.binary_search_by_key(step, |(step, ..)| *step) else { continue };
            let (_, partner, partner_value) = partners[found];
            let place = match last {
                Some((known, place)) if known == partner => place,
                _ => results.place(result_labels(&series.labels, &one[partner].labels, matching)),
            };
            last = Some((partner, place));
            let (a, b) = if swapped { (partner_value, *value) } else { (*value, partner_value) };
            results.series[place].1.push((*step, result(binary, a, b, a)));
        }
    }
    results.into_matrix(cardinality)
}

/// What each matched step gave.
type Outcomes = Vec<(u32, Option<f64>)>;

/// Results by label set. A step without a value is one that matched and was dropped by a comparison.
#[derive(Default)]
struct Results {
    index: HashMap<LabelSet, usize>,
    series: Vec<(LabelSet, Outcomes)>,
}

impl Results {
    fn place(&mut self, labels: LabelSet) -> usize {
        if let Some(place) = self.index.get(&labels) {
            return *place;
        }
        self.index.insert(labels.clone(), self.series.len());
        self.series.push((labels, Vec::new()));
        self.series.len() - 1
    }

    /// Two matches with one result at the same step are ambiguous, whether or not they were dropped.
    fn into_matrix(self, cardinality: Cardinality) -> Result<Matrix, EvalError> {
        let mut matrix = Matrix::new();
        for (labels, mut points) in self.series {
            points.sort_by_key(|(step, _)| *step);
            if points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(EvalError::Query(ambiguous(cardinality).to_owned()));
            }
            let points: Vec<(u32, f64)> =
                points.into_iter().filter_map(|(step, value)| value.map(|value| (step, value))).collect();
            if !points.is_empty() {
                matrix.push(Series { labels: Arc::new(labels), points });
            }
        }
        Ok(matrix)
    }
}

const fn ambiguous(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::OneToOne => {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        }
        _ => "multiple matches for labels: grouping labels must ensure unique matches",
    }
}

/// Step, number of the series, value: by step.
type Points = Vec<(u32, usize, f64)>;

/// The points of the side that may have one series per signature and step.
fn unique_by_step(
    matrix: &Matrix,
    matching: Option<&Matching>,
    side: &str,
) -> Result<HashMap<LabelSet, Points>, EvalError> {
    let mut found = HashMap::new();
    for (key, members) in by_signature(matrix, matching) {
        let mut points: Points = Vec::new();
        for i in members {
            points.extend(matrix[i].points.iter().map(|(step, value)| (*step, i, *value)));
        }
        points.sort_by_key(|(step, i, _)| (*step, *i));
        if points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(EvalError::Query(format!(
                "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching \
                 labels must be unique on one side"
            )));
        }
        found.insert(key, points);
    }
    Ok(found)
}
