//! One container: what it uses, what happened to it, what it says.

use super::{HEALTH, NEAR_THE_LIMIT, NONE_IS_GOOD, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, GOOD, Unit, WARNING};
use crate::panel::Panel;
use crate::query::{lines, log_metric, metric, metric_now};
use crate::variable;

/// What chooses the container among metrics.
const IT: &str = r#"name="$container", instance=~"$instance""#;

pub(super) fn board() -> Dashboard {
    let board = Dashboard::new(
        "docker-container",
        "Container",
        "One container: what it uses, what happened to it, and its log.",
    )
    .variable(variable::some_of("instance", "Collector", "container_last_seen", "instance"))
    .variable(variable::one_of(
        "container",
        "Container",
        r#"docker_container_state{instance=~"$instance"}"#,
        "name",
    ))
    .variable(variable::text("search", "Lines with"));
    with_events(board, r#" | container="$container""#)
        .row("Now", now())
        .row("Log", log())
        .row("Processors and memory", processors_and_memory())
        .row("Network and disks", network_and_disks())
}

fn now() -> [Panel; 7] {
    let of = |metric: &str| format!("max({metric}{{{IT}}})");
    [
        Panel::stat("State", "What state the container is in.", Unit::Count)
            .ask(
                metric_now(format!("max by (state) (docker_container_state{{{IT}}}) == 1"))
                    .named("{{state}}"),
            )
            .shows_name()
            .sized(3, 4),
        Panel::stat("Health", "What its health check says.", Unit::Count)
            .ask(metric(of("container_health_state")))
            .words(&HEALTH)
            .without_history()
            .sized(3, 4),
        Panel::stat("Started", "When its present run began.", Unit::Ago)
            .ask(metric(format!("{} * 1000", of("container_start_time_seconds"))))
            .without_history()
            .sized(4, 4),
        Panel::stat("CPU", "Processors in use.", Unit::Cores)
            .ask(metric(format!("sum(rate(container_cpu_usage_seconds_total{{{IT}}}[$__rate_interval]))")))
            .decimals(2)
            .sized(4, 4),
        Panel::stat("Memory", "Working set: what cannot be given back without harm.", Unit::Bytes)
            .ask(metric(of("container_memory_working_set_bytes")))
            .sized(4, 4),
        Panel::stat("Restarts", "Restarts by its restart policy.", Unit::Count)
            .ask(metric(of("docker_container_restarts_total")))
            .thresholds(GOOD, &NONE_IS_GOOD)
            .sized(3, 4),
        Panel::stat(
            "Out of memory",
            "Processes of it that the kernel killed for want of memory.",
            Unit::Count,
        )
        .ask(metric(of("container_oom_events_total")))
        .thresholds(GOOD, &NONE_IS_GOOD)
        .sized(3, 4),
    ]
}

fn log() -> [Panel; 2] {
    let selector = r#"{container="$container"} |~ `(?i)$search`"#;
    [
        Panel::bars("Lines by level", "Lines that hold the text searched for.", Unit::Count)
            .sized(24, 5)
            .ask(
                log_metric(format!("sum by (detected_level) (count_over_time({selector} [$__auto]))"))
                    .named("{{detected_level}}"),
            )
            .overrides(field::level_colors()),
        Panel::logs("Lines", "The container's log, newest first. A trace id leads to its request.")
            .ask(lines(selector)),
    ]
}

fn processors_and_memory() -> [Panel; 3] {
    let rate = |metric: &str| metric_rate(metric);
    [
        Panel::timeseries("Processors", "Processor time in the program and in the kernel.", Unit::Cores)
            .stacked()
            .ask(metric(rate("container_cpu_user_seconds_total")).named("program"))
            .ask(metric(rate("container_cpu_system_seconds_total")).named("kernel")),
        Panel::timeseries(
            "Held back by its quota",
            "Part of the scheduler periods in which it had to stop; 0 without a limit.",
            Unit::Ratio,
        )
        .ask(
            metric(format!(
                "{} / ({} > 0) or 0 * {}",
                rate("container_cpu_cfs_throttled_periods_total"),
                rate("container_cpu_cfs_periods_total"),
                rate("container_cpu_usage_seconds_total"),
            ))
            .named("periods"),
        )
        .max(1.0)
        .limits(GOOD, &[(0.25, WARNING)]),
        Panel::timeseries(
            "Memory",
            "The program's own memory and the files cached for it; the dashed line is its limit, if it has one.",
            Unit::Bytes,
        )
        .stacked()
        .ask(metric(format!("max(container_memory_rss{{{IT}}})")).named("program"))
        .ask(metric(format!("max(container_memory_cache{{{IT}}})")).named("cached files"))
        .ask(metric(format!("max(container_spec_memory_limit_bytes{{{IT}}}) > 0")).named("limit"))
        .overrides([field::dashed("limit", BAD)]),
    ]
}

fn network_and_disks() -> [Panel; 4] {
    let rate = |metric: &str| metric_rate(metric);
    let both =
        |title, about, unit, (first, first_name): (&str, &str), (second, second_name): (&str, &str)| {
            Panel::timeseries(title, about, unit)
                .sized(6, 8)
                .ask(metric(rate(first)).named(first_name))
                .ask(metric(rate(second)).named(second_name))
        };
    [
        both(
            "Network",
            "Bytes over all its interfaces.",
            Unit::BytesPerSecond,
            ("container_network_receive_bytes_total", "received"),
            ("container_network_transmit_bytes_total", "sent"),
        ),
        both(
            "Disks",
            "Bytes to and from block devices, as far as the kernel counts them.",
            Unit::BytesPerSecond,
            ("container_fs_reads_bytes_total", "read"),
            ("container_fs_writes_bytes_total", "written"),
        ),
        Panel::timeseries(
            "Pages fetched from disk",
            "Page faults that had to wait for a disk: with many of them memory is short.",
            Unit::PerSecond,
        )
        .sized(6, 8)
        .ask(
            metric(format!(
                r#"sum(rate(container_memory_failures_total{{{IT}, failure_type="pgmajfault"}}[$__rate_interval]))"#
            ))
            .named("page faults"),
        ),
        Panel::timeseries("Processes and threads", "Tasks; the dashed line is the most allowed.", Unit::Count)
            .sized(6, 8)
            .ask(metric(format!("max(container_threads{{{IT}}})")).named("tasks"))
            .ask(metric(format!("max(container_threads_max{{{IT}}}) > 0")).named("allowed"))
            .overrides([field::dashed("allowed", BAD)])
            .thresholds(GOOD, &NEAR_THE_LIMIT),
    ]
}

fn metric_rate(metric: &str) -> String {
    format!("sum(rate({metric}{{{IT}}}[$__rate_interval]))")
}
