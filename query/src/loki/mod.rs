//! Loki's HTTP API under `/loki/api/v1`, for clients made for Loki: Grafana, logcli, Alloy.
//!
//! What is odd about it is theirs: key order, text errors, ten-digit times, `parsers: null`. Pushing is the
//! collector's. Results are written by hand (`json`), because Grafana reads them as a stream and wants
//! their keys in order.

pub mod config;
mod detected;
mod error;
mod index;
mod json;
mod labels;
mod limits;
mod params;
mod patterns;
mod query;
mod stubs;
mod tail;

#[cfg(test)]
mod tests;

use axum::routing::{MethodRouter, any, get};

use crate::http::AppState;
use error::LokiError;

/// Every route of the API and what answers it.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<AppState>)> {
    let both = |handler: MethodRouter<AppState>| handler.fallback(wrong_method);
    vec![
        ("/loki/api/v1/query", both(get(query::instant).post(query::instant))),
        ("/loki/api/v1/query_range", both(get(query::range).post(query::range))),
        ("/loki/api/v1/labels", both(get(labels::names).post(labels::names))),
        ("/loki/api/v1/label", both(get(labels::names).post(labels::names))),
        ("/loki/api/v1/label/{name}/values", both(get(labels::values).post(labels::values))),
        ("/loki/api/v1/series", both(get(labels::series).post(labels::series))),
        ("/loki/api/v1/index/stats", both(get(index::stats).post(index::stats))),
        ("/loki/api/v1/index/volume", both(get(index::volume).post(index::volume))),
        ("/loki/api/v1/index/volume_range", both(get(index::volume_range).post(index::volume_range))),
        ("/loki/api/v1/detected_labels", both(get(detected::labels).post(detected::labels))),
        ("/loki/api/v1/detected_fields", both(get(detected::fields).post(detected::fields))),
        ("/loki/api/v1/detected_field/{name}/values", both(get(detected::values).post(detected::values))),
        ("/loki/api/v1/format_query", both(get(query::format).post(query::format))),
        ("/loki/api/v1/tail", any(tail::tail)),
        ("/loki/api/v1/patterns", both(get(patterns::patterns).post(patterns::patterns))),
        ("/loki/api/v1/drilldown-limits", both(get(stubs::drilldown_limits))),
        ("/loki/api/v1/status/buildinfo", both(get(stubs::build_info))),
        ("/loki/api/v1/rules", both(get(stubs::no_rules))),
        ("/api/prom/rules", both(get(stubs::no_rules))),
        ("/prometheus/api/v1/rules", both(get(stubs::no_rule_groups))),
        ("/prometheus/api/v1/alerts", both(get(stubs::no_alerts))),
    ]
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> LokiError {
    LokiError::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        format!("`{}` answers GET and POST, not {method}", uri.path()),
    )
}
