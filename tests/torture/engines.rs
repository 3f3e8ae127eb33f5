//! Containers by the hundred, made and removed by twenty a second, and an engine that is restarted under them: in turns
//! with and without `live-restore`, by SIGTERM and by `kill -9`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Round;
use super::table::Row;
use crate::harness::container::{Container, emitter};
use crate::harness::engine::Engine;
use crate::harness::image::IMAGE;
use crate::harness::ledger::{Expected, Ledger, settle};
use crate::harness::site::Site;

const LIMIT: Duration = Duration::from_secs(120);
/// Containers made and removed a second; few of them are started: that takes an engine a quarter of a second of a core
/// (`bench/engine-churn`).
const MADE_A_SECOND: u32 = 20;
/// Clients that do so at once: an engine keeps each waiting.
const CLIENTS: usize = 8;

/// Many noisy containers at once, while others come and go.
pub(super) fn crowd(round: &mut Round) -> Row {
    let site = Site::open(round.version);
    let (noisy, seconds) = if round.is_short { (15, 5) } else { (100, 15) };
    let noisy: Vec<Container<'_>> = (0..noisy)
        .map(|i| emitter(&format!("noisy-{i}"), "sleep=0.2 len=150 rate=150 lines=1200").start(&site.engine))
        .collect();
    let (passing, next) = (Mutex::new(Vec::new()), AtomicU32::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MADE_A_SECOND * seconds {
                        return;
                    }
                    let due = Duration::from_secs(1) / MADE_A_SECOND * number;
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    come_and_go(&site.engine, number, &passing);
                }
            });
        }
    });
    let rate = f64::from(MADE_A_SECOND * seconds) / begun.elapsed().as_secs_f64();
    noisy.iter().for_each(|container| container.wait_exited(LIMIT));
    let passing = passing.into_inner().unwrap();
    let mut expected: Vec<Expected> = noisy.iter().map(|container| Expected::of(container, 1)).collect();
    expected.extend(passing.iter().map(|container| Expected::gone(container, 1)));
    let (verdicts, gaps) = settle(&site.server, &expected, LIMIT);
    println!("    {rate:.0} containers a second were made and removed");
    let mut row = Row::with_harms(u64::from(MADE_A_SECOND * seconds));
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));
    // Nothing can be missing of a container that never ran.
    row.undetected += gaps.iter().filter(|gap| gap.name.starts_with("never-started")).count() as u64;
    row
}

/// One of ten is started, and half of those are removed while they run or later, read or not.
fn come_and_go<'a>(engine: &'a Engine, number: u32, passing: &Mutex<Vec<Container<'a>>>) {
    if number.is_multiple_of(10) {
        let container = emitter(&format!("passing-{number}"), "lines=50 sleep=0.05").start(engine);
        passing.lock().unwrap().push(container);
        return;
    }
    let name = format!("never-started-{number}");
    create(&engine.socket(), &name);
    assert!(matches!(ask(&engine.socket(), "DELETE", &format!("/containers/{name}"), ""), 204));
    if number % 20 == 15 {
        let removed = passing.lock().unwrap().last().map(|container| container.name.clone());
        if let Some(removed) = removed {
            // Another client may be at it already.
            let status = ask(&engine.socket(), "DELETE", &format!("/containers/{removed}?force=1"), "");
            assert!(matches!(status, 204 | 404 | 409), "{status}");
        }
    }
}

fn create(socket: &Path, name: &str) {
    let body =
        format!(r#"{{"Image":"{IMAGE}","Cmd":["/bin/emit","{name}","lines=1"],"NetworkDisabled":true}}"#);
    assert_eq!(ask(socket, "POST", &format!("/containers/create?name={name}"), &body), 201);
}

/// The status of an answer of the engine's.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> u16 {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = answer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&answer)))
}

/// The engine ends and comes back; containers outlive it where `live-restore` is set.
pub(super) fn restarts(round: &mut Round) -> Row {
    let lives_on = round.random.below(2) == 0;
    let flags = if lives_on { "--live-restore" } else { "" };
    let mut site = Site::open_with(round.version, flags, &[]);
    let containers = [
        emitter("steady", "len=150 rate=500 lines=60000").with("--restart always").start(&site.engine),
        emitter("both-streams", "rate=200 lines=60000")
            .and("to=err rate=200 lines=60000")
            .with("--restart always --log-driver local")
            .start(&site.engine),
    ];
    let restarts = if round.is_short { 2 } else { 5 };
    for _ in 0..restarts {
        std::thread::sleep(Duration::from_millis(300 + round.random.below(1_500)));
        if round.random.below(3) == 0 {
            site.server.kill();
            site.server.start();
        }
        site.engine.end(if round.random.below(2) == 0 { "TERM" } else { "KILL" });
        std::thread::sleep(Duration::from_millis(round.random.below(800)));
        site.engine.start_again(flags);
    }
    std::thread::sleep(Duration::from_millis(500));
    site.server.wait_ready();
    stop(&site.engine, &containers);
    // What dies in the engine's own buffer was never held: up to 16 KiB of each stream.
    let expected = containers.each_ref().map(Expected::held);
    let (verdicts, gaps) = settle(&site.server, &expected, LIMIT);
    let mut row = Row::with_harms(restarts);
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));
    if row.lost > 0 {
        eprintln!("{gaps:?}\n{} records", Ledger::read(&site.server, "*").records.len());
    }
    row
}

fn stop(engine: &Engine, containers: &[Container<'_>]) {
    for container in containers {
        engine.docker(&["update", "--restart", "no", &container.name]);
        engine.docker(&["stop", "--time", "0", &container.name]);
    }
}
