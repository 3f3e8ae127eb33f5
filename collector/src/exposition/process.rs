//! The process itself: version, memory, processor time, open files.
//!
//! Names are those of every Prometheus client library.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::stats::Families;

/// Name and help.
const BUILD: (&str, &str) = ("binnacle_build_info", "Always 1; the version of this process.");
const CPU: (&str, &str) = ("process_cpu_seconds_total", "CPU time used by this process, seconds.");
const MEMORY: (&str, &str) = ("process_resident_memory_bytes", "Memory of this process that is in RAM.");
const START: (&str, &str) =
    ("process_start_time_seconds", "When this process started, seconds since the epoch.");
const FILES: (&str, &str) = ("process_open_fds", "Open files of this process.");
const MAX_FILES: (&str, &str) = ("process_max_fds", "Most files this process may open.");
const THREADS: (&str, &str) = ("process_threads", "Threads of this process.");

/// `USER_HZ`, in which `/proc/self/stat` counts.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` at each scrape; where there is none, only the version is told.
#[derive(Debug)]
pub(super) struct Process {
    desc: Desc,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self { desc: Desc::new(BUILD.0.to_owned(), BUILD.1.to_owned(), Vec::new(), HashMap::new())? })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        families.add(BUILD.0, BUILD.1, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let figures = [
            (CPU, cpu_seconds(&stat)),
            (START, start_seconds(&stat)),
            (THREADS, stat_field(&stat, 19)),
            (MEMORY, resident_bytes()),
            (FILES, open_files()),
            (MAX_FILES, max_files()),
        ];
        for ((name, help), value) in figures {
            if let Some(value) = value {
                families.add(name, help, &[], value);
            }
        }
        families.into_vec()
    }
}

/// The field of this place in `proc(5)`, counted from 0, from the third on: the name before it may hold blanks.
fn stat_field(stat: &str, place: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(place.checked_sub(2)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 13)? + stat_field(stat, 14)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are few")]
    let booted = crate::stats::boot_time_s()? as f64;
    Some(booted + stat_field(stat, 21)? / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

fn max_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_field() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 7 0 600 1 2";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!((stat_field(stat, 19), stat_field(stat, 21)), (Some(7.0), Some(600.0)));
        assert_eq!(cpu_seconds("12 (x"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let families = Process::new().unwrap().collect();
        let names: Vec<&str> = families.iter().map(MetricFamily::name).collect();
        assert_eq!(names.len(), 7, "{names:?}");
    }
}
