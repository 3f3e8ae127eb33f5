//! The main job: twelve containers of every kind write 300,000 lines while the collector is killed ten
//! times. What the engine still held is stored exactly once and in order; a recorded gap covers the rest.

use std::time::Duration;

use crate::harness::Random;
use crate::harness::container::{Container, emitter};
use crate::harness::engine::{Engine, Version};
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::site::{Site, on_each_engine};

const KILLS: u32 = 10;

/// All but two write at rates that end after about half a minute, so that every kill meets live streams.
struct Fleet<'e> {
    /// Written to their end, once.
    steady: Vec<Container<'e>>,
    /// Restarted while it writes.
    restarted: Container<'e>,
    /// Removed as soon as it ends, perhaps while the collector is down: no method can promise its lines.
    fleeting: Container<'e>,
}

fn start_fleet(engine: &Engine) -> Fleet<'_> {
    let small_files = "--log-driver json-file --log-opt max-size=100k --log-opt max-file=2";
    let bursts = "lines=5000 sleep=3.5 ".repeat(8);
    Fleet {
        steady: vec![
            emitter("terminal", "len=90 rate=400 lines=12000").tty().start(engine),
            emitter("terminal-2", "len=60 rate=700 lines=20000").tty().start(engine),
            emitter("long-lines", "len=102400 rate=5 lines=150").start(engine),
            emitter("short-lived", "lines=100 sleep=0.05").start(engine),
            emitter("interleaved", "len=150 rate=1000 lines=30000")
                .and("to=err len=150 rate=1000 lines=30000")
                .start(engine),
            emitter("rotated", "len=120 rate=1000 lines=30000").with(small_files).start(engine),
            emitter("local-driver", "len=200 rate=1500 lines=45000").with("--log-driver local").start(engine),
            emitter("busy", "len=200 rate=2000 lines=60000").start(engine),
            emitter("bursts", &bursts).start(engine),
            emitter("no-final-newline", "to=err rate=300 lines=9000 part=40").start(engine),
        ],
        restarted: emitter("restarted", "rate=800 lines=24000").start(engine),
        fleeting: emitter("fleeting", "lines=100 sleep=0.05").with("--rm").start(engine),
    }
}

fn every_held_line_is_stored_exactly_once_over_ten_kills(version: Version) {
    let mut site = Site::open(version);
    let fleet = start_fleet(&site.engine);
    let mut random = Random::new();
    for kill in 1..=KILLS {
        std::thread::sleep(Duration::from_millis(300 + random.below(2200)));
        site.server.kill();
        if kill % 4 == 0 {
            site.engine.docker(&["restart", "--time", "1", "restarted"]);
        }
        std::thread::sleep(Duration::from_millis(random.below(800)));
        site.server.start();
    }
    site.server.wait_ready();
    for container in fleet.steady.iter().chain([&fleet.restarted]) {
        container.wait_exited(Duration::from_secs(120));
    }

    let mut expected: Vec<Expected> = fleet.steady.iter().map(|c| Expected::of(c, 1)).collect();
    expected.push(Expected::held(&fleet.restarted));
    let written: usize = expected.iter().flat_map(|e| e.written.values()).map(Vec::len).sum();
    assert!(written >= 300_000, "only {written} lines were written");
    let verdicts = assert_exact(&site.server, &expected, Duration::from_secs(180));

    let fleeting = Ledger::read(&site.server, "*").compare(&Expected::gone(&fleet.fleeting, 1));
    assert!(fleeting.is_exact_as_far_as_stored(), "{fleeting}");
    for verdict in verdicts.iter().chain([&fleeting]) {
        println!("{verdict}");
    }
}

on_each_engine!(every_held_line_is_stored_exactly_once_over_ten_kills);
