//! The clock of Binnacle's own process jumps by up to two days, forwards and backwards, while it reads, stores and is
//! killed. The engine's clock, which gives lines their times, stays as it is; docs/failure-cases.md names the tests in
//! which that one is set back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Round;
use super::kills::BUSY_STORE;
use super::table::Row;
use crate::harness::binnacle::Server;
use crate::harness::container::emitter;
use crate::harness::engine::Engine;
use crate::harness::ledger::{Expected, settle};

const LIMIT: Duration = Duration::from_secs(90);
/// Debian's package `libfaketime`.
const PRELOAD: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

pub(super) fn play(round: &mut Round) -> Row {
    assert!(Path::new(PRELOAD).exists(), "tests need the package `libfaketime` (see ./test)");
    let engine = Engine::start(round.version);
    let scratch = tempfile::tempdir().unwrap();
    let (config, clock) = (scratch.path().join("binnacle.yaml"), scratch.path().join("clock"));
    fs::write(&config, BUSY_STORE).unwrap();
    fs::write(&clock, "+0").unwrap();
    let arguments = ["--config", &config.display().to_string(), "--docker-host", &engine.host()];
    let mut server = Server::new("run", scratch.path(), &arguments);
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    let preload = format!("LD_PRELOAD={PRELOAD}");
    // Pauses keep their length: they are measured by another clock.
    let wrapper = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    server.wrap(&[&["env", &preload, &file], &wrapper[..]].concat());
    server.start();
    server.wait_ready();
    let jumps = if round.is_short { 6 } else { 12 };
    // A jump takes a second.
    let lines = |rate: u64| format!("len=150 rate={rate} lines={}", rate * jumps * 5 / 4);
    let containers = [
        emitter("steady", &lines(300)).start(&engine),
        emitter("both-streams", &lines(150)).and(&format!("to=err {}", lines(150))).start(&engine),
        emitter("rotated", &lines(300))
            .with("--log-driver json-file --log-opt max-size=200k --log-opt max-file=3")
            .start(&engine),
    ];
    for jump in 0..jumps {
        std::thread::sleep(Duration::from_millis(500 + round.random.below(1_000)));
        let limit = [10, 3_600, 172_800][round.random.below(3) as usize];
        let seconds = round.random.below(2 * limit).cast_signed() - limit.cast_signed();
        // Renamed into place: a clock read in between must not be a mixture.
        let next = clock.with_extension("next");
        fs::write(&next, format!("{seconds:+}")).unwrap();
        fs::rename(&next, &clock).unwrap();
        if jump % 3 == 2 {
            server.kill();
            server.start();
        }
    }
    server.wait_ready();
    containers.iter().for_each(|container| container.wait_exited(LIMIT));
    let expected = containers.each_ref().map(|container| Expected::of(container, 1));
    let (verdicts, _) = settle(&server, &expected, LIMIT);
    let mut row = Row::with_harms(jumps);
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));
    row
}
