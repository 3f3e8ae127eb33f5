//! Answers that do not depend on the data.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::json::answer;
use crate::http::AppState;
use crate::logql::units::format_duration;

/// The version of Loki whose API this is, which Grafana uses to choose features.
const LOKI_VERSION: &str = "3.6.0";

pub(super) async fn drilldown_limits(State(state): State<AppState>) -> Response {
    let config = state.config();
    let duration = |d: std::time::Duration| format_duration(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    answer(&json!({
        "limits": {
            "discover_log_levels": true,
            "discover_service_name": [
                "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container",
                "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name",
            ],
            "log_level_fields": ["level", "LEVEL", "Level", "severity", "SEVERITY", "Severity", "lvl", "LVL", "Lvl"],
            "max_entries_limit_per_query": config.loki.max_entries,
            "max_query_series": config.loki.max_series,
            "max_query_length": duration(config.loki.max_query_length.0),
            "max_query_lookback": "0s",
            "max_query_range": "0s",
            "query_timeout": duration(config.timeout.0),
            "retention_period": "0s",
            "volume_enabled": true,
            "volume_max_series": config.loki.max_volumes,
            "metric_aggregation_enabled": false,
            "pattern_persistence_enabled": false,
        },
        "pattern_ingester_enabled": true,
        "version": LOKI_VERSION,
    }))
}

pub(super) async fn build_info() -> Response {
    answer(&json!({
        "version": LOKI_VERSION,
        "revision": concat!("binnacle-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

/// YAML: there are no rules.
pub(super) async fn no_rules() -> Response {
    ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], "{}\n").into_response()
}

pub(super) async fn no_rule_groups() -> Response {
    answer(&json!({"status": "success", "data": {"groups": []}, "errorType": "", "error": ""}))
}

pub(super) async fn no_alerts() -> Response {
    answer(&json!({"status": "success", "data": {"alerts": []}, "errorType": "", "error": ""}))
}
