//! Settings of metrics made from log lines: the config section `collect.log_metrics`.

use std::collections::BTreeMap;

use correlation::duration::DurationUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How metrics are made from log lines: the config section `collect.log_metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogMetricsConfig {
    /// Whether log lines are turned into metrics at all.
    pub enabled: bool,
    /// The most label sets of one metric. One service may take a quarter of them; what does not fit is
    /// counted under the label value `overflow`, and in `binnacle_log_metrics_overflow_total`.
    pub max_series: usize,
    /// How many different words one position of a path may hold before further ones become `{id}`.
    /// Numbers, UUIDs, hexadecimal ids and the like always do.
    pub max_slugs: usize,
    /// Upper bounds of the buckets of request durations, in seconds.
    pub duration_buckets: Vec<f64>,
    /// Units of further duration fields, or other units than the usual ones: `my_field: us`. A field whose
    /// name ends in a unit (`duration_ms`) or whose value has one (`1.5s`) needs no entry. Traces read durations by
    /// them too.
    pub duration_units: BTreeMap<String, DurationUnit>,
    /// Own metrics, for what matters to the business: orders, revenue.
    pub rules: Vec<Rule>,
}

impl Default for LogMetricsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_series: 2000,
            max_slugs: 50,
            duration_buckets: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            duration_units: BTreeMap::new(),
            rules: Vec::new(),
        }
    }
}

/// One metric made from the lines that match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Name of the metric; a counter's ends in `_total`.
    pub metric: String,
    /// What it counts, for people.
    pub help: String,
    /// `counter` or `histogram`.
    pub kind: RuleKind,
    /// Only lines of this service: a pattern in which `*` stands for any characters. Empty for all.
    pub service: String,
    /// Only lines that contain this text. Empty for all.
    pub contains: String,
    /// Only lines whose fields match: field path and pattern, in which `*` stands for any characters.
    pub filter: BTreeMap<String, String>,
    /// Field whose number is added or observed. A counter without one counts lines.
    pub field: String,
    /// Labels of the metric and the fields they are read from. `service_name` is always there.
    pub labels: BTreeMap<String, String>,
    /// Upper bounds of a histogram's buckets.
    pub buckets: Vec<f64>,
}

/// What a rule makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// A sum that only grows.
    #[default]
    Counter,
    /// How often values fell into each bucket.
    Histogram,
}

/// Fewer cannot hold one service; more is more than Prometheus should be given by one target.
const MAX_SERIES: std::ops::RangeInclusive<usize> = 16..=100_000;
/// More own metrics, or buckets of one, than this is a mistake.
const MAX_RULES: usize = 200;
const MAX_BUCKETS: usize = 100;
/// Prefixes of metrics that are not the user's.
const RESERVED: [&str; 5] = ["binnacle_", "container_", "docker_", "machine_", "cadvisor_"];

impl LogMetricsConfig {
    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if !MAX_SERIES.contains(&self.max_series) {
            let (low, high) = (MAX_SERIES.start(), MAX_SERIES.end());
            let message = format!("`{}` is not between {low} and {high}", self.max_series);
            wrong.push(("max_series".to_owned(), message));
        }
        if let Some(message) = wrong_buckets(&self.duration_buckets) {
            wrong.push(("duration_buckets".to_owned(), message));
        }
        if self.rules.len() > MAX_RULES {
            wrong.push((
                "rules".to_owned(),
                format!("`{}` rules are more than {MAX_RULES}", self.rules.len()),
            ));
        }
        for (i, rule) in self.rules.iter().enumerate() {
            let mut mistakes = rule.validate();
            if self.rules.iter().take(i).any(|other| other.metric == rule.metric) {
                mistakes.push(("metric", format!("`{}` is the metric of another rule", rule.metric)));
            }
            wrong.extend(mistakes.into_iter().map(|(key, message)| (format!("rules.{i}.{key}"), message)));
        }
        wrong
    }
}

impl Rule {
    fn validate(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let metric = &self.metric;
        if !is_name(metric, true) {
            wrong.push(("metric", format!("`{metric}` is no metric name: letters, digits, `_` and `:`")));
        } else if RESERVED.iter().any(|prefix| metric.starts_with(prefix)) {
            wrong.push(("metric", format!("`{metric}` starts like Binnacle's own metrics")));
        }
        match self.kind {
            RuleKind::Counter if !metric.ends_with("_total") => {
                wrong.push(("metric", format!("the counter `{metric}` does not end in `_total`")));
            }
            RuleKind::Histogram if self.field.is_empty() => {
                wrong.push(("field", "a histogram needs the field it observes".to_owned()));
            }
            _ => {}
        }
        if self.kind == RuleKind::Histogram
            && let Some(message) = wrong_buckets(&self.buckets)
        {
            wrong.push(("buckets", message));
        }
        for name in self.labels.keys() {
            if !is_name(name, false) || name.starts_with("__") || name == "le" || name == "service_name" {
                wrong.push(("labels", format!("`{name}` cannot be a label of the metric")));
            }
        }
        wrong
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    name.chars().all(allowed) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

fn wrong_buckets(buckets: &[f64]) -> Option<String> {
    if buckets.is_empty() || buckets.len() > MAX_BUCKETS {
        return Some(format!("between 1 and {MAX_BUCKETS} bounds are needed, not `{}`", buckets.len()));
    }
    let grow = buckets.windows(2).all(|pair| pair[0] < pair[1]) && buckets.iter().all(|b| b.is_finite());
    (!grow).then(|| format!("`{buckets:?}` do not grow from bound to bound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(LogMetricsConfig::default().validate(), []);
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let rule = |metric: &str| Rule { metric: metric.into(), ..Rule::default() };
        let config = LogMetricsConfig {
            max_series: 1,
            duration_buckets: vec![1.0, 0.5],
            rules: vec![
                rule("orders_total"),
                rule("orders_total"),
                rule("orders"),
                rule("binnacle_x_total"),
                rule("1_total"),
                Rule { kind: RuleKind::Histogram, ..rule("amount") },
                Rule { labels: [("le".to_owned(), "x".to_owned())].into(), ..rule("a_total") },
            ],
            ..LogMetricsConfig::default()
        };
        let keys: Vec<String> = config.validate().into_iter().map(|(key, _)| key).collect();
        let expected = [
            "max_series",
            "duration_buckets",
            "rules.1.metric",
            "rules.2.metric",
            "rules.3.metric",
            "rules.4.metric",
            "rules.5.field",
            "rules.5.buckets",
            "rules.6.labels",
        ];
        assert_eq!(keys, expected);
    }
}
