//! Binnacle itself: does it collect everything in time, store it, answer fast, and what does it cost.

use super::{NONE_IS_GOOD, UP};
use crate::dashboard::Dashboard;
use crate::field::{BAD, Column, GOOD, Unit, WARNING};
use crate::panel::Panel;
use crate::query::{Query, metric, metric_rows};
use crate::variable;

/// The processes chosen.
const IT: &str = r#"instance=~"$instance""#;

pub(super) fn board() -> Dashboard {
    Dashboard::new(
        "collector-self",
        "Binnacle",
        "Binnacle's own work: collection, storage, queries, traces, and what they cost.",
    )
    .variable(variable::some_of("instance", "Process", "binnacle_build_info", "instance"))
    .row("Now", now())
    .row("Collection", collection())
    .row("Storage", storage())
    .row("Answers", answers())
    .row("Traces", traces())
    .row("The process", process())
}

fn rate(metric: &str) -> String {
    format!("sum(rate({metric}{{{IT}}}[$__rate_interval]))")
}

fn rate_by(label: &str, name: &str) -> Query {
    metric(format!("sum by ({label}) (rate({name}{{{IT}}}[$__rate_interval]))"))
        .named(&format!("{{{{{label}}}}}"))
}

fn quantile(share: &str, histogram: &str, name: &str) -> Query {
    metric(format!(
        "histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{IT}}}[$__rate_interval])))"
    ))
    .named(name)
}

fn now() -> [Panel; 6] {
    [
        Panel::stat("Docker", "Whether the Docker daemon answers.", Unit::Count)
            .ask(metric(format!("min(docker_daemon_up{{{IT}}})")))
            .words(&UP)
            .without_history(),
        Panel::stat("Lines", "Lines stored a second, of all sources.", Unit::PerSecond)
            .ask(metric(rate("binnacle_log_lines_total"))),
        Panel::stat(
            "Slowest log",
            "Age of the newest line of the container that is furthest behind.",
            Unit::Seconds,
        )
        .ask(metric(format!("max(docker_logs_lag_seconds{{{IT}}})")))
        .thresholds(GOOD, &[(10.0, WARNING), (60.0, BAD)]),
        Panel::stat("Gaps, last day", "Places where lines may be missing.", Unit::Count)
            .ask(metric(format!("round(sum(increase(docker_logs_gaps_total{{{IT}}}[1d]))) or vector(0)")))
            .thresholds(GOOD, &NONE_IS_GOOD),
        Panel::stat("Damaged", "Stored pieces whose checksum was wrong.", Unit::Count)
            .ask(metric(format!("sum(binnacle_store_damaged_total{{{IT}}})")))
            .thresholds(GOOD, &NONE_IS_GOOD),
        Panel::stat("Free disk", "Free space of the disk that holds the data.", Unit::Bytes)
            .ask(metric(format!("min(binnacle_store_free_bytes{{{IT}}})")))
            .thresholds(BAD, &[(2e9, WARNING), (1e10, GOOD)]),
    ]
}

fn collection() -> [Panel; 6] {
    [
        Panel::timeseries("Lines by service", "Lines stored a second, of all sources.", Unit::PerSecond)
            .stacked()
            .ask(rate_by("service_name", "binnacle_log_lines_total")),
        Panel::timeseries("Lag", "Age of the newest line of each container when it was stored.", Unit::Seconds)
            .ask(metric(format!("max by (name) (docker_logs_lag_seconds{{{IT}}})")).named("{{name}}"))
            .limits(GOOD, &[(60.0, WARNING)]),
        Panel::timeseries(
            "Proofs and repairs",
            "Lines received again and dropped prove that none is missing; reads that broke off are done again.",
            Unit::PerSecond,
        )
        .ask(metric(rate("docker_logs_duplicates_dropped_total")).named("overlap"))
        .ask(metric(format!("{} or vector(0)", rate("docker_logs_reconnects_total"))).named("reads again"))
        .ask(metric(rate("docker_logs_truncated_total")).named("cut lines")),
        Panel::timeseries("Docker's answers", "95 % of the requests to the daemon were answered within this time.", Unit::Seconds)
            .ask(
                metric(format!(
                    "histogram_quantile(0.95, sum by (le, endpoint) (rate(docker_api_request_seconds_bucket{{{IT}}}[$__rate_interval])))"
                ))
                .named("{{endpoint}}"),
            ),
        Panel::timeseries("Docker's errors", "Requests to the daemon that failed.", Unit::PerSecond)
            .ask(metric(format!("{} or vector(0)", rate("docker_api_errors_total"))).named("errors")),
        Panel::timeseries("Container metrics", "Time to read the counters of all containers once.", Unit::Seconds)
            .ask(quantile("0.5", "binnacle_stats_round_seconds", "50 %"))
            .ask(quantile("0.95", "binnacle_stats_round_seconds", "95 %")),
    ]
}

fn storage() -> [Panel; 6] {
    [
        Panel::timeseries("Commits", "Time until lines and their cursors are durable.", Unit::Seconds)
            .ask(quantile("0.5", "binnacle_store_commit_seconds", "50 %"))
            .ask(quantile("0.99", "binnacle_store_commit_seconds", "99 %")),
        Panel::timeseries(
            "Not yet in blocks",
            "Records that wait for the next flush. They are durable and found by queries.",
            Unit::Bytes,
        )
        .ask(metric(format!("sum(binnacle_store_head_bytes{{{IT}}})")).named("head")),
        Panel::timeseries("Flushes and merges", "Time spent on blocks, for each second.", Unit::Ratio)
            .ask(metric(rate("binnacle_store_flush_seconds_sum")).named("flushes"))
            .ask(metric(rate("binnacle_store_merge_seconds_sum")).named("merges")),
        Panel::timeseries("On disk", "Bytes of blocks, and of the index of spans.", Unit::Bytes)
            .stacked()
            .ask(metric(format!("sum(binnacle_store_part_bytes{{{IT}}})")).named("blocks"))
            .ask(metric(format!("sum(binnacle_store_span_bytes{{{IT}}})")).named("spans")),
        Panel::timeseries("Windows and parts", "Pieces the store is made of.", Unit::Count)
            .ask(metric(format!("sum(binnacle_store_windows{{{IT}}})")).named("windows"))
            .ask(metric(format!("sum(binnacle_store_parts{{{IT}}})")).named("parts"))
            .ask(metric(format!("sum(binnacle_store_unindexed_parts{{{IT}}})")).named("not yet indexed")),
        Panel::timeseries(
            "Failures",
            "Commits, flushes and merges that failed and are tried again.",
            Unit::PerSecond,
        )
        .ask(metric(rate("binnacle_store_commit_failures_total")).named("commits"))
        .ask(metric(rate("binnacle_store_flush_failures_total")).named("flushes"))
        .ask(metric(rate("binnacle_store_merge_failures_total")).named("merges")),
    ]
}

fn answers() -> [Panel; 6] {
    [
        Panel::timeseries("Queries", "Queries a second, by how they ended.", Unit::PerSecond)
            .stacked()
            .ask(rate_by("outcome", "binnacle_queries_total")),
        Panel::timeseries("Time of queries", "Without the time they waited for their turn.", Unit::Seconds)
            .ask(quantile("0.5", "binnacle_query_duration_seconds", "50 %"))
            .ask(quantile("0.95", "binnacle_query_duration_seconds", "95 %"))
            .ask(quantile("0.99", "binnacle_query_duration_seconds", "99 %")),
        Panel::timeseries("At work", "Queries that run, queries that wait for their turn, and live tails.", Unit::Count)
            .ask(metric(format!("sum(binnacle_queries_running{{{IT}}})")).named("running"))
            .ask(metric(format!("sum(binnacle_queries_waiting{{{IT}}})")).named("waiting"))
            .ask(metric(format!("sum(binnacle_tails{{{IT}}})")).named("tails")),
        Panel::timeseries("Read", "Bytes of lines that queries had to decode.", Unit::BytesPerSecond)
            .ask(metric(rate("binnacle_query_decoded_bytes_total")).named("decoded")),
        Panel::timeseries("HTTP", "Requests a second, by route.", Unit::PerSecond)
            .ask(rate_by("route", "binnacle_api_requests_total")),
        Panel::timeseries("Refused and failed", "Requests that were answered with a status of 400 and above.", Unit::PerSecond)
            .ask(
                metric(format!(
                    r#"sum by (status) (rate(binnacle_api_requests_total{{{IT}, status=~"[45].."}}[$__rate_interval])) or sum by (status) (label_replace(0 * binnacle_build_info{{{IT}}}, "status", "none", "", ""))"#
                ))
                .named("{{status}}"),
            ),
    ]
}

fn traces() -> [Panel; 3] {
    [
        Panel::timeseries(
            "Spans",
            "Spans stored a second, and spans taken back because late lines showed another picture.",
            Unit::PerSecond,
        )
        .ask(metric(rate("binnacle_traces_spans_total")).named("stored"))
        .ask(metric(rate("binnacle_traces_removed_spans_total")).named("taken back")),
        Panel::timeseries(
            "Open traces",
            "Traces that may get further lines, and complete ones kept for late lines.",
            Unit::Count,
        )
        .ask(metric(format!("sum(binnacle_traces_open{{{IT}}})")).named("open"))
        .ask(metric(format!("sum(binnacle_traces_remembered{{{IT}}})")).named("remembered")),
        Panel::timeseries("Memory of traces", "Memory that open and remembered traces take.", Unit::Bytes)
            .ask(metric(format!("sum(binnacle_traces_bytes{{{IT}}})")).named("traces")),
    ]
}

fn process() -> [Panel; 4] {
    let columns = [
        Column::label("instance", "Process"),
        Column::label("job", "Job"),
        Column::label("version", "Version"),
        Column::only_value("Up", Unit::Count).words(&UP),
    ];
    [
        Panel::timeseries("Processors", "Processors in use, by process.", Unit::Cores).sized(6, 8).ask(
            metric(format!(
                "rate(process_cpu_seconds_total{{{IT}}}[$__rate_interval]) and on (instance) binnacle_build_info"
            ))
            .named("{{instance}}"),
        ),
        Panel::timeseries("Memory", "Memory in RAM, by process.", Unit::Bytes)
            .sized(6, 8)
            .ask(
                metric(format!("process_resident_memory_bytes{{{IT}}} and on (instance) binnacle_build_info"))
                    .named("{{instance}}"),
            ),
        Panel::timeseries("Open files", "Part of the files that a process may open.", Unit::Ratio).sized(6, 8).ask(
            metric(format!(
                "process_open_fds{{{IT}}} / process_max_fds{{{IT}}} and on (instance) binnacle_build_info"
            ))
            .named("{{instance}}"),
        ),
        Panel::table("Versions", "Processes of Binnacle that Prometheus sees.", &columns)
            .sized(6, 8)
            .ask(metric_rows(format!("max by (instance, job, version) (binnacle_build_info{{{IT}}})"))),
    ]
}
