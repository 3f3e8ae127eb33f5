//! Counters of a cgroup of version 2.
//!
//! Times come in microseconds; a controller that is not enabled has no files, which leaves its values out.

use std::path::Path;

use super::files::{self, Keyed};
use crate::stats::{Cpu, Device, Memory, Pressure, Sample, Stall};

/// Reads the files; `None` when CPU or memory usage cannot be read.
pub(super) fn read(dir: &Path) -> Option<Sample> {
    let cpu = Keyed::read(dir, "cpu.stat");
    let usage = cpu.get("usage_usec")?;
    let us = |name| cpu.get(name).unwrap_or(0) * 1000;
    Some(Sample {
        taken_ns: 0,
        cpu: Cpu {
            usage_ns: usage * 1000,
            user_ns: us("user_usec"),
            system_ns: us("system_usec"),
            periods: cpu.get("nr_periods").unwrap_or(0),
            throttled_periods: cpu.get("nr_throttled").unwrap_or(0),
            throttled_ns: us("throttled_usec"),
        },
        memory: memory(dir)?,
        interfaces: Vec::new(),
        devices: devices(&std::fs::read_to_string(dir.join("io.stat")).unwrap_or_default()),
        tasks: files::number(dir, "pids.current"),
        tasks_limit: files::limit(dir, "pids.max"),
        pressure: pressure(dir),
    })
}

fn memory(dir: &Path) -> Option<Memory> {
    let usage = files::number(dir, "memory.current")?;
    let stat = Keyed::read(dir, "memory.stat");
    let events = Keyed::read(dir, "memory.events");
    let inactive_file = stat.get("inactive_file");
    Some(Memory {
        usage,
        working_set: inactive_file.map(|inactive| Memory::working_set_of(usage, inactive)),
        max_usage: files::number(dir, "memory.peak"),
        rss: stat.get("anon"),
        cache: stat.get("file"),
        swap: files::number(dir, "memory.swap.current"),
        mapped_file: stat.get("file_mapped"),
        active_file: stat.get("active_file"),
        inactive_file,
        kernel: stat.get("kernel"),
        failcnt: None,
        page_faults: stat.get("pgfault"),
        major_page_faults: stat.get("pgmajfault"),
        oom_kills: events.get("oom_kill"),
        high_and_max_events: events.get("high").zip(events.get("max")),
        limit: files::limit(dir, "memory.max"),
    })
}

/// `254:0 rbytes=4096 wbytes=10485760 rios=1 wios=10 dbytes=0 dios=0`, one line a device.
fn devices(io_stat: &str) -> Vec<Device> {
    let mut devices = Vec::new();
    for line in io_stat.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(|numbers| numbers.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        let device = Device::entry(&mut devices, major, minor);
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match name {
                "rbytes" => device.read_bytes = value,
                "wbytes" => device.written_bytes = value,
                "rios" => device.reads = value,
                "wios" => device.writes = value,
                _ => {}
            }
        }
    }
    devices.sort_by_key(|d: &Device| (d.major, d.minor));
    devices
}

/// `None` when the kernel keeps no pressure information.
fn pressure(dir: &Path) -> Option<Pressure> {
    Some(Pressure {
        cpu: stall(&Keyed::read(dir, "cpu.pressure"))?,
        memory: stall(&Keyed::read(dir, "memory.pressure"))?,
        io: stall(&Keyed::read(dir, "io.pressure"))?,
    })
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=12` and the same for `full`.
fn stall(file: &Keyed) -> Option<Stall> {
    if file.is_empty() {
        return None;
    }
    Some(Stall { some_us: file.total("some").unwrap_or(0), full_us: file.total("full").unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_container_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 1284961\nuser_usec 882848\nsystem_usec 402113\nnr_periods 5\nnr_throttled 2\n\
                 throttled_usec 1500\nnr_bursts 0\nburst_usec 0\n",
            ),
            ("memory.current", "23105536\n"),
            ("memory.max", "33554432\n"),
            ("memory.swap.current", "0\n"),
            (
                "memory.stat",
                "anon 5111808\nfile 15482880\nkernel 2084864\ninactive_file 14921728\npgfault 3920\n",
            ),
            ("memory.events", "low 0\nhigh 4\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n"),
            ("io.stat", "254:0 rbytes=4096 wbytes=10485760 rios=1 wios=10 dbytes=0 dios=0\n7:0 \n"),
            ("pids.current", "4\n"),
            ("pids.max", "max\n"),
            (
                "cpu.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 total=5\n",
            ),
            ("memory.pressure", "some avg10=0.00 total=2\nfull avg10=0.00 total=1\n"),
            ("io.pressure", "some avg10=0.00 total=3\nfull avg10=0.00 total=2\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let sample = read(dir.path()).unwrap();
        assert_eq!(sample.cpu.usage_ns, 1_284_961_000);
        assert_eq!((sample.cpu.throttled_periods, sample.cpu.throttled_ns), (2, 1_500_000));
        assert_eq!(sample.memory.working_set, Some(23_105_536 - 14_921_728));
        assert_eq!((sample.memory.limit, sample.memory.max_usage), (Some(33_554_432), None));
        assert_eq!((sample.memory.oom_kills, sample.memory.high_and_max_events), (Some(1), Some((4, 7))));
        assert_eq!(sample.devices.last().unwrap().written_bytes, 10_485_760);
        assert_eq!((sample.tasks, sample.tasks_limit), (Some(4), None));
        assert_eq!(sample.pressure.unwrap().cpu, Stall { some_us: 1_500_000, full_us: 5 });
    }

    #[test]
    fn an_empty_directory_has_no_sample() {
        assert_eq!(read(tempfile::tempdir().unwrap().path()), None);
    }
}
