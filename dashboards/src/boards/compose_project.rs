//! One compose project, by service: what runs, what it uses, what it says.

use super::{HEALTH, NONE_IS_GOOD, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, Column, GOOD, Unit};
use crate::link::{self, Link, OF_CELL};
use crate::panel::Panel;
use crate::query::{lines, log_metric, log_metric_now, metric, metric_rows};
use crate::variable;

/// What chooses the project's containers among metrics.
const IT: &str = r#"container_label_com_docker_compose_project="$project""#;
/// The label that names the service among metrics.
const SERVICE: &str = "container_label_com_docker_compose_service";

pub(super) fn board() -> Dashboard {
    let project = "container_label_com_docker_compose_project";
    let board = Dashboard::new(
        "compose-project",
        "Compose project",
        "One compose project by its services: what runs, what it uses, what it logs.",
    )
    .variable(variable::one_of("project", "Project", "container_last_seen", project));
    with_events(board, "")
        .row("Now", now())
        .row("Services", [services()])
        .row("What they use", uses())
        .row("What they log", logs())
}

fn now() -> [Panel; 5] {
    [
        Panel::stat("Running", "Containers of the project that run now.", Unit::Count)
            .ask(metric(format!("count(container_last_seen{{{IT}}})"))),
        Panel::stat("Unhealthy", "Containers of the project whose health check fails.", Unit::Count)
            .ask(metric(format!("count(container_health_state{{{IT}}} == 0) or vector(0)")))
            .thresholds(GOOD, &NONE_IS_GOOD),
        Panel::stat("CPU", "Processors that the project uses.", Unit::Cores)
            .ask(metric(format!("sum(rate(container_cpu_usage_seconds_total{{{IT}}}[$__rate_interval]))")))
            .decimals(2),
        Panel::stat("Memory", "Working set of the whole project.", Unit::Bytes)
            .ask(metric(format!("sum(container_memory_working_set_bytes{{{IT}}})"))),
        Panel::stat("Errors logged", "Lines with the level error and above in the time range.", Unit::Count)
            .sized(8, 4)
            .ask(log_metric_now(
                r#"sum(count_over_time({compose_project="$project"} | detected_level=~"error|critical|fatal" [$__range])) or vector(0)"#,
            ))
            .thresholds(GOOD, &NONE_IS_GOOD),
    ]
}

fn services() -> Panel {
    let columns = [
        Column::label(SERVICE, "Service").link(&link::to("service-red", "Requests", "service", OF_CELL)),
        Column::label("name", "Container").link(&link::to("docker-container", "Open", "container", OF_CELL)),
        Column::value('A', "Started", Unit::Ago),
        Column::value('B', "CPU", Unit::Cores).decimals(2).bar(),
        Column::value('C', "Memory", Unit::Bytes).bar(),
        Column::value('D', "Health", Unit::Count).words(&HEALTH),
    ];
    let by = format!("by ({SERVICE}, name)");
    Panel::table("Services", "Every running container of the project.", &columns)
        .ask(metric_rows(format!("max {by} (container_start_time_seconds{{{IT}}}) * 1000")))
        .ask(metric_rows(format!("sum {by} (rate(container_cpu_usage_seconds_total{{{IT}}}[1m]))")))
        .ask(metric_rows(format!("max {by} (container_memory_working_set_bytes{{{IT}}})")))
        .ask(metric_rows(format!("max {by} (container_health_state{{{IT}}})")))
}

fn to_service() -> Link {
    link::to("service-red", "Requests of the service", "service", &link::of_series(SERVICE))
}

fn uses() -> [Panel; 4] {
    let by_service = |title, about, unit, expression: String| {
        Panel::timeseries(title, about, unit)
            .sized(6, 8)
            .ask(metric(expression).named(&format!("{{{{{SERVICE}}}}}")))
            .link(to_service())
    };
    let rate = |metric: &str| format!("sum by ({SERVICE}) (rate({metric}{{{IT}}}[$__rate_interval]))");
    [
        by_service(
            "Processors",
            "Processors in use.",
            Unit::Cores,
            rate("container_cpu_usage_seconds_total"),
        )
        .stacked(),
        by_service(
            "Memory",
            "Working set.",
            Unit::Bytes,
            format!("sum by ({SERVICE}) (container_memory_working_set_bytes{{{IT}}})"),
        )
        .stacked(),
        by_service(
            "Network",
            "Bytes received and sent.",
            Unit::BytesPerSecond,
            format!(
                "{} + {}",
                rate("container_network_receive_bytes_total"),
                rate("container_network_transmit_bytes_total")
            ),
        ),
        by_service(
            "Disks",
            "Bytes read and written.",
            Unit::BytesPerSecond,
            format!(
                "{} + {}",
                rate("container_fs_reads_bytes_total"),
                rate("container_fs_writes_bytes_total")
            ),
        ),
    ]
}

fn logs() -> [Panel; 3] {
    [
        Panel::bars("Lines by service", "Lines logged in each interval.", Unit::Count)
            .sized(12, 8)
            .ask(
                log_metric(
                    r#"sum by (service_name) (count_over_time({compose_project="$project"} [$__auto]))"#,
                )
                .named("{{service_name}}"),
            )
            .link(link::to(
                "logs-overview",
                "Lines of the service",
                "service",
                &link::of_series("service_name"),
            )),
        Panel::bars("Lines by level", "Lines logged in each interval.", Unit::Count)
            .sized(12, 8)
            .ask(
                log_metric(
                    r#"sum by (detected_level) (count_over_time({compose_project="$project"} [$__auto]))"#,
                )
                .named("{{detected_level}}"),
            )
            .overrides(field::level_colors()),
        Panel::logs("Warnings and errors", "Lines with the level warn and above, newest first.")
            .ask(lines(r#"{compose_project="$project"} | detected_level=~"warn|error|critical|fatal""#)),
    ]
}
