//! Settings of the store, and the types in which durations, sizes and limits are written.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Settings of the store: the config section `store`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Length of a window: the piece of log time that is stored in one folder and deleted at once.
    /// Fixed when the data folder is made; a later change holds for new data folders only.
    pub window: Period,
    /// Memory of the newest records, not yet in blocks, at which blocks are built from them.
    pub flush_bytes: ByteSize,
    /// Age of the oldest record not yet in a block at which blocks are built even from little data.
    pub flush_age: Period,
    /// The most memory that records not yet in blocks may take. Appends wait while it is used up, so that
    /// sources slow down instead of memory growing. At least twice `store.flush_bytes`.
    pub head_bytes: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Period(Duration::from_secs(3600)),
            flush_bytes: ByteSize(64 << 20),
            flush_age: Period(Duration::from_secs(120)),
            head_bytes: ByteSize(128 << 20),
        }
    }
}

impl Config {
    /// What cannot be used, as (setting, reason); empty when all is well.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let mut wrong = |setting: &str, reason: String| mistakes.push((setting.to_owned(), reason));
        if self.window.0 < MIN_WINDOW || self.window.0 > MAX_WINDOW {
            wrong("window", format!("`{}` is not between `1m` and `30d`", self.window));
        }
        if self.flush_bytes < MIN_FLUSH_BYTES {
            wrong("flush_bytes", format!("`{}` is below `{MIN_FLUSH_BYTES}`", self.flush_bytes));
        }
        if self.flush_age.0 < Duration::from_secs(1) {
            wrong("flush_age", format!("`{}` is below `1s`", self.flush_age));
        }
        if self.head_bytes.0 / 2 < self.flush_bytes.0 {
            let reason = format!(
                "`{}` is less than twice `store.flush_bytes` (`{}`)",
                self.head_bytes, self.flush_bytes
            );
            wrong("head_bytes", reason);
        } else if self.head_bytes > MAX_HEAD_BYTES {
            wrong("head_bytes", format!("`{}` is above `{MAX_HEAD_BYTES}`", self.head_bytes));
        }
        mistakes
    }
}

/// A window is a folder with its own index: shorter ones would make thousands of them a day, longer ones
/// make deletion by size too coarse.
const MIN_WINDOW: Duration = Duration::from_secs(60);
const MAX_WINDOW: Duration = Duration::from_secs(30 * 86_400);
/// Less would make blocks too small to compress.
const MIN_FLUSH_BYTES: ByteSize = ByteSize(1 << 20);
const MAX_HEAD_BYTES: ByteSize = ByteSize(64 << 30);

/// What is deleted, and when: the config section `retention`. Whole windows are deleted, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Age, by log time, at which records are deleted: `off` or a duration. Off by default, since size
    /// bounds the disk anyway and an old file that someone stores on purpose would vanish at once.
    pub max_age: Limit<Period>,
    /// Size of all stored data above which the oldest is deleted: `off` or a size.
    pub max_bytes: Limit<ByteSize>,
    /// Size of the spans made from records, above which the oldest are deleted: `off` or a size. Spans also go
    /// with the records of their time.
    pub max_span_bytes: Limit<ByteSize>,
    /// How long readings of containers' CPU and memory are kept, which the waterfall of a trace shows; of more than
    /// 64 MiB the oldest go earlier.
    pub max_reading_age: Period,
    /// Free space of the disk below which the oldest data is deleted, and, when none is left to delete, new
    /// records are refused: `off` or a size.
    pub min_free_bytes: Limit<ByteSize>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            max_age: Limit(None),
            max_bytes: Limit(Some(ByteSize(20 << 30))),
            max_span_bytes: Limit(Some(ByteSize(2 << 30))),
            max_reading_age: Period(Duration::from_secs(24 * 3600)),
            min_free_bytes: Limit(Some(ByteSize(256 << 20))),
        }
    }
}

impl RetentionConfig {
    /// Deletes nothing, refuses nothing.
    pub(crate) const fn keep_all() -> Self {
        Self {
            max_age: Limit(None),
            max_bytes: Limit(None),
            max_span_bytes: Limit(None),
            max_reading_age: Period(Duration::MAX),
            min_free_bytes: Limit(None),
        }
    }

    /// What cannot be used, as (setting, reason); empty when all is well.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        if let Limit(Some(age)) = self.max_age
            && age.0 < Duration::from_secs(60)
        {
            mistakes.push(("max_age".to_owned(), format!("`{age}` is below `1m`; write `off` to keep all")));
        }
        if self.max_reading_age.0 < Duration::from_secs(60) {
            let reason = format!("`{}` is below `1m`", self.max_reading_age);
            mistakes.push(("max_reading_age".to_owned(), reason));
        }
        for (setting, limit) in [("max_bytes", self.max_bytes), ("max_span_bytes", self.max_span_bytes)] {
            if let Limit(Some(size)) = limit
                && size < MIN_RETAINED_BYTES
            {
                let reason = format!("`{size}` is below `{MIN_RETAINED_BYTES}`; write `off` for no limit");
                mistakes.push((setting.to_owned(), reason));
            }
        }
        mistakes
    }
}

/// Below this the newest window alone may be over the limit all the time.
const MIN_RETAINED_BYTES: ByteSize = ByteSize(1 << 20);

/// A limit that can be switched off: `off`, or the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

impl<T: std::str::FromStr<Err = String>> std::str::FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self(None));
        }
        text.parse().map(|limit| Self(Some(limit))).map_err(|wrong| format!("{wrong}, or `off`"))
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// A number of bytes, written `64MiB`, `10GB` or as plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let wrong = || {
            format!(
                "`{text}` is not a size; write bytes or a number with B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"
            )
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim_start();
        let factor = if unit.is_empty() {
            1
        } else {
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS[..4].iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A length of time, written `250ms`, `30s`, `1h30m`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

const PERIODS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1_000)];

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a duration; write for example `250ms`, `30s`, `1h30m` or `7d`");
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let (unit, tail) =
                tail.split_at(tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len()));
            let (_, factor) = PERIODS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            millis = number.checked_mul(*factor).and_then(|n| millis.checked_add(n)).ok_or_else(wrong)?;
            rest = tail;
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis >= factor {
                write!(f, "{}{name}", millis / factor)?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

macro_rules! written_as_text {
    ($type:ty, $name:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Switch(bool),
                    Number(u64),
                    Text(String),
                }
                let text = match Written::deserialize(deserializer)? {
                    // Some YAML readers take a bare `off` for a boolean.
                    Written::Switch(on) => if on { "on" } else { "off" }.to_owned(),
                    Written::Number(number) => number.to_string(),
                    Written::Text(text) => text,
                };
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}
written_as_text!(ByteSize, "ByteSize", "64MiB");
written_as_text!(Period, "Period", "30s");
written_as_text!(Limit<ByteSize>, "ByteSizeOrOff", "20GiB");
written_as_text!(Limit<Period>, "PeriodOrOff", "30d");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_periods_read_back_as_written() {
        for text in ["0B", "1B", "64MiB", "10GiB", "1500000B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("10GB".parse::<ByteSize>().unwrap().0, 10_000_000_000);
        for text in ["250ms", "30s", "1h30m", "7d", "1d1ms"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn limits_can_be_off() {
        assert_eq!(serde_json::from_str::<Limit<Period>>("\"off\"").unwrap(), Limit(None));
        assert_eq!(serde_json::from_str::<Limit<Period>>("false").unwrap(), Limit(None));
        assert_eq!(serde_json::from_str::<Limit<ByteSize>>("4096").unwrap(), Limit(Some(ByteSize(4096))));
        assert!(serde_json::from_str::<Limit<ByteSize>>("true").is_err());
        assert_eq!(serde_json::to_string(&Limit::<Period>(None)).unwrap(), "\"off\"");
    }

    #[test]
    fn defaults_are_valid_and_mistakes_are_named() {
        assert_eq!(Config::default().validate(), []);
        assert_eq!(RetentionConfig::default().validate(), []);
        let config = Config { head_bytes: ByteSize(64 << 20), ..Config::default() };
        assert_eq!(config.validate()[0].0, "head_bytes");
        let retention = RetentionConfig {
            max_age: Limit(Some(Period(Duration::from_secs(1)))),
            ..RetentionConfig::default()
        };
        assert_eq!(retention.validate()[0].0, "max_age");
    }

    #[test]
    fn sizes_and_periods_refuse_what_they_do_not_know() {
        for text in ["", "MiB", "1.5GB", "-1", "10XB", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-5s", "5y", "99999999999999w"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
