//! Traces on their way to an OTLP receiver: through its outages, and through the death of the collector.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::binnacle::{Server, binnacle};
use crate::harness::http;
use crate::harness::receiver::Receiver;
use crate::harness::tls::TlsDoor;
use crate::harness::wait_for;

/// An outage of a minute leaves 90,000 spans to send, by a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);
/// Every request visits them once.
const SERVICES: [&str; 3] = ["web", "cart", "payment"];
/// Requests of one push, of which there are ten a second.
const PUSHED: u64 = 50;
/// `export.batch_spans`, as it is by default.
const BATCH: usize = 512;

/// A server that sends its traces to a receiver a second after their last line.
fn server(scratch: &Path, receiver: &Receiver) -> Server {
    let config = scratch.join("binnacle.yaml");
    let text = format!(
        "traces: {{idle: 1s}}\nexport: {{endpoint: '{}', headers: {{x-tenant: seven}}, timeout: 3s}}\n",
        receiver.url()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    Server::new("run", scratch, &["--docker-host", "none", "--config", &config])
}

/// Requests logged by three services, at a steady rate, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    pushed: Arc<AtomicU64>,
    thread: JoinHandle<BTreeSet<u64>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, pushed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&pushed));
        let thread = std::thread::spawn(move || {
            let (mut acknowledged, mut next, begin) = (BTreeSet::new(), 0, Instant::now());
            while !until.load(Ordering::Relaxed) {
                let answer = http::post_json(address, "/loki/api/v1/push", &body(next..next + PUSHED));
                if answer.is_ok_and(|answer| answer.status == 204) {
                    acknowledged.extend(next..next + PUSHED);
                }
                next += PUSHED;
                count.store(next, Ordering::Relaxed);
                let due = Duration::from_millis(100 * next / PUSHED);
                std::thread::sleep(due.saturating_sub(begin.elapsed()));
            }
            acknowledged
        });
        Self { stop, pushed, thread }
    }

    /// Numbers of the requests whose lines are stored for sure.
    fn end(self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A push of a line of each service for each of these requests.
fn body(requests: std::ops::Range<u64>) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let streams = SERVICES.map(|service| {
        let line = |i| format!(r#"{{"msg":"handled {i}","correlation_id":"order-{i}","level":"info"}}"#);
        let values: Vec<_> = requests.clone().map(|i| [now.to_string(), line(i)]).collect();
        serde_json::json!({"stream": {"service_name": service}, "values": values})
    });
    serde_json::json!({"streams": streams}).to_string().into_bytes()
}

/// Which visits were received: number of the request, and service.
fn visits(receiver: &Receiver) -> BTreeSet<(u64, String)> {
    let taken = receiver.taken();
    let spans = taken.spans.values().map(|times| &times[0]);
    spans
        .map(|span| {
            let id = span.attribute("correlation_id").and_then(|id| id.strip_prefix("order-")).unwrap();
            (id.parse().unwrap(), span.service.clone())
        })
        .collect()
}

fn wanted(requests: &BTreeSet<u64>) -> BTreeSet<(u64, String)> {
    requests.iter().flat_map(|i| SERVICES.map(|service| (*i, service.to_owned()))).collect()
}

/// Waits until everything that was stored has been received.
fn assert_all_received(receiver: &Receiver, server: &Server, requests: &BTreeSet<u64>) {
    let wanted = wanted(requests);
    let has_come = wait_for(LIMIT, || {
        receiver.taken().spans.len() >= wanted.len() && wanted.is_subset(&visits(receiver))
    });
    let missing = wanted.difference(&visits(receiver)).count();
    assert!(has_come, "{missing} of {} spans never came\n{}", wanted.len(), server.log_tail());
}

#[test]
fn an_outage_of_the_receiver_loses_nothing_and_repeats_nothing() {
    // A minute is shown by hand: OUTAGE_SECONDS=60 ./test docker an_outage_of_the_receiver
    let seconds = std::env::var("OUTAGE_SECONDS").map_or(8, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start();
    let mut server = server(scratch.path(), &receiver);
    server.start();
    server.wait_ready();
    let load = Load::start(server.address());
    assert!(wait_for(LIMIT, || receiver.taken().spans.len() > 500), "{}", server.log_tail());
    receiver.down();
    std::thread::sleep(Duration::from_secs(seconds));
    let (at_most, retries) = (
        server.metric("binnacle_export_waiting_spans", ""),
        server.metric("binnacle_export_retries_total", ""),
    );
    assert!(server.metric("binnacle_export_lag_seconds", "") > 1.0, "the outage is not seen");
    receiver.up();
    let up = Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let requests = load.end();
    assert_all_received(&receiver, &server, &requests);
    let caught_up = up.elapsed();
    assert!(
        wait_for(LIMIT, || server.metric("binnacle_export_lag_seconds", "") == 0.0),
        "{}",
        server.log_tail()
    );

    let taken = receiver.taken();
    assert_eq!(taken.headers["x-tenant"], "seven");
    println!(
        "{} spans of {} requests, {at_most} waited at the end of {seconds} s without a receiver, sent \
         {:.1} s after it was back; {retries} retries, {} repeated",
        taken.spans.len(),
        requests.len(),
        caught_up.as_secs_f64(),
        taken.repeated(),
    );
    assert_eq!(taken.repeated(), 0, "duplicates by span id");
    assert_eq!(taken.spans.len(), wanted(&requests).len(), "spans nobody logged");
    assert!(retries >= 1.0);
    assert_eq!(server.metric("binnacle_export_dropped_spans_total", ""), 0.0);
    assert_eq!(server.metric("binnacle_export_sent_spans_total", ""), taken.spans.len() as f64);
}

#[test]
fn a_killed_collector_loses_nothing_and_repeats_at_most_one_request_a_kill() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start();
    let mut server = server(scratch.path(), &receiver);
    server.start();
    server.wait_ready();
    let load = Load::start(server.address());
    let (mut kills, pause) = (0, |millis| std::thread::sleep(Duration::from_millis(millis)));
    for millis in [2_700, 1_900, 3_300] {
        // While it sends, and while the receiver is out.
        for is_down in [false, true] {
            if is_down {
                receiver.down();
            }
            pause(millis);
            server.kill();
            kills += 1;
            pause(100);
            server.start();
            server.wait_ready();
        }
        receiver.up();
    }
    let tried = load.pushed.load(Ordering::Relaxed);
    let requests = load.end();
    assert!(requests.len() as u64 <= tried + PUSHED);
    assert_all_received(&receiver, &server, &requests);
    let taken = receiver.taken();
    println!("{} spans after {kills} kills, {} repeated", taken.spans.len(), taken.repeated());
    assert!(taken.repeated() <= kills * BATCH, "{} repeated", taken.repeated());
    drop(taken);
    let unknown: BTreeSet<u64> =
        visits(&receiver).into_iter().map(|(i, _)| i).filter(|i| *i > tried + PUSHED).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn what_was_sent_and_not_answered_when_the_collector_died_comes_again_just_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let mut server = server(scratch.path(), &receiver);
    server.start();
    server.wait_ready();
    receiver.mute(true);
    let answer = http::post_json(server.address(), "/loki/api/v1/push", &body(0..PUSHED)).unwrap();
    assert_eq!(answer.status, 204);
    assert!(wait_for(LIMIT, || receiver.taken().unanswered > 0), "{}", server.log_tail());
    server.kill();
    receiver.mute(false);
    server.start();
    server.wait_ready();
    assert_all_received(&receiver, &server, &(0..PUSHED).collect());
    assert!(wait_for(LIMIT, || server.metric("binnacle_export_lag_seconds", "") == 0.0));
    let taken = receiver.taken();
    assert_eq!(taken.repeated(), taken.unanswered, "no more than was in flight");
    for times in taken.spans.values() {
        assert!(times.iter().all(|span| *span == times[0]), "a span came again in another shape: {times:?}");
    }
}

#[test]
fn history_is_sent_by_command_with_the_ids_that_were_sent_before() {
    let scratch = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let mut server = server(scratch.path(), &receiver);
    server.start();
    server.wait_ready();
    for push in 0..30 {
        let answer =
            http::post_json(server.address(), "/loki/api/v1/push", &body(push * PUSHED..(push + 1) * PUSHED));
        assert_eq!(answer.unwrap().status, 204);
    }
    let requests: BTreeSet<u64> = (0..30 * PUSHED).collect();
    assert_all_received(&receiver, &server, &requests);

    let other = Receiver::start();
    let data = server.data().display().to_string();
    let send = |more: &[&str]| {
        let arguments = ["export-traces", "--data", &data, "--endpoint", &other.url()];
        binnacle().args(arguments).args(more).output().expect("cannot run binnacle")
    };
    let nothing = send(&["--to", "2020-01-01T00:00:00Z"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", String::from_utf8_lossy(&nothing.stderr));
    let sent = send(&["--since", "1h"]);
    let said = String::from_utf8_lossy(&sent.stderr);
    assert_eq!(sent.status.code(), Some(0), "{said}");
    assert!(said.contains("1500 traces, 4500 spans"), "{said}");
    assert_eq!(visits(&other), wanted(&requests));
    let (live, again) = (receiver.taken(), other.taken());
    assert_eq!(again.repeated(), 0);
    assert!(live.spans.keys().eq(again.spans.keys()), "the same spans have the same ids");
    drop((live, again));

    drop(other);
    let nobody = receiver_that_is_out();
    let lost = binnacle().args(["export-traces", "--data", &data, "--endpoint", &nobody]).output().unwrap();
    assert_eq!(lost.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&lost.stderr).contains(&nobody));
}

fn receiver_that_is_out() -> String {
    format!("http://{}", crate::harness::binnacle::free_address())
}

#[test]
fn own_work_is_told_where_it_is_wished_and_never_tells_of_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let mut server = server(scratch.path(), &receiver);
    let asked = |server: &Server| assert_eq!(server.get("/api/v1/search?query=x").status, 200);
    server.start();
    server.wait_ready();
    asked(&server);
    std::thread::sleep(Duration::from_secs(3));
    assert!(receiver.taken().spans.is_empty(), "own spans are off");
    assert!(server.end("TERM").success());

    let config = scratch.path().join("binnacle.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("export: {", "export: {own_spans: true, ");
    std::fs::write(&config, text).unwrap();
    server.start();
    server.wait_ready();
    asked(&server);
    assert!(wait_for(LIMIT, || !receiver.taken().spans.is_empty()), "{}", server.log_tail());
    std::thread::sleep(Duration::from_secs(3));
    let taken = receiver.taken();
    let told: Vec<_> = taken.spans.values().map(|times| (&times[0].service, &times[0].span.name)).collect();
    assert_eq!(told.len(), 1, "sending makes no spans: {told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("binnacle", "query"));
}

#[test]
fn a_receiver_whose_certificate_is_not_trusted_gets_nothing_until_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let (door, stranger) = (TlsDoor::before(receiver.address()), TlsDoor::before(receiver.address()));
    let config = scratch.path().join("binnacle.yaml");
    let configure = |trusted: &TlsDoor| {
        let authority = scratch.path().join("authority.pem");
        std::fs::write(&authority, trusted.certificate()).unwrap();
        let (endpoint, authority) = (door.url(), authority.display());
        let export = format!("{{endpoint: '{endpoint}', certificate: '{authority}'}}");
        std::fs::write(&config, format!("traces: {{idle: 1s}}\nexport: {export}\n")).unwrap();
    };
    let path = config.display().to_string();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--config", &path]);
    configure(&stranger);
    server.start();
    server.wait_ready();
    let answer = http::post_json(server.address(), "/loki/api/v1/push", &body(0..PUSHED)).unwrap();
    assert_eq!(answer.status, 204);
    let has_tried = || server.metric("binnacle_export_retries_total", "") >= 2.0;
    assert!(wait_for(LIMIT, has_tried), "{}", server.log_tail());
    let (log, address) = (server.log(), door.url());
    assert!(log.contains("certificate") && log.contains(&address), "{log}");
    assert_eq!(server.metric("binnacle_export_dropped_spans_total", ""), 0.0);
    assert!(receiver.taken().spans.is_empty());
    assert!(server.end("TERM").success());

    configure(&door);
    server.start();
    server.wait_ready();
    assert_all_received(&receiver, &server, &(0..PUSHED).collect());
    assert_eq!(receiver.taken().repeated(), 0);
}
