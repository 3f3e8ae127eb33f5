//! Container metrics against what the kernel and `docker stats` say of the same container.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::engine::Version;
use crate::harness::image::IMAGE;
use crate::harness::site::{Site, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const MIB: f64 = 1048576.0;

/// A site that samples every second and whose containers have a network, from files or from the API.
fn open(version: Version, cgroup_files: bool) -> (Site, tempfile::TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    let text = format!("collect:\n  stats:\n    period: 1s\n    cgroup_files: {cgroup_files}\n");
    std::fs::write(&config, text).unwrap();
    // An empty name is the engine's own bridge, `docker0`, in the test's own network namespace.
    let site = Site::open_with(version, "--bridge=", &["--config", &config.to_string_lossy()]);
    (site, scratch)
}

impl Site {
    fn start(&self, name: &str, arguments: &[&str], script: &str) -> String {
        let all =
            [&["run", "--detach", "--name", name], arguments, &[IMAGE, "/bin/sh", "-c", script]].concat();
        self.engine.docker(&all);
        self.engine.docker(&["inspect", "--format", "{{.State.Pid}}", name])
    }

    fn of(&self, metric: &str, name: &str) -> f64 {
        self.server.metric(metric, &format!("name=\"{name}\""))
    }
}

/// A file of the cgroup of `pid`, version 1.
fn cgroup_file(pid: &str, controller: &str, file: &str) -> f64 {
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|c| c == controller).then(|| parts.next()).flatten()
    });
    let path = path.unwrap_or_else(|| panic!("no controller `{controller}` in {membership}"));
    let file = PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}/{file}"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.trim().parse().unwrap()
}

fn figures_agree(version: Version, cgroup_files: bool) {
    let (site, _scratch) = open(version, cgroup_files);
    // Half a CPU; 64 MiB held by a shell; 10 MiB over the network; 10 MiB written past the page cache.
    let load = "while :; do :; done";
    let busy = site.start("busy", &["--cpus", "0.5"], load);
    let hold =
        "x=$(busybox head -c 67108864 /dev/zero | busybox tr '\\0' a); echo held; exec busybox sleep 1000";
    let full = site.start("full", &["--memory", "256m"], hold);
    let sink = site.start("sink", &[], "busybox nc -l -p 9000 >/dev/null; exec busybox sleep 1000");
    let address = site.engine.docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "sink"]);
    let send = format!(
        "busybox sleep 1; busybox head -c 10485760 /dev/zero | busybox nc {address} 9000; \
         busybox dd if=/dev/zero of=/f bs=1048576 count=10 oflag=direct; echo done; exec busybox sleep 1000"
    );
    let source = site.start("source", &[], &send);
    let says = |name: &str, word: &str| site.engine.docker(&["logs", name]).contains(word);
    assert!(wait_for(LIMIT, || says("source", "done") && says("full", "held")));

    let received = "container_network_receive_bytes_total";
    let settled = wait_for(LIMIT, || site.of(received, "sink") >= 10.0 * MIB);
    assert!(settled, "the sink received {}", site.of(received, "sink"));
    std::thread::sleep(Duration::from_secs(5));

    // Counters of containers at rest are equal.
    let eth0 = |pid: &str, column: usize| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:").map(str::to_owned)).unwrap();
        line.split_whitespace().nth(column).unwrap().parse().unwrap()
    };
    assert_eq!(site.of(received, "sink"), eth0(&sink, 0));
    assert_eq!(site.of("container_network_transmit_bytes_total", "source"), eth0(&source, 8));
    assert_eq!(site.of("container_fs_writes_bytes_total", "source"), 10.0 * MIB);
    let memory = cgroup_file(&full, "memory", "memory.usage_in_bytes");
    let ours = site.of("container_memory_usage_bytes", "full");
    assert!((ours - memory).abs() <= memory / 100.0, "{ours} is not within 1 % of {memory}");
    assert!(site.of("container_memory_rss", "full") >= 64.0 * MIB);
    assert_eq!(site.of("container_spec_memory_limit_bytes", "full"), 256.0 * MIB);
    assert_eq!(site.of("container_spec_memory_limit_bytes", "busy"), 0.0);

    // The CPU counter lies between two readings of the kernel's around it, and grows as fast.
    let usage = "container_cpu_usage_seconds_total";
    let kernel = || cgroup_file(&busy, "cpuacct", "cpuacct.usage") / 1e9;
    let (first, first_ours) = (kernel(), site.of(usage, "busy"));
    std::thread::sleep(Duration::from_secs(20));
    let (last_ours, last) = (site.of(usage, "busy"), kernel());
    assert!(first_ours <= last_ours && last_ours <= last, "{first_ours} {last_ours} {last}");
    let (grown, grown_ours) = (last - first, last_ours - first_ours);
    // Each reading of ours is up to one period old.
    println!("CPU in 20 s: kernel {grown:.2} s, ours {grown_ours:.2} s");
    assert!((grown - grown_ours).abs() <= grown * 0.05 + 0.5, "{grown} {grown_ours}");
    let stats =
        site.engine.docker(&["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}}", "busy"]);
    println!("docker stats: {stats}; ours {:.2} %", grown_ours / 20.0 * 100.0);
    assert_eq!(site.of("container_scrape_error", "busy"), 0.0);
    let source = if cgroup_files { "cgroup" } else { "api" };
    assert!(site.server.metric("binnacle_stats_samples_total", &format!("source=\"{source}\"")) > 0.0);

    site.engine.docker(&["rm", "--force", "busy"]);
    assert!(wait_for(LIMIT, || !site.server.get("/metrics").text().contains("name=\"busy\"")), "it lingers");
}

fn figures_from_the_api_agree_with_the_kernel(version: Version) {
    figures_agree(version, false);
}

fn figures_from_files_agree_with_the_kernel(version: Version) {
    figures_agree(version, true);
}

on_each_engine!(figures_from_the_api_agree_with_the_kernel, figures_from_files_agree_with_the_kernel);
