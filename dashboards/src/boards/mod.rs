//! The dashboards, one file each.

mod alerts;
mod collector_self;
mod compose_project;
mod container;
mod docker_overview;
mod logs_overview;
mod request;
mod service_red;
mod shop_slo;

use crate::dashboard::Dashboard;
use crate::field::{BAD, GOOD, WARNING};
use crate::query;

/// Every dashboard, in the order a reader meets them.
pub(crate) fn all() -> Vec<Dashboard> {
    vec![
        docker_overview::board(),
        container::board(),
        compose_project::board(),
        logs_overview::board(),
        service_red::board(),
        request::board(),
        shop_slo::board(),
        collector_self::board(),
        alerts::board(),
    ]
}

/// Values of `container_health_state`.
const HEALTH: [(&str, &str, &str); 3] =
    [("1", "healthy", GOOD), ("0", "unhealthy", BAD), ("-1", "no check", "#8e8e8e")];
const UP: [(&str, &str, &str); 2] = [("1", "up", GOOD), ("0", "down", BAD)];
/// Numbers that should be 0.
const NONE_IS_GOOD: [(f64, &str); 1] = [(1.0, BAD)];
/// Parts of a limit.
const NEAR_THE_LIMIT: [(f64, &str); 2] = [(0.75, WARNING), (0.9, BAD)];

/// Marks deaths, kernel kills and other trouble of containers that `filter` (LogQL after `| json`) keeps.
fn with_events(dashboard: Dashboard, filter: &str) -> Dashboard {
    let trouble = "die|oom|start_failed|health_status|image_change|daemon_down|daemon_up";
    let expression = format!(r#"{{stream="events"}} | json | action=~"{trouble}"{filter}"#);
    dashboard.marks(
        "Container events",
        "orange",
        &query::lines(expression),
        "{{action}} {{container}}",
        Some("{{msg}}"),
    )
}

/// Marks the times at which alerts fire.
fn with_alerts(dashboard: Dashboard) -> Dashboard {
    let firing = query::metric(r#"ALERTS{alertstate="firing", severity!="none"}"#);
    dashboard.marks("Alerts", "red", &firing, "{{alertname}}", None)
}
