//! More conditions for every selector of a query, for flags beside it.

use super::ast::{Expr, LogExpr, Matcher, MetricExpr, Stage};

/// Adds `matchers` to every selector of `expr`, and `stages` before its own.
pub fn narrow(expr: &mut Expr, matchers: &[Matcher], stages: &[Stage]) {
    let mut add = |log: &mut LogExpr| {
        log.matchers.extend_from_slice(matchers);
        log.stages.splice(0..0, stages.iter().cloned());
    };
    match expr {
        Expr::Log(log) => add(log),
        Expr::Metric(metric) => each_log(metric, &mut add),
    }
}

fn each_log(metric: &mut MetricExpr, add: &mut impl FnMut(&mut LogExpr)) {
    match metric {
        MetricExpr::Range(range) => add(&mut range.log),
        MetricExpr::Vector(vector) => each_log(&mut vector.inner, add),
        MetricExpr::Binary(binary) => {
            each_log(&mut binary.left, add);
            each_log(&mut binary.right, add);
        }
        MetricExpr::LabelReplace(replace) => each_log(&mut replace.inner, add),
        MetricExpr::Literal(_) | MetricExpr::Scalar(_) => {}
    }
}
