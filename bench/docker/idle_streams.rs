//! 2,000 idle containers and one that logs at full speed: memory stays bounded, and the fast one is not
//! delayed by the idle ones. `cargo bench --bench idle_streams`
//!
//! Two thousand real containers do not fit on a small machine, so a scripted engine plays them
//! (`fake_engine.rs`): once as a recent version, whose logs are followed, once as an old one, which is polled.

#![expect(clippy::unwrap_used, reason = "a step that fails here fails the measurement")]
#![expect(clippy::print_stdout, reason = "the figures")]

mod fake_engine;
#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use the rest of it")]
mod harness;

use std::process::ExitCode;
use std::time::Duration;

use fake_engine::FakeEngine;
use harness::binnacle::Server;
use harness::wait_for;

const IDLE_CONTAINERS: usize = 2_000;
/// As much as dockerd serves of one log (docs/decisions).
const LINES_PER_SECOND: u64 = 100_000;
const MEASURED: Duration = Duration::from_secs(20);
/// Stated in docs/benchmarks.md.
const MEMORY_LIMIT_MIB: f64 = 400.0;
/// Age of the fast container's newest line.
const LAG_LIMIT_SECONDS: f64 = 2.0;

fn main() -> ExitCode {
    let mut passed = true;
    println!("{:<24} {:>12} {:>12} {:>14} {:>12}", "", "resident MiB", "lag, s", "fast lines/s", "CPU s/s");
    for version in ["26.1.5", "20.10.24"] {
        for fast in [0, LINES_PER_SECOND] {
            passed &= measure(version, fast);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(version: &'static str, lines_per_second: u64) -> bool {
    let scratch = tempfile::tempdir().expect("a folder");
    let engine = FakeEngine::start(scratch.path().join("sock"), version, IDLE_CONTAINERS, lines_per_second);
    let server = Server::run(scratch.path(), &engine.host());
    let all_read = || collected(&server, "idle") >= IDLE_CONTAINERS as f64;
    assert!(
        wait_for(Duration::from_secs(120), all_read),
        "{} idle containers were read",
        collected(&server, "idle")
    );

    let (lines_before, cpu_before) = (collected(&server, "fast"), cpu_seconds(&server));
    let mut resident = 0.0_f64;
    for _ in 0..MEASURED.as_secs() {
        std::thread::sleep(Duration::from_secs(1));
        resident = resident.max(resident_mib(&server));
    }
    let seconds = MEASURED.as_secs_f64();
    let cpu = (cpu_seconds(&server) - cpu_before) / seconds;
    let lag = if lines_per_second == 0 { 0.0 } else { lag_seconds(&server) };
    let rate = (collected(&server, "fast") - lines_before) / seconds;
    let name = format!("{version}, {}", if lines_per_second == 0 { "all idle" } else { "one fast" });
    println!("{name:<24} {resident:>12.0} {lag:>12.2} {rate:>14.0} {cpu:>12.2}");
    resident <= MEMORY_LIMIT_MIB && lag <= LAG_LIMIT_SECONDS
}

/// Lines collected so far of the containers whose names begin so.
fn collected(server: &Server, name: &str) -> f64 {
    server.metric("docker_logs_lines_total", &format!("name=\"{name}"))
}

fn lag_seconds(server: &Server) -> f64 {
    let answer = server.get("/api/v1/search?query=container:fast&limit=1&since=1m").json();
    let now = jiff::Timestamp::now();
    let newest = answer["records"][0]["timestamp"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    newest.map_or(f64::INFINITY, |t| now.duration_since(t).as_secs_f64())
}

fn proc_file(server: &Server, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{name}", server.pid())).expect("the server runs")
}

fn resident_mib(server: &Server) -> f64 {
    let status = proc_file(server, "status");
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmRSS") / 1024.0
}

/// User and system time so far; the kernel counts in hundredths of a second.
fn cpu_seconds(server: &Server) -> f64 {
    let stat = proc_file(server, "stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
}
