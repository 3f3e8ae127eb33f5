//! Alerts: which fire, which fired when, and whether alerting itself works.

use super::{NONE_IS_GOOD, UP};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, Column, GOOD, Unit, WARNING};
use crate::panel::Panel;
use crate::query::{metric, metric_rows};

/// Alerts that are meant for people; the one that fires always is not.
const REAL: &str = r#"alertstate="firing", severity!="none""#;

pub(super) fn board() -> Dashboard {
    Dashboard::new("alerts", "Alerts", "Which alerts fire and have fired, and whether alerting itself works.")
        .row("Now", now())
        .row("Alerts", alerts())
        .row("Targets", targets())
        .row("Alerting itself", machinery())
}

fn now() -> [Panel; 5] {
    let firing = |title, about, severity: &str, color| {
        Panel::stat(title, about, Unit::Count)
            .sized(4, 4)
            .ask(metric(format!(
                r#"count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)"#
            )))
            .thresholds(GOOD, &[(1.0, color)])
    };
    [
        firing("Critical", "Alerts that somebody must act on now.", "critical", BAD),
        firing("Warnings", "Alerts that somebody should look at today.", "warning", WARNING),
        firing("For information", "Alerts that are good to know.", "info", "blue"),
        Panel::stat("Pending", "Alerts whose condition holds, but not yet long enough.", Unit::Count)
            .ask(metric(r#"count(ALERTS{alertstate="pending"}) or vector(0)"#)),
        Panel::stat(
            "Alerting",
            "The alert Watchdog fires always. When it is gone, rules are not evaluated.",
            Unit::Count,
        )
        .sized(8, 4)
        .ask(metric(r#"count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)"#))
        .words(&[("1", "works", GOOD), ("0", "does not work", BAD)])
        .without_history(),
    ]
}

fn alerts() -> [Panel; 2] {
    let columns = [
        Column::label("alertname", "Alert"),
        Column::label("severity", "Severity"),
        Column::label("name", "Container"),
        Column::label("service_name", "Service (logs)"),
        Column::label("service", "Service"),
        Column::label("instance", "Instance"),
        Column::only_value("Since", Unit::Ago),
    ];
    [
        Panel::table(
            "Firing",
            "What fires now, and since when. The runbook of each is docs/runbooks/ALERT.md.",
            &columns,
        )
        .ask(metric_rows(
            r#"max by (alertname, severity, name, service_name, service, instance) (ALERTS_FOR_STATE * 1000 and ignoring (alertstate) ALERTS{alertstate="firing", severity!="none"})"#,
        )),
        Panel::states(
            "History",
            "When each alert fired.",
            &[("1", "firing", BAD), ("0", "quiet", "transparent")],
        )
        .sized(24, 8)
        .ask(
            metric(format!(r#"max by (alertname) (ALERTS{{{REAL}}}) or max by (alertname) (ALERTS{{alertname="Watchdog"}})"#))
                .named("{{alertname}}"),
        )
        .overrides([field::for_series(
            "Watchdog",
            &[("mappings", field::mapping(&[("1", "always", GOOD)]))],
        )]),
    ]
}

fn targets() -> [Panel; 1] {
    [Panel::states("Targets", "Whether Prometheus reaches what it watches.", &UP)
        .sized(24, 7)
        .ask(metric("max by (job, instance) (up)").named("{{job}} {{instance}}"))]
}

fn machinery() -> [Panel; 4] {
    [
        Panel::timeseries("Rules", "Time to evaluate each group of rules.", Unit::Seconds)
            .sized(6, 8)
            .ask(
                metric("max by (rule_group) (label_replace(prometheus_rule_group_last_duration_seconds, \"rule_group\", \"$1\", \"rule_group\", \".*;(.*)\"))")
                    .named("{{rule_group}}"),
            ),
        Panel::timeseries("Rules that fail", "Evaluations of rules that failed.", Unit::PerSecond)
            .sized(6, 8)
            .ask(metric("sum(rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))").named("failures"))
            .limits(GOOD, &[(0.001, BAD)]),
        Panel::timeseries("Notifications", "Messages that Alertmanager sent, and those that failed.", Unit::PerSecond)
            .sized(6, 8)
            .ask(metric("sum(rate(alertmanager_notifications_total[$__rate_interval]))").named("sent"))
            .ask(metric("sum(rate(alertmanager_notifications_failed_total[$__rate_interval]))").named("failed")),
        Panel::stat(
            "Lost on the way",
            "Alerts that Prometheus could not hand to Alertmanager within the last hour.",
            Unit::Count,
        )
        .sized(6, 8)
        .ask(metric("round(sum(increase(prometheus_notifications_dropped_total[1h])))"))
        .thresholds(GOOD, &NONE_IS_GOOD),
    ]
}
