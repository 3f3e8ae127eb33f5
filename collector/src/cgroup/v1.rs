//! Counters of a cgroup of version 1.
//!
//! User and kernel time come in ticks of 10 ms, throttled time in nanoseconds.

use std::path::Path;

use super::files::{self, Keyed};
use super::paths::V1Paths;
use crate::stats::{Cpu, Device, Memory, Sample};

/// `USER_HZ`: fixed at 100 for user space on every Linux architecture Docker runs on.
const TICK_NS: u64 = 10_000_000;

/// Reads the files; `None` when CPU or memory usage cannot be read.
pub(super) fn read(paths: &V1Paths) -> Option<Sample> {
    let ticks = Keyed::read(&paths.cpuacct, "cpuacct.stat");
    let quota = Keyed::read(&paths.cpu, "cpu.stat");
    let get = |keyed: &Keyed, name| keyed.get(name).unwrap_or(0);
    let mut sample = Sample {
        cpu: Cpu {
            usage_ns: files::number(&paths.cpuacct, "cpuacct.usage")?,
            user_ns: get(&ticks, "user") * TICK_NS,
            system_ns: get(&ticks, "system") * TICK_NS,
            periods: get(&quota, "nr_periods"),
            throttled_periods: get(&quota, "nr_throttled"),
            throttled_ns: get(&quota, "throttled_time"),
        },
        memory: memory(&paths.memory)?,
        ..Sample::default()
    };
    if let Some(dir) = &paths.pids {
        sample.tasks = files::number(dir, "pids.current");
        sample.tasks_limit = files::limit(dir, "pids.max");
    }
    if let Some(dir) = &paths.blkio {
        read_blkio(&mut sample.devices, dir);
    }
    Some(sample)
}

fn memory(dir: &Path) -> Option<Memory> {
    let usage = files::number(dir, "memory.usage_in_bytes")?;
    let stat = Keyed::read(dir, "memory.stat");
    let inactive_file = stat.get("total_inactive_file");
    Some(Memory {
        usage,
        working_set: inactive_file.map(|inactive| Memory::working_set_of(usage, inactive)),
        max_usage: files::number(dir, "memory.max_usage_in_bytes"),
        rss: stat.get("total_rss"),
        cache: stat.get("total_cache"),
        swap: stat.get("total_swap"),
        mapped_file: stat.get("total_mapped_file"),
        active_file: stat.get("total_active_file"),
        inactive_file,
        kernel: files::number(dir, "memory.kmem.usage_in_bytes"),
        failcnt: files::number(dir, "memory.failcnt"),
        page_faults: stat.get("total_pgfault"),
        major_page_faults: stat.get("total_pgmajfault"),
        oom_kills: Keyed::read(dir, "memory.oom_control").get("oom_kill"),
        high_and_max_events: None,
        limit: files::limit(dir, "memory.limit_in_bytes"),
    })
}

/// Adds the counters of the throttling layer, which every request passes whatever the I/O scheduler.
fn read_blkio(devices: &mut Vec<Device>, dir: &Path) {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    for (line, is_bytes) in read("blkio.throttle.io_service_bytes_recursive")
        .lines()
        .map(|line| (line, true))
        .chain(read("blkio.throttle.io_serviced_recursive").lines().map(|line| (line, false)))
    {
        let Some((major, minor, operation, value)) = blkio_line(line) else { continue };
        let field: fn(&mut Device) -> &mut u64 = match (operation, is_bytes) {
            ("Read", true) => |d| &mut d.read_bytes,
            ("Write", true) => |d| &mut d.written_bytes,
            ("Read", false) => |d| &mut d.reads,
            ("Write", false) => |d| &mut d.writes,
            _ => continue,
        };
        *field(Device::entry(devices, major, minor)) = value;
    }
    devices.sort_by_key(|d| (d.major, d.minor));
}

/// `254:0 Read 4096`
fn blkio_line(line: &str) -> Option<(u64, u64, &str, u64)> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, words.next()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_files_of_a_throttled_container_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        write(
            at,
            &[
                ("cpuacct.usage", "2060376783\n"),
                ("cpuacct.stat", "user 204\nsystem 1\n"),
                ("cpu.stat", "nr_periods 41\nnr_throttled 40\nthrottled_time 1958971075\nnr_bursts 0\n"),
                ("memory.usage_in_bytes", "55394304\n"),
                ("memory.max_usage_in_bytes", "60000000\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.failcnt", "0\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
                (
                    "memory.stat",
                    "cache 1\nrss 2\ntotal_cache 100\ntotal_rss 61440\ntotal_inactive_file 53280768\n",
                ),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                (
                    "blkio.throttle.io_service_bytes_recursive",
                    "254:0 Read 4096\n254:0 Write 10485760\n254:0 Sync 1\nTotal 10489856\n",
                ),
                ("blkio.throttle.io_serviced_recursive", "254:0 Read 1\n254:0 Write 10\nTotal 11\n"),
            ],
        );
        let paths = V1Paths {
            cpu: at.into(),
            cpuacct: at.into(),
            memory: at.into(),
            blkio: Some(at.into()),
            pids: Some(at.into()),
        };
        let sample = read(&paths).unwrap();
        assert_eq!(sample.cpu.user_ns, 2_040_000_000);
        assert_eq!(sample.cpu.throttled_ns, 1_958_971_075);
        assert_eq!(sample.memory.working_set, Some(2_113_536));
        assert_eq!((sample.memory.rss, sample.memory.cache), (Some(61_440), Some(100)));
        assert_eq!((sample.memory.limit, sample.memory.oom_kills), (None, Some(3)));
        assert_eq!((sample.tasks, sample.tasks_limit), (Some(3), None));
        let device = Device {
            major: 254,
            minor: 0,
            read_bytes: 4096,
            written_bytes: 10_485_760,
            reads: 1,
            writes: 10,
        };
        assert_eq!(sample.devices, [device]);
        std::fs::remove_file(at.join("cpuacct.usage")).unwrap();
        assert_eq!(read(&paths), None, "the cgroup is gone");
    }
}
