//! Container metrics under a known load, against the kernel's own files and against `docker stats`.
//!
//! Two servers watch one engine, so that both ways to read counters are compared: one reads cgroup files, the
//! other asks the Docker API alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::binnacle::Server;
use crate::harness::engine::{Engine, Version};
use crate::harness::image::IMAGE;
use crate::harness::site::{disk_of, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const MIB: f64 = 1_048_576.0;
const PAYLOAD_BYTES: f64 = 10.0 * MIB;
/// A throttled loop runs in bursts, of which the second that `docker stats` looks at holds one more or less:
/// only the mean of several is exact.
const DOCKER_READINGS: usize = 8;

/// A container of the load and the main process the kernel knows it by.
struct Loaded {
    name: &'static str,
    pid: String,
}

fn load(engine: &Engine, name: &'static str, arguments: &[&str], script: &str) -> Loaded {
    let run = [&["run", "--detach", "--name", name], arguments, &[IMAGE, "/bin/sh", "-c", script]].concat();
    engine.docker(&run);
    Loaded { name, pid: engine.docker(&["inspect", "--format", "{{.State.Pid}}", name]) }
}

impl Loaded {
    /// A metric of this container, its series added up.
    fn ours(&self, server: &Server, metric: &str) -> f64 {
        server.metric(metric, &format!("name=\"{}\"", self.name))
    }

    /// What this container has printed so far.
    fn says(&self, engine: &Engine, word: &str) -> bool {
        engine.docker(&["logs", self.name]).lines().any(|line| line == word)
    }

    /// The container's cgroup, of version 1 under the given controller.
    fn cgroup(&self, controller: &str) -> PathBuf {
        let membership = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap();
        let root = Path::new("/sys/fs/cgroup");
        for line in membership.lines() {
            let parts: Vec<&str> = line.splitn(3, ':').collect();
            let path = parts[2].trim_start_matches('/');
            if parts[1].is_empty() && is_version_2() {
                return root.join(path);
            }
            if parts[1].split(',').any(|c| c == controller) {
                return root.join(controller).join(path);
            }
        }
        panic!("no controller `{controller}` in {membership}")
    }

    fn cgroup_text(&self, controller: &str, file: &str) -> String {
        let path = self.cgroup(controller).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// CPU time used so far, seconds.
    fn cpu_seconds(&self) -> f64 {
        if is_version_2() {
            return keyed(&self.cgroup_text("cpu", "cpu.stat"), "usage_usec ") / 1e6;
        }
        number(&self.cgroup_text("cpuacct", "cpuacct.usage")) / 1e9
    }

    fn memory_bytes(&self) -> f64 {
        let file = if is_version_2() { "memory.current" } else { "memory.usage_in_bytes" };
        number(&self.cgroup_text("memory", file))
    }

    /// Memory usage without inactive file cache.
    fn working_set_bytes(&self) -> f64 {
        let inactive = if is_version_2() { "inactive_file " } else { "total_inactive_file " };
        self.memory_bytes() - keyed(&self.cgroup_text("memory", "memory.stat"), inactive)
    }

    /// Bytes written to block devices.
    fn written_bytes(&self) -> f64 {
        if is_version_2() {
            let text = self.cgroup_text("io", "io.stat");
            return text.split_whitespace().filter_map(|word| word.strip_prefix("wbytes=")).map(number).sum();
        }
        let text = self.cgroup_text("blkio", "blkio.throttle.io_service_bytes_recursive");
        text.lines().filter_map(|line| Some(number(line.split_once(" Write ")?.1))).sum()
    }

    /// A column of the interface `eth0` in `/proc/net/dev`.
    fn eth0(&self, column: usize) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/net/dev", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        number(line.split_whitespace().nth(column).unwrap())
    }
}

fn is_version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|e| panic!("`{text}`: {e}"))
}

fn keyed(text: &str, name: &str) -> f64 {
    number(text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}")))
}

/// `docker stats --no-stream` of a container: CPU percent, bytes of memory, received, sent and written.
struct DockerStats {
    cpu_percent: f64,
    memory: f64,
    received: f64,
    sent: f64,
    written: f64,
}

fn docker_stats(engine: &Engine, container: &Loaded) -> DockerStats {
    let format = "{{.CPUPerc}};{{.MemUsage}};{{.NetIO}};{{.BlockIO}}";
    let text = engine.docker(&["stats", "--no-stream", "--format", format, container.name]);
    let fields: Vec<&str> = text.split(';').collect();
    let pair = |field: &str| {
        let (first, second) = field.split_once(" / ").unwrap_or_else(|| panic!("docker stats: {text}"));
        (bytes(first), bytes(second))
    };
    let (received, sent) = pair(fields[2]);
    DockerStats {
        cpu_percent: number(fields[0].trim_end_matches('%')),
        memory: pair(fields[1]).0,
        received,
        sent,
        written: pair(fields[3]).1,
    }
}

/// `64.5MiB`, `10.9MB`, `0B`: docker rounds to four digits (binary) or three (decimal).
fn bytes(text: &str) -> f64 {
    let (digits, unit) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap());
    let factor = match unit.trim() {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => MIB,
        "GiB" => 1024.0 * MIB,
        _ => panic!("unknown unit in `{text}`"),
    };
    number(digits) * factor
}

/// Time of all CPUs since boot, in ticks.
struct HostTime {
    all: f64,
    stolen: f64,
}

impl HostTime {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let ticks: Vec<f64> = stat.lines().next().unwrap().split_whitespace().skip(1).map(number).collect();
        Self { all: ticks[..8].iter().sum(), stolen: ticks[7] }
    }

    fn share_not_stolen_since(&self, before: &Self) -> f64 {
        1.0 - (self.stolen - before.stolen) / (self.all - before.all)
    }
}

/// # Panics
/// When `ours` differs from `theirs` by more than `percent` of it.
fn assert_close(what: &str, ours: f64, theirs: f64, percent: f64) {
    let off = (ours - theirs).abs() / theirs * 100.0;
    println!("{what}: ours {ours:.2}, theirs {theirs:.2}, {off:.2} % apart");
    assert!(off <= percent, "{what}: {ours} is not within {percent} % of {theirs}");
}

/// Starts a server that samples every second, from files or from the API.
fn observe(scratch: &Path, engine: &Engine, cgroup_files: bool) -> Server {
    let config = scratch.join("binnacle.yaml");
    let text =
        format!("collect: {{stats: {{period: 1s, disk_period: 10s, cgroup_files: {cgroup_files}}}}}\n");
    std::fs::write(&config, text).unwrap();
    let arguments = ["--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
    let mut server = Server::new("run", scratch, &arguments);
    server.start();
    server.wait_ready();
    server
}

fn figures_agree_with_the_kernel_and_with_docker_stats(version: Version) {
    // An empty name is the engine's own bridge, `docker0`, inside the test's network namespace.
    let engine = Engine::start_with(version, "--bridge=");
    let scratch = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = observe(scratch[0].path(), &engine, true);
    let api = observe(scratch[1].path(), &engine, false);

    let busy = load(&engine, "busy", &["--cpus", "0.5"], "while :; do :; done");
    // `tail` holds its last line, however long.
    let hold = "(busybox head -c 67108864 /dev/zero; echo; echo held >&2; exec busybox sleep 1000) \
                | busybox tail -n 2 | busybox wc -c";
    let full = load(&engine, "full", &["--memory", "256m"], hold);
    let serve = "busybox mkdir /www; busybox head -c 10485760 /dev/zero >/www/load; \
                 exec busybox httpd -f -p 9000 -h /www";
    let sender = load(&engine, "sender", &[], serve);
    let address = engine.docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "sender"]);
    // An HTTP client knows when it has all; direct writes are charged to their cgroup at once.
    let fetch = format!(
        "until busybox wget -q -O /got http://{address}:9000/load; do busybox sleep 0.2; done; \
         busybox wc -c </got; \
         busybox dd if=/dev/zero of=/f bs=1048576 count=10 oflag=direct; echo done; exec busybox sleep 1000"
    );
    let disk = disk_of(&engine.data_root());
    let limit = format!("{}:1gb", disk.display());
    let receiver = load(&engine, "receiver", &["--device-write-bps", &limit], &fetch);
    assert!(wait_for(LIMIT, || receiver.says(&engine, "done")), "{}", engine.docker(&["logs", "receiver"]));
    assert!(receiver.says(&engine, "10485760"), "all bytes arrived");
    let is_held = || full.memory_bytes() >= 64.0 * MIB;
    assert!(wait_for(LIMIT, is_held), "{}", full.memory_bytes());

    for (source, server) in [("cgroup", &files), ("api", &api)] {
        println!("--- read from {source}");
        compare_counters(server, &sender, &receiver);
        compare_memory(server, &engine, &full);
        assert!(server.metric("binnacle_stats_samples_total", &format!("source=\"{source}\"")) > 0.0);
        assert_eq!(busy.ours(server, "container_spec_memory_limit_bytes"), 0.0, "no limit");
        assert_eq!(busy.ours(server, "container_scrape_error"), 0.0);
    }
    let shown = docker_stats(&engine, &receiver);
    let ours = |metric: &str| receiver.ours(&files, metric);
    assert_close("received", ours("container_network_receive_bytes_total"), shown.received, 0.5);
    assert_close("sent", ours("container_network_transmit_bytes_total"), shown.sent, 0.5);
    assert_close("written", ours("container_fs_writes_bytes_total"), shown.written, 0.5);
    compare_cpu(&engine, &busy, [("cgroup", &files), ("api", &api)]);

    engine.docker(&["rm", "--force", "busy"]);
    let is_gone = |server: &Server| !server.get("/metrics").text().contains("name=\"busy\"");
    assert!(wait_for(LIMIT, || is_gone(&files) && is_gone(&api)), "a removed container lingers");
}

/// Counters of containers at rest equal the kernel's, within the time of a few samples.
fn compare_counters(server: &Server, sender: &Loaded, receiver: &Loaded) {
    let equal = |what: &str, ours: &dyn Fn() -> f64, kernel: &dyn Fn() -> f64, at_least: f64| {
        let is_equal = wait_for(LIMIT, || kernel() == ours() && ours() >= at_least);
        println!("{what}: ours {}, the kernel's {}", ours(), kernel());
        assert!(is_equal, "{what} differs: ours {}, the kernel's {}", ours(), kernel());
    };
    let received = || receiver.ours(server, "container_network_receive_bytes_total");
    equal("received", &received, &|| receiver.eth0(0), PAYLOAD_BYTES);
    let sent = || sender.ours(server, "container_network_transmit_bytes_total");
    equal("sent", &sent, &|| sender.eth0(8), PAYLOAD_BYTES);
    let packets = || sender.ours(server, "container_network_transmit_packets_total");
    equal("packets sent", &packets, &|| sender.eth0(9), 1.0);
    let written = || receiver.ours(server, "container_fs_writes_bytes_total");
    equal("written", &written, &|| receiver.written_bytes(), PAYLOAD_BYTES);
    // What it fetched and what it wrote.
    let layer = || receiver.ours(server, "container_fs_usage_bytes");
    let is_measured = wait_for(LIMIT, || layer() >= 2.0 * PAYLOAD_BYTES && layer() < 3.0 * PAYLOAD_BYTES);
    assert!(is_measured, "writable layer: {}", layer());
}

fn compare_memory(server: &Server, engine: &Engine, full: &Loaded) {
    let usage = full.ours(server, "container_memory_usage_bytes");
    assert_close("memory usage", usage, full.memory_bytes(), 1.0);
    let working_set = full.ours(server, "container_memory_working_set_bytes");
    assert_close("working set", working_set, full.working_set_bytes(), 1.0);
    assert_close("working set, docker stats", working_set, docker_stats(engine, full).memory, 1.0);
    assert!(full.ours(server, "container_memory_rss") >= 64.0 * MIB);
    assert_eq!(full.ours(server, "container_spec_memory_limit_bytes"), 256.0 * MIB);
}

/// CPU used in the same window: ours, the kernel's and docker's.
fn compare_cpu(engine: &Engine, busy: &Loaded, servers: [(&str, &Server); 2]) {
    let counter = |server: &Server| busy.ours(server, "container_cpu_usage_seconds_total");
    // A value is as old as the sample it is from; the kernel is asked the moment a new one comes.
    let fresh = |server: &Server| {
        let before = counter(server);
        assert!(wait_for(LIMIT, || counter(server) > before), "the CPU counter stands still");
        (counter(server), busy.cpu_seconds(), Instant::now())
    };
    let first = servers.map(|(_, server)| fresh(server));
    let (host_first, mut docker_percent) = (HostTime::now(), 0.0);
    for _ in 0..DOCKER_READINGS {
        docker_percent += docker_stats(engine, busy).cpu_percent / DOCKER_READINGS as f64;
    }
    // Docker takes the time that the hypervisor gave to others for time that has not passed.
    docker_percent *= HostTime::now().share_not_stolen_since(&host_first);
    for ((source, server), first) in servers.iter().zip(first) {
        let last = fresh(server);
        let ours = last.0 - first.0;
        assert_close(&format!("CPU seconds from {source}"), ours, last.1 - first.1, 5.0);
        let percent = ours / (last.2 - first.2).as_secs_f64() * 100.0;
        assert_close(&format!("CPU percent from {source}, docker stats"), percent, docker_percent, 5.0);
        assert!(last.0 <= last.1, "more CPU time than the kernel counts");
    }
}

on_each_engine!(figures_agree_with_the_kernel_and_with_docker_stats);
