//! How long a request took: the names and units loggers use, in seconds.
//!
//! A unit in the value (`1.5ms`, Go's `1m2.5s`) counts first, then one in the name (`duration_ms`), then the
//! unit the name's usual writer has. A bare number under a bare name is milliseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use DurationUnit::{Ms, Ns, S, Us};

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurationUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl DurationUnit {
    /// Seconds in one unit.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        match self {
            Self::S => 1.0,
            Self::Ms => 1e-3,
            Self::Us => 1e-6,
            Self::Ns => 1e-9,
        }
    }
}

/// Names whose writers fix the unit of a bare number.
const WRITERS: [(&str, DurationUnit); 6] = [
    ("request_time", S),                 // nginx
    ("upstream_response_time", S),       // nginx
    ("Duration", Ns),                    // Traefik, JSON
    ("event.duration", Ns),              // Elastic Common Schema
    ("responseTime", Ms),                // pino-http
    ("http.server.request.duration", S), // OpenTelemetry
];
/// Last parts of names that mean a duration, without their unit.
const NAMES: [&str; 10] = [
    "duration",
    "latency",
    "elapsed",
    "took",
    "responsetime",
    "requesttime",
    "timetaken",
    "dur",
    "processingtime",
    "executiontime",
];
/// Longer names, without `_` and `-`, are none of these with an ending.
const MAX_NAME_BYTES: usize = 32;
/// Endings of names that tell the unit.
const SUFFIXES: [(&str, DurationUnit); 16] = [
    ("milliseconds", Ms),
    ("microseconds", Us),
    ("nanoseconds", Ns),
    ("seconds", S),
    ("millis", Ms),
    ("micros", Us),
    ("nanos", Ns),
    ("msecs", Ms),
    ("secs", S),
    ("msec", Ms),
    ("usec", Us),
    ("sec", S),
    ("ms", Ms),
    ("us", Us),
    ("ns", Ns),
    ("s", S),
];

/// The unit of a bare number in the field `path`; `None` when it is no duration.
#[must_use]
pub fn unit_of(path: &str, own: &BTreeMap<String, DurationUnit>) -> Option<DurationUnit> {
    if let Some(unit) = own.get(path) {
        return Some(*unit);
    }
    if let Some((_, unit)) = WRITERS.iter().find(|(name, _)| *name == path) {
        return Some(*unit);
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    let mut buffer = [0_u8; MAX_NAME_BYTES];
    let mut length = 0;
    for byte in last.bytes().filter(|byte| !matches!(byte, b'_' | b'-')) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    let folded = buffer.get(..length)?;
    for name in NAMES {
        match folded.strip_prefix(name.as_bytes()) {
            Some([]) => return Some(Ms),
            Some(rest) => {
                let unit = SUFFIXES.iter().find(|(suffix, _)| suffix.as_bytes() == rest);
                if let Some((_, unit)) = unit {
                    return Some(*unit);
                }
            }
            None => {}
        }
    }
    None
}

/// Seconds of a value; `None` when it is no duration of zero or more.
#[must_use]
pub fn seconds(text: &str, unit: DurationUnit) -> Option<f64> {
    let text = text.trim();
    let seconds = match text.parse::<f64>() {
        Ok(number) => number * unit.seconds(),
        Err(_) => with_unit(text)?,
    };
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

/// `1h2m3.5s`, `250µs`, `12 ms`.
fn with_unit(mut text: &str) -> Option<f64> {
    let mut total = 0.0;
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let rest = rest.trim_start();
        let (unit, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let factor = match unit.trim() {
            "h" => 3600.0,
            "m" | "min" => 60.0,
            "s" | "sec" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        text = rest;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Option<f64> {
        let own = BTreeMap::from([("cost".to_owned(), Us)]);
        // Nine digits are what the shortest unit can tell.
        Some((seconds(text, unit_of(path, &own)?)? * 1e9).round() / 1e9)
    }

    #[test]
    fn durations_are_read_under_their_usual_names_and_units() {
        for (path, text, expected) in [
            ("duration_ms", "250", 0.25),
            ("durationMs", "12.5", 0.0125),
            ("http.duration_us", "1500", 0.0015),
            ("elapsed_ns", "1000000", 0.001),
            ("duration_seconds", "0.25", 0.25),
            ("latency_s", "2", 2.0),
            ("duration", "80", 0.08),
            ("latency", "1.5ms", 0.0015),
            ("latency", "250µs", 0.00025),
            ("took", "1m2.5s", 62.5),
            ("elapsed", "12 ms", 0.012),
            ("request_time", "0.005", 0.005),
            ("responseTime", "7", 0.007),
            ("Duration", "5000000", 0.005),
            ("event.duration", "1000", 0.000_001),
            ("cost", "10", 0.00001),
        ] {
            assert_eq!(read(path, text), Some(expected), "{path}={text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for (path, text) in [
            ("duration", "-1"),
            ("duration", "NaN"),
            ("duration", "inf"),
            ("duration", "1.2.3s"),
            ("duration", "5 parsecs"),
            ("duration", ""),
            ("duration", "s"),
            ("durations", "x"),
            ("status", "200"),
            ("ms", "5"),
        ] {
            assert_eq!(read(path, text).filter(|_| !text.is_empty()), None, "{path}={text}");
        }
    }
}
