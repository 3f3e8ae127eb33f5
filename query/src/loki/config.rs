//! Settings of Loki's API: the config section `query.loki`. The limits are Loki's own by default, since
//! clients know them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::Period;

/// What one LogQL query may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most lines a log query may ask for.
    pub max_entries: usize,
    /// Most series a metric query may answer with.
    pub max_series: usize,
    /// Most series that expressions within a metric query may have before they are aggregated.
    pub max_inner_series: usize,
    /// Longest time range of a query; `0s` for no limit.
    pub max_query_length: Period,
    /// Most groups an answer about volumes may list.
    pub max_volumes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 5_000,
            max_series: 500,
            max_inner_series: 200_000,
            max_query_length: Period(Duration::from_secs(721 * 3600)),
            max_volumes: 1_000,
        }
    }
}

impl Config {
    /// Everything wrong with the settings: the path within the section, and why.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let positive = [
            ("max_entries", self.max_entries),
            ("max_series", self.max_series),
            ("max_inner_series", self.max_inner_series),
            ("max_volumes", self.max_volumes),
        ];
        positive
            .into_iter()
            .filter(|(_, value)| *value == 0)
            .map(|(name, _)| (name.to_owned(), "`0` would refuse every query; give at least 1".to_owned()))
            .collect()
    }
}
