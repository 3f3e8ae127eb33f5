//! Lines that are pushed: thousands of tiny streams over kills, and queries while retention deletes what they read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Round;
use super::kills::BUSY_STORE;
use super::table::Row;
use crate::harness::binnacle::Server;
use crate::harness::{http, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
/// Streams of one body.
const STREAMS_A_BODY: u64 = 250;

/// Each stream gets a line per pass; between some bodies, all of them acknowledged, the server is killed.
pub(super) fn tiny_streams(round: &mut Round) -> Row {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = start(scratch.path(), BUSY_STORE);
    let (bodies, passes) = if round.is_short { (6, 2) } else { (20, 3) };
    let mut kills = 0;
    for pass in 0..passes {
        for body in 0..bodies {
            let streams: Vec<_> = (0..STREAMS_A_BODY)
                .map(|i| {
                    let stream = body * STREAMS_A_BODY + i;
                    let value = [now_ns().to_string(), format!("pass {pass} of stream {stream}")];
                    json!({"stream": {"job": "tiny", "nr": stream.to_string()}, "values": [value]})
                })
                .collect();
            push(&server, &json!({ "streams": streams }));
            if round.random.below(4) == 0 {
                server.kill();
                server.start();
                server.wait_ready();
                kills += 1;
            }
        }
    }
    let mut row = Row::with_harms(kills);
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    for line in exported(&server, "{job=\"tiny\"}") {
        *stored.entry(line).or_default() += 1;
    }
    for stream in 0..bodies * STREAMS_A_BODY {
        for pass in 0..passes {
            let times = stored.remove(&format!("pass {pass} of stream {stream}")).unwrap_or(0);
            row.lines += 1;
            row.lost += u64::from(times == 0);
            row.repeated += times.saturating_sub(1);
        }
    }
    row.undetected += stored.len() as u64;
    row
}

/// Lines over an hour of log time, far more than may stay, are asked for all the while: every answer is one run of
/// numbers without a hole, up to what was acknowledged before it was asked for.
pub(super) fn retention(round: &mut Round) -> Row {
    let scratch = tempfile::tempdir().unwrap();
    let settings = format!("{BUSY_STORE}retention: {{max_bytes: 1MiB}}\n");
    let server = start(scratch.path(), &settings);
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let bodies: u64 = if round.is_short { 80 } else { 240 };
    let is_short = round.is_short;
    let step_ns = 3_000_000_000_000 / (bodies * 200);
    let begun_ns = now_ns() - 3_000_000_000_000;
    let mut row = Row::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for body in 0..bodies {
                let value = |i: u64| {
                    let number = body * 200 + i;
                    // Hardly compressible: what may stay is a small part.
                    let noise: String = (0..60).map(|j| format!("{:016x}", mix(number * 64 + j))).collect();
                    [(begun_ns + number * step_ns).to_string(), format!("{number:08} {noise}")]
                };
                let values: Vec<_> = (0..200).map(value).collect();
                push(&server, &json!({"streams": [{"stream": {"job": "retained"}, "values": values}]}));
                acknowledged.store((body + 1) * 200, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(if is_short { 250 } else { 200 }));
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut answers = 0;
        while !is_over.load(Ordering::SeqCst) {
            let before = acknowledged.load(Ordering::SeqCst);
            let numbers: Vec<u64> =
                exported(&server, "{job=\"retained\"}").iter().map(|line| number_of(line)).collect();
            answers += 1;
            judge(&numbers, before, &mut row);
        }
        row += &Row::with_harms(answers);
    });
    // Retention looks every 15 s.
    let first = || exported(&server, "{job=\"retained\"}").first().map_or(0, |line| number_of(line));
    assert!(wait_for(LIMIT, || first() > 0), "retention has deleted nothing");
    row.lines = bodies * 200;
    row
}

fn judge(numbers: &[u64], before: u64, row: &mut Row) {
    for pair in numbers.windows(2) {
        row.repeated += u64::from(pair[1] == pair[0]);
        row.out_of_order += u64::from(pair[1] < pair[0]);
        row.lost += (pair[1].max(pair[0]) - pair[0]).saturating_sub(1);
    }
    let end = numbers.last().map_or(0, |last| last + 1);
    row.lost += before.saturating_sub(end);
}

/// Spreads numbers over all bits.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// A server that collects from no engine.
pub(super) fn start(scratch: &std::path::Path, settings: &str) -> Server {
    let config = scratch.join("binnacle.yaml");
    std::fs::write(&config, settings).unwrap();
    let config = config.display().to_string();
    let mut server = Server::new("run", scratch, &["--docker-host", "none", "--config", &config]);
    server.start();
    server.wait_ready();
    server
}

pub(super) fn push(server: &Server, body: &serde_json::Value) {
    let answer = http::post_json(server.address(), "/loki/api/v1/push", body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// The lines of a query, oldest first.
pub(super) fn exported(server: &Server, query: &str) -> Vec<String> {
    let output = server.client(&["export", "--since", "1d", query]);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "export: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |record: &str| {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        record["line"].as_str().unwrap().to_owned()
    };
    text.lines().map(line).collect()
}

/// The number that a line begins with.
pub(super) fn number_of(line: &str) -> u64 {
    line.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number: {line}"))
}

pub(super) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}
