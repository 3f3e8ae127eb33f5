//! Limits of queries, and what clients are told about them.

use store::TimeRange;

use super::error::LokiError;
use crate::http::AppState;
use crate::logql::ast::MetricExpr;
use crate::logql::eval::Matrix;
use crate::logql::units::format_duration;

/// The tag of Logs Drilldown, which takes part of the series with a warning over an error.
const DRILLDOWN_TAG: &str = "Source=grafana-lokiexplore-app";

/// Refuses time ranges that are too long.
pub(super) fn check_length(range: TimeRange, state: &AppState) -> Result<(), LokiError> {
    let limit = i64::try_from(state.config().loki.max_query_length.0.as_nanos()).unwrap_or(i64::MAX);
    let length = range.end_ns.saturating_sub(range.start_ns);
    if limit > 0 && length > limit {
        return Err(LokiError::bad(format!(
            "the query time range exceeds the limit (query length: {}, limit: {}); see `query.loki.max_query_length`",
            format_duration(length),
            format_duration(limit)
        )));
    }
    Ok(())
}

/// Refuses more lines than one query may have.
pub(super) fn check_entries(limit: usize, state: &AppState) -> Result<(), LokiError> {
    let max = state.config().loki.max_entries;
    if limit > max {
        return Err(LokiError::bad(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {max})"
        )));
    }
    Ok(())
}

/// Whether the request is of an app that prefers part of an answer.
pub(super) fn takes_part(headers: &axum::http::HeaderMap) -> bool {
    headers.get("x-query-tags").and_then(|v| v.to_str().ok()).is_some_and(|tags| tags.contains(DRILLDOWN_TAG))
}

/// Refuses more series than one query may have, or cuts them with a warning.
pub(super) fn cap_series(
    matrix: &mut Matrix,
    max: usize,
    takes_part: bool,
) -> Result<Vec<String>, LokiError> {
    if matrix.len() <= max {
        return Ok(Vec::new());
    }
    if takes_part {
        matrix.truncate(max);
        return Ok(vec![format!(
            "maximum number of series ({max}) reached for a single query; returning partial results"
        )]);
    }
    Err(LokiError::bad(format!(
        "maximum number of series ({max}) reached for a single query; consider reducing query cardinality by \
         adding more specific stream selectors, reducing the time range, or aggregating results with functions \
         like sum(), count() or topk(); see `query.loki.max_series`"
    )))
}

/// Whether the order of an instant query's series is the query's own.
pub(super) fn is_sorted(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Vector(vector) => {
            matches!(vector.op, crate::logql::ast::VectorOp::Sort | crate::logql::ast::VectorOp::SortDesc)
                || is_sorted(&vector.inner)
        }
        MetricExpr::Binary(binary) => is_sorted(&binary.left) || is_sorted(&binary.right),
        MetricExpr::LabelReplace(replace) => is_sorted(&replace.inner),
        MetricExpr::Range(_) | MetricExpr::Literal(_) | MetricExpr::Scalar(_) => false,
    }
}
