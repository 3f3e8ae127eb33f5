//! A sample from the answer of `GET /containers/{id}/stats?stream=false&one-shot=true`.
//!
//! The answer mirrors the cgroup version of the host: v1 has `total_*` keys and per-cpu usage, v2 has
//! neither. A container that is not running answers with an empty object and the year 1, which must
//! never be taken for counters that went back to zero.

use std::collections::HashMap;

use bollard::models::{ContainerBlkioStatEntry, ContainerMemoryStats, ContainerStatsResponse};

use super::sample::{Cpu, Device, Interface, Memory, Sample, Traffic};

/// Reads an answer; `None` when the container was not running.
#[must_use]
pub(super) fn sample_of(
    answer: &ContainerStatsResponse,
    taken_ns: i64,
    shares_network: bool,
) -> Option<Sample> {
    let read = answer.read.as_ref().map(ToString::to_string).unwrap_or_default();
    let cpu = answer.cpu_stats.as_ref()?;
    let usage = cpu.cpu_usage.as_ref()?;
    if read.is_empty() || read.starts_with("0001-01-01") {
        return None;
    }
    let throttling = cpu.throttling_data.as_ref();
    let mut sample = Sample {
        taken_ns,
        cpu: Cpu {
            usage_ns: usage.total_usage.unwrap_or(0),
            user_ns: usage.usage_in_usermode.unwrap_or(0),
            system_ns: usage.usage_in_kernelmode.unwrap_or(0),
            periods: throttling.and_then(|t| t.periods).unwrap_or(0),
            throttled_periods: throttling.and_then(|t| t.throttled_periods).unwrap_or(0),
            throttled_ns: throttling.and_then(|t| t.throttled_time).unwrap_or(0),
        },
        memory: answer.memory_stats.as_ref().map(memory_of).unwrap_or_default(),
        tasks: answer.pids_stats.as_ref().and_then(|p| p.current),
        // Engines differ in how they say "no limit": absent, 0, or all bits set.
        tasks_limit: answer.pids_stats.as_ref().and_then(|p| p.limit).filter(|l| (1..u64::MAX).contains(l)),
        ..Sample::default()
    };
    if !shares_network {
        sample.interfaces = interfaces_of(answer);
    }
    if let Some(io) = &answer.blkio_stats {
        let bytes = io.io_service_bytes_recursive.as_deref().unwrap_or_default();
        let operations = io.io_serviced_recursive.as_deref().unwrap_or_default();
        add_entries(&mut sample.devices, bytes, |d| (&mut d.read_bytes, &mut d.written_bytes));
        add_entries(&mut sample.devices, operations, |d| (&mut d.reads, &mut d.writes));
        sample.devices.sort_by_key(|d| (d.major, d.minor));
    }
    Some(sample)
}

fn memory_of(stats: &ContainerMemoryStats) -> Memory {
    let none = HashMap::new();
    let detail = stats.stats.as_ref().unwrap_or(&none);
    let get = |v1: &str, v2: &str| detail.get(v1).or_else(|| detail.get(v2)).copied();
    let usage = stats.usage.unwrap_or(0);
    let inactive_file = get("total_inactive_file", "inactive_file");
    Memory {
        usage,
        working_set: inactive_file.map(|inactive| Memory::working_set_of(usage, inactive)),
        max_usage: stats.max_usage.filter(|max| *max > 0),
        rss: get("total_rss", "anon"),
        cache: get("total_cache", "file"),
        swap: get("total_swap", "swap"),
        mapped_file: get("total_mapped_file", "file_mapped"),
        active_file: get("total_active_file", "active_file"),
        inactive_file,
        kernel: None,
        // v1 leaves the counter out while it is zero; v2 has no such counter.
        failcnt: if detail.contains_key("total_rss") { Some(stats.failcnt.unwrap_or(0)) } else { None },
        page_faults: get("total_pgfault", "pgfault"),
        major_page_faults: get("total_pgmajfault", "pgmajfault"),
        oom_kills: None,
        high_and_max_events: None,
        limit: stats.limit,
    }
}

fn interfaces_of(answer: &ContainerStatsResponse) -> Vec<Interface> {
    let mut interfaces = Vec::new();
    for (name, stats) in answer.networks.iter().flatten() {
        if !Interface::is_shown(name) {
            continue;
        }
        interfaces.push(Interface {
            name: name.clone(),
            received: Traffic {
                bytes: stats.rx_bytes.unwrap_or(0),
                packets: stats.rx_packets.unwrap_or(0),
                errors: stats.rx_errors.unwrap_or(0),
                dropped: stats.rx_dropped.unwrap_or(0),
            },
            sent: Traffic {
                bytes: stats.tx_bytes.unwrap_or(0),
                packets: stats.tx_packets.unwrap_or(0),
                errors: stats.tx_errors.unwrap_or(0),
                dropped: stats.tx_dropped.unwrap_or(0),
            },
        });
    }
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

/// Adds `Read` and `Write` entries (v1 spelling; v2 writes them small) and ignores the sums beside them.
fn add_entries(
    devices: &mut Vec<Device>,
    entries: &[ContainerBlkioStatEntry],
    fields: fn(&mut Device) -> (&mut u64, &mut u64),
) {
    for entry in entries {
        let (Some(major), Some(minor), Some(op)) = (entry.major, entry.minor, entry.op.as_deref()) else {
            continue;
        };
        let value = entry.value.unwrap_or(0);
        let is_read = op.eq_ignore_ascii_case("read");
        if !is_read && !op.eq_ignore_ascii_case("write") {
            continue;
        }
        let (read, write) = fields(Device::entry(devices, major, minor));
        let field = if is_read { read } else { write };
        *field = field.saturating_add(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fixture: &str) -> Option<Sample> {
        sample_of(&serde_json::from_str(fixture).unwrap(), 1, false)
    }

    #[test]
    fn an_answer_of_a_cgroup_v1_host_is_read() {
        let sample = read(include_str!("fixtures/cgroup-v1.json")).unwrap();
        assert_eq!(
            sample.cpu,
            Cpu {
                usage_ns: 2_060_376_783,
                user_ns: 2_040_000_000,
                system_ns: 10_000_000,
                periods: 41,
                throttled_periods: 40,
                throttled_ns: 1_958_971_075,
            }
        );
        assert_eq!(sample.memory.usage, 55_394_304);
        assert_eq!(sample.memory.working_set, Some(55_394_304 - 53_280_768));
        assert_eq!(sample.memory.failcnt, Some(0));
        assert_eq!(sample.memory.rss, Some(61_440));
        assert_eq!(sample.memory.swap, None, "the v1 answer does not tell");
        assert_eq!((sample.tasks, sample.tasks_limit), (Some(1), Some(50)));
        assert_eq!(sample.interfaces.len(), 1, "docker0 and lo are not the container's traffic");
        assert_eq!(sample.interfaces[0].received.bytes, 900);
        assert_eq!(
            sample.devices,
            [Device {
                major: 254,
                minor: 0,
                read_bytes: 4096,
                written_bytes: 10_485_760,
                reads: 1,
                writes: 10
            }]
        );
    }

    #[test]
    fn an_answer_of_a_cgroup_v2_host_is_read() {
        let sample = read(include_str!("fixtures/cgroup-v2.json")).unwrap();
        assert_eq!(sample.cpu.usage_ns, 1_284_961_000);
        assert_eq!(sample.memory.working_set, Some(23_105_536 - 14_921_728));
        assert_eq!((sample.memory.rss, sample.memory.cache), (Some(5_111_808), Some(15_482_880)));
        assert_eq!((sample.memory.max_usage, sample.memory.failcnt), (None, None));
        assert_eq!(sample.tasks_limit, None, "all bits set means no limit");
        assert_eq!(
            sample.devices,
            [Device {
                major: 259,
                minor: 0,
                read_bytes: 14_512_128,
                written_bytes: 40_960,
                ..Device::default()
            }]
        );
    }

    #[test]
    fn a_container_that_is_not_running_has_no_sample() {
        assert_eq!(
            read(r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}}}"#),
            None
        );
        assert_eq!(read("{}"), None);
    }

    #[test]
    fn a_shared_network_is_counted_where_it_belongs() {
        let answer = serde_json::from_str(include_str!("fixtures/cgroup-v1.json")).unwrap();
        assert!(sample_of(&answer, 1, true).unwrap().interfaces.is_empty());
    }

    #[test]
    fn inactive_file_above_usage_gives_a_working_set_of_zero() {
        let answer = r#"{"read":"2026-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":1}},
            "memory_stats":{"usage":10,"stats":{"inactive_file":11,"anon":1}}}"#;
        assert_eq!(read(answer).unwrap().memory.working_set, Some(0));
    }
}
