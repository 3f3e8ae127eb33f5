//! What it costs to collect a busy container's lines through the API and from Docker's files, and up to which rate
//! each keeps up. `cargo bench --bench log_sources`
//!
//! Each round a container writes lines of 200 bytes at a rate for some seconds. What the engine spends on writing
//! them is measured first, without Binnacle. Fails when a line is missing, or files cost more CPU in all.

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
use harness::container::emitter;
use harness::engine::{Engine, Version};
use harness::wait_for;

/// Lines a second; 0 is as fast as the engine takes them.
const RATES: [u32; 4] = [5_000, 20_000, 40_000, 0];
const SECONDS: u32 = 12;
/// Lines of the round without a rate.
const UNLIMITED: u32 = 800_000;
const LIMIT: Duration = Duration::from_secs(180);

/// How lines are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nobody,
    Api,
    Files,
}

/// What a round took.
struct Cost {
    lines_per_second: f64,
    own_micros: f64,
    engine_micros: f64,
    /// From the end of the container until its last line was stored.
    behind: Duration,
}

fn main() -> ExitCode {
    let mut passed = true;
    println!("{:<34} {:>10} {:>14} {:>14} {:>10}", "", "lines/s", "Binnacle us", "engine us", "behind ms");
    for version in [Version::Installed, Version::Newer] {
        for rate in RATES {
            let [_, api, files] = [Way::Nobody, Way::Api, Way::Files].map(|way| {
                let cost = round(version, rate, way);
                println!(
                    "{:<34} {:>10.0} {:>14.1} {:>14.1} {:>10.0}",
                    format!("{version:?} engine, {rate}/s, {way:?}"),
                    cost.lines_per_second,
                    cost.own_micros,
                    cost.engine_micros,
                    cost.behind.as_secs_f64() * 1e3,
                );
                cost
            });
            passed &= files.own_micros + files.engine_micros <= api.own_micros + api.engine_micros;
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn round(version: Version, rate: u32, way: Way) -> Cost {
    let engine = Engine::start(version);
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, format!("collect: {{read_files: {}}}\n", way == Way::Files)).unwrap();
    let arguments = ["--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
    let mut server = (way != Way::Nobody).then(|| Server::new("run", scratch.path(), &arguments));
    if let Some(server) = &mut server {
        server.start();
        server.wait_ready();
    }
    let own_pid = server.as_ref().map(|server| server.pid().to_string());
    let own_seconds = || own_pid.as_deref().map_or(0.0, cpu_seconds);
    let lines = if rate == 0 { UNLIMITED } else { rate * SECONDS };
    let (own, of_engine, begun) =
        (own_seconds(), engine_seconds(&engine, own_pid.as_deref()), Instant::now());
    let container = emitter("writer", &format!("len=200 rate={rate} lines={lines}")).start(&engine);
    container.wait_exited(LIMIT);
    let ended = Instant::now();
    let stored = || {
        server.as_ref().is_none_or(|server| {
            server.metric("docker_logs_lines_total", "name=\"writer\"") >= f64::from(lines)
        })
    };
    assert!(wait_for(LIMIT, stored), "lines are missing");
    let per_line = |seconds: f64| seconds / f64::from(lines) * 1e6;
    Cost {
        lines_per_second: f64::from(lines) / (ended - begun).as_secs_f64(),
        own_micros: per_line(own_seconds() - own),
        engine_micros: per_line(engine_seconds(&engine, own_pid.as_deref()) - of_engine),
        behind: ended.elapsed(),
    }
}
