//! A circuit breaker: after failures in a row nobody is called for a while, then one call tries.
//!
//! The invariant: while open, no call passes; while half open, one at a time.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES_TO_OPEN: u32 = 5;
/// How long it stays open before a call may try.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// Decides whether a call may be made.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        since: Instant,
    },
    /// One call is trying since then; when it is never heard of again, another may.
    HalfOpen {
        trying_since: Instant,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a call may be made now. Its outcome must be told with [`Self::record`].
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { since } | State::HalfOpen { trying_since: since } => {
                let is_due = now.duration_since(since) >= OPEN_FOR;
                if is_due {
                    self.state = State::HalfOpen { trying_since: now };
                }
                is_due
            }
        }
    }

    /// Takes in how a call ended; true when that opened the breaker.
    pub(crate) fn record(&mut self, succeeded: bool, now: Instant) -> bool {
        let before = self.state;
        self.state = match (before, succeeded) {
            // Calls that began before it opened say nothing about now.
            (State::Open { .. }, _) => before,
            (_, true) => State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures: failures + 1 }
            }
            (_, false) => State::Open { since: now },
        };
        self.is_open() && !matches!(before, State::Open { .. })
    }

    /// Whether calls are kept back.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES_TO_OPEN {
            assert!(breaker.allows(now));
            assert_eq!(breaker.record(false, now), failure == FAILURES_TO_OPEN);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.is_open());
        assert!(!breaker.allows(now + OPEN_FOR - Duration::from_millis(1)));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.record(false, now);
            }
            breaker.record(true, now);
        }
        assert!(breaker.allows(now));
    }

    #[test]
    fn one_call_tries_after_a_while_and_decides() {
        let now = Instant::now();
        let later = now + OPEN_FOR;
        let mut breaker = opened(now);
        assert!(breaker.allows(later));
        assert!(!breaker.allows(later), "a second call must wait for the first one's outcome");
        assert!(breaker.record(false, later), "it opens again");
        assert!(!breaker.allows(later + OPEN_FOR / 2));
        assert!(breaker.allows(later + OPEN_FOR));
        breaker.record(true, later + OPEN_FOR);
        assert!(breaker.allows(later + OPEN_FOR) && breaker.allows(later + OPEN_FOR));
    }

    #[test]
    fn a_trying_call_that_is_never_heard_of_again_does_not_block_forever() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.allows(now + OPEN_FOR));
        assert!(breaker.allows(now + OPEN_FOR * 2));
    }

    #[test]
    fn calls_from_before_do_not_close_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.record(true, now);
        assert!(breaker.is_open());
    }
}
