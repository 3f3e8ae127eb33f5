//! The torture suite: everything that can go wrong with processes, engines, disks, clocks, files and clients, at
//! random moments, while lines that are known in advance are written. A table tells what became of them.
//!
//! The invariant: no line is lost, repeated or out of order, and no damage goes unsaid. `./test` plays one round;
//! `./test torture MINUTES [SEED]` plays rounds until the time is over, on one engine after the other. The seed fixes
//! what is done; at which instruction it hits, nobody can fix.

mod kills;
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
}

/// Plays a scenario once.
type Play = fn(&mut Round) -> Row;

const SCENARIOS: [(&str, Play); 1] = [("kill -9 and SIGTERM", kills::play)];

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
    let mut round = Round { random, version: versions[first] };
    let mut table = Table::default();
    for number in 0.. {
        round.version = versions[(first + number) % 2];
        for (name, play) in SCENARIOS {
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
