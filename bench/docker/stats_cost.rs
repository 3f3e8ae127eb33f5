//! What watching 50 idle containers costs, at the default period of 10 s: CPU of Binnacle, and CPU that it adds to
//! the engine. `cargo bench --bench stats_cost`
//!
//! The engine is measured alone first, then with Binnacle reading cgroup files, then with Binnacle asking the
//! Docker API for everything. Fails when Binnacle uses more than 1 % of a core.

#![expect(clippy::unwrap_used, reason = "a step that fails here fails the measurement")]
#![expect(clippy::print_stdout, reason = "the figures")]

mod cpu;
#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use the rest of it")]
mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cpu::{cpu_seconds, engine_seconds};
use harness::binnacle::Server;
use harness::engine::{Engine, Version};
use harness::image::IMAGE;
use harness::wait_for;

const CONTAINERS: usize = 50;
/// After the start: listing, inspecting and reading the logs' beginnings.
const SETTLING: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_secs(60);
const LIMIT_PERCENT: f64 = 1.0;

fn main() -> ExitCode {
    let mut passed = true;
    println!("{:<44} {:>12} {:>12}", "% of a core", "Binnacle", "engine");
    for version in [Version::Installed, Version::Newer] {
        let engine = Engine::start(version);
        for i in 0..CONTAINERS {
            let name = format!("idle{i}");
            engine.docker(&[
                "run",
                "-d",
                "--network=none",
                "--name",
                &name,
                IMAGE,
                "/bin/busybox",
                "sleep",
                "1d",
            ]);
        }
        std::thread::sleep(SETTLING);
        println!(
            "{:<44} {:>12} {:>12.2}",
            format!("{version:?} engine, not watched"),
            "",
            measure(&engine, None).1
        );
        for (cgroup_files, way) in [(true, "cgroup files"), (false, "Docker API alone")] {
            let own = watched(&engine, cgroup_files, &format!("{version:?} engine, {way}"));
            passed &= own <= LIMIT_PERCENT;
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts Binnacle with its defaults, measures and prints; returns its share of a core in percent.
fn watched(engine: &Engine, cgroup_files: bool, title: &str) -> f64 {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, format!("collect: {{stats: {{cgroup_files: {cgroup_files}}}}}\n")).unwrap();
    let arguments = ["--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
    let mut server = Server::new("run", scratch.path(), &arguments);
    server.start();
    server.wait_ready();
    let source = if cgroup_files { "source=\"cgroup\"" } else { "source=\"api\"" };
    let sampled = || server.metric("binnacle_stats_samples_total", source) >= CONTAINERS as f64;
    assert!(wait_for(Duration::from_secs(60), sampled), "not all containers are sampled");
    std::thread::sleep(SETTLING);
    let (own, of_engine) = measure(engine, Some(&server));
    println!("{title:<44} {own:>12.2} {of_engine:>12.2}");
    own
}

/// Percent of a core that the server and the engine use.
fn measure(engine: &Engine, server: Option<&Server>) -> (f64, f64) {
    let own_seconds = || server.map_or(0.0, |server| cpu_seconds(&server.pid().to_string()));
    let own_pid = server.map(|server| server.pid().to_string());
    let (own, of_engine, begun) = (own_seconds(), engine_seconds(engine, own_pid.as_deref()), Instant::now());
    std::thread::sleep(MEASURED);
    let percent = |seconds: f64| seconds / begun.elapsed().as_secs_f64() * 100.0;
    (percent(own_seconds() - own), percent(engine_seconds(engine, own_pid.as_deref()) - of_engine))
}
