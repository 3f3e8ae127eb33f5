//! Settings of queries and of the HTTP API: the config section `query`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::{ByteSize, Period};

/// How much one query, and all of them together, may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Queries that run at the same time; further ones wait. 0 stands for the number of processors.
    pub max_concurrent: usize,
    /// Queries that may wait for their turn; further ones are refused with status 503.
    pub max_queued: usize,
    /// Threads that one query decodes blocks with. 0 stands for the number of processors, at most 4.
    pub threads: usize,
    /// Longest time one query, or one page of a streamed answer, may take.
    pub timeout: Period,
    /// Most records one JSON answer may hold. Streamed answers (`Accept: application/x-ndjson`) have no such limit.
    pub max_limit: usize,
    /// Most bytes of lines one query, or one page of a streamed answer, may decode; `0B` for no limit.
    pub max_decoded_bytes: ByteSize,
    /// Most points in time and most distinct values one count (`count_by`, `step`) may return.
    pub max_series_points: usize,
    /// Records a live tail may lag behind before lines are skipped (and the client told how many).
    pub tail_buffer: usize,
    /// Live tails that may be open at the same time.
    pub max_tails: usize,
    /// Whether range queries move their start and end to multiples of the step, as Grafana expects of Loki.
    pub align_step: bool,
    /// Limits of LogQL queries.
    pub loki: crate::loki::config::Config,
    /// How lines become traces: the section `traces`, which whoever makes this configuration puts here.
    #[serde(skip)]
    pub traces: correlation::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_concurrent: 0,
            max_queued: 64,
            threads: 0,
            timeout: Period(Duration::from_secs(60)),
            max_limit: 5_000,
            max_decoded_bytes: ByteSize(0),
            max_series_points: 11_000,
            tail_buffer: 4_096,
            max_tails: 64,
            align_step: true,
            loki: crate::loki::config::Config::default(),
            traces: correlation::Config::default(),
        }
    }
}

impl Config {
    /// Everything wrong with the settings: the dotted path within the section, and why.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let positive = [
            ("max_limit", self.max_limit),
            ("max_series_points", self.max_series_points),
            ("tail_buffer", self.tail_buffer),
            ("max_tails", self.max_tails),
        ];
        for (name, value) in positive {
            if value == 0 {
                wrong.push((name.to_owned(), "`0` would refuse every request; give at least 1".to_owned()));
            }
        }
        if self.timeout.0.is_zero() {
            wrong.push((
                "timeout".to_owned(),
                "`0s` would end every query at once; give at least `1ms`".to_owned(),
            ));
        }
        wrong.extend(self.loki.validate().into_iter().map(|(name, why)| (format!("loki.{name}"), why)));
        wrong
    }

    /// [`Config::max_concurrent`] with its zero resolved.
    #[must_use]
    pub fn concurrent_queries(&self) -> usize {
        if self.max_concurrent == 0 { processors() } else { self.max_concurrent }
    }

    /// [`Config::threads`] with its zero resolved.
    #[must_use]
    pub fn query_threads(&self) -> usize {
        if self.threads == 0 { processors().min(4) } else { self.threads }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_each_zero_is_named() {
        assert_eq!(Config::default().validate(), []);
        let zeros = Config {
            max_limit: 0,
            max_series_points: 0,
            tail_buffer: 0,
            max_tails: 0,
            timeout: Period(Duration::ZERO),
            ..Config::default()
        };
        let names: Vec<String> = zeros.validate().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["max_limit", "max_series_points", "tail_buffer", "max_tails", "timeout"]);
    }
}
