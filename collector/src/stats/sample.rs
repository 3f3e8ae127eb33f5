//! One reading of a container's counters, whichever way it was read.
//!
//! Counters are since the container's start; bytes, nanoseconds and counts throughout. `None` means that
//! the source does not say, which is never the same as zero.

/// One reading of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When it was read, nanoseconds since the epoch.
    pub taken_ns: i64,
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Interfaces of its network namespace, without `lo`.
    pub interfaces: Vec<Interface>,
    /// Block devices it has used.
    pub devices: Vec<Device>,
    /// Tasks (processes and threads).
    pub tasks: Option<u64>,
    /// Most tasks it may have; `None` for no limit.
    pub tasks_limit: Option<u64>,
    /// Time lost waiting for a resource (cgroup v2 only).
    pub pressure: Option<Pressure>,
}

/// Processor time and throttling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Time used.
    pub usage_ns: u64,
    /// Of that, in user mode; in 10 ms steps on cgroup v1.
    pub user_ns: u64,
    /// Of that, in the kernel; in 10 ms steps on cgroup v1.
    pub system_ns: u64,
    /// Scheduler periods in which it ran under a quota.
    pub periods: u64,
    /// Of these, those in which it was throttled.
    pub throttled_periods: u64,
    /// Time it was throttled.
    pub throttled_ns: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Charged to the container, page cache included.
    pub usage: u64,
    /// Usage without inactive file cache: what the kernel could not give back cheaply.
    pub working_set: Option<u64>,
    /// Highest usage so far.
    pub max_usage: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Page cache.
    pub cache: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
    /// Mapped files.
    pub mapped_file: Option<u64>,
    /// File cache in use lately.
    pub active_file: Option<u64>,
    /// File cache not in use lately.
    pub inactive_file: Option<u64>,
    /// Kernel memory.
    pub kernel: Option<u64>,
    /// How often usage hit the limit.
    pub failcnt: Option<u64>,
    /// Page faults: minor and major together.
    pub page_faults: Option<u64>,
    /// Page faults that read from disk.
    pub major_page_faults: Option<u64>,
    /// Processes of the container that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
    /// How often it was throttled over `memory.high` and how often it hit `memory.max` (cgroup v2 only).
    pub high_and_max_events: Option<(u64, u64)>,
    /// The limit in force: the container's, or the host's memory.
    pub limit: Option<u64>,
}

impl Memory {
    /// Working set as cAdvisor and the kubelet define it: never below zero.
    #[must_use]
    pub const fn working_set_of(usage: u64, inactive_file: u64) -> u64 {
        usage.saturating_sub(inactive_file)
    }
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name inside the container, such as `eth0`.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

impl Interface {
    /// Whether cAdvisor shows an interface of this name: loopback and the host's ends of container links are not.
    #[must_use]
    pub fn is_shown(name: &str) -> bool {
        !["lo", "veth", "docker", "nerdctl"].iter().any(|prefix| name.starts_with(prefix))
    }
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Packets dropped.
    pub dropped: u64,
}

/// One block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
}

impl Device {
    /// The entry of a device in `devices`, made when missing.
    pub fn entry(devices: &mut Vec<Self>, major: u64, minor: u64) -> &mut Self {
        let place = match devices.iter().position(|d| (d.major, d.minor) == (major, minor)) {
            Some(place) => place,
            None => {
                devices.push(Self { major, minor, ..Self::default() });
                devices.len() - 1
            }
        };
        &mut devices[place]
    }
}

/// Pressure stall information: time tasks waited, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// On a processor.
    pub cpu: Stall,
    /// On memory.
    pub memory: Stall,
    /// On input and output.
    pub io: Stall,
}

/// Time lost to one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Microseconds in which at least one task waited.
    pub some_us: u64,
    /// Microseconds in which all tasks waited.
    pub full_us: u64,
}
