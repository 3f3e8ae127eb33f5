//! What the system says of processes: CPU time and memory. Linux only.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Clock ticks a second in /proc; 100 on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of this process with all its threads, and of its children that have ended.
pub(crate) fn cpu_seconds() -> Result<(f64, f64)> {
    cpu_seconds_of("self")
}

/// The same of another process, by its id.
pub(crate) fn cpu_seconds_of(process: &str) -> Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(')').context("no name in /proc/PID/stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |i: usize| -> Result<f64> { Ok(fields.get(i).context("short /proc/PID/stat")?.parse()?) };
    Ok(((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, (ticks(13)? + ticks(14)?) / TICKS_PER_SECOND))
}

/// The most memory this process has had, in bytes: all of it, and without mapped files.
pub(crate) fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Bytes of all files under `dir`.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
