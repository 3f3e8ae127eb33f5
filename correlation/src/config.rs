//! Settings of traces made from log lines: the config section `traces`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::{ByteSize, Period};

use crate::duration::DurationUnit;

/// How lines become traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether traces are made of the lines that are stored, and kept with them.
    pub enabled: bool,
    /// How long a trace must have had no new line to be taken as complete.
    pub idle: Period,
    /// The longest a trace is held open; one that goes on is told in parts, under the same ids.
    pub max_age: Period,
    /// How long a complete trace is remembered: a late line within this time joins it, and what it changes is
    /// told again. A later one makes a span of its own in the same trace.
    pub late: Period,
    /// A pause between two lines of a service that ends one visit and begins another, where nothing else
    /// tells visits apart.
    pub visit_gap: Period,
    /// The most traces open at once. When there are more, the quietest ones are let go early. Complete ones that
    /// are remembered do not count here.
    pub max_traces: usize,
    /// The most memory of the traces held at once, complete ones that are remembered included. When they need more, the remembered and then the quietest
    /// ones are let go early.
    pub max_bytes: ByteSize,
    /// The most lines one trace holds. When it has more, it is let go and further lines begin another part of it.
    pub max_trace_lines: usize,
    /// The most lines shown as events of one span; errors are kept first.
    pub max_span_events: usize,
    /// Units of duration fields of own names. No setting of its own: those of
    /// `collect.log_metrics.duration_units`.
    #[serde(skip)]
    pub duration_units: BTreeMap<String, DurationUnit>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            idle: Period(Duration::from_secs(10)),
            max_age: Period(Duration::from_secs(300)),
            late: Period(Duration::from_secs(120)),
            visit_gap: Period(Duration::from_secs(5)),
            max_traces: 20_000,
            max_bytes: ByteSize(64 << 20),
            max_trace_lines: 10_000,
            max_span_events: 128,
            duration_units: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Everything wrong with the settings: the dotted path within the section, and why.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (name, period) in [("idle", self.idle), ("max_age", self.max_age), ("visit_gap", self.visit_gap)]
        {
            if period.0.is_zero() {
                wrong.push((name.to_owned(), "must be longer than `0s`".to_owned()));
            }
        }
        if self.max_age.0 < self.idle.0 {
            let message = format!("`{}` is shorter than `idle` (`{}`)", self.max_age, self.idle);
            wrong.push(("max_age".to_owned(), message));
        }
        if self.max_bytes.0 < MIN_BYTES {
            let message = format!("`{}` is less than `{}`", self.max_bytes, ByteSize(MIN_BYTES));
            wrong.push(("max_bytes".to_owned(), message));
        }
        for (name, value, most) in [
            ("max_traces", self.max_traces, 1_000_000),
            ("max_trace_lines", self.max_trace_lines, 100_000),
            ("max_span_events", self.max_span_events, 1_000),
        ] {
            if value == 0 || value > most {
                wrong.push((name.to_owned(), format!("`{value}` is not between 1 and {most}")));
            }
        }
        wrong
    }
}

/// Less holds no busy trace.
const MIN_BYTES: u64 = 1 << 20;

/// Nanoseconds of a setting.
pub(crate) fn nanos(period: Period) -> i64 {
    i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_mistakes_are_named_at_once() {
        assert_eq!(Config::default().validate(), []);
        let config = Config {
            idle: Period(Duration::ZERO),
            max_bytes: ByteSize(1),
            max_traces: 0,
            max_span_events: 1_000_000,
            ..Config::default()
        };
        let paths: Vec<String> = config.validate().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["idle", "max_bytes", "max_traces", "max_span_events"]);
    }
}
