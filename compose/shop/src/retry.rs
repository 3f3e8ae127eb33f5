//! How often and after which pause a call is tried again: exponential back-off with full jitter.
//!
//! Jitter keeps callers that failed together from coming back together.

use std::time::Duration;

/// Tries of one call, the first one included.
pub(crate) const MAX_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause before try `attempt` (2 is the first that has one); `None` when it was tried often enough.
pub(crate) fn pause_before(attempt: u32, random: &mut fastrand::Rng) -> Option<Duration> {
    if attempt > MAX_ATTEMPTS {
        return None;
    }
    let doublings = attempt.saturating_sub(2).min(16);
    let longest = (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
    Some(longest.mul_f64(random.f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut random = fastrand::Rng::with_seed(5);
        let longest = |attempt, random: &mut fastrand::Rng| {
            (0..500).filter_map(|_| pause_before(attempt, random)).max().unwrap_or_default()
        };
        let (second, third) = (longest(2, &mut random), longest(3, &mut random));
        assert!(second <= FIRST_PAUSE && third <= FIRST_PAUSE * 2 && third > second, "{second:?} {third:?}");
        assert_eq!(pause_before(MAX_ATTEMPTS + 1, &mut random), None);
    }
}
