//! What the scenarios stand on: private engines and containers that emit known lines.

pub(crate) mod container;
pub(crate) mod engine;
mod image;
#[path = "../emitter/script.rs"]
pub(crate) mod script;

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
