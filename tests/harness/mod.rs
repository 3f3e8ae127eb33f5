//! What the scenarios stand on: private engines, containers that emit known lines, the real binary as a
//! process, and a ledger that compares what was written with what was stored.

pub(crate) mod binnacle;
pub(crate) mod container;
pub(crate) mod engine;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod ledger;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod receiver;
#[path = "../emitter/script.rs"]
pub(crate) mod script;
pub(crate) mod site;
pub(crate) mod stand;
pub(crate) mod tls;

use std::time::{Duration, Instant};

/// Asks every 50 ms until the answer is yes or the time is over; returns the last answer.
pub(crate) fn wait_for(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Random numbers that a failed run can be repeated with: `BINNACLE_TEST_SEED`, else the clock.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Prints its seed, for the log of a failed test.
    pub(crate) fn new() -> Self {
        let seed =
            std::env::var("BINNACLE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(1, |t| t.as_micros() as u64)
            });
        eprintln!("BINNACLE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number of `0..limit` (SplitMix64).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
