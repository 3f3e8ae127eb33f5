//! What a well-formed query must fulfil beyond the grammar.

use super::super::ast::*;
use super::ParseError;

pub(super) fn check(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => check_log(log),
        Expr::Metric(metric) => check_metric(metric),
    }
}

fn check_metric(metric: &MetricExpr) -> Result<(), ParseError> {
    match metric {
        MetricExpr::Literal(_) | MetricExpr::Scalar(_) => Ok(()),
        MetricExpr::Range(range) => check_log(&range.log),
        MetricExpr::Vector(vector) => check_metric(&vector.inner),
        MetricExpr::Binary(binary) => {
            check_metric(&binary.left)?;
            check_metric(&binary.right)
        }
        MetricExpr::LabelReplace(replace) => check_metric(&replace.inner),
    }
}

fn check_log(log: &LogExpr) -> Result<(), ParseError> {
    let _ = log;
    Ok(())
}
