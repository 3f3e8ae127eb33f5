//! One service by the RED method: requests, errors, durations, read from its log lines; from a spike to its traces, from a
//! trace to its lines.

use super::{with_alerts, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, Column, GOOD, Unit, WARNING};
use crate::link::{self, OF_CELL};
use crate::panel::Panel;
use crate::query::{buckets, dependencies, lines, log_metric, metric, metric_rows, traces};
use crate::variable;

/// What chooses the service among metrics.
const IT: &str = r#"service_name="$service""#;

pub(super) fn board() -> Dashboard {
    let board = Dashboard::new(
        "service-red",
        "Service",
        "Requests, errors and durations of one service. Dots on the durations are requests: they lead to their traces.",
    )
    .variable(variable::one_of("service", "Service", "binnacle_http_requests_total", "service_name"))
    .variable(variable::among("slow", "Slow from", &["100ms", "250ms", "500ms", "1s", "2s"]));
    with_alerts(with_events(board, ""))
        .row("Requests, errors, durations", red())
        .row("Where", places())
        .row("Which requests", requests())
        .row("Lines", log())
}

fn quantile(share: &str, name: &str) -> crate::query::Query {
    metric(format!(
        "histogram_quantile({share}, sum by (le) (rate(binnacle_http_request_duration_seconds_bucket{{{IT}}}[$__rate_interval])))"
    ))
    .named(name)
}

fn red() -> [Panel; 4] {
    let by_class = "sum by (status_class)";
    [
        Panel::timeseries("Requests", "Requests answered a second, by the class of their status.", Unit::RequestsPerSecond)
            .sized(6, 9)
            .stacked()
            .ask(
                metric(format!("{by_class} (rate(binnacle_http_requests_total{{{IT}}}[$__rate_interval]))"))
                    .named("{{status_class}}"),
            )
            .overrides([
                field::colored("2xx", "green"),
                field::colored("3xx", "blue"),
                field::colored("4xx", "orange"),
                field::colored("5xx", "red"),
            ]),
        Panel::timeseries("Errors", "Part of the requests answered with a 5xx status.", Unit::Ratio)
            .sized(6, 9)
            .ask(
                metric(format!(
                    "(sum(rate(binnacle_http_request_errors_total{{{IT}}}[$__rate_interval])) or vector(0)) / sum(rate(binnacle_http_requests_total{{{IT}}}[$__rate_interval]))"
                ))
                .named("errors"),
            )
            .overrides([field::colored("errors", BAD)]),
        Panel::timeseries(
            "Durations",
            "Half, 95 % and 99 % of the requests were answered within this time. A dot is one request; a click leads to its trace.",
            Unit::Seconds,
        )
        .sized(12, 9)
        .ask(quantile("0.5", "50 %"))
        .ask(quantile("0.95", "95 %"))
        .ask(quantile("0.99", "99 %").with_exemplars()),
        Panel::heatmap("Durations, all", "How many requests took how long.", Unit::Seconds).sized(24, 8).ask(buckets(
            format!(
                "sum by (le) (increase(binnacle_http_request_duration_seconds_bucket{{{IT}}}[$__rate_interval]))"
            ),
        )),
    ]
}

fn places() -> [Panel; 2] {
    let columns = [
        Column::label("method", "Method").width(90),
        Column::label("route", "Route"),
        Column::value('A', "Requests/s", Unit::RequestsPerSecond).bar(),
        Column::value('B', "Errors", Unit::Ratio).thresholds(GOOD, &[(0.01, WARNING), (0.05, BAD)]),
        Column::value('C', "95 %", Unit::Seconds).thresholds(GOOD, &[(0.5, WARNING), (1.0, BAD)]),
    ];
    let rate = |metric: &str| format!("sum by (method, route) (rate({metric}{{{IT}}}[5m]))");
    [
        Panel::table("Routes", "Each route within the last 5 minutes.", &columns)
            .sized(14, 10)
            .ask(metric_rows(rate("binnacle_http_requests_total")))
            .ask(metric_rows(format!(
                "({} or 0 * {requests}) / {requests}",
                rate("binnacle_http_request_errors_total"),
                requests = rate("binnacle_http_requests_total")
            )))
            .ask(metric_rows(format!(
                "histogram_quantile(0.95, sum by (le, method, route) (rate(binnacle_http_request_duration_seconds_bucket{{{IT}}}[5m])))"
            ))),
        Panel::node_graph("Who calls whom", "Services and their calls, counted from traces.")
            .sized(10, 10)
            .ask(dependencies()),
    ]
}

fn requests() -> [Panel; 2] {
    let open = link::to("request", "Open the request", "id", OF_CELL);
    [
        Panel::trace_list(
            "Slow requests",
            "Traces in which this service took at least as long as chosen above. A click on the id opens the request.",
            &open,
        )
        .sized(12, 9)
        .ask(traces("$service", "$slow", "")),
        Panel::trace_list(
            "Failed requests",
            "Traces in which this service failed. A click on the id opens the request.",
            &open,
        )
        .sized(12, 9)
        .ask(traces("$service", "", "error=true")),
    ]
}

fn log() -> [Panel; 2] {
    [
        Panel::bars("Lines by level", "Lines in each interval.", Unit::Count)
            .sized(24, 5)
            .ask(
                log_metric(
                    r#"sum by (detected_level) (count_over_time({service_name="$service"} [$__auto]))"#,
                )
                .named("{{detected_level}}"),
            )
            .overrides(field::level_colors()),
        Panel::logs("Warnings and errors", "Newest first. A trace id leads to its request.")
            .ask(lines(r#"{service_name="$service"} | detected_level=~"warn|error|critical|fatal""#)),
    ]
}
