//! Collector and server, two processes over one folder, are killed again and again, mostly with -9, while containers
//! of every kind write. Flushes, merges and windows are made small, so that kills meet them all.

use std::path::Path;
use std::time::Duration;

use super::Round;
use super::table::Row;
use crate::harness::Random;
use crate::harness::binnacle::{Server, binnacle};
use crate::harness::container::{Container, emitter};
use crate::harness::engine::Engine;
use crate::harness::ledger::{Expected, settle};

/// Of one round.
const KILLS: u32 = 30;
const LIMIT: Duration = Duration::from_secs(120);

/// The store works all the time: it flushes every second and merges what that leaves.
pub(super) const BUSY_STORE: &str =
    "store: {window: 1m, flush_bytes: 1MiB, flush_age: 1s, head_bytes: 16MiB}\n";

pub(super) fn play(round: &mut Round) -> Row {
    let engine = Engine::start(round.version);
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, BUSY_STORE).unwrap();
    let config = config.display().to_string();
    let arguments = ["--config", &config, "--docker-host", &engine.host()];
    let mut collector = Server::new("collect", scratch.path(), &arguments);
    collector.start();
    collector.wait_ready();
    let mut server = Server::new("serve", scratch.path(), &["--config", &config]);
    server.start();
    let fleet = start_fleet(&engine);
    for _ in 0..KILLS {
        pause(&mut round.random);
        let victim = if round.random.below(4) == 0 { &mut server } else { &mut collector };
        match round.random.below(4) {
            0 => {
                let status = victim.end("TERM");
                assert_eq!(status.code(), Some(0), "after SIGTERM\n{}", victim.log_tail());
            }
            _ => victim.kill(),
        }
        std::thread::sleep(Duration::from_millis(round.random.below(500)));
        victim.start();
    }
    collector.wait_ready();
    server.wait_ready();
    fleet.iter().for_each(|container| container.wait_exited(LIMIT));

    // The engine replaces bytes that are no UTF-8 when it writes JSON: there, what it holds was written.
    let hostile = |container: &Container<'_>| container.name == "hostile";
    let expected: Vec<Expected> = fleet
        .iter()
        .map(
            |container| {
                if hostile(container) { Expected::held(container) } else { Expected::of(container, 1) }
            },
        )
        .collect();
    let (verdicts, _) = settle(&server, &expected, LIMIT);
    let mut row = Row::with_harms(KILLS.into());
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));
    collector.kill();
    row.undetected += false_alarms(collector.data());
    row
}

/// Mostly up to a second and a half; sometimes so short that the kill meets the start.
fn pause(random: &mut Random) {
    let limit = if random.below(4) == 0 { 120 } else { 1_500 };
    std::thread::sleep(Duration::from_millis(random.below(limit)));
}

fn start_fleet(engine: &Engine) -> Vec<Container<'_>> {
    let rotated = "--log-driver json-file --log-opt max-size=200k --log-opt max-file=3";
    vec![
        emitter("steady", "len=200 rate=400 lines=10000").start(engine),
        emitter("both-streams", "len=150 rate=200 lines=5000")
            .and("to=err len=150 rate=200 lines=5000")
            .start(engine),
        emitter("terminal", "len=90 rate=250 lines=6000").tty().start(engine),
        emitter("long-lines", "len=102400 rate=4 lines=100").start(engine),
        emitter("huge-lines", "len=1048576 rate=0.5 lines=12").start(engine),
        emitter("local-driver", "len=200 rate=300 lines=7000").with("--log-driver local").start(engine),
        emitter("rotated", "len=200 rate=400 lines=10000").with(rotated).start(engine),
        emitter("hostile", "text=hostile len=700 rate=200 lines=5000").start(engine),
        emitter("hostile-local", "text=hostile len=700 rate=200 lines=5000")
            .with("--log-driver local")
            .start(engine),
        emitter("bursts", &"lines=2000 sleep=4 ".repeat(6)).start(engine),
    ]
}

/// A kill harms no file: whatever `verify` finds is wrong.
fn false_alarms(data: &Path) -> u64 {
    let output = binnacle().args(["verify", "--data"]).arg(data).output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        eprintln!(
            "verify says of a folder that was only killed:\n{found}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    u64::from(!output.status.success())
}
