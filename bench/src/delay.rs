//! How long lines wait until they are durable: while traces are made of what is stored, while nothing and while heavy
//! queries run.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::server::{Server, load, request};

/// Lines pushed at once, and how often: what a busy host logs.
const BATCH_LINES: usize = 100;
const PUSH_EVERY: Duration = Duration::from_millis(10);
/// How long each part of the measurement takes.
const PHASE: Duration = Duration::from_secs(15);
/// Spans come every second while there are lines to read.
const SETTLED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(900);
/// Clients that ask without a pause; each query uses all threads that it may.
const CLIENTS: usize = 4;
/// Each reads every line.
const HEAVY: [&str; 3] = [
    "topk(10, sum by (path) (count_over_time({host=\"bench\"} | json [1h])))",
    "quantile_over_time(0.99, {host=\"bench\"} | json | unwrap latency_ms [1h]) by (service_name)",
    "sum(count_over_time({host=\"bench\"} |~ `[a-z]+ter [0-9]+x` [1h]))",
];

/// Prints the times of all parts.
pub(crate) fn run(binary: &Path, file: &Path, data: &Path) -> Result<()> {
    load(binary, file, data)?;
    let server = Server::start(binary, "run", data)?;
    println!("| | pushes | median | 99th percentile | longest | queries answered |");
    println!("|---|---|---|---|---|---|");
    tell("traces are made of the stored lines", &push_for(server.address(), PHASE)?, 0);
    wait_for_traces(&server)?;
    tell("no queries", &push_for(server.address(), PHASE)?, 0);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let times = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, stop, answered) = (&server, &stop, &answered);
                scope.spawn(move || -> Result<()> {
                    for query in HEAVY.iter().cycle().skip(client) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        server.ask(
                            "/loki/api/v1/query",
                            &[("query", query), ("time", "2026-11-20T10:59:00Z")],
                        )?;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        let times = push_for(server.address(), PHASE);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("BUG: a client panicked")?;
        }
        times
    })?;
    tell("heavy queries without a pause", &times, answered.load(Ordering::Relaxed));
    Ok(())
}

/// Waits until no spans have been stored for a while: what is stored has been read.
fn wait_for_traces(server: &Server) -> Result<()> {
    let start = Instant::now();
    let (mut stored, mut since) = (0.0, Instant::now());
    while since.elapsed() < SETTLED || stored == 0.0 {
        ensure!(start.elapsed() < PATIENCE, "traces are still being made after {PATIENCE:?}");
        std::thread::sleep(Duration::from_secs(1));
        let now = server.metric("binnacle_traces_spans_total")?;
        if now != stored {
            (stored, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Pushes at a steady pace and gives the time of each until its 204, sorted.
fn push_for(address: SocketAddr, phase: Duration) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < phase {
        let begun = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let values: Vec<_> = (0..BATCH_LINES)
            .map(|i| [(now + i as u128).to_string(), format!("GET /cart/{i} took {} ms", now % 977)])
            .collect();
        let body =
            serde_json::json!({"streams": [{"stream": {"job": "delay"}, "values": values}]}).to_string();
        let head = format!(
            "POST /loki/api/v1/push HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = Instant::now();
        let (status, answer) = request(address, &head, body.as_bytes())?;
        ensure!(status == 204, "push: {status} {}", String::from_utf8_lossy(&answer));
        times.push(sent.elapsed());
        std::thread::sleep(PUSH_EVERY.saturating_sub(begun.elapsed()));
    }
    times.sort_unstable();
    Ok(times)
}

fn tell(name: &str, times: &[Duration], answered: usize) {
    let ms = |i: usize| times.get(i).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    println!(
        "| {name} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {answered} |",
        times.len(),
        ms(times.len() / 2),
        ms(times.len() * 99 / 100),
        ms(times.len().saturating_sub(1))
    );
}
