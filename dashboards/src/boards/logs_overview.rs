//! All logs: how much, of what, which errors come again and again, and whether collection keeps up and has lost anything.

use super::{NONE_IS_GOOD, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, Column, GOOD, Unit, WARNING};
use crate::link::{self, OF_CELL};
use crate::panel::Panel;
use crate::query::{lines, log_metric, log_metric_now, metric};
use crate::variable;

/// The streams chosen. Events of containers are a stream of their own, which no service logged.
const STREAMS: &str = r#"{service_name=~"$service", stream!="events"} |~ `(?i)$search`"#;
/// Levels that tell of failure.
const ERRORS: &str = r#"detected_level=~"error|critical|fatal""#;
/// The message of a line, with a mark in place of what differs from line to line, so that lines of one kind count as one.
const KIND: &str = r##"json msg="msg" | drop __error__, __error_details__ | label_format kind=`{{ regexReplaceAll "(?s)\n.*|[\\w-]*[0-9][\\w-]*" (or .msg __line__) "#" | trunc 160 }}`"##;

pub(super) fn board() -> Dashboard {
    let board = Dashboard::new(
        "logs-overview",
        "Logs",
        "How much is logged and by whom, which errors come again and again, and whether collection keeps up.",
    )
    .variable(variable::some_of_logs("service", "Service", "service_name"))
    .variable(variable::text("search", "Lines with"));
    with_events(board, "")
        .row("Volume", volume())
        .row("Errors", errors())
        .row("Collection", collection())
        .row(
            "Lines",
            [Panel::logs("Lines", "Newest first. A trace id leads to its request.").ask(lines(STREAMS))],
        )
}

fn volume() -> [Panel; 3] {
    [
        Panel::bars("Lines by level", "Lines in each interval.", Unit::Count)
            .sized(12, 8)
            .ask(
                log_metric(format!("sum by (detected_level) (count_over_time({STREAMS} [$__auto]))"))
                    .named("{{detected_level}}"),
            )
            .overrides(field::level_colors()),
        Panel::timeseries("Lines by service", "Lines a second.", Unit::PerSecond)
            .sized(6, 8)
            .ask(
                log_metric(format!("sum by (service_name) (rate({STREAMS} [$__auto]))"))
                    .named("{{service_name}}"),
            )
            .link(link::to(
                "service-red",
                "Requests of the service",
                "service",
                &link::of_series("service_name"),
            )),
        Panel::timeseries("Bytes by service", "Bytes of lines a second.", Unit::BytesPerSecond)
            .sized(6, 8)
            .ask(
                log_metric(format!("sum by (service_name) (bytes_rate({STREAMS} [$__auto]))"))
                    .named("{{service_name}}"),
            ),
    ]
}

fn errors() -> [Panel; 3] {
    let columns = [
        Column::label("service_name", "Service").width(140).link(&link::to(
            "service-red",
            "Requests",
            "service",
            OF_CELL,
        )),
        Column::label("kind", "Line"),
        Column::value('A', "Lines", Unit::Count).width(120).bar(),
    ];
    [
        Panel::table(
            "Error patterns",
            "The most frequent kinds of error lines in the time range; # stands for what differs from line to line.",
            &columns,
        )
        .sized(16, 9)
        .sorted_by("Lines")
        .ask(log_metric_now(format!(
            "topk(20, sum by (service_name, kind) (count_over_time({STREAMS} | {ERRORS} | {KIND} [$__range])))"
        ))),
        Panel::timeseries("Errors by service", "Lines a second with the level error and above.", Unit::PerSecond)
            .sized(8, 9)
            .ask(
                log_metric(format!("sum by (service_name) (rate({STREAMS} | {ERRORS} [$__auto]))"))
                    .named("{{service_name}}"),
            )
            .link(link::to("service-red", "Requests of the service", "service", &link::of_series("service_name"))),
        Panel::logs("Error lines", "Newest first. A trace id leads to its request.")
            .sized(24, 8)
            .ask(lines(format!("{STREAMS} | {ERRORS}"))),
    ]
}

fn collection() -> [Panel; 4] {
    let counted = |title, about, expression: &str| {
        Panel::stat(title, about, Unit::Count)
            .sized(4, 9)
            .thresholds(GOOD, &NONE_IS_GOOD)
            .ask(metric(expression))
            .without_history()
    };
    [
        Panel::timeseries(
            "Lag",
            "Age of the newest line of each container when it was stored last. A container that logs nothing keeps its value.",
            Unit::Seconds,
        )
        .sized(10, 9)
        .ask(metric("max by (name) (docker_logs_lag_seconds)").named("{{name}}"))
        .limits(GOOD, &[(60.0, WARNING)]),
        Panel::bars(
            "Gaps",
            "Places where lines may be missing, by reason: rotated faster than read, removed before read, unreadable.",
            Unit::Count,
        )
        .sized(6, 9)
        .ask(
            metric("sum by (reason) (increase(docker_logs_gaps_total[$__rate_interval])) or 0 * sum by (reason) (label_replace(docker_daemon_up, \"reason\", \"none\", \"\", \"\"))")
                .named("{{reason}}"),
        ),
        counted(
            "Unreadable logs",
            "Containers whose log driver keeps nothing that could be read.",
            "count(docker_logs_unreadable == 1) or vector(0)",
        ),
        counted(
            "Logs that Docker may thin",
            "Containers with mode=non-blocking: Docker drops lines of them unseen when they log too fast.",
            "count(docker_logs_nonblocking == 1) or vector(0)",
        )
        .thresholds(GOOD, &[(1.0, BAD)]),
    ]
}
