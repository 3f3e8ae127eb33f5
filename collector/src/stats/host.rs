//! The machine under the containers: the series with `id="/"`, and what dashboards divide by.
//!
//! Read from `/proc`, which shows the host's processors, memory and disks even inside a container. The
//! host's network, and how full its disk is, are only visible from outside of one.

use std::path::{Path, PathBuf};

use super::sample::{Cpu, Device, Memory, Sample};
use crate::cgroup::net_dev_interfaces;

/// `USER_HZ` in nanoseconds; `/proc/stat` counts in it.
const TICK_NS: u64 = 10_000_000;
/// `/proc/diskstats` counts in sectors of this size whatever the device's own.
const SECTOR_BYTES: u64 = 512;

/// What the engine tells about itself and its machine, from `GET /info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) cpus: u64,
    pub(super) memory_bytes: u64,
    pub(super) kernel_version: String,
    pub(super) os_version: String,
    pub(super) docker_version: String,
    /// Whether cgroups are made by systemd, which names them `docker-<id>.scope`.
    pub(super) systemd_cgroups: bool,
    /// Where the engine keeps images and containers.
    pub(super) docker_root: PathBuf,
}

impl Machine {
    /// Whether the engine runs on the kernel this process sees; if not, `/proc` tells about another machine.
    pub(super) fn is_here(&self, proc: &Path) -> bool {
        let release = std::fs::read_to_string(proc.join("sys/kernel/osrelease")).unwrap_or_default();
        let memory = meminfo(&read(proc, "meminfo"), "MemTotal");
        release.trim() == self.kernel_version && memory == Some(self.memory_bytes)
    }
}

/// The host as a sample; `None` when `/proc` cannot be read.
pub(super) fn read_host(proc: &Path, taken_ns: i64) -> Option<Sample> {
    let meminfo_text = read(proc, "meminfo");
    let mut sample = Sample {
        taken_ns,
        cpu: cpu(&read(proc, "stat"))?,
        memory: memory(&meminfo_text)?,
        devices: disks(&read(proc, "diskstats")).into_iter().map(|(device, _)| device).collect(),
        tasks: tasks(&read(proc, "loadavg")),
        ..Sample::default()
    };
    if sees_host_processes(proc) {
        sample.interfaces = net_dev_interfaces(&read(proc, "1/net/dev"));
    }
    Some(sample)
}

/// Whether process 1 is the host's: this process lives in the first namespace of processes, whose number every
/// kernel fixes.
fn sees_host_processes(proc: &Path) -> bool {
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link(proc.join("self/ns/pid")).is_ok_and(|namespace| namespace == Path::new(FIRST))
}

/// The disk that holds the engine's images and containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// Its numbers (major, minor).
    pub(super) device: (u64, u64),
    /// Its size, bytes.
    pub(super) bytes: u64,
    /// Of these, in use.
    pub(super) used_bytes: u64,
}

/// The disk under `docker_root`; `None` when that folder cannot be seen from here. Blocking.
pub(super) fn read_disk(docker_root: &Path, proc: &Path) -> Option<Disk> {
    // The same path inside a container would be another folder.
    if !docker_root.is_absolute() || !sees_host_processes(proc) {
        return None;
    }
    let (space, stat) = (rustix::fs::statvfs(docker_root).ok()?, rustix::fs::stat(docker_root).ok()?);
    let device = (rustix::fs::major(stat.st_dev).into(), rustix::fs::minor(stat.st_dev).into());
    let bytes = space.f_blocks.saturating_mul(space.f_frsize);
    let free_bytes = space.f_bfree.saturating_mul(space.f_frsize);
    Some(Disk { device, bytes, used_bytes: bytes.saturating_sub(free_bytes) })
}

/// When the host booted, seconds since the epoch.
pub(crate) fn boot_time_s() -> Option<u64> {
    read(Path::new("/proc"), "stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Swap space of the host.
pub(super) fn swap_bytes(proc: &Path) -> Option<u64> {
    meminfo(&read(proc, "meminfo"), "SwapTotal")
}

/// Names of block devices by (major, minor), such as `/dev/vda`.
pub(super) fn device_names(proc: &Path) -> Vec<((u64, u64), String)> {
    let mut names = Vec::new();
    for line in read(proc, "diskstats").lines() {
        if let Some((device, name)) = disk(line) {
            names.push(((device.major, device.minor), format!("/dev/{name}")));
        }
    }
    names
}

fn read(proc: &Path, file: &str) -> String {
    std::fs::read_to_string(proc.join(file)).unwrap_or_default()
}

/// First line: `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guest time is in user.
fn cpu(stat: &str) -> Option<Cpu> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    let get = |i: usize| ticks.get(i).copied().unwrap_or(0) * TICK_NS;
    let (user_ns, system_ns) = (get(0) + get(1), get(2) + get(5) + get(6));
    Some(Cpu { usage_ns: user_ns + system_ns, user_ns, system_ns, ..Cpu::default() })
}

/// As runc reads the root cgroup of version 2: used is what is not free, cache included.
fn memory(text: &str) -> Option<Memory> {
    let get = |name| meminfo(text, name);
    let usage = get("MemTotal")?.saturating_sub(get("MemFree")?);
    let inactive_file = get("Inactive(file)");
    Some(Memory {
        usage,
        working_set: inactive_file.map(|inactive| Memory::working_set_of(usage, inactive)),
        rss: get("AnonPages"),
        cache: get("Cached").zip(get("Buffers")).map(|(cached, buffers)| cached + buffers),
        swap: get("SwapTotal").zip(get("SwapFree")).map(|(total, free)| total.saturating_sub(free)),
        mapped_file: get("Mapped"),
        active_file: get("Active(file)"),
        inactive_file,
        limit: get("MemTotal"),
        ..Memory::default()
    })
}

/// `MemTotal:       24644160 kB`
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Fourth word: `running/all`.
fn tasks(loadavg: &str) -> Option<u64> {
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// Whole disks: neither partitions (of which the disk is the sum) nor loop and RAM devices.
fn disks(diskstats: &str) -> Vec<(Device, String)> {
    let all: Vec<(Device, String)> =
        diskstats.lines().filter_map(disk).map(|(device, name)| (device, name.to_owned())).collect();
    let is_partition = |name: &str| {
        all.iter().any(|(_, disk)| {
            name.strip_prefix(disk.as_str())
                .map(|rest| rest.strip_prefix('p').unwrap_or(rest))
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let is_virtual = |name: &str| ["loop", "ram", "zram"].iter().any(|prefix| name.starts_with(prefix));
    all.iter().filter(|(_, name)| !is_virtual(name) && !is_partition(name)).cloned().collect()
}

/// `major minor name reads merged sectors ms writes merged sectors ms ...`
fn disk(line: &str) -> Option<(Device, &str)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |i: usize| words.get(i)?.parse::<u64>().ok();
    let device = Device {
        major: number(0)?,
        minor: number(1)?,
        reads: number(3)?,
        read_bytes: number(5)?.saturating_mul(SECTOR_BYTES),
        writes: number(7)?,
        written_bytes: number(9)?.saturating_mul(SECTOR_BYTES),
    };
    Some((device, words.get(2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_counts_guests_once_and_idle_never() {
        let cpu = cpu("cpu  100 20 30 4000 50 6 7 8 90 1\ncpu0 1 1\nbtime 5\n").unwrap();
        assert_eq!((cpu.user_ns, cpu.system_ns), (1_200_000_000, 430_000_000));
        assert_eq!(cpu.usage_ns, 1_630_000_000);
    }

    #[test]
    fn memory_in_use_is_what_is_not_free() {
        let text = "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 10 kB\nCached: 200 kB\nSwapTotal: 50 kB\n\
                    SwapFree: 20 kB\nInactive(file): 100 kB\nAnonPages: 400 kB\n";
        let memory = memory(text).unwrap();
        assert_eq!(memory.usage, 700 * 1024);
        assert_eq!(memory.working_set, Some(600 * 1024));
        assert_eq!((memory.cache, memory.swap), (Some(210 * 1024), Some(30 * 1024)));
        assert_eq!(memory.rss, Some(400 * 1024));
    }

    #[test]
    fn partitions_and_loop_devices_are_no_disks() {
        let line =
            |major: u32, minor: u32, name: &str| format!("{major} {minor} {name} 1 0 8 0 2 0 16 0 0 0 0");
        let text = [
            line(254, 0, "vda"),
            line(254, 1, "vda1"),
            line(259, 0, "nvme0n1"),
            line(259, 1, "nvme0n1p2"),
            line(7, 0, "loop0"),
            "garbage".to_owned(),
        ]
        .join("\n");
        let found = disks(&text);
        assert_eq!(found.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["vda", "nvme0n1"]);
        assert_eq!((found[0].0.read_bytes, found[0].0.written_bytes), (4096, 8192));
    }

    #[test]
    fn this_machine_can_be_read() {
        let sample = read_host(Path::new("/proc"), 1).unwrap();
        assert!(sample.cpu.usage_ns > 0 && sample.memory.usage > 0 && sample.tasks.is_some_and(|n| n > 0));
        assert!(boot_time_s().is_some_and(|t| t > 1_500_000_000));
    }

    #[test]
    fn the_disk_is_that_of_the_folder_where_processes_are_the_hosts() {
        let proc = tempfile::tempdir().unwrap();
        let namespaces = proc.path().join("self/ns");
        std::fs::create_dir_all(&namespaces).unwrap();
        let namespace = namespaces.join("pid");
        std::os::unix::fs::symlink("pid:[4026532999]", &namespace).unwrap();
        assert_eq!(read_disk(Path::new("/"), proc.path()), None, "a container's own `/`");
        std::fs::remove_file(&namespace).unwrap();
        std::os::unix::fs::symlink("pid:[4026531836]", &namespace).unwrap();
        let disk = read_disk(Path::new("/"), proc.path()).unwrap();
        assert!(disk.bytes > 0 && disk.used_bytes <= disk.bytes);
        assert_eq!(read_disk(Path::new("/no/such/folder"), proc.path()), None);
        assert_eq!(read_disk(Path::new(""), proc.path()), None, "the engine does not tell");
    }
}
