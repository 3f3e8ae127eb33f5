//! Several processes over one folder, and how each of them starts and ends.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::binnacle::{Server, binnacle, free_address};
use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::http;
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::site::Site;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn collect_and_serve_work_over_one_folder() {
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    let mut collect = Server::new("collect", scratch.path(), &["--docker-host", &engine.host()]);
    collect.start();
    collect.wait_ready();
    let mut serve = Server::new("serve", scratch.path(), &[]);
    serve.start();
    serve.wait_ready();
    let container = emitter("shared", "rate=500 lines=5000").start(&engine);
    std::thread::sleep(Duration::from_secs(2));
    collect.kill();
    assert_eq!(serve.get("/api/v1/search?query=*&limit=1").status, 200, "serve does not need the collector");
    collect.start();
    container.wait_exited(LIMIT);
    assert_exact(&serve, &[Expected::of(&container, 1)], LIMIT);
}

#[test]
fn lines_are_seen_through_a_separate_serve_within_a_second_and_a_half() {
    let scratch = tempfile::tempdir().unwrap();
    let mut collect = Server::new("collect", scratch.path(), &["--docker-host", "none"]);
    collect.start();
    collect.wait_ready();
    let mut serve = Server::new("serve", scratch.path(), &[]);
    serve.start();
    serve.wait_ready();
    let mut delays: Vec<Duration> = (0..10)
        .map(|i| {
            push(&collect, &format!("needle{i}"));
            let sent = Instant::now();
            let query = format!("/api/v1/search?query=needle{i}&limit=1");
            assert!(wait_for(LIMIT, || serve.get(&query).text().contains("needle")));
            sent.elapsed()
        })
        .collect();
    delays.sort_unstable();
    println!("seen after {delays:?}");
    // The median: one late answer of a busy machine says nothing.
    assert!(delays[5] <= Duration::from_millis(1500), "{delays:?}");
}

/// Pushes one line, logged now.
fn push(server: &Server, line: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let body =
        serde_json::json!({"streams": [{"stream": {"job": "test"}, "values": [[now.to_string(), line]]}]});
    let answer = http::post_json(server.address(), "/loki/api/v1/push", body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[test]
fn tail_prints_what_matches_as_it_is_stored() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::run(scratch.path(), "none");
    push(&server, "wanted before the tail");
    let mut tail = binnacle()
        .args(["tail", "--json", "wanted", "--url", &server.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Until the tail listens, its first line may be one of several.
    let (lines, printed) =
        (BufReader::new(tail.stdout.take().unwrap()).lines(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&printed);
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let record: serde_json::Value = serde_json::from_str(&line).expect("one record a line");
            seen.lock().unwrap().push(record["line"].as_str().unwrap_or_default().to_owned());
        }
    });
    let mut sent = 0;
    let listens = wait_for(LIMIT, || {
        push(&server, &format!("wanted {sent}"));
        push(&server, &format!("other {sent}"));
        sent += 1;
        !printed.lock().unwrap().is_empty()
    });
    assert!(listens);
    push(&server, "wanted at last");
    assert!(wait_for(LIMIT, || printed.lock().unwrap().iter().any(|line| line == "wanted at last")));
    tail.kill().unwrap();
    tail.wait().unwrap();
    reader.join().unwrap();
    let printed = printed.lock().unwrap();
    assert!(printed.iter().all(|line| line.starts_with("wanted")), "{printed:?}");
    assert_eq!(printed.iter().collect::<std::collections::BTreeSet<_>>().len(), printed.len(), "{printed:?}");
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let first = Server::run(scratch.path(), "none");
    for command in ["run", "collect"] {
        let second = binnacle()
            .args([command, "--docker-host", "none", "--listen", &free_address().to_string(), "--data"])
            .arg(first.data())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(2), "{said}");
        assert!(said.contains(&first.pid().to_string()), "the holder's process id is missing: {said}");
        assert!(said.contains("--data"), "the way out is missing: {said}");
    }
}

#[test]
fn a_folder_is_free_again_after_its_writer_was_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::run(scratch.path(), "none");
    push(&server, "survives");
    server.kill();
    server.start();
    server.wait_ready();
    assert_eq!(Ledger::read(&server, "survives").records.len(), 1);
}

#[test]
fn a_signal_ends_it_in_order_and_the_next_start_repeats_nothing() {
    let mut site = Site::open(Version::Installed);
    let container = emitter("orderly", "rate=1000 lines=8000").start(&site.engine);
    for signal in ["TERM", "INT", "TERM"] {
        std::thread::sleep(Duration::from_millis(1500));
        let status = site.server.end(signal);
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        site.server.start();
        site.server.wait_ready();
    }
    container.wait_exited(LIMIT);
    assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
}

#[test]
fn an_address_in_use_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = binnacle()
        .args(["run", "--docker-host", "none", "--listen", &address, "--data"])
        .arg(scratch.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn the_demo_plays_without_docker() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--demo"]);
    server.start();
    server.wait_ready();
    let services = || {
        let ledger = Ledger::read(&server, "*");
        let names = ledger.records.iter().filter_map(|r| r.labels.get("service_name").cloned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(wait_for(LIMIT, || services().len() >= 6), "{:?}", services());
    let trace_ids = |ledger: &Ledger| {
        let ids = ledger
            .records
            .iter()
            .filter_map(|r| r.metadata.get("correlation_id").or(r.metadata.get("trace_id")));
        ids.map(|id| id.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert!(wait_for(LIMIT, || !trace_ids(&Ledger::read(&server, "*")).is_empty()));
    let id = trace_ids(&Ledger::read(&server, "*")).remove(0);
    let trace = server.client(&["trace", &id, "--json"]);
    assert_eq!(trace.status.code(), Some(0), "{}", String::from_utf8_lossy(&trace.stderr));
}
