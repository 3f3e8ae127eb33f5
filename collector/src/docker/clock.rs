//! The engine's clock, as far as the dates of its replies show it.
//!
//! A request names the time from which on messages are wanted, and engines before 24 leave out every earlier one. When
//! the clock is set back, new messages are earlier ones too.

use std::time::Instant;

/// Dates of replies are whole seconds: two of them may seem closer by so much.
const GRANULARITY_NS: i64 = 1_000_000_000;

/// Compares how time passes there and here.
#[derive(Debug, Default)]
pub(super) struct EngineClock {
    last: Option<(Instant, i64)>,
}

impl EngineClock {
    /// Whether anything is known of it yet; what it did before is not.
    pub(super) const fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// A reply that came `now` has the date `date_ns`: whether the clock was set back since the reply before. A slow
    /// reply may seem so too, which costs one more request.
    pub(super) fn was_set_back(&mut self, now: Instant, date_ns: i64) -> bool {
        let Some((before, before_ns)) = self.last.replace((now, date_ns)) else { return false };
        let elapsed_ns = i64::try_from(now.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        date_ns.saturating_sub(before_ns) < elapsed_ns.saturating_sub(GRANULARITY_NS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_back_is_seen_and_whole_seconds_are_none() {
        let (start, second) = (Instant::now(), 1_000_000_000);
        let mut clock = EngineClock::default();
        let mut at = |seconds: f64, date: i64| {
            clock.was_set_back(start + Duration::from_secs_f64(seconds), date * second)
        };
        assert!(!at(0.0, 100));
        assert!(!at(0.9, 100));
        assert!(!at(1.8, 101));
        assert!(!at(61.0, 190), "set forward");
        assert!(at(62.0, 188));
        assert!(!at(63.0, 189));
        assert!(at(80.0, 190), "after a pause");
    }
}
