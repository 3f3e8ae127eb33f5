//! Collector and server, two processes over one folder, are killed again and again, mostly with -9, while containers
//! of every kind write. Flushes, merges and windows are made small, so that kills meet them all. Each start of the
//! collector reads the logs another way: through the API, or from Docker's files.

use std::path::Path;
use std::time::Duration;

use super::Round;
use super::table::Row;
use crate::harness::Random;
use crate::harness::binnacle::{Server, binnacle};
use crate::harness::container::{Container, emitter};
use crate::harness::engine::Engine;
use crate::harness::ledger::{Expected, settle};

const LIMIT: Duration = Duration::from_secs(120);

/// The store works all the time: it flushes every second and merges what that leaves.
pub(super) const BUSY_STORE: &str =
    "store: {window: 1m, flush_bytes: 1MiB, flush_age: 1s, head_bytes: 16MiB}\n";

pub(super) fn play(round: &mut Round) -> Row {
    let engine = Engine::start(round.version);
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    let choose_way = |random: &mut Random| {
        let reads_files = random.below(2) == 0;
        std::fs::write(&config, format!("{BUSY_STORE}collect: {{read_files: {reads_files}}}\n")).unwrap();
    };
    choose_way(&mut round.random);
    let path = config.display().to_string();
    let arguments = ["--config", &path, "--docker-host", &engine.host()];
    let mut collector = Server::new("collect", scratch.path(), &arguments);
    collector.start();
    collector.wait_ready();
    let mut server = Server::new("serve", scratch.path(), &["--config", &path]);
    server.start();
    let kills = if round.is_short { 15 } else { 30 };
    let fleet = start_fleet(&engine, kills);
    for _ in 0..kills {
        pause(&mut round.random);
        let victim = if round.random.below(4) == 0 { &mut server } else { &mut collector };
        match round.random.below(4) {
            0 => {
                let status = victim.end("TERM");
                // A signal that comes before it is listened for ends the process at once.
                assert!(status.code().is_none_or(|code| code == 0), "after SIGTERM\n{}", victim.log_tail());
            }
            _ => victim.kill(),
        }
        std::thread::sleep(Duration::from_millis(round.random.below(500)));
        choose_way(&mut round.random);
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
    let mut row = Row::with_harms(kills);
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

/// Writes for as long as so many kills take, about.
fn start_fleet(engine: &Engine, kills: u64) -> Vec<Container<'_>> {
    let rotated = "--log-driver json-file --log-opt max-size=200k --log-opt max-file=3";
    // A kill takes 0.8 s.
    let lines = |rate: u64| format!("rate={rate} lines={}", rate * kills * 4 / 5);
    let both = lines(200);
    vec![
        emitter("steady", &format!("len=200 {}", lines(400))).start(engine),
        emitter("both-streams", &format!("len=150 {both}"))
            .and(&format!("to=err len=150 {both}"))
            .start(engine),
        emitter("terminal", &format!("len=90 {}", lines(250))).tty().start(engine),
        emitter("long-lines", &format!("len=102400 {}", lines(5))).start(engine),
        emitter("huge-lines", &format!("len=1048576 {}", lines(1))).start(engine),
        emitter("local-driver", &format!("len=200 {}", lines(300))).with("--log-driver local").start(engine),
        emitter("rotated", &format!("len=200 {}", lines(400))).with(rotated).start(engine),
        emitter("hostile", &format!("text=hostile len=700 {}", lines(200))).start(engine),
        emitter("hostile-local", &format!("text=hostile len=700 {}", lines(200)))
            .with("--log-driver local")
            .start(engine),
        emitter("bursts", &"lines=2000 sleep=4 ".repeat(kills as usize / 5)).start(engine),
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
