//! Times as people and programs write them, and times as answers show them.
//!
//! Everything inside is nanoseconds since the Unix epoch. A number of up to 10 digits is seconds, up to
//! 13 milliseconds, up to 16 microseconds, beyond that nanoseconds; a number with a point is seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use store::config::Period;

static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// The present.
#[must_use]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with nine decimals: `2026-11-21T09:30:00.000000001Z`.
#[must_use]
pub fn rfc3339(ns: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(time) => PRINTER.timestamp_to_string(&time),
        // Every i64 of nanoseconds lies within the years 1677 to 2262, which jiff covers.
        Err(_) => ns.to_string(),
    }
}

/// Why a time cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a time; write RFC 3339 (`2026-11-21T09:30:00Z`), a date, Unix seconds, milliseconds, \
     microseconds or nanoseconds, `now`, `now-5m`, or an age such as `1h`"
)]
pub struct TimeError {
    /// What was written.
    pub text: String,
}

/// The time that `text` means, when `now_ns` is the present.
///
/// # Errors
/// When it has none of the forms that [`TimeError`] names, or lies outside of the years 1678 to 2261.
pub fn parse(text: &str, now_ns: i64) -> Result<i64, TimeError> {
    let wrong = || TimeError { text: text.to_owned() };
    let trimmed = text.trim();
    if let Some(offset) = trimmed.strip_prefix("now") {
        return relative(offset.trim(), now_ns).ok_or_else(wrong);
    }
    if let Some(ns) = number(trimmed) {
        return Ok(ns);
    }
    if let Ok(Period(age)) = trimmed.strip_prefix('-').unwrap_or(trimmed).parse() {
        return age_ns(age).and_then(|age| now_ns.checked_sub(age)).ok_or_else(wrong);
    }
    calendar(trimmed).ok_or_else(wrong)
}

/// A length of time: `30s`, `1h30m`, or plain seconds (`15`, `0.5`).
///
/// # Errors
/// When it is neither, or negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("`{text}` is not a duration; it must not be negative or endless"));
    }
    text.parse::<Period>().map(|period| period.0)
}

fn relative(offset: &str, now_ns: i64) -> Option<i64> {
    if offset.is_empty() {
        return Some(now_ns);
    }
    if let Some(back) = offset.strip_prefix('-') {
        return now_ns.checked_sub(age_ns(back.trim().parse::<Period>().ok()?.0)?);
    }
    let ahead = offset.strip_prefix('+')?;
    now_ns.checked_add(age_ns(ahead.trim().parse::<Period>().ok()?.0)?)
}

fn age_ns(age: Duration) -> Option<i64> {
    i64::try_from(age.as_nanos()).ok()
}

fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    if digits.contains('.') {
        let (whole, fraction) = text.split_once('.')?;
        let seconds: i64 = whole.parse().ok()?;
        let padded = format!("{fraction:0<9.9}");
        let nanos: i64 = padded.parse().ok()?;
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        return seconds.checked_mul(1_000_000_000)?.checked_add(nanos);
    }
    let factor = match digits.len() {
        ..=10 => 1_000_000_000,
        11..=13 => 1_000_000,
        14..=16 => 1_000,
        _ => 1,
    };
    text.parse::<i64>().ok()?.checked_mul(factor)
}

fn calendar(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return i64::try_from(time.as_nanosecond()).ok();
    }
    // Without an offset, a date and time are UTC, as in the answers.
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    i64::try_from(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn every_form_of_a_time_is_understood() {
        let hour = 3_600_000_000_000;
        for (text, expected) in [
            ("now", NOW),
            ("now-1h", NOW - hour),
            ("now - 1h", NOW - hour),
            ("now+1h", NOW + hour),
            ("1h", NOW - hour),
            ("-1h", NOW - hour),
            ("1700000000", NOW),
            ("1700000000.5", NOW + 500_000_000),
            ("1700000000000", NOW),
            ("1700000000000000", NOW),
            ("1700000000000000000", NOW),
            ("-1", -1_000_000_000),
            ("-1.5", -1_500_000_000),
            ("2023-11-14T22:13:20Z", NOW),
            ("2023-11-14T23:13:20+01:00", NOW),
            ("2023-11-14T22:13:20.000000001Z", NOW + 1),
            ("2023-11-14T22:13:20", NOW),
            ("2023-11-14 22:13:20", NOW),
            ("2023-11-14", NOW - 80_000 * 1_000_000_000),
        ] {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "now5m",
            "now-",
            "1y",
            "2023-13-01",
            "99999999999999999999",
            "1.2.3",
            "+1h",
            ".",
        ] {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_shows_nine_decimals_and_reads_back() {
        assert_eq!(rfc3339(NOW + 7), "2023-11-14T22:13:20.000000007Z");
        for ns in [0, -1, NOW, i64::MIN, i64::MAX] {
            assert_eq!(parse(&rfc3339(ns), 0), Ok(ns), "{ns}");
        }
    }

    #[test]
    fn durations_are_periods_or_seconds() {
        assert_eq!(parse_duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_duration("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "x", "", "inf", "NaN"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
