//! Settings of the collector: the config section `collect` here, `ingest`, `ingest.push` and `ingest.redact` beside.
//!
//! `validate` refuses and names the key; nothing is clamped silently.

pub mod ingest;
pub mod push;
pub mod redact;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::config::{ByteSize, Period};

pub use ingest::{IngestConfig, Multiline};
pub use push::PushConfig;
pub use redact::{RedactConfig, Treatment};

/// What is collected from Docker, and how: the config section `collect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CollectConfig {
    /// Value of the stream label `host`; empty for this machine's host name.
    pub host: String,
    /// Names of containers to collect: patterns in which `*` stands for any characters and `?` for one.
    /// Empty collects all.
    pub include_names: Vec<String>,
    /// Names of containers not to collect: patterns as in `include_names`, which they override.
    pub exclude_names: Vec<String>,
    /// What to read of a container's log when it is seen for the first time: `all` that Docker still
    /// holds, `since_start` (only what is logged after Binnacle started), `none` (only what is logged after
    /// the container is found), or a number of lines from the end.
    pub backfill: Backfill,
    /// Longest line kept whole. Of a longer one this much is kept, and its length goes into the attribute
    /// `truncated`.
    pub max_line_bytes: ByteSize,
    /// Shortest time between two reads of the log of a container that is writing: the larger, the less work
    /// for the Docker daemon and the later a line can be found.
    pub poll_interval: Period,
    /// Whether logs of Docker's driver `json-file` are read from its files instead of its API, which spares the daemon
    /// most of the work. Needs the right to read them (root, or `CAP_DAC_READ_SEARCH`). A log whose files cannot be
    /// read is read through the API.
    pub read_files: bool,
    /// Folder with the folders of all containers as Binnacle sees it, for `read_files`; empty for where Docker says
    /// they are, usually below `/var/lib/docker/containers`.
    pub log_folder: String,
    /// How often all containers are listed, in case Docker's events did not tell of a change.
    pub list_interval: Period,
    /// Container metrics.
    pub stats: crate::stats::StatsConfig,
    /// Metrics made from log lines.
    pub log_metrics: crate::log_metrics::LogMetricsConfig,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            include_names: Vec::new(),
            exclude_names: Vec::new(),
            backfill: Backfill::All,
            max_line_bytes: ByteSize(1 << 20),
            poll_interval: Period(Duration::from_millis(100)),
            read_files: false,
            log_folder: String::new(),
            list_interval: Period(Duration::from_secs(30)),
            stats: crate::stats::StatsConfig::default(),
            log_metrics: crate::log_metrics::LogMetricsConfig::default(),
        }
    }
}

/// Smallest and largest `max_line_bytes`: two of Docker's 16 KiB chunks, so that joining means something; and
/// what two streams of each of the containers being read at once may hold in memory.
const LINE_BYTES: std::ops::RangeInclusive<u64> = (32 << 10)..=(64 << 20);
/// Shorter is a busy loop on the daemon, longer is no tail.
const POLL_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Shorter loads the daemon for nothing, longer may miss short-lived containers while events are out.
const LIST_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

impl CollectConfig {
    /// Value of the stream label `host`.
    pub(crate) fn host_label(&self) -> String {
        if self.host.is_empty() { crate::docker::host_name() } else { self.host.clone() }
    }

    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (key, patterns) in
            [("include_names", &self.include_names), ("exclude_names", &self.exclude_names)]
        {
            for (i, pattern) in patterns.iter().enumerate() {
                if pattern.is_empty() {
                    wrong.push((format!("{key}.{i}"), "an empty pattern matches no name".to_owned()));
                }
            }
        }
        if !LINE_BYTES.contains(&self.max_line_bytes.0) {
            let (low, high) = (ByteSize(*LINE_BYTES.start()), ByteSize(*LINE_BYTES.end()));
            let message = format!("`{}` is not between {low} and {high}", self.max_line_bytes);
            wrong.push(("max_line_bytes".to_owned(), message));
        }
        for (key, period, range) in [
            ("poll_interval", self.poll_interval, POLL_INTERVAL),
            ("list_interval", self.list_interval, LIST_INTERVAL),
        ] {
            if !range.contains(&period.0) {
                let (low, high) = (Period(*range.start()), Period(*range.end()));
                wrong.push((key.to_owned(), format!("`{period}` is not between {low} and {high}")));
            }
        }
        wrong.extend(self.stats.validate().into_iter().map(|(key, why)| (format!("stats.{key}"), why)));
        let log_metrics = self.log_metrics.validate().into_iter();
        wrong.extend(log_metrics.map(|(key, why)| (format!("log_metrics.{key}"), why)));
        wrong
    }
}

/// What is read of a log that has no cursor yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backfill {
    /// All that Docker still holds.
    #[default]
    All,
    /// What was logged since this process started.
    SinceStart,
    /// This many lines from the end; 0 is `none`.
    Tail(u32),
}

impl fmt::Display for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::SinceStart => f.write_str("since_start"),
            Self::Tail(0) => f.write_str("none"),
            Self::Tail(lines) => write!(f, "{lines}"),
        }
    }
}

impl std::str::FromStr for Backfill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "since_start" => Ok(Self::SinceStart),
            "none" => Ok(Self::Tail(0)),
            number => number.parse().map(Self::Tail).map_err(|_| {
                format!("`{text}` is none of `all`, `since_start`, `none` and a number of lines")
            }),
        }
    }
}

impl Serialize for Backfill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Backfill {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Lines(u32),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Lines(lines) => Ok(Self::Tail(lines)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Backfill {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Backfill".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["all", "since_start", "none", "1000"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(CollectConfig::default().validate(), []);
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let config = CollectConfig {
            exclude_names: vec!["web-*".into(), String::new()],
            max_line_bytes: ByteSize(1),
            poll_interval: Period(Duration::ZERO),
            list_interval: Period(Duration::from_secs(7200)),
            ..CollectConfig::default()
        };
        let keys: Vec<String> = config.validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["exclude_names.1", "max_line_bytes", "poll_interval", "list_interval"]);
    }

    #[test]
    fn backfill_reads_back_as_written_and_refuses_the_rest() {
        for text in ["all", "since_start", "none", "1000"] {
            assert_eq!(text.parse::<Backfill>().unwrap().to_string(), text);
        }
        assert_eq!(serde_json::from_str::<Backfill>("7").unwrap(), Backfill::Tail(7));
        for text in ["", "some", "-1", "1.5", "99999999999"] {
            assert!(text.parse::<Backfill>().is_err(), "{text}");
        }
    }
}
