//! Container series in the names and labels of cAdvisor.
//!
//! One table per kind of label set: a metric is a row, a value that the source does not tell is no series.
//! Names, units and meanings are cAdvisor's, so that its dashboards and alerts work unchanged.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::facts::Facts;
use super::sample::{Device, Interface, Sample};

/// What one row of a table reads.
pub(super) struct Subject<'a> {
    /// The container.
    pub(super) facts: &'a Facts,
    /// Its latest counters, none when they could not be read.
    pub(super) sample: Option<&'a Sample>,
    /// Now, seconds since the epoch.
    pub(super) now_s: f64,
    /// Kernel kills for want of memory that Docker told of since this process started.
    pub(super) oom_events: u64,
}

/// A metric: its name, its help and how it is read.
pub(super) struct Row<R> {
    /// Name.
    pub(super) name: &'static str,
    /// Help.
    pub(super) help: &'static str,
    /// Labels besides those of the container.
    labels: &'static [(&'static str, &'static str)],
    read: R,
}

const fn row<R>(name: &'static str, help: &'static str, read: R) -> Row<R> {
    Row { name, help, labels: &[], read }
}

const fn labelled<R>(
    name: &'static str,
    help: &'static str,
    labels: &'static [(&'static str, &'static str)],
    read: R,
) -> Row<R> {
    Row { name, help, labels, read }
}

type OfContainer = fn(&Subject<'_>) -> Option<f64>;
type OfSample = fn(&Sample) -> Option<f64>;
type OfInterface = fn(&Interface) -> u64;
type OfDevice = fn(&Device) -> u64;

/// Name and help of metrics that the machine has as well.
pub(super) const LAST_SEEN: (&str, &str) =
    ("container_last_seen", "When the container was last seen running, seconds since the epoch.");
pub(super) const START_TIME: (&str, &str) =
    ("container_start_time_seconds", "When the container started, seconds since the epoch.");

/// Metrics of a running container that need no counters.
pub(super) const RUNNING: &[Row<OfContainer>] = &[
    row(LAST_SEEN.0, LAST_SEEN.1, |c| Some(c.now_s)),
    row(START_TIME.0, START_TIME.1, |c| c.facts.started_ns.map(seconds_i64)),
    row("container_creation_time_seconds", "When the container was created, seconds since the epoch.", |c| {
        c.facts.created_ns.map(seconds_i64)
    }),
    row("container_scrape_error", "1 when the container's counters could not be read, else 0.", |c| {
        Some(if c.sample.is_some() { 0.0 } else { 1.0 })
    }),
    row("container_health_state", "Health: 1 healthy, 0 unhealthy, -1 no check or none finished yet.", |c| {
        Some(match c.facts.health.as_ref().map(|h| h.status.as_str()) {
            Some("healthy") => 1.0,
            Some("unhealthy") => 0.0,
            _ => -1.0,
        })
    }),
    row("container_oom_events_total", "Kills of the container's processes for want of memory.", |c| {
        let counted = c.sample.and_then(|s| s.memory.oom_kills).unwrap_or(0);
        Some(float(c.oom_events.max(counted)))
    }),
    row("container_spec_cpu_period", "Length of a CPU scheduler period, microseconds.", |c| {
        Some(float(c.facts.limits.cpu_period_us))
    }),
    row(
        "container_spec_cpu_quota",
        "CPU time allowed per period, microseconds; absent when unlimited.",
        |c| Some(c.facts.limits.cpu_quota_us).filter(|quota| *quota > 0).map(float),
    ),
    row("container_spec_cpu_shares", "Relative CPU weight.", |c| Some(float(c.facts.limits.cpu_shares))),
    row("container_spec_memory_limit_bytes", "Memory limit, 0 for none.", |c| {
        Some(float(c.facts.limits.memory_bytes))
    }),
    row("container_spec_memory_swap_limit_bytes", "Limit of memory and swap together, 0 for none.", |c| {
        Some(float(c.facts.limits.memory_swap_bytes))
    }),
    row("container_spec_memory_reservation_limit_bytes", "Memory reservation, 0 for none.", |c| {
        Some(float(c.facts.limits.memory_reservation_bytes))
    }),
];

/// Metrics read from a container's counters.
pub(super) const COUNTERS: &[Row<OfSample>] = &[
    labelled("container_cpu_usage_seconds_total", "CPU time used, seconds.", &[("cpu", "total")], |s| {
        Some(seconds(s.cpu.usage_ns))
    }),
    row("container_cpu_user_seconds_total", "CPU time used in user mode, seconds.", |s| {
        Some(seconds(s.cpu.user_ns))
    }),
    row("container_cpu_system_seconds_total", "CPU time used in the kernel, seconds.", |s| {
        Some(seconds(s.cpu.system_ns))
    }),
    row("container_cpu_cfs_periods_total", "Scheduler periods run under a quota.", |s| {
        Some(float(s.cpu.periods))
    }),
    row("container_cpu_cfs_throttled_periods_total", "Scheduler periods in which it was throttled.", |s| {
        Some(float(s.cpu.throttled_periods))
    }),
    row("container_cpu_cfs_throttled_seconds_total", "Time it was throttled, seconds.", |s| {
        Some(seconds(s.cpu.throttled_ns))
    }),
    row("container_memory_usage_bytes", "Memory charged, page cache included.", |s| {
        Some(float(s.memory.usage))
    }),
    row("container_memory_working_set_bytes", "Memory usage without inactive file cache.", |s| {
        s.memory.working_set.map(float)
    }),
    row("container_memory_rss", "Anonymous memory, bytes.", |s| s.memory.rss.map(float)),
    row("container_memory_cache", "Page cache, bytes.", |s| s.memory.cache.map(float)),
    row("container_memory_swap", "Swapped out, bytes.", |s| s.memory.swap.map(float)),
    row("container_memory_mapped_file", "Mapped files, bytes.", |s| s.memory.mapped_file.map(float)),
    row("container_memory_max_usage_bytes", "Highest memory usage so far.", |s| {
        s.memory.max_usage.map(float)
    }),
    row("container_memory_failcnt", "How often memory usage hit the limit.", |s| s.memory.failcnt.map(float)),
    row("container_memory_kernel_usage", "Kernel memory, bytes.", |s| s.memory.kernel.map(float)),
    row("container_memory_total_active_file_bytes", "File cache in use lately.", |s| {
        s.memory.active_file.map(float)
    }),
    row("container_memory_total_inactive_file_bytes", "File cache not in use lately.", |s| {
        s.memory.inactive_file.map(float)
    }),
    labelled(
        "container_memory_failures_total",
        "Page faults.",
        &[("failure_type", "pgfault"), ("scope", "hierarchy")],
        |s| s.memory.page_faults.map(float),
    ),
    labelled(
        "container_memory_failures_total",
        "Page faults.",
        &[("failure_type", "pgmajfault"), ("scope", "hierarchy")],
        |s| s.memory.major_page_faults.map(float),
    ),
    row("container_memory_events_high_total", "How often it was throttled over memory.high.", |s| {
        s.memory.high_and_max_events.map(|(high, _)| float(high))
    }),
    row("container_memory_events_max_total", "How often memory usage hit memory.max.", |s| {
        s.memory.high_and_max_events.map(|(_, max)| float(max))
    }),
    row("container_threads", "Tasks: processes and threads.", |s| s.tasks.map(float)),
    row("container_threads_max", "Most tasks allowed, 0 for no limit.", |s| {
        s.tasks.map(|_| float(s.tasks_limit.unwrap_or(0)))
    }),
    row("container_pressure_cpu_waiting_seconds_total", "Time some task waited for a CPU.", |s| {
        s.pressure.map(|p| micros(p.cpu.some_us))
    }),
    row("container_pressure_cpu_stalled_seconds_total", "Time all tasks waited for a CPU.", |s| {
        s.pressure.map(|p| micros(p.cpu.full_us))
    }),
    row("container_pressure_memory_waiting_seconds_total", "Time some task waited for memory.", |s| {
        s.pressure.map(|p| micros(p.memory.some_us))
    }),
    row("container_pressure_memory_stalled_seconds_total", "Time all tasks waited for memory.", |s| {
        s.pressure.map(|p| micros(p.memory.full_us))
    }),
    row("container_pressure_io_waiting_seconds_total", "Time some task waited for input or output.", |s| {
        s.pressure.map(|p| micros(p.io.some_us))
    }),
    row("container_pressure_io_stalled_seconds_total", "Time all tasks waited for input or output.", |s| {
        s.pressure.map(|p| micros(p.io.full_us))
    }),
];

/// Metrics per network interface: label `interface`.
pub(super) const INTERFACES: &[Row<OfInterface>] = &[
    row("container_network_receive_bytes_total", "Bytes received.", |i| i.received.bytes),
    row("container_network_receive_packets_total", "Packets received.", |i| i.received.packets),
    row("container_network_receive_errors_total", "Packets received with errors.", |i| i.received.errors),
    row("container_network_receive_packets_dropped_total", "Received packets dropped.", |i| {
        i.received.dropped
    }),
    row("container_network_transmit_bytes_total", "Bytes sent.", |i| i.sent.bytes),
    row("container_network_transmit_packets_total", "Packets sent.", |i| i.sent.packets),
    row("container_network_transmit_errors_total", "Packets that failed to be sent.", |i| i.sent.errors),
    row("container_network_transmit_packets_dropped_total", "Packets dropped before they were sent.", |i| {
        i.sent.dropped
    }),
];

/// Metrics per block device: label `device`.
pub(super) const DEVICES: &[Row<OfDevice>] = &[
    row("container_fs_reads_bytes_total", "Bytes read from the device.", |d| d.read_bytes),
    row("container_fs_writes_bytes_total", "Bytes written to the device.", |d| d.written_bytes),
    row("container_fs_reads_total", "Read operations on the device.", |d| d.reads),
    row("container_fs_writes_total", "Write operations on the device.", |d| d.writes),
];

/// Metrics per block device and direction: labels `device`, `major`, `minor`, `operation`.
pub(super) const OPERATIONS: &[Row<OfDevice>] = &[
    labelled(
        "container_blkio_device_usage_total",
        "Bytes moved to or from the device.",
        &[("operation", "Read")],
        |d| d.read_bytes,
    ),
    labelled(
        "container_blkio_device_usage_total",
        "Bytes moved to or from the device.",
        &[("operation", "Write")],
        |d| d.written_bytes,
    ),
];

/// Families under construction.
#[derive(Debug, Default)]
pub(crate) struct Families(Vec<MetricFamily>);

impl Families {
    /// Adds one value; a name in `_total` is a counter, every other a gauge.
    pub(crate) fn add(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        let is_counter = name.ends_with("_total");
        let mut pairs: Vec<LabelPair> = labels
            .iter()
            .map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name((*name).to_owned());
                pair.set_value((*value).to_owned());
                pair
            })
            .collect();
        pairs.sort_by(|a, b| a.name().cmp(b.name()));
        let mut metric = Metric::from_label(pairs);
        if is_counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family(name, help, if is_counter { MetricType::COUNTER } else { MetricType::GAUGE })
            .mut_metric()
            .push(metric);
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> &mut MetricFamily {
        let place = match self.0.iter().position(|family| family.name() == name) {
            Some(place) => place,
            None => {
                let mut family = MetricFamily::default();
                family.set_name(name.to_owned());
                family.set_help(help.to_owned());
                family.set_field_type(kind);
                self.0.push(family);
                self.0.len() - 1
            }
        };
        &mut self.0[place]
    }

    /// The families.
    #[must_use]
    pub(crate) fn into_vec(self) -> Vec<MetricFamily> {
        self.0
    }

    /// Adds every series of a running container; `labels` are the labels of all its series, `device_name`
    /// names a block device by its numbers.
    pub(super) fn add_container(
        &mut self,
        subject: &Subject<'_>,
        labels: &[(&str, &str)],
        device_name: &dyn Fn(u64, u64) -> String,
    ) {
        for row in RUNNING {
            if let Some(value) = (row.read)(subject) {
                self.add(row.name, row.help, labels, value);
            }
        }
        if let Some(sample) = subject.sample {
            self.add_counters(sample, labels, device_name);
        }
    }

    /// Adds every series of a sample, also for the root cgroup, which is no container.
    pub(super) fn add_counters(
        &mut self,
        sample: &Sample,
        labels: &[(&str, &str)],
        device_name: &dyn Fn(u64, u64) -> String,
    ) {
        for row in COUNTERS {
            if let Some(value) = (row.read)(sample) {
                self.add(row.name, row.help, &joined(labels, row.labels), value);
            }
        }
        for interface in &sample.interfaces {
            let labels = joined(labels, &[("interface", &interface.name)]);
            for row in INTERFACES {
                self.add(row.name, row.help, &labels, float((row.read)(interface)));
            }
        }
        for device in &sample.devices {
            let name = device_name(device.major, device.minor);
            let labels = joined(labels, &[("device", &name)]);
            for row in DEVICES {
                self.add(row.name, row.help, &labels, float((row.read)(device)));
            }
            let (major, minor) = (device.major.to_string(), device.minor.to_string());
            let labels = joined(&labels, &[("major", &major), ("minor", &minor)]);
            for row in OPERATIONS {
                self.add(row.name, row.help, &joined(&labels, row.labels), float((row.read)(device)));
            }
        }
    }
}

fn joined<'a>(labels: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = labels.to_vec();
    all.extend_from_slice(more);
    all
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
const fn float(value: u64) -> f64 {
    value as f64
}

fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

fn micros(us: u64) -> f64 {
    float(us) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
fn seconds_i64(ns: i64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlimited_is_zero_and_what_is_unknown_is_absent() {
        let facts = Facts::default();
        let sample = Sample::default();
        let subject = Subject { facts: &facts, sample: Some(&sample), now_s: 5.0, oom_events: 2 };
        let mut families = Families::default();
        families.add_container(&subject, &[("id", "/docker/ab"), ("name", "x")], &|_, _| String::new());
        let families = families.into_vec();
        let find = |name: &str| families.iter().find(|f| f.name() == name);
        let value = |name: &str| find(name).map(|f| f.get_metric()[0].get_gauge().get_value());
        assert_eq!(value("container_spec_memory_limit_bytes"), Some(0.0));
        assert_eq!(value("container_spec_cpu_quota"), None);
        assert_eq!(value("container_memory_rss"), None);
        assert_eq!(value("container_health_state"), Some(-1.0));
        let oom = find("container_oom_events_total").unwrap();
        assert_eq!(oom.get_metric()[0].get_counter().get_value(), 2.0);
        assert!(families.iter().flat_map(|f| f.get_metric()).all(|m| m.timestamp_ms() == 0));
    }

    #[test]
    fn interfaces_and_devices_have_labels_of_their_own() {
        let sample = Sample {
            interfaces: vec![Interface { name: "eth0".into(), ..Interface::default() }],
            devices: vec![Device { major: 254, minor: 0, written_bytes: 7, ..Device::default() }],
            ..Sample::default()
        };
        let mut families = Families::default();
        families.add_counters(&sample, &[("id", "/")], &|major, _| format!("/dev/{major}"));
        let families = families.into_vec();
        let labels = |name: &str| {
            let family = families.iter().find(|f| f.name() == name).unwrap();
            let last = family.get_metric().last().unwrap();
            last.get_label()
                .iter()
                .map(|l| format!("{}={}", l.name(), l.value()))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(labels("container_network_receive_bytes_total"), "id=/,interface=eth0");
        assert_eq!(labels("container_fs_writes_bytes_total"), "device=/dev/254,id=/");
        assert_eq!(
            labels("container_blkio_device_usage_total"),
            "device=/dev/254,id=/,major=254,minor=0,operation=Write"
        );
    }
}
