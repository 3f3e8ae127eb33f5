//! Clients that never read, read slowly, vanish, or send half a request, all at once, while lines are pushed. One live
//! tail that behaves sees every line once and in order; afterwards the server has let go of all the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Round;
use super::pushes::{exported, now_ns, number_of, push, start};
use super::table::Row;
use crate::harness::Random;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(90);
/// Lines of one push.
const LINES: u64 = 100;
/// Resident memory that the server may have at the end: what it is built for, and what a debug build takes more.
const MAX_MEMORY: u64 = 512 << 20;

pub(super) fn play(round: &mut Round) -> Row {
    let scratch = tempfile::tempdir().unwrap();
    let server = start(scratch.path(), "query: {max_tails: 400}\n");
    let pushes: u64 = if round.is_short { 60 } else { 200 };
    let (address, pid) = (server.address(), server.pid());
    let before = open_files(pid);
    let is_over = AtomicBool::new(false);
    let good = open_tail(address);
    let (mut vandals, mut held) = (0, Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..pushes {
                let value = |i| [now_ns().to_string(), format!("{:08} of the load", number * LINES + i)];
                let values: Vec<_> = (0..LINES).map(value).collect();
                push(&server, &json!({"streams": [{"stream": {"job": "load"}, "values": values}]}));
                std::thread::sleep(Duration::from_millis(80));
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            held.extend(misbehave(address, &mut round.random));
            vandals += 1;
            std::thread::sleep(Duration::from_millis(round.random.below(60)));
        }
    });
    let mut row = Row::with_harms(vandals);
    judge_tail(good, pushes * LINES, &mut row);
    let stored = exported(&server, "{job=\"load\"}").len() as u64;
    row.lost += (pushes * LINES).saturating_sub(stored);
    row.repeated += stored.saturating_sub(pushes * LINES);
    drop(held);
    let let_go = wait_for(LIMIT, || open_files(pid) <= before + 10);
    assert!(let_go, "{} files are open, {before} at first", open_files(pid));
    let memory = resident_bytes(pid);
    assert!(memory < MAX_MEMORY, "{} MiB of memory", memory >> 20);
    row
}

/// Does one of many things that a client should not do; returns a connection that is left open.
fn misbehave(address: SocketAddr, random: &mut Random) -> Option<TcpStream> {
    let requests = [
        "GET /api/v1/search?query=*&limit=5000",
        "GET /api/v1/tail?query=*",
        "GET /api/v1/export?since=1h",
        "GET /loki/api/v1/query_range?query=%7Bjob%3D%22load%22%7D&limit=5000",
    ];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let request = requests[random.below(4) as usize];
    let (head, tail) = match random.below(6) {
        0 => (format!("{request} HTTP/1.1\r\nHo"), 0),
        1 => (
            "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{\"streams\""
                .to_owned(),
            0,
        ),
        2 => {
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
            let path = "GET /loki/api/v1/tail?query=%7Bjob%3D%22load%22%7D";
            (format!("{path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n"), random.below(400))
        }
        _ => (format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"), random.below(2_000)),
    };
    // The server may have closed it before: that is its right.
    let sent = stream.write_all(head.as_bytes());
    let mut some = vec![0; tail as usize];
    let read = if tail > 0 && sent.is_ok() { stream.read(&mut some) } else { Ok(0) };
    (sent.is_ok() && read.is_ok() && random.below(2) == 0).then_some(stream)
}

fn open_tail(address: SocketAddr) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /api/v1/tail?query=load HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    reader
}

/// Reads the tail up to the last line. It reads late, so that it may be told that it missed some.
fn judge_tail(reader: BufReader<TcpStream>, lines: u64, row: &mut Row) {
    let mut seen = Vec::new();
    let mut skipped = 0;
    for line in reader.lines() {
        let Some(data) = line.unwrap().strip_prefix("data:").map(str::to_owned) else { continue };
        let event: serde_json::Value = serde_json::from_str(&data).unwrap();
        skipped += event["records"].as_u64().unwrap_or(0);
        let Some(text) = event["line"].as_str() else { continue };
        seen.push(number_of(text));
        if seen.last() == Some(&(lines - 1)) {
            break;
        }
    }
    for pair in seen.windows(2) {
        row.repeated += u64::from(pair[1] == pair[0]);
        row.out_of_order += u64::from(pair[1] < pair[0]);
    }
    row.lines += lines;
    row.reported += skipped;
    row.lost += lines.saturating_sub(seen.len() as u64 + skipped);
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
