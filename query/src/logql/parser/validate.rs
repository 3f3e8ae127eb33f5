//! What a well-formed query must fulfil beyond the grammar.

use super::super::ast::*;
use super::super::pipeline::{LabelTest, Pipeline};
use super::super::regex::Regex;
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
        MetricExpr::Range(range) => {
            check_log(&range.log)?;
            for filter in range.unwrap.iter().flat_map(|unwrap| &unwrap.filters) {
                LabelTest::new(filter).map_err(ParseError::new)?;
            }
            Ok(())
        }
        MetricExpr::Vector(vector) => check_metric(&vector.inner),
        MetricExpr::Binary(binary) => {
            check_metric(&binary.left)?;
            check_metric(&binary.right)
        }
        MetricExpr::LabelReplace(replace) => {
            check_metric(&replace.inner)?;
            Regex::anchored(&replace.regex)
                .map(|_| ())
                .map_err(|e| ParseError::new(format!("invalid regex in label_replace: {e}")))
        }
    }
}

/// Whether its expression compiles.
pub(super) fn check_matcher(matcher: &Matcher) -> Result<(), ParseError> {
    LabelTest::of_matcher(matcher).map(|_| ()).map_err(ParseError::new)
}

/// At least one matcher must rule out the empty value, or the query would read everything.
fn check_log(log: &LogExpr) -> Result<(), ParseError> {
    let mut selective = false;
    for matcher in &log.matchers {
        let test = LabelTest::of_matcher(matcher).map_err(ParseError::new)?;
        selective |= !test.is_match_value("");
    }
    if !selective {
        return Err(ParseError::new(
            "queries require at least one regexp or equality matcher that does not have an empty-compatible \
             value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
        ));
    }
    Pipeline::new(&log.stages, None).map(|_| ()).map_err(ParseError::new)
}
