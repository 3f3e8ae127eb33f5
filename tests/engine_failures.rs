//! Engines that stop, die, freeze, or cannot read a log; connections that break.

use std::process::Command;
use std::time::Duration;

use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::ledger::{Expected, assert_exact};
use crate::harness::proxy::CuttingProxy;
use crate::harness::site::{Site, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const LIVE_RESTORE: &str = "--live-restore";

fn containers_that_outlive_the_engine_lose_nothing(version: Version) {
    let site = Site::open_with(version, LIVE_RESTORE, &[]);
    let container = emitter("outlives", "len=150 rate=1500 lines=18000")
        .and("to=err len=150 rate=1500 lines=18000")
        .start(&site.engine);
    for signal in ["TERM", "KILL", "TERM"] {
        std::thread::sleep(Duration::from_millis(1500));
        site.engine.end(signal);
        std::thread::sleep(Duration::from_millis(1000));
        site.engine.start_again(LIVE_RESTORE);
    }
    container.wait_exited(LIMIT);
    // At a SIGKILL up to 16 KiB in dockerd's own buffer die with it: what is held afterwards counts.
    let verdicts = assert_exact(&site.server, &[Expected::held(&container)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
    assert!(verdicts[0].stored > 35_000, "{}", verdicts[0]);
}

fn containers_that_end_with_the_engine_lose_nothing(version: Version) {
    let site = Site::open(version);
    let steady = emitter("steady", "rate=500 lines=60000").start(&site.engine);
    let revived = emitter("revived", "rate=500 lines=60000").with("--restart always").start(&site.engine);
    for signal in ["TERM", "KILL"] {
        std::thread::sleep(Duration::from_millis(1500));
        site.engine.end(signal);
        std::thread::sleep(Duration::from_millis(500));
        site.engine.start_again("");
    }
    std::thread::sleep(Duration::from_millis(1500));
    site.engine.docker(&["stop", "--time", "0", "steady", "revived"]);
    let expected = [Expected::held(&steady), Expected::held(&revived)];
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    assert!(verdicts.iter().all(|v| v.in_gaps == 0 && v.stored > 500), "{} {}", verdicts[0], verdicts[1]);
}

fn a_frozen_engine_is_waited_for_and_queries_go_on(version: Version) {
    let site = Site::open(version);
    let container = emitter("frozen", "rate=500 lines=8000").start(&site.engine);
    container.wait_held(1_000, LIMIT);
    site.engine.signal("STOP");
    for _ in 0..12 {
        assert_eq!(site.server.get("/api/v1/search?query=*&limit=5").status, 200);
        assert_eq!(site.server.get("/health").status, 200);
        std::thread::sleep(Duration::from_secs(1));
    }
    site.engine.signal("CONT");
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
}

fn a_connection_that_breaks_anywhere_costs_nothing(version: Version) {
    let engine = Engine::start(version);
    let scratch = tempfile::tempdir().unwrap();
    // Answers end after a few hundred bytes up to some KB: in heads, chunks and frames, at every offset.
    let proxy = CuttingProxy::start(&engine.socket(), scratch.path().join("proxy"));
    let mut server = crate::harness::binnacle::Server::run(scratch.path(), &proxy.host());
    let container = emitter("behind", "len=120 rate=400 lines=4000")
        .and("to=err len=3000 rate=20 lines=200")
        .start(&engine);
    std::thread::sleep(Duration::from_secs(1));
    proxy.cut(true);
    std::thread::sleep(Duration::from_secs(6));
    server.kill();
    server.start();
    std::thread::sleep(Duration::from_secs(2));
    proxy.cut(false);
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
    assert!(proxy.cuts() > 10, "the proxy cut {} answers only", proxy.cuts());
}

fn a_log_that_cannot_be_read_is_named_once(version: Version) {
    let site = Site::open(version);
    emitter("unreadable", "rate=20 lines=200").with("--log-driver none").start(&site.engine);
    let readable = emitter("readable", "rate=100 lines=500").start(&site.engine);
    // Another driver with the engine's cache beside it: what the engine kept is what counts.
    let cached = emitter("cached", "rate=100 lines=300")
        .with("--log-driver gelf --log-opt gelf-address=udp://127.0.0.1:9")
        .start(&site.engine);
    readable.wait_exited(LIMIT);
    cached.wait_exited(LIMIT);
    assert_exact(&site.server, &[Expected::of(&readable, 1), Expected::held(&cached)], LIMIT);
    assert!(site.server.metric("docker_logs_unreadable", "unreadable") >= 1.0);
    site.engine.docker(&["rename", "unreadable", "unreadable-still"]);
    std::thread::sleep(Duration::from_secs(1));
    let named = site.server.log().matches("keeps nothing that can be read").count();
    assert_eq!(named, 1, "{}", site.server.log());
}

fn resuming_in_a_long_log_does_not_read_it_again(version: Version) {
    let mut site = Site::open(version);
    let container = emitter("long-log", "len=200 lines=300000 sleep=600").start(&site.engine);
    container.wait_held(300_000, LIMIT);
    assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    let before = cpu_seconds(&site.engine);
    site.server.kill();
    site.server.start();
    site.server.wait_ready();
    std::thread::sleep(Duration::from_secs(3));
    let used = cpu_seconds(&site.engine) - before;
    println!("dockerd used {used:.2} CPU seconds while the collector resumed");
    // A whole reading costs about 9 us a line: 2.7 s.
    assert!(used < 1.0, "dockerd used {used:.2} CPU seconds");
}

/// CPU seconds of dockerd so far.
fn cpu_seconds(engine: &Engine) -> f64 {
    let pid = std::fs::read_to_string(engine.data_root().with_file_name("pid")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    let output = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn a_collector_started_before_the_engine_waits_for_it(version: Version) {
    let scratch = tempfile::tempdir().unwrap();
    let engine = Engine::start(version);
    let container = emitter("early", "lines=100").start(&engine);
    container.wait_exited(LIMIT);
    let expected = [Expected::of(&container, 1)];
    engine.end("TERM");
    let arguments = ["--docker-host", &engine.host()];
    let mut server = crate::harness::binnacle::Server::new("run", scratch.path(), &arguments);
    server.start();
    let answers = wait_for(LIMIT, || {
        crate::harness::http::get(server.address(), "/ready").is_ok_and(|answer| answer.status == 503)
    });
    assert!(answers, "not ready is said with 503");
    let says_so = wait_for(LIMIT, || server.log().contains("--demo"));
    assert!(says_so, "{}", server.log());
    engine.start_again("");
    server.wait_ready();
    assert_exact(&server, &expected, LIMIT);
}

on_each_engine!(
    containers_that_outlive_the_engine_lose_nothing,
    containers_that_end_with_the_engine_lose_nothing,
    a_frozen_engine_is_waited_for_and_queries_go_on,
    a_connection_that_breaks_anywhere_costs_nothing,
    a_log_that_cannot_be_read_is_named_once,
    resuming_in_a_long_log_does_not_read_it_again,
    a_collector_started_before_the_engine_waits_for_it,
);
