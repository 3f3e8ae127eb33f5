//! The host and all its containers by the USE method: of each resource how much is used, whether somebody has to wait for
//! it, and what went wrong.

use super::{HEALTH, NEAR_THE_LIMIT, NONE_IS_GOOD, with_alerts, with_events};
use crate::dashboard::Dashboard;
use crate::field::{self, BAD, Column, GOOD, Unit, WARNING};
use crate::link::{self, Link, OF_CELL};
use crate::panel::Panel;
use crate::query::{metric, metric_rows};
use crate::variable;

/// Disks, without those that live in memory or on top of others.
const DISKS: &str = r#"fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs""#;

pub(super) fn board() -> Dashboard {
    let board = Dashboard::new(
        "docker-overview",
        "Docker overview",
        "The host and its containers: of processors, memory, network and disks what is used, what waits, what fails.",
    )
    .variable(variable::some_of("instance", "Collector", "container_last_seen", "instance"));
    with_alerts(with_events(board, ""))
        .row("Now", now())
        .row("Processors", processors())
        .row("Memory", memory())
        .row("Network", network())
        .row("Disks", disks())
        .row("Containers", [containers()])
}

fn now() -> [Panel; 6] {
    let trouble = |title, about, expression: &str| {
        Panel::stat(title, about, Unit::Count).thresholds(GOOD, &NONE_IS_GOOD).ask(metric(expression))
    };
    [
        Panel::stat("Running", "Containers that run now.", Unit::Count)
            .ask(metric(r#"count(container_last_seen{name!="", instance=~"$instance"})"#)),
        trouble(
            "Unhealthy",
            "Containers whose health check fails.",
            r#"count(container_health_state{name!="", instance=~"$instance"} == 0) or vector(0)"#,
        ),
        trouble(
            "Ended with an error",
            "Containers that ended with an exit code other than 0 and were not started again.",
            r#"count(docker_container_exit_code{instance=~"$instance"} != 0 and on (container_id) docker_container_state{state=~"exited|dead"} == 1) or vector(0)"#,
        ),
        trouble(
            "Restarts, last hour",
            "Restarts by restart policies within an hour.",
            r#"round(sum(increase(docker_container_restarts_total{instance=~"$instance"}[1h])))"#,
        ),
        trouble(
            "Out of memory, last hour",
            "Processes that the kernel killed for want of memory within an hour.",
            r#"round(sum(increase(container_oom_events_total{name!="", instance=~"$instance"}[1h])))"#,
        ),
        trouble(
            "Alerts",
            "Alerts that fire now.",
            r#"count(ALERTS{alertstate="firing", severity!="none"}) or vector(0)"#,
        ),
    ]
}

fn to_container() -> Link {
    link::to("docker-container", "Open ${__field.labels.name}", "container", &link::of_series("name"))
}

fn by_name(title: &'static str, about: &'static str, unit: Unit, expression: &str) -> Panel {
    Panel::timeseries(title, about, unit).ask(metric(expression).named("{{name}}")).link(to_container())
}

fn processors() -> [Panel; 3] {
    [
        by_name(
            "Used, by container",
            "Processors in use. The dashed line is what the machine has.",
            Unit::Cores,
            r#"sum by (name) (rate(container_cpu_usage_seconds_total{name!="", instance=~"$instance"}[$__rate_interval]))"#,
        )
        .stacked()
        .ask(metric(r#"sum(machine_cpu_cores{instance=~"$instance"})"#).named("all processors"))
        .overrides([field::dashed("all processors", "text")]),
        Panel::timeseries(
            "Waiting: load per processor",
            "Tasks that run or wait for a processor or a disk, for each processor. Above 1 somebody waits.",
            Unit::Count,
        )
        .ask(
            metric(r#"node_load1 / on (instance) group_left () count by (instance) (node_cpu_seconds_total{mode="idle"})"#)
                .named("1 minute"),
        )
        .ask(
            metric(r#"node_load5 / on (instance) group_left () count by (instance) (node_cpu_seconds_total{mode="idle"})"#)
                .named("5 minutes"),
        )
        .limits(GOOD, &[(1.0, WARNING), (2.0, BAD)]),
        by_name(
            "Held back by a quota",
            "Part of the scheduler periods in which a container with a CPU limit had to stop. Others are not shown.",
            Unit::Ratio,
            "name:container_cpu_throttled_periods:ratio",
        )
        .limits(GOOD, &[(0.25, WARNING)]),
    ]
}

fn memory() -> [Panel; 3] {
    [
        by_name(
            "Used, by container",
            "Working set: what cannot be given back without harm.",
            Unit::Bytes,
            r#"sum by (name) (container_memory_working_set_bytes{name!="", instance=~"$instance"})"#,
        )
        .stacked(),
        Panel::timeseries(
            "Left",
            "Memory of the host that can be had without swapping, and free swap space.",
            Unit::Bytes,
        )
        .ask(metric("node_memory_MemAvailable_bytes").named("memory"))
        .ask(metric("node_memory_SwapFree_bytes").named("swap")),
        by_name(
            "Part of the limit",
            "Working set of containers that have a memory limit. At 100 % the kernel kills.",
            Unit::Ratio,
            "name:container_memory_working_set:ratio_of_limit",
        )
        .max(1.0)
        .limits(GOOD, &NEAR_THE_LIMIT),
    ]
}

fn network() -> [Panel; 3] {
    let rate = |what: &str| {
        format!(
            r#"sum by (name) (rate(container_network_{what}_total{{name!="", instance=~"$instance"}}[$__rate_interval]))"#
        )
    };
    [
        by_name("Received, by container", "Bytes received.", Unit::BytesPerSecond, &rate("receive_bytes")),
        by_name("Sent, by container", "Bytes sent.", Unit::BytesPerSecond, &rate("transmit_bytes")),
        by_name(
            "Dropped and failed packets",
            "Packets that were dropped or had errors, in both directions.",
            Unit::PerSecond,
            &["receive_packets_dropped", "transmit_packets_dropped", "receive_errors", "transmit_errors"]
                .map(rate)
                .join(" + "),
        ),
    ]
}

fn disks() -> [Panel; 3] {
    let rate = |what: &str| {
        format!(
            r#"sum by (name) (rate(container_fs_{what}_bytes_total{{name!="", instance=~"$instance"}}[$__rate_interval]))"#
        )
    };
    [
        by_name(
            "Read and written, by container",
            "Bytes that containers moved to and from block devices, as far as the kernel counts them.",
            Unit::BytesPerSecond,
            &format!("{} + {}", rate("reads"), rate("writes")),
        ),
        Panel::timeseries("Busy", "Part of the time in which a disk of the host was at work.", Unit::Ratio)
            .ask(metric("rate(node_disk_io_time_seconds_total[$__rate_interval])").named("{{device}}"))
            .max(1.0),
        Panel::bar_gauge("Full", "How full the host's disks are.", Unit::Ratio)
            .ask(
                metric(format!(
                    "max by (device) (1 - node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes{{{DISKS}}})"
                ))
                .named("{{device}}"),
            )
            .max(1.0)
            .thresholds(GOOD, &NEAR_THE_LIMIT),
    ]
}

fn containers() -> Panel {
    let open = link::to("docker-container", "Open", "container", OF_CELL);
    let columns = [
        Column::label("name", "Container").link(&open),
        Column::label("image", "Image"),
        Column::value('A', "Started", Unit::Ago),
        Column::value('B', "CPU", Unit::Cores).decimals(2).bar(),
        Column::value('C', "Memory", Unit::Bytes).bar(),
        Column::value('D', "Of limit", Unit::Ratio).decimals(0).thresholds(GOOD, &NEAR_THE_LIMIT),
        Column::value('E', "Restarts", Unit::Count).thresholds(GOOD, &NONE_IS_GOOD),
        Column::value('F', "Health", Unit::Count).words(&HEALTH),
    ];
    let of = |metric: &str| format!(r#"max by (name) ({metric}{{name!="", instance=~"$instance"}})"#);
    Panel::table("Containers", "Every container that runs. A click on a name opens it.", &columns)
        .sized(24, 10)
        .ask(metric_rows(
            r#"max by (name, image) (container_start_time_seconds{name!="", instance=~"$instance"}) * 1000"#,
        ))
        .ask(metric_rows(
            r#"sum by (name) (rate(container_cpu_usage_seconds_total{name!="", instance=~"$instance"}[1m]))"#,
        ))
        .ask(metric_rows(of("container_memory_working_set_bytes")))
        .ask(metric_rows("name:container_memory_working_set:ratio_of_limit"))
        .ask(metric_rows(of("docker_container_restarts_total")))
        .ask(metric_rows(of("container_health_state")))
}
