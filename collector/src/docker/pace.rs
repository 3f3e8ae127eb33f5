//! How often a log must be read, and how much to ask for, by what it brought lately.
//!
//! Rotation sets the pace: what is not read before the oldest file is thrown away is lost, and a small log of
//! a chatty container turns over in a tenth of a second.

use std::time::{Duration, Instant};

/// What the daemon stores around a message, in bytes: `{"log":"...\n","stream":"...","time":"..."}`.
const ENVELOPE: u64 = 92;
/// A log is read this often while rotation turns it over once.
const READS_PER_TURN: f64 = 4.0;
/// Shortest pause between two reads. Each costs the daemon half a millisecond.
const SHORTEST: Duration = Duration::from_millis(5);
/// So many messages in one read cost the daemon more than the request for them: then a read costs about the same when
/// it is done twice as often with half as many, and lines are found sooner.
const MANY: f64 = 100.0;
/// Pause after a read that took long because many want the daemon's time: a multiple of it, up to this.
const LONGEST_YIELD: Duration = Duration::from_millis(250);

/// Rates of one log, by its last two requests.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last_request: Option<Instant>,
    /// Between the last two requests.
    seconds: Option<f64>,
    messages_per_second: f64,
    bytes_per_second: f64,
}

impl Pace {
    /// A request is sent `now`: returns how many new messages to expect.
    pub(super) fn request(&mut self, now: Instant) -> u64 {
        let seconds =
            self.last_request.replace(now).map(|last| now.duration_since(last).as_secs_f64().max(0.001));
        self.seconds = seconds;
        (self.messages_per_second * seconds.unwrap_or(0.0)) as u64
    }

    /// The request brought so many new messages with so many bytes.
    pub(super) fn brought(&mut self, messages: u64, bytes: u64) {
        // Without an earlier request nothing is known about the time in which they were logged.
        let per_second = self.seconds.map_or(0.0, |seconds| 1.0 / seconds);
        self.messages_per_second = messages as f64 * per_second;
        self.bytes_per_second = (bytes + messages * ENVELOPE) as f64 * per_second;
    }

    /// Pause between requests: `usual`, half of it for a log that brings [`MANY`] in that time, less where rotation
    /// leaves only `kept_bytes`, more where the last read `took` long.
    pub(super) fn pause(&self, usual: Duration, kept_bytes: Option<u64>, took: Duration) -> Duration {
        let is_chatty = self.messages_per_second * usual.as_secs_f64() >= MANY;
        let usual = if is_chatty { usual / 2 } else { usual };
        let patient = usual.max((took * 2).min(LONGEST_YIELD));
        let Some(kept_bytes) = kept_bytes.filter(|_| self.bytes_per_second > 0.0) else { return patient };
        let turn_seconds = kept_bytes as f64 / self.bytes_per_second;
        let before_lost = Duration::try_from_secs_f64(turn_seconds / READS_PER_TURN).unwrap_or(usual);
        if before_lost < patient { before_lost.max(SHORTEST) } else { patient }
    }
}

/// Whether a log that is read for the first time and holds so much may have been rotated already, when
/// rotation leaves `kept_bytes`. What it stores is guessed from below (quotes are escaped), hence the margin.
pub(super) const fn may_be_rotated(messages: u64, bytes: u64, kept_bytes: u64) -> bool {
    kept_bytes > 0 && bytes + messages * ENVELOPE >= kept_bytes / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(100);

    /// A log that brought `messages` of 200 bytes in 100 ms.
    fn bringing(messages: u64) -> (Pace, u64) {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.request(start);
        pace.brought(5, 1_000);
        pace.request(start + Duration::from_millis(100));
        pace.brought(messages, messages * 200);
        let expected = pace.request(start + Duration::from_millis(300));
        (pace, expected)
    }

    #[test]
    fn as_many_messages_are_expected_as_came_lately() {
        assert_eq!(bringing(200).1, 400);
        assert_eq!(bringing(0).1, 0);
        assert_eq!(Pace::default().request(Instant::now()), 0);
    }

    #[test]
    fn a_backlog_says_nothing_about_the_rate() {
        let mut pace = Pace::default();
        pace.request(Instant::now());
        pace.brought(1_000_000, 1 << 30);
        assert_eq!(pace.request(Instant::now() + USUAL), 0);
    }

    #[test]
    fn a_small_log_of_a_chatty_container_is_read_more_often() {
        let took = Duration::from_millis(1);
        let (pace, _) = bringing(500);
        assert_eq!(pace.pause(USUAL, None, took), USUAL / 2);
        assert_eq!(pace.pause(USUAL, Some(100 << 20), took), USUAL / 2);
        let pause = pace.pause(USUAL, Some(102_400), took);
        assert!(pause > Duration::from_millis(10) && pause < Duration::from_millis(25), "{pause:?}");
        assert_eq!(pace.pause(USUAL, Some(0), took), SHORTEST);
        assert_eq!(bringing(0).0.pause(USUAL, Some(0), took), USUAL);
    }

    #[test]
    fn a_log_that_holds_what_rotation_leaves_may_have_been_rotated() {
        assert!(may_be_rotated(343, 343 * 200, 102_400));
        assert!(!may_be_rotated(200, 200 * 200, 102_400));
        assert!(!may_be_rotated(0, 0, 0), "with one file nothing can be said");
    }

    #[test]
    fn a_busy_daemon_is_asked_less_often() {
        let (pace, _) = bringing(10);
        assert_eq!(pace.pause(USUAL, None, Duration::from_millis(80)), Duration::from_millis(160));
        assert_eq!(pace.pause(USUAL, None, Duration::from_secs(5)), LONGEST_YIELD);
    }
}
