//! The torture suite: everything that can go wrong with processes, engines, disks, clocks, files and clients, at
//! random moments, while lines that are known in advance are written. A table tells what became of them.
//!
//! The invariant: no line is lost, repeated or out of order, and no damage goes unsaid. `./test` plays one round;
//! `./test torture MINUTES [SEED]` plays rounds until the time is over, on one engine after the other. The seed fixes
//! what is done; at which instruction it hits, nobody can fix. docs/reliability.md tells what is played and counted.

mod clients;
mod clock;
mod disk;
mod engines;
mod harm;
mod kills;
mod pushes;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::harness::Random;
use crate::harness::engine::Version;
use table::{Row, Table};

/// What a scenario works with.
#[derive(Debug)]
struct Round {
    random: Random,
    version: Version,
    /// One round is all there is time for.
    is_short: bool,
}

/// Plays a scenario once.
type Play = fn(&mut Round) -> Row;

const SCENARIOS: [(&str, Play); 9] = [
    ("kill -9 and SIGTERM of collector and server", kills::play),
    ("files harmed at rest", harm::play),
    ("full disk, read-only disk", disk::play),
    ("clock jumps", clock::play),
    ("noisy containers, others come and go", engines::crowd),
    ("engine restarts, with and without live-restore", engines::restarts),
    ("thousands of tiny streams, kill -9", pushes::tiny_streams),
    ("queries during retention", pushes::retention),
    ("slow and vanishing clients", clients::play),
];

/// The scenarios whose names hold `BINNACLE_TORTURE_ONLY`: all, unless that is set.
fn wanted() -> Vec<(&'static str, Play)> {
    let words = std::env::var("BINNACLE_TORTURE_ONLY").unwrap_or_default();
    let wanted: Vec<_> = SCENARIOS.into_iter().filter(|(name, _)| name.contains(&words)).collect();
    assert!(!wanted.is_empty(), "no scenario is called `{words}`");
    wanted
}

/// For how long rounds begin: `BINNACLE_TORTURE_MINUTES`, else one round.
fn time_to_play() -> Duration {
    let minutes = std::env::var("BINNACLE_TORTURE_MINUTES").map_or(0.0, |text| text.parse().unwrap());
    Duration::from_secs_f64(60.0 * minutes)
}

#[test]
fn nothing_is_lost_repeated_or_damaged_in_silence() {
    let (begun, limit) = (Instant::now(), time_to_play());
    let versions = [Version::Installed, Version::Newer];
    let mut random = Random::new();
    let first = random.below(2) as usize;
    let mut round = Round { random, version: versions[first], is_short: limit.is_zero() };
    let mut table = Table::default();
    let scenarios = wanted();
    for number in 0.. {
        round.version = versions[(first + number) % 2];
        for &(name, play) in &scenarios {
            let started = Instant::now();
            let row = catch_unwind(AssertUnwindSafe(|| play(&mut round))).unwrap_or_else(|_| Row::failed());
            let seconds = started.elapsed().as_secs();
            println!("{name}, round {}, {:?} engine: {row} ({seconds} s)", number + 1, round.version);
            table.add(name, &row);
        }
        if begun.elapsed() >= limit {
            break;
        }
    }
    println!("\n{table}");
    assert!(table.is_clean(), "see the table");
}
