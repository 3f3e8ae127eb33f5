//! Series: metric queries evaluated for all steps at once.
//!
//! Each expression yields a [`Matrix`]: per series the steps at which it has a value. Only range
//! aggregations read lines (`samples`); what stands above them works on matrices.

mod binary;
mod cells;
mod columnar;
mod counts;
mod key;
mod order;
mod range_plan;
mod samples;
mod series;
mod shared;
mod unite;
mod vector;
mod windows;

use std::sync::Arc;

use store::Snapshot;

pub use windows::Steps;

use super::ast::{LabelReplace, MetricExpr, VectorOp};
use super::label_set::LabelSet;
use super::regex::Regex;
use crate::exec::{Context, ExecError};

/// One series: its labels and its values by step, in order; steps without a value are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Labels.
    pub labels: Arc<LabelSet>,
    /// Number of the step and value there.
    pub points: Vec<(u32, f64)>,
}

/// Series, each label set once (but for `label_replace`, which may make them equal).
pub type Matrix = Vec<Series>;

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluated {
    /// A number, the same at every step.
    Scalar(f64),
    /// Series.
    Matrix(Matrix),
}

/// Why a metric query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The query, together with the data, makes no sense; the client's to mend.
    #[error("{0}")]
    Query(String),
    /// It ended before it was done.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// What a metric query runs on.
#[derive(Debug)]
pub struct Environment<'a> {
    /// The data.
    pub snapshot: &'a Snapshot,
    /// Time, bytes and threads it may use.
    pub context: &'a Context,
    /// Steps at which values are wanted.
    pub steps: Steps,
    /// Most series that one expression within the query may have.
    pub max_series: usize,
}

/// Evaluates `expr` at every step. Blocking.
///
/// # Errors
/// When lines carry errors, labels do not match, or the query may not go on.
pub fn evaluate(expr: &MetricExpr, env: &Environment<'_>) -> Result<Evaluated, EvalError> {
    env.context.check()?;
    match expr {
        MetricExpr::Literal(value) => Ok(Evaluated::Scalar(*value)),
        MetricExpr::Scalar(value) => Ok(Evaluated::Matrix(vec![constant(*value, LabelSet::default(), env)])),
        MetricExpr::Range(range) => samples::aggregate(range, None, None, env).map(ordered),
        MetricExpr::Vector(vector) => {
            if vector.op == VectorOp::ApproxTopk && env.steps.count() > 1 {
                return Err(EvalError::Query("approx_topk is only supported on instant queries".to_owned()));
            }
            if let Some(range) = vector::fusible(vector) {
                let grouping = vector.grouping.as_ref();
                return samples::aggregate(range, Some(grouping), None, env).map(ordered);
            }
            let inner = match vector::is_selective(vector.op) {
                true => in_any_order(&vector.inner, vector::Best::of(vector), env)?,
                false => matrix(evaluate(&vector.inner, env)?, env),
            };
            Ok(Evaluated::Matrix(vector::aggregate(vector, inner, env)))
        }
        MetricExpr::Binary(binary) => {
            let left = evaluate(&binary.left, env)?;
            let right = evaluate(&binary.right, env)?;
            binary::combine(binary, left, right)
        }
        MetricExpr::LabelReplace(replace) => {
            let inner = matrix(evaluate(&replace.inner, env)?, env);
            replace_labels(replace, inner).map(Evaluated::Matrix)
        }
    }
}

/// Series by their labels.
fn ordered(mut matrix: Matrix) -> Evaluated {
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Evaluated::Matrix(matrix)
}

/// The series of `expr` for someone who keeps few of them, the `best` if they are known, whatever their order: sorting
/// many takes long, and so does writing out the labels of those that nobody will see.
fn in_any_order(
    expr: &MetricExpr,
    best: Option<vector::Best>,
    env: &Environment<'_>,
) -> Result<Matrix, EvalError> {
    match expr {
        MetricExpr::Range(range) => samples::aggregate(range, None, best, env),
        MetricExpr::Vector(inner) => match vector::fusible(inner) {
            Some(range) => samples::aggregate(range, Some(inner.grouping.as_ref()), best, env),
            None => Ok(matrix(evaluate(expr, env)?, env)),
        },
        _ => Ok(matrix(evaluate(expr, env)?, env)),
    }
}

fn constant(value: f64, labels: LabelSet, env: &Environment<'_>) -> Series {
    let points =
        (0..u32::try_from(env.steps.count()).unwrap_or(u32::MAX)).map(|step| (step, value)).collect();
    Series { labels: Arc::new(labels), points }
}

/// A number where series are wanted is one without labels.
fn matrix(value: Evaluated, env: &Environment<'_>) -> Matrix {
    match value {
        Evaluated::Matrix(matrix) => matrix,
        Evaluated::Scalar(value) => vec![constant(value, LabelSet::default(), env)],
    }
}

fn replace_labels(replace: &LabelReplace, mut matrix: Matrix) -> Result<Matrix, EvalError> {
    let regex = Regex::anchored(&replace.regex).map_err(EvalError::Query)?;
    for series in &mut matrix {
        let source = series.labels.get(&replace.source).unwrap_or_default();
        let Some(captures) = regex.program().captures(source.as_bytes()) else { continue };
        let mut value = Vec::new();
        captures.expand(replace.replacement.as_bytes(), &mut value);
        let value = String::from_utf8_lossy(&value).into_owned();
        series.labels = Arc::new(series.labels.with(&replace.target, &value));
    }
    Ok(matrix)
}
