//! What the system says of processes: CPU time and memory. Linux only.

use std::fs;
use std::ops::{AddAssign, Sub};
use std::path::Path;
use std::time::Duration;

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

/// What threads have spent since they were started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadTime {
    /// With a processor.
    pub(crate) ran: Duration,
    /// Ready to run, without one.
    pub(crate) waited: Duration,
}

impl Sub for ThreadTime {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { ran: self.ran.saturating_sub(before.ran), waited: self.waited.saturating_sub(before.waited) }
    }
}

impl AddAssign for ThreadTime {
    fn add_assign(&mut self, more: Self) {
        self.ran += more.ran;
        self.waited += more.waited;
    }
}

/// The sum over the threads of a process that have this name.
pub(crate) fn thread_time_of(process: u32, name: &str) -> Result<ThreadTime> {
    let mut sum = ThreadTime::default();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        // A thread may end meanwhile.
        let Ok(comm) = fs::read_to_string(thread.join("comm")) else { continue };
        if comm.trim_end() != name {
            continue;
        }
        let stat = fs::read_to_string(thread.join("schedstat"))?;
        let mut fields = stat.split_whitespace().map(|field| field.parse().map(Duration::from_nanos));
        let mut next = || anyhow::Ok(fields.next().context("short /proc/PID/task/TID/schedstat")??);
        sum += ThreadTime { ran: next()?, waited: next()? };
    }
    Ok(sum)
}
