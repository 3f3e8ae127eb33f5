//! How old the newest line of a search answer is, while a container writes 2,000 lines a second: the time
//! from a write to a hit, the search itself included. `cargo bench --bench latency`
//!
//! Fails when the 99th percentile exceeds 250 ms in `run`, or 1.5 s through a separate `serve`.

#![expect(clippy::unwrap_used, reason = "a step that fails here fails the measurement")]
#![expect(clippy::print_stdout, reason = "the figures")]

#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use the rest of it")]
mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::binnacle::Server;
use harness::container::emitter;
use harness::engine::{Engine, Version};

const LINES_PER_SECOND: u32 = 2_000;
/// Left out: the first connection, the first blocks.
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(20);
/// Between two searches: often enough to meet every state of the pipeline.
const PAUSE: Duration = Duration::from_millis(7);

fn main() -> ExitCode {
    let mut passed = true;
    println!("{:<28} {:>8} {:>8} {:>8} {:>8}", "lines to hits, ms", "p50", "p90", "p99", "max");
    for version in [Version::Installed, Version::Newer] {
        let engine = Engine::start(version);
        let scratch = tempfile::tempdir().expect("a folder");
        let server = Server::run(scratch.path(), &engine.host());
        passed &= report(&format!("run, {version:?} engine"), 250.0, &measure(&engine, &server));
    }
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().expect("a folder");
    let mut collect = Server::new("collect", scratch.path(), &["--docker-host", &engine.host()]);
    collect.start();
    collect.wait_ready();
    let mut serve = Server::new("serve", scratch.path(), &[]);
    serve.start();
    serve.wait_ready();
    passed &= report("collect and serve", 1500.0, &measure(&engine, &serve));
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ages of the newest hit in milliseconds, sorted.
fn measure(engine: &Engine, server: &Server) -> Vec<f64> {
    let seconds = (WARM_UP + MEASURED).as_secs() + 5;
    let script = format!("len=200 rate={LINES_PER_SECOND} lines={}", seconds * u64::from(LINES_PER_SECOND));
    emitter("writer", &script).start(engine);
    std::thread::sleep(WARM_UP);
    let begun = Instant::now();
    let mut ages = Vec::new();
    while begun.elapsed() < MEASURED {
        let answer = server.get("/api/v1/search?query=*&limit=1&since=1m").json();
        let now = jiff::Timestamp::now();
        let newest =
            answer["records"][0]["timestamp"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
        ages.push(newest.map_or(f64::INFINITY, |t| now.duration_since(t).as_secs_f64() * 1e3));
        std::thread::sleep(PAUSE);
    }
    ages.sort_by(f64::total_cmp);
    ages
}

fn report(name: &str, limit_ms: f64, ages: &[f64]) -> bool {
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    println!("{name:<28} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", at(0.5), at(0.9), at(0.99), at(1.0));
    at(0.99) <= limit_ms
}
