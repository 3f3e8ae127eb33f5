//! Settings of container metrics: the config section `collect.stats`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::{Limit, Period};

/// How container metrics are made: the config section `collect.stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StatsConfig {
    /// Whether container metrics are collected at all.
    pub enabled: bool,
    /// How often each container's counters are read. On engines before 25 each reading waits up to a second
    /// inside the daemon, which at 16 readings at a time allows for 160 containers per 10 s.
    pub period: Period,
    /// Read a container's cgroup files instead of asking the daemon, where they can be read: the same values
    /// at a hundredth of the cost.
    pub cgroup_files: bool,
    /// How often the daemon is asked for the size of each container's writable layer
    /// (`container_fs_usage_bytes`): `off` or a duration. Off by default, since the daemon walks the files.
    pub disk_period: Limit<Period>,
    /// Container labels that become labels of the metrics, as `container_label_` and the name with every
    /// character other than letters and digits replaced by `_`.
    pub labels: Vec<String>,
}

impl Default for StatsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            period: Period(Duration::from_secs(10)),
            cgroup_files: true,
            disk_period: Limit(None),
            labels: ["project", "service", "container-number"]
                .map(|name| format!("com.docker.compose.{name}"))
                .to_vec(),
        }
    }
}

/// Shorter costs the daemon more than its containers; longer is no longer a curve.
const PERIOD: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// A walk over all writable layers more often than this would be the daemon's main job.
const MIN_DISK_PERIOD: Duration = Duration::from_secs(10);
/// Each label multiplies the series' size; more than this is a mistake.
const MAX_LABELS: usize = 64;

impl StatsConfig {
    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if !PERIOD.contains(&self.period.0) {
            let (low, high) = (Period(*PERIOD.start()), Period(*PERIOD.end()));
            wrong.push(("period".to_owned(), format!("`{}` is not between {low} and {high}", self.period)));
        }
        if let Limit(Some(period)) = self.disk_period
            && period.0 < MIN_DISK_PERIOD
        {
            let low = Period(MIN_DISK_PERIOD);
            wrong.push((
                "disk_period".to_owned(),
                format!("`{period}` is below {low}; write `off` for never"),
            ));
        }
        if self.labels.len() > MAX_LABELS {
            let count = self.labels.len();
            wrong.push(("labels".to_owned(), format!("`{count}` labels are more than {MAX_LABELS}")));
        }
        for (i, label) in self.labels.iter().enumerate() {
            if label.is_empty() {
                wrong.push((format!("labels.{i}"), "a label has a name".to_owned()));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_mistakes_are_named() {
        assert_eq!(StatsConfig::default().validate(), []);
        let config = StatsConfig {
            period: Period(Duration::from_millis(10)),
            disk_period: Limit(Some(Period(Duration::from_secs(1)))),
            labels: vec!["a".into(), String::new()],
            ..StatsConfig::default()
        };
        let keys: Vec<String> = config.validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["period", "disk_period", "labels.1"]);
    }
}
